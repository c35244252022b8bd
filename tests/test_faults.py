"""What happens when something breaks: a task, the launcher, the disk, the data.

Each test holds the text that a person gets to read.
"""

import contextlib
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from flow_core.api import AttemptState, LintError, RunState

# --- a task that breaks -------------------------------------------------------------------------

TASK = """
    import ctypes, os, resource, signal, subprocess, sys, threading, time
    from flow_core import FlowSpec, catch, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [0, 1, 2]
            self.next(self.work, foreach="items")

        DECORATOR
        @step
        def work(self):
            self.value = self.input * 10
            if self.input == 1:
                BODY
            self.next(self.join)

        @step
        def join(self, inputs):
            self.failures = [str(getattr(i, "failure", None)) for i in inputs]
            self.values = [getattr(i, "value", None) for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""

EXITED = (
    "the process ended by itself with exit status {} before the step was finished"
    " (os._exit, or a crash of the interpreter)"
)
DEATHS = {
    "segfault": (
        "ctypes.string_at(0)",
        "killed by SIGSEGV: the process crashed, often in C code",
    ),
    "os._exit": (
        "os._exit(3)",
        EXITED.format(3),
    ),
    "os._exit(0)": (
        "os._exit(0)",
        EXITED.format(0),
    ),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", "killed by SIGTERM"),
    "abort": ("os.abort()", "killed by SIGABRT: the process crashed, often in C code"),
    "MemoryError": (
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)); bytearray(2**31)",
        "MemoryError",
    ),
}


def task(body, decorator=""):
    return TASK.replace("BODY", body).replace("DECORATOR", decorator)


@pytest.mark.parametrize(("body", "text"), DEATHS.values(), ids=DEATHS)
def test_a_task_that_dies_fails_the_run(lab, parts, check_store, body, text):
    done = lab.python(lab.write(task(body)), "run")
    assert done.returncode == 1
    error = parts(done.stderr)
    assert error["error"] == "Run F/1 failed"
    assert error["where"] == "F/1/work/3"
    assert error["why"].endswith(text)
    assert error["try"].endswith("resume --origin-run-id 1")
    assert text in done.stdout
    assert lab.left().state is RunState.FAILED
    lab.assert_nothing_runs()
    check_store(lab.root)


@pytest.mark.parametrize(("body", "text"), DEATHS.values(), ids=DEATHS)
def test_a_task_that_dies_touches_nobody_else(lab, check_store, body, text):
    lab.python(lab.write(task(body, '@catch(var="failure")')), "run").check()
    end = lab.left().artifacts("end")[0]
    assert end["failures"][0] == end["failures"][2] == "None"
    assert end["failures"][1].endswith(text)
    assert (end["values"][0], end["values"][2]) == (0, 20)
    check_store(lab.root)


HEALTHY = {
    "daemon": (
        'subprocess.Popen(["sleep", "1000"], start_new_session=True)',
        r"Note: 1 child process was left behind and was ended: \d+ \(sleep 1000\)",
    ),
    "closed stdout": ("sys.stdout.close(); os.close(1)", ""),
    "threads": (
        "[threading.Thread(target=time.sleep, args=(0.1,)).start() for _ in range(4)]",
        "",
    ),
    "fork": ("os.fork() or os._exit(0)", ""),
    "signals ignored": ("[signal.signal(s, signal.SIG_IGN) for s in (2, 15)]", ""),
    "changed folder": ('os.chdir("/")', ""),
    "limits": ("resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))", ""),
}


@pytest.mark.parametrize(("body", "said"), HEALTHY.values(), ids=HEALTHY)
def test_a_task_that_misbehaves_and_succeeds(lab, check_store, body, said):
    done = lab.python(lab.write(task(body)), "run").check()
    assert re.search(said, done.stdout)
    assert lab.left().artifact("end", "values") == [0, 10, 20]
    lab.assert_nothing_runs(2)
    check_store(lab.root)


def test_a_task_that_writes_100_megabytes(lab):
    body = (
        'line = "x" * 99_999 + "\\n"; [sys.stdout.write(line) for _ in range(1000)]; print("last")'
    )
    done = lab.python(lab.write(task(body)), "run", "--max-log-size", "0.5").check()
    assert len(done.stdout) < 2_000_000
    assert "this task writes more than is shown; --max-log-size raises the limit" in done.stdout
    stored = Path(lab.root / "runs/F/1/work/3/0/stdout").read_text()
    assert 490_000 < len(stored) < 510_000
    assert "[flow: 99.5 MB of output left out here; --max-log-size raises the limit]" in stored
    assert stored.endswith("last\n")


def test_a_task_that_is_killed_for_want_of_memory(lab, parts):
    with small_cgroup(lab.mark, 150 * 2**20) as join:
        body = "print(len(bytearray(b'x') * 2**30))"
        process = lab.start(lab.write(task(body)), "run", preexec_fn=join)
        assert process.wait(30) == 1
    assert parts(lab.said(process))["why"].endswith("killed for want of memory (SIGKILL)")
    (failed,) = (m for m in lab.left().manifests("work") if m.failure and m.foreach[0].index == 1)
    assert failed.failure.cause == "out-of-memory"


@contextlib.contextmanager
def small_cgroup(name, limit):
    """Yield a function by which a process joins a memory cgroup of its own; else skip."""
    own = [line.split(":") for line in Path("/proc/self/cgroup").read_text().splitlines()]
    paths = {kinds: path for _, kinds, path in own}
    if "memory" in paths:
        base, limit_file = Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"
        parent = base / paths["memory"].lstrip("/")
        parent = parent if parent.exists() else base
    else:
        base, limit_file = Path("/sys/fs/cgroup"), "memory.max"
        parent = base / paths.get("", "").lstrip("/")
    folder = parent / f"flow-test-{name}"
    try:
        folder.mkdir()
        (folder / limit_file).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        yield lambda: (folder / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.02)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"], ids=["no output", "none at all"])
def test_a_launcher_without_standard_streams(lab, check_store, closed):
    """As a daemon may start it: no file of ours takes the place of its output."""
    file = lab.write(task('print("printed")'))
    lab.tester.command(["sh", "-c", f"{sys.executable} {file} run {closed}"]).check()
    run = lab.left()
    assert run.state is RunState.SUCCEEDED
    assert run.output("work") == "printed\n"
    assert len(run.metadata.attempts("F", "1")) == 6
    check_store(lab.root)


def test_a_launcher_whose_reader_is_gone(lab, check_store):
    """``python flow.py run | head -1``: nobody reads on, and the run goes on."""
    file = lab.write(task('print("printed")'))
    done = lab.tester.command(["sh", "-c", f"{sys.executable} {file} run | head -1"])
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    lab.assert_nothing_runs()
    assert lab.left().state is RunState.SUCCEEDED
    check_store(lab.root)


# --- Ctrl-C -------------------------------------------------------------------------------------

SLOW = """
    import os, signal, subprocess, time
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [0, 1, 2, 3]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            if self.input and not os.path.exists("go"):
                BODY
                open(f"here-{self.input}", "w").close()
                time.sleep(600)
            self.done = self.input
            self.next(self.join)

        @step
        def join(self, inputs):
            self.all_done = [i.done for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def slow(lab, wait_for):
    """Start a run of which one task is finished and three would sleep for ever."""

    def start(body="subprocess.Popen(['sleep', '600'])", starter=None):
        file = lab.write(SLOW.replace("BODY", body))
        process = (starter or lab.start)(file, "run", "--max-workers", "4")
        wait_for(lambda: len(list(lab.path.glob("here-*"))) == 3)
        wait_for((lab.root / "runs/F/1/work/2/0/manifest").exists)
        return process

    return start


def assert_interrupted_and_resumes(lab, check_store):
    lab.assert_nothing_runs(1)
    run = lab.left()
    assert run.state is RunState.INTERRUPTED
    states = {r.task: r.state for r in run.metadata.attempts("F", "1", step="work")}
    cancelled = AttemptState.CANCELLED
    assert states == {2: AttemptState.SUCCEEDED, 3: cancelled, 4: cancelled, 5: cancelled}
    check_store(lab.root)

    (lab.path / "go").touch()
    done = lab.python(lab.path / "flow.py", "resume").check()
    assert "[2/work/2] Task is reused from F/1/work/2/0" in done.stdout
    assert lab.left(2).artifact("end", "all_done") == [0, 1, 2, 3]


SIGNAL_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize(
    ("number", "body"),
    [
        (signal.SIGINT, "subprocess.Popen(['sleep', '600'])"),
        (signal.SIGINT, STUBBORN),
        (signal.SIGTERM, "pass"),
        (signal.SIGHUP, "pass"),
    ],
    ids=["Ctrl-C", "Ctrl-C, stubborn tasks", "SIGTERM", "SIGHUP"],
)
def test_an_interrupted_run(lab, slow, parts, check_store, number, body):
    process = slow(body)
    began = time.monotonic()
    os.killpg(process.pid, number)
    assert process.wait(10) == 1
    assert time.monotonic() - began < 5
    assert parts(lab.said(process)) == {
        "error": "Run F/1 was interrupted",
        "why": f"interrupted by a signal ({SIGNAL_NAMES[number]})",
        "try": f"python {lab.path}/flow.py resume --origin-run-id 1",
    }
    assert lab.said(process).count("Task was cancelled after") == 3
    assert_interrupted_and_resumes(lab, check_store)


def test_a_second_ctrl_c_does_not_wait(lab, slow, check_store):
    process = slow(STUBBORN)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 1
    assert time.monotonic() - began < 2
    assert_interrupted_and_resumes(lab, check_store)


def test_many_ctrl_c_at_once(lab, slow, check_store):
    process = slow(STUBBORN)
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.005)
    # On a busy machine the last ones come when all is done and said, and end what is left of it.
    assert process.wait(10) in (1, -signal.SIGINT)
    assert_interrupted_and_resumes(lab, check_store)


def test_tasks_that_fail_because_they_are_ended_do_not_make_the_run_failed(lab, slow):
    process = slow("signal.signal(signal.SIGTERM, lambda *_: 1 / 0)")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 1
    assert lab.left().state is RunState.INTERRUPTED
    assert lab.left().manifests("work")[1].failure.type == "ZeroDivisionError"
    (lab.path / "go").touch()
    lab.python(lab.path / "flow.py", "resume").check()


def test_a_signal_that_nohup_had_ignored_is_ignored(lab, wait_for):
    source = SLOW.replace("BODY", "pass").replace("time.sleep(600)", "time.sleep(0.3)")
    process = lab.start(
        lab.write(source), "run", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    )
    wait_for((lab.path / "here-1").exists)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(10) == 0, lab.said(process)
    assert lab.left().state is RunState.SUCCEEDED


def test_ctrl_c_at_any_moment(lab, wait_for):
    """Also before the first task and after the last one: nothing is left half recorded."""
    source = SLOW.replace("BODY", "pass").replace("time.sleep(600)", "time.sleep(0.01)")
    file = lab.write(source)
    lab.python(file, "run").check()
    for number in range(12):
        process = lab.start(file, "run")
        wait_for((lab.root / f"runs/F/{number + 2}/run.json").exists)
        time.sleep(0.015 * number)
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(10)
        state = lab.left(number + 2).state
        said = lab.said(process)
        assert "Traceback" not in said
        if "Done: " in said:
            assert state is RunState.SUCCEEDED
        else:
            assert "was interrupted" in said
            assert (status, state) == (1, RunState.INTERRUPTED)
    lab.assert_nothing_runs(2)


def test_ctrl_c_in_a_terminal(lab, slow, check_store):
    master, terminal = pty.openpty()

    def in_terminal(file, *arguments):
        return subprocess.Popen(
            [sys.executable, str(file), *arguments],
            cwd=lab.path,
            env={**lab.tester.environment(), "FLOW_TEST_MARK": lab.mark, "TERM": "xterm"},
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )

    process = slow(starter=in_terminal)
    os.write(master, b"\x03")
    shown = b""
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        shown += read_now(master)
    shown += read_now(master)
    os.close(terminal)
    os.close(master)
    assert process.wait(0) == 1
    assert b"Interrupted: F/1 after" in shown
    assert_interrupted_and_resumes(lab, check_store)


def read_now(master):
    """Return what a terminal shows within a moment."""
    os.set_blocking(master, False)
    time.sleep(0.02)
    try:
        return os.read(master, 1 << 16)
    except BlockingIOError:
        return b""


# --- the disk -----------------------------------------------------------------------------------

DISK = """
    import os
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.first = os.urandom(1_000_000)
            self.next(self.work)

        @step
        def work(self):
            self.second = os.urandom(8_000_000)
            self.next(self.end)

        @step
        def end(self):
            self.lengths = len(self.first), len(self.second)

    if __name__ == "__main__":
        F()
"""


def mount(*arguments):
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(lab):
    """The folder of the state is a file system of 3 MB."""
    lab.root.mkdir()
    if sys.platform != "linux" or os.getuid():
        pytest.skip("only root can mount a small file system")
    mount("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(lab.root))
    yield lab.root
    subprocess.run(["umount", "-l", str(lab.root)], check=True)


def test_a_full_disk(lab, small_disk, check_store):
    file = lab.write(DISK)
    done = lab.python(file, "run")
    assert done.returncode == 1
    assert "the disk is full" in done.stdout + done.stderr
    assert "flow-core itself failed" not in done.stderr
    assert f"free space on the disk that holds {small_disk}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert 'File "' not in done.stdout + done.stderr
    assert "faults.py" not in done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    lab.assert_nothing_runs()
    check_store(small_disk)

    mount("-o", "remount,size=64m", str(small_disk))
    done = lab.python(file, "resume").check()
    assert "Task is reused from F/1/start/1/0" in done.stdout
    assert lab.left(2).artifact("end", "lengths") == (1_000_000, 8_000_000)
    check_store(small_disk)


def test_a_disk_that_fills_up_to_the_last_byte(lab, small_disk, check_store):
    """Not even the records of the failure can be written."""
    file = lab.write(
        DISK.replace(
            "self.second =",
            "open('.flow/filler', 'wb', 0).write(bytes(8_000_000)); self.second =",
        )
    )
    done = lab.python(file, "run")
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "full" in done.stderr
    assert "flow-core itself failed" not in done.stderr
    lab.assert_nothing_runs()
    check_store(small_disk)

    (small_disk / "filler").unlink()
    mount("-o", "remount,size=64m", str(small_disk))
    lab.write(DISK)
    done = lab.python(file, "resume").check()
    assert "Task is reused from F/1/start/1/0" in done.stdout
    check_store(small_disk)


def test_a_file_system_that_makes_nothing(lab, parts):
    """Making folders there fails for ever with ENOENT: it is not tried for ever."""
    file = lab.write(DISK)
    done = lab.python(file, "--datastore", "local:///proc/x", "run")
    assert done.returncode == 1
    error = parts(done.stderr)
    assert error["where"].startswith("/proc/x")
    assert error["why"].startswith("the system cannot make a file or folder there")
    assert error["try"] == "choose a place for files: --datastore local:///other/folder"


@pytest.fixture
def read_only(lab):
    """Make the folder of the state read-only."""
    if sys.platform != "linux" or os.getuid():
        pytest.skip("only root can mount a folder read-only")
    mounted = []

    def make():
        mount("--bind", str(lab.root), str(lab.root))
        mounted.append(lab.root)
        mount("-o", "remount,bind,ro", str(lab.root))

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_read_only_store(lab, read_only, parts, check_store, command):
    file = lab.write(DISK)
    lab.python(file, "run").check()
    read_only()
    done = lab.python(file, command)
    assert done.returncode == 1
    assert done.stdout == ""
    error = parts(done.stderr)
    assert "read-only" in error["why"]
    assert str(lab.root) in error["where"]
    assert error["try"]
    assert check_store(lab.root) == 3


def test_a_store_that_becomes_read_only_while_a_run_writes_to_it(
    lab, read_only, parts, check_store, wait_for
):
    file = lab.write(
        DISK.replace(
            "self.second =",
            "import time; open('here', 'w').close(); time.sleep(1); self.second =",
        )
    )
    process = lab.start(file, "run")
    wait_for((lab.path / "here").exists)
    read_only()
    assert process.wait(20) == 1
    error = parts(lab.said(process))
    assert "read-only" in error["why"]
    lab.assert_nothing_runs()
    assert check_store(lab.root) == 1


# --- what a flow may not say --------------------------------------------------------------------

ITEMS = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = ITEMS
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.got = self.input
            self.next(self.join)

        @step
        def join(self, inputs):
            self.all_got = [i.got for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("[3, 1]", [3, 1]),
        ("('a', None)", ["a", None]),
        ("range(3)", [0, 1, 2]),
        ("{'a': 1, 'b': 2}", [("a", 1), ("b", 2)]),
        ("{3, 1, 2}", [1, 2, 3]),
        ("frozenset(['b', 'a'])", ["a", "b"]),
        ("{'a': 1}.keys()", ["a"]),
    ],
)
def test_what_a_foreach_goes_over(flowtester, items, expected):
    outcome = flowtester.run(ITEMS.replace("ITEMS", items))
    if "keys()" in items:  # a view cannot be stored as the artifact that it also is
        assert "Artifact 'items' cannot be stored: self.items is a dict_keys" in str(outcome.error)
        return
    assert outcome.error is None
    assert outcome.artifact("end", "all_got") == expected


@pytest.mark.parametrize(
    ("items", "what", "hint"),
    [
        (
            "[]",
            "the foreach over 'self.items' has no items, so no task would run",
            "or let the join run with no inputs: foreach='items', allow_empty=True",
        ),
        (
            "{}",
            "the foreach over 'self.items' has no items, so no task would run",
            "or let the join run with no inputs: foreach='items', allow_empty=True",
        ),
        (
            "(n for n in [1, 2])",
            "foreach over 'self.items', which is a generator: it can be read only once",
            "self.items = list(self.items)",
        ),
        (
            "'text'",
            "foreach over 'self.items', which is str, not a collection",
            "self.items = [self.items] or a list of what you mean",
        ),
        (
            "7",
            "foreach over 'self.items', which is a int and has no items",
            "self.items = [...]",
        ),
        (
            "[1, lambda: 0, (n for n in [])]",
            "cannot be stored: self.items[2] is a generator",
            "keep what can be stored",
        ),
    ],
    ids=["empty list", "empty dict", "generator", "text", "number", "unstorable item"],
)
def test_what_a_foreach_refuses(flowtester, items, what, hint):
    outcome = flowtester.run(ITEMS.replace("ITEMS", items))
    assert outcome.state is RunState.FAILED
    (manifest,) = outcome.manifests("start")
    assert what in manifest.failure.message
    assert hint in outcome.output("start", "stderr")
    assert f"{flowtester.path}/flow.py:" in outcome.output("start", "stderr")


def test_all_problems_of_a_graph_at_once(flowtester):
    source = ITEMS.replace("ITEMS", "[1]").replace("self.next(self.join)", "self.next(self.jion)")
    source = source.replace("self.next(self.end)", "pass")
    outcome = flowtester.run(source)
    assert isinstance(outcome.error, LintError)
    texts = [str(p) for p in outcome.error.problems]
    assert any("Step 'work' goes to 'jion', which is no step" in t for t in texts)
    assert any("Step 'join' does not say what follows" in t for t in texts)
    assert all(f"{flowtester.path}/flow.py:" in t and "try: " in t for t in texts)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("lock", "self.x is a _thread.lock"),
        ('{"db": [1, {"conn": lock}]}', "self.x['db'][1]['conn'] is a _thread.lock"),
        ("Thing(lock)", "self.x.inner is a _thread.lock"),
        ("(n for n in [])", "self.x is a generator"),
        ("[self]", "self.x[0] is a __main__.F"),
    ],
)
def test_an_artifact_that_cannot_be_stored_is_named_with_its_path(flowtester, value, path):
    outcome = flowtester.run(f"""
        import threading
        from flow_core import FlowSpec, step

        class Thing:
            def __init__(self, inner):
                self.inner = inner

        class F(FlowSpec):
            @step
            def start(self):
                lock = threading.Lock()
                self.good = 1
                self.x = {value}
                self.next(self.end)

            @step
            def end(self):
                pass
    """)
    assert outcome.state is RunState.FAILED
    (manifest,) = outcome.manifests("start")
    assert manifest.failure.message == f"Artifact 'x' cannot be stored: {path}"
    assert set(manifest.artifacts) == {"good"}
    log = outcome.output("start", "stderr")
    assert "keep what can be stored (data, not connections, locks, files or generators)" in log


# --- damaged data -------------------------------------------------------------------------------

DATA = """
    import os
    from flow_core import FlowSpec, step

    class Trap:
        '''Says when it is unpickled.'''
        def __init__(self):
            self.padding = bytes(50_000)

        def __setstate__(self, state):
            open("unpickled", "w").close()

    class F(FlowSpec):
        @step
        def start(self):
            self.trap = Trap()
            self.next(self.end)

        @step
        def end(self):
            assert os.path.exists("go")
            print(self.trap)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def damaged(lab):
    """A failed run with one big artifact, ready to be resumed; its blob and its manifest."""
    assert lab.python(lab.write(DATA), "run").returncode == 1
    (lab.path / "go").touch()
    digest = lab.left().manifests("start")[0].artifacts["trap"].hash
    blob = lab.root / "blobs" / digest[:2] / digest
    return blob, lab.root / "runs/F/1/start/1/0/manifest"


def flip(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    replace(file, bytes(content))


def replace(file, content):
    file.chmod(0o644)
    file.write_bytes(content)


BLOB_DAMAGES = {
    "truncated": (
        lambda blob: replace(blob, blob.read_bytes()[:-100]),
        r"it has \d+ bytes instead of \d+",
    ),
    "empty": (lambda blob: replace(blob, b""), r"it has 0 bytes instead of \d+"),
    "flipped byte": (
        lambda blob: flip(blob, -1),
        "its bytes do not have the hash that names them",
    ),
    "flipped first byte": (
        lambda blob: flip(blob, 0),
        "its bytes do not have the hash that names them",
    ),
    "missing": (lambda blob: blob.unlink(), "it is missing"),
}


@pytest.mark.parametrize(("damage", "why"), BLOB_DAMAGES.values(), ids=BLOB_DAMAGES)
def test_a_damaged_blob_is_named_and_never_unpickled(lab, damaged, damage, why):
    blob, _ = damaged
    damage(blob)
    done = lab.python(lab.path / "flow.py", "resume")
    assert done.returncode == 1
    what = "The stored data of artifact 'trap' of F/2/end/2 is damaged"
    assert what in done.stderr
    assert re.search(rf"why:   {why}", done.stdout), done.stdout
    assert blob.name[:16] in done.stdout
    assert "Traceback" not in done.stdout
    (frame,) = re.findall(r'File "(.*)", line \d+, in (.*)', done.stdout)
    assert frame == (str(lab.path / "flow.py"), "end")
    assert "print(self.trap)" in done.stdout
    assert "restore it from a copy of the store, or run the step again (resume)" in done.stdout
    assert not (lab.path / "unpickled").exists()


@pytest.mark.parametrize("damage", [d for d, _ in BLOB_DAMAGES.values()], ids=BLOB_DAMAGES)
def test_the_step_that_made_a_damaged_blob_can_run_again(lab, damaged, damage, check_store):
    """The error says so: its save replaces what is damaged."""
    blob, _ = damaged
    damage(blob)
    lab.python(lab.path / "flow.py", "resume", "start").check()
    assert (lab.path / "unpickled").exists()
    check_store(lab.root)


READER = """
    from flow_core import Run
    print(Run("F/1")["start"].task.data.trap)
"""


@pytest.mark.parametrize(("damage", "why"), BLOB_DAMAGES.values(), ids=BLOB_DAMAGES)
def test_the_client_names_a_damaged_blob(lab, damaged, damage, why):
    blob, _ = damaged
    damage(blob)
    done = lab.python(lab.write(READER, "reader.py"))
    assert done.returncode == 1
    assert "flow_core.errors.IntegrityError: The stored data of artifact 'trap' of " in done.stderr
    assert re.search(rf"why:   {why}", done.stderr), done.stderr
    assert not (lab.path / "unpickled").exists()


MANIFEST_DAMAGES = {
    "truncated": (
        lambda file: replace(file, file.read_bytes()[:-10]),
        "The manifest record is damaged",
        "its bytes do not have the hash that it carries",
    ),
    "flipped byte": (
        lambda file: flip(file, -10),
        "The manifest record is damaged",
        "its bytes do not have the hash that it carries",
    ),
    "empty": (
        lambda file: replace(file, b""),
        "The manifest record is damaged",
        "its bytes do not have the hash that it carries",
    ),
    "newer": (
        lambda file: replace(file, file.read_bytes().replace(b"manifest 1", b"manifest 9", 1)),
        "This manifest record has format 9; this flow-core reads formats up to 1",
        "it was written by a newer version of flow-core",
    ),
}


@pytest.mark.parametrize(("damage", "what", "why"), MANIFEST_DAMAGES.values(), ids=MANIFEST_DAMAGES)
def test_a_damaged_manifest_is_never_believed(lab, damaged, parts, damage, what, why):
    _, manifest = damaged
    damage(manifest)
    done = lab.python(lab.path / "flow.py", "resume")
    assert done.returncode == 1
    error = parts(done.stderr)
    assert error["error"] == what
    assert error["where"] == "runs/F/1/start/1/0/manifest"
    assert error["why"] == why
    assert error["try"]
    done = lab.python(lab.write(READER, "reader.py"))
    assert done.returncode == 1
    assert what in done.stderr
    assert not (lab.path / "unpickled").exists()


def test_the_client_names_a_missing_manifest(lab, damaged):
    """The index says that the task succeeded: that it has no artifacts would be false."""
    _, manifest = damaged
    manifest.unlink()
    done = lab.python(lab.write(READER, "reader.py"))
    assert done.returncode == 1
    error = done.stderr.partition("flow_core.errors.IntegrityError: ")[2]
    assert error.splitlines() == [
        "The manifest of task 'F/1/start/1' is missing",
        f"  where: runs/F/1/start/1/0/manifest in local://{lab.root}",
        "  why:   the task ended well, but the file that lists its artifacts is gone",
        "  try:   restore it from a copy of the store, or run the flow again",
    ]


def test_a_run_record_that_is_newer(lab, damaged, parts):
    document = lab.root / "runs/F/1/run.json"
    replace(document, document.read_bytes().replace(b"flow-run 1", b"flow-run 2", 1))
    done = lab.python(lab.path / "flow.py", "resume")
    assert done.returncode == 1
    assert parts(done.stderr) == {
        "error": "This run record has format 2; this flow-core reads formats up to 1",
        "where": "runs/F/1/run.json",
        "why": "it was written by a newer version of flow-core",
        "try": "pip install --upgrade flow-core",
    }


# --- many at once -------------------------------------------------------------------------------

SMALL = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = range(4)
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.mark.parametrize("count", [2, 16])
def test_launchers_at_once_on_one_store(lab, check_store, count):
    file = lab.write(SMALL)
    launchers = [lab.start(file, "run", "--run-id-file", f"id-{n}") for n in range(count)]
    for launcher in launchers:
        assert launcher.wait(60) == 0, lab.said(launcher)
    ids = {(lab.path / f"id-{n}").read_text() for n in range(count)}
    assert ids == {str(n) for n in range(1, count + 1)}
    records = lab.left().metadata.runs("F", limit=100)
    assert {r.run for r in records} == ids
    assert {r.state for r in records} == {RunState.SUCCEEDED}
    for run in ids:
        attempts = lab.left().metadata.attempts("F", run)
        assert [a.task for a in attempts] == [1, 2, 3, 4, 5, 6, 7]
        assert {a.state for a in attempts} == {AttemptState.SUCCEEDED}
    assert check_store(lab.root) == 7 * count
    assert "locked" not in "".join(map(lab.said, launchers))


THREAD = """
import threading
from flow_core import FlowSpec, step


class F(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        self.x = 1


if __name__ == "__main__":
    thread = threading.Thread(target=F)
    thread.start()
    thread.join()
"""


def test_a_flow_that_a_thread_starts_does_not_start_itself_again(lab):
    """Its tasks load the file in interpreters of their own, and the file starts the thread there."""
    result = lab.python(lab.write(THREAD), "run", timeout=60)
    assert "the run was not started from the main thread" in (result.stdout + result.stderr)
    assert os.listdir(lab.root / "runs" / "F") == ["1"]
    assert lab.left().state is RunState.SUCCEEDED
    lab.assert_nothing_runs(2)


def test_a_store_that_nobody_provides_is_told_once(lab, parts):
    source = SLOW.replace("BODY", "pass").replace("time.sleep(600)", "pass")
    file = lab.write(source)
    for place, what in {
        "s3x://b/x": "no plugin provides the store 's3x': pip install flow-s3x",
        "://": "The name of a store is missing",
    }.items():
        result = lab.python(file, "--datastore", place, "run")
        assert result.returncode in (1, 2)
        assert parts(result.stdout + result.stderr)["error"] == what
        assert "Traceback" not in (result.stdout + result.stderr)
    result = lab.python(file, "run", variables={"FLOW_INLINE_LIMIT": "x"})
    assert "inline_limit" in parts(result.stdout + result.stderr)["error"]
    assert "Traceback" not in (result.stdout + result.stderr)


CHILD = """
import os, sys, time
from flow_core import FlowSpec, step


class F(FlowSpec):
    @step
    def start(self):
        self.x = 1
        if os.fork() == 0:
            END
        os.wait()
        self.x = 2
        self.next(self.end)

    @step
    def end(self):
        assert self.x == 2


if __name__ == "__main__":
    F()
"""


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise ValueError('in the child')", "return"])
def test_a_child_of_a_step_does_not_commit_for_it(lab, end):
    result = lab.python(lab.write(CHILD.replace("END", end)), "run").check()
    assert "is not used" not in (result.stdout + result.stderr)
    assert lab.left().state is RunState.SUCCEEDED


AFTER = """
import os, signal
from flow_core import FlowSpec, step


class F(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


try:
    F()
except SystemExit:
    pass
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted as ever")
"""


def test_a_script_that_goes_on_is_interrupted_as_ever(lab):
    result = lab.python(lab.write(AFTER), "run").check()
    assert (result.stdout + result.stderr).rstrip().endswith("interrupted as ever")
