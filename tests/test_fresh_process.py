"""A forked task behaves as a fresh process would: one flow, run forked and spawned, and compared."""

from __future__ import annotations

import json
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

FLOW = """
    import atexit, locale, logging, multiprocessing, os, random, signal, socket, sys, tempfile
    import threading, uuid
    from concurrent.futures import ThreadPoolExecutor

    import numpy

    from flow_core import FlowSpec, current, step

    # What a flow file may do before anything runs, and no task should see the worse of.
    random.seed(1)
    numpy.random.seed(1)
    uuid.uuid1()
    tempfile.gettempdir()
    numpy.ones((300, 300)) @ numpy.ones((300, 300))
    logging.basicConfig(format="%(levelname)s %(message)s")
    connection = socket.socket()
    opened = open(__file__)
    atexit.register(lambda: print("exit handler of the file", os.getpid()))
    sys.stdout.write("buffered by the file;")
    umask = os.umask(0o027)

    def square(number):
        return number * number

    def descriptors():
        found = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                continue
        return found

    class F(FlowSpec):
        @step
        def start(self):
            self.items = range(3)
            self.next(self.look, foreach="items")

        @step
        def look(self):
            self.fds = descriptors()
            self.same = {
                "signals": {s.name: str(signal.getsignal(s)) for s in signal.valid_signals()
                            if isinstance(s, signal.Signals) and s not in (9, 19)},
                "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
                "leads its group": os.getpgid(0) == os.getpid(),
                "folder": os.getcwd(),
                "arguments": sys.argv,
                "main": (__name__, sys.modules["__main__"].__file__,
                         sys.modules["__main__"] is sys.modules[F.__module__],
                         F.__module__, square.__module__),
                "environment": {k: v for k, v in os.environ.items() if k not in DIFFERENT},
                "streams": [(s.name, s.encoding, s.errors, s.closed, s.isatty(), s.fileno())
                            for s in (sys.stdout, sys.stderr)],
                "output seen at once": sys.stdout.line_buffering or sys.stdout.write_through,
                "input at its end": sys.stdin.read() == "",
                "locale": (locale.setlocale(locale.LC_ALL), locale.getpreferredencoding(False)),
                "file encoding": (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()),
                "umask": set_umask(),
                "main thread": threading.current_thread() is threading.main_thread(),
                "native id": threading.main_thread().native_id == os.getpid(),
                "threads": [t.name for t in threading.enumerate()],
                "flags": str(sys.flags),
                "recursion limit": sys.getrecursionlimit(),
                "socket of the file": connection.fileno() >= 0,
            }
            self.random = {
                "random": random.random(),
                "numpy": float(numpy.random.rand()),
                "generator": float(numpy.random.default_rng().random()),
                "uuid1": str(uuid.uuid1()),
                "uuid4": str(uuid.uuid4()),
                "temporary name": os.path.basename(tempfile.mktemp()),
            }
            self.next(self.use)

        @step
        def use(self):
            matrix = numpy.ones((400, 400)) @ numpy.ones((400, 400))
            with ThreadPoolExecutor(4) as pool:
                sums = list(pool.map(lambda n: float((matrix * n).sum()), range(4)))
            with multiprocessing.Pool(2) as pool:
                squares = pool.map(square, range(5))
            logging.getLogger("mine").warning("logged")
            lines = []
            done = threading.Event()
            threading.Thread(target=done.set).start()
            signal.signal(signal.SIGUSR1, lambda *_: lines.append("handled"))
            os.kill(os.getpid(), signal.SIGUSR1)
            self.used = (float(matrix[0, 0]), sums, squares, done.wait(1), lines)
            atexit.register(print, "exit handler of the task")
            sys.stdout.write("written last, without an end of line;")
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    def set_umask():
        now = os.umask(0o77)
        os.umask(now)
        return now

    DIFFERENT = {"FLOW_TASK_ID", "FLOW_TASK_MARK", "FLOW_FORK", "FLOW_TEST_MARK"}

    if __name__ == "__main__":
        F()
"""


@pytest.fixture(scope="module")
def runs(module_lab):
    """A forked and a spawned run of the same flow."""
    lab = module_lab
    file = lab.write(FLOW)
    arguments = ("run", "--tag", "über")
    forked = lab.python(file, *arguments).check()
    spawned = lab.python(file, *arguments, variables={"FLOW_FORK": "never"}).check()
    assert "tasks are spawned, not forked" not in forked.stdout, forked.stdout
    assert "tasks are spawned, not forked, and start slower: the setting 'fork' is 'never'" in (
        spawned.stdout
    )
    return lab.left(1), lab.left(2)


def test_forked_tasks_are_like_fresh_processes(module_lab, runs):
    forked, spawned = runs

    ours, theirs = (run.artifacts("look")[0]["same"] for run in runs)
    for name, value in theirs.items():
        assert ours[name] == value, name
    assert ours["leads its group"]
    assert ours["main"][0] == "__main__"
    assert ours["arguments"][1:] == ["run", "--tag", "über"]
    assert ours["folder"] == str(module_lab.path)
    assert ours["umask"] == 0o027

    assert forked.artifacts("use")[0]["used"] == spawned.artifacts("use")[0]["used"]
    assert forked.artifacts("use")[0]["used"] == (
        400.0,
        [0.0, 64_000_000.0, 128_000_000.0, 192_000_000.0],
        [0, 1, 4, 9, 16],
        True,
        ["handled"],
    )


def test_random_states_differ_between_siblings_and_ways_to_start(runs):
    drawn = [task["random"] for run in runs for task in run.artifacts("look")]
    assert len(drawn) == 6
    seeded_by_the_file = ("random", "numpy")
    for kind in drawn[0]:
        values = {json.dumps(one[kind]) for one in drawn}
        # A spawned task runs the flow file itself, and with it the seeds that the file sets.
        expected = 4 if kind in seeded_by_the_file else 6
        assert len(values) == expected, (kind, values)


def test_open_files_of_the_launcher_do_not_get_in_the_way(runs):
    forked, spawned = runs
    for task in forked.artifacts("look"):
        kinds = {number: target.partition(":")[0] for number, target in task["fds"].items()}
        assert kinds[0] == "/dev/null"
        assert not [t for t in task["fds"].values() if "metadata.db" in t]
        # The flow file's own socket stays open, as in a fresh process that ran the file.
        sockets = [k for k in kinds.values() if k == "socket"]
        theirs = [t for t in spawned.artifacts("look")[0]["fds"].values() if "socket:" in t]
        assert len(sockets) <= len(theirs)
        assert not [k for k in kinds.values() if k == "anon_inode"]


def test_logs_hold_what_the_task_wrote_and_nothing_of_the_launcher(runs):
    forked, spawned = runs
    for task in forked.manifests("use"):
        stdout, stderr = (
            next(iter(forked.store.read([task.key.removesuffix("manifest") + stream])))
            for stream in ("stdout", "stderr")
        )
        assert stdout == b"written last, without an end of line;exit handler of the task\n"
        assert stderr == b"WARNING logged\n"
    for task in spawned.manifests("use"):
        key = task.key.removesuffix("manifest") + "stderr"
        assert next(iter(spawned.store.read([key]))) == b"WARNING logged\n"
