"""Tasks in the launcher's process: debuggers, coverage, output, what is put back between them."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from flow_core import FlowSpec, current, run_flow, step

FLOW = """
    import os, sys
    from flow_core import FlowSpec, Parameter, current, step

    class Steps(FlowSpec):
        alpha = Parameter("alpha", default=1)

        @step
        def start(self):
            print("start of", current.pathspec)
            sys.stderr.write("a warning\\n")
            self.pid = os.getpid()
            self.parent = os.getppid()
            os.environ["LEAK"] = "1"
            os.chdir("/")
            sys.path.insert(0, "/nowhere")
            sys.argv.append("leak")
            self.items = [1, 2]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.clean = (
                "LEAK" not in os.environ
                and os.getcwd() != "/"
                and "/nowhere" not in sys.path
                and "leak" not in sys.argv
            )
            double = self.input * 2
            if self.alpha == 2:
                breakpoint()
            self.double = double
            self.next(self.join)

        @step
        def join(self, inputs):
            self.found = [i.double for i in inputs]
            self.all_clean = all(i.clean for i in inputs)
            self.pids = {i.pid for i in inputs} | {os.getpid()}
            self.next(self.end)

        @step
        def end(self):
            if self.alpha == 3:
                name = input("Your name? ")
                print("Hello,", name)

    if __name__ == "__main__":
        Steps()
"""


@pytest.fixture
def lab(flowtester):
    flowtester.more_plugins = ["inprocess"]
    flowtester.write(FLOW, "steps.py")
    return flowtester


def test_all_in_one_process_with_logs_as_ever(lab):
    found = lab.flow("--compute", "in-process", "run", "steps.py").check()
    assert found.stdout.count("start of Steps/1/start/1\n") == 1  # shown once, and at once
    left = lab.left(flow="Steps")
    end = left.artifacts("end")[0]
    assert (end["found"], end["all_clean"], len(end["pids"])) == ([2, 4], True, 1)
    assert left.output("start") == "start of Steps/1/start/1\n"
    assert left.output("start", "stderr") == "a warning\n"
    order = [found.stdout.index(t) for t in ("[1/start/1", "start of", "finished", "[1/work/2")]
    assert order == sorted(order)


def test_the_debugger_through_a_pipe(lab):
    process = subprocess.run(
        [sys.executable, "steps.py", "run", "--alpha", "2"],
        cwd=lab.path,
        env=lab.environment(None, {"FLOW_COMPUTE": "in-process"}),
        input="p double\nn\np self.double\nc\np self.input\nc\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert "steps.py" in process.stdout
    assert "(Pdb) 2\n" in process.stdout
    assert "Done: Steps/1" in process.stdout
    assert "-> self.double = double" in lab.left(flow="Steps").output("work").replace(
        "breakpoint()", "self.double = double"
    )


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, lab, *command, **variables):
        self.pid, self.descriptor = pty.fork()
        if not self.pid:
            os.chdir(lab.path)
            environment = lab.environment(None, {"TERM": "xterm", "NO_COLOR": "1", **variables})
            os.execve(sys.executable, [sys.executable, *command], environment)
        self.seen = b""

    def until(self, text):
        """Read until ``text`` has come; return all that came before."""
        while text not in self.seen:
            try:
                data = os.read(self.descriptor, 4096)
            except OSError:
                data = b""
            assert data, f"{text!r} never came: {self.seen.decode()}"
            self.seen += data
        before, _, self.seen = self.seen.partition(text)
        return before.decode()

    def type(self, text):
        os.write(self.descriptor, text)

    def end(self):
        _, status = os.waitpid(self.pid, 0)
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_the_debugger_at_a_terminal(lab):
    terminal = Terminal(lab, "steps.py", "run", "--alpha", "2", FLOW_COMPUTE="in-process")
    before = terminal.until(b"(Pdb) ")
    assert "breakpoint()" in before or "self.double = double" in before
    assert "\x1b[?25l" not in before  # the board of steps is not drawn over it
    terminal.type(b"p doubles\x7f\r")  # with a key that edits the line
    terminal.until(b"2\r\n")
    terminal.until(b"(Pdb) ")
    terminal.type(b"c\r")
    terminal.until(b"(Pdb) ")
    terminal.type(b"c\r")
    terminal.until(b"Done: Steps/1")
    assert terminal.end() == 0


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_a_step_that_asks(lab):
    terminal = Terminal(lab, "steps.py", "run", "--alpha", "3", FLOW_COMPUTE="in-process")
    terminal.until(b"Your name? ")
    terminal.type(b"Ada\r")
    terminal.until(b"Hello, Ada")
    terminal.until(b"Done: Steps/1")
    assert terminal.end() == 0


def test_where_nothing_is_shown_the_debugger_is(lab):
    script = lab.write(
        """
        from steps import Steps
        run = Steps.run(alpha=2, compute="in-process", show=False)
        print(run.data.found, run["start"].task.stdout)
        """,
        "script.py",
    )
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=lab.path,
        env=lab.environment(),
        input="p double\nc\np double\nc\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "start of" not in found.partition("(Pdb)")[0]
    assert "in work" in found or "work()" in found
    assert "(Pdb) 2\n" in found
    assert "(Pdb) 4\n" in found
    assert found.endswith("[2, 4] start of Steps/1/start/1\n\n")


def test_coverage_sees_the_steps(lab):
    lab.write(
        """
        from steps import Steps
        Steps.run(compute="in-process", show=False)
        """,
        "script.py",
    )
    run = [sys.executable, "-m", "coverage", "run", "--include=steps.py", "script.py"]
    lab.command(run).check()
    lab.command([sys.executable, "-m", "coverage", "json", "-o", "found.json"]).check()
    files = json.loads((lab.path / "found.json").read_text())["files"]["steps.py"]
    lines = (lab.path / "steps.py").read_text().splitlines()
    missed = [lines[n - 1].strip() for n in files["missing_lines"]]
    assert missed == [
        "breakpoint()",
        'name = input("Your name? ")',
        'print("Hello,", name)',
        "Steps()",
    ]


def test_ctrl_c_ends_the_step_and_the_run(lab):
    lab.write(
        """
        import time
        from flow_core import FlowSpec, step

        class Slow(FlowSpec):
            @step
            def start(self):
                print("ready", flush=True)
                try:
                    time.sleep(60)
                finally:
                    print("cleaned up", flush=True)
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            Slow()
        """,
        "slow.py",
    )
    process = subprocess.Popen(
        [sys.executable, "slow.py", "--compute", "in-process", "run"],
        cwd=lab.path,
        env=lab.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    shown = ""
    while "ready" not in shown:
        shown += process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert "cleaned up" in rest
    left = lab.left(flow="Slow")
    assert left.state.value == "interrupted"
    assert left.manifests("start")[0].failure.type == "KeyboardInterrupt"
    assert "flow_inprocess" not in left.output("start", "stderr")


# --- in this process ----------------------------------------------------------------------------


class Inner(FlowSpec):
    """A flow that another one runs."""

    @step
    def start(self):
        self.here = current.pathspec
        self.next(self.end)

    @step
    def end(self):
        self.values = [1]


class Outer(FlowSpec):
    """Runs another flow inside of a step, in the same process."""

    shared = [0]

    @step
    def start(self):
        from flow_core import Run

        run = Inner.run(compute="in-process", show=False)
        self.inner = run.data.here
        self.here = current.pathspec
        self.read = Run(current.run.pathspec).pathspec
        self.values = [1]
        self.next(self.change)

    @step
    def change(self):
        self.values.append(2)
        self.copy = self.values
        self.next(self.end)

    @step
    def end(self):
        self.copy.append(3)
        self.final = list(self.values)


@pytest.fixture
def _home(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("FLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FLOW_USER", "tester")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_home")
def test_a_flow_in_a_step_of_another(capsys):
    run = Outer.run(compute="in-process", show=False)
    assert run.data.inner == "Inner/1/start/1"
    assert run.data.here == "Outer/1/start/1"
    assert run.data.read == "Outer/1"
    assert run.data.final == [1, 2]  # artifacts share nothing, as in processes of their own
    assert not current.is_running_flow
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("_home")
def test_several_threads_take_turns():
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(run_flow(Outer, compute="in-process")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.data.here for run in found) == [f"Outer/{n}/start/1" for n in (1, 2, 3)]


@pytest.mark.usefixtures("_home")
def test_cpu_time_is_that_of_the_task():
    run = Outer.run(compute="in-process", show=False)
    assert time.process_time() > 0.2
    assert 0 <= run["change"].task.cpu_seconds < 0.2
