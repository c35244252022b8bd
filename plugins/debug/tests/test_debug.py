"""The command ``debug``: through a pipe, a script, and a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flow_core.testing import FlowTester, ProcessResult

SMALL = """
    from flow_core import FlowSpec, step
    {first}


    class F(FlowSpec):
        @step
        def start(self):
            self.x = 4
            {line}
            self.next(self.end)

        @step
        def end(self):
            pass


    if __name__ == "__main__":
        F()
"""
MAIN = "import sys; from flow_core.cli import main; main()"


def debug(lab: FlowTester, typed: str, *arguments: str) -> ProcessResult:
    """Call the command with ``typed`` on its standard input."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "debug", *arguments],
        cwd=lab.path,
        env=lab.environment(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ProcessResult(done.returncode, done.stdout, done.stderr)


def contents(lab: FlowTester) -> dict[str, bytes]:
    files = sorted((lab.path / ".flow").rglob("*"))
    kept = [p for p in files if p.is_file() and not p.name.startswith("metadata.db")]
    return {str(p): p.read_bytes() for p in kept}


class TestWhereItFails:
    def test_at_the_failing_line_on_the_true_inputs(self, lab: FlowTester) -> None:
        before = contents(lab)
        done = debug(lab, "p number\nup\np self.seen, self.input, self.alpha\nq\n", "F/1").check()
        lines = done.stdout.splitlines()
        assert lines[0] == "F/1/train/3, attempt 0: failed with ValueError: 5 is odd"
        assert re.match(r"  code:   .*/flow.py \(that of the run\)", lines[1])
        text = done.stdout
        assert "helper.py(4)halve()" not in text
        assert re.search(r"helper\.py\(3\)halve\(\)\n-> raise ValueError", text)
        assert "(Pdb) 5\n" in text
        assert "(5, 5, 3)" in text
        assert contents(lab) == before

    def test_the_code_is_that_of_the_run_and_can_be_changed(
        self, lab: FlowTester, tmp_path: Path
    ) -> None:
        folder = tmp_path / "code"
        debug(lab, "q\n", "F/1", "--dir", str(folder)).check()
        helper = folder / "helper.py"
        assert "is odd" in helper.read_text()
        helper.write_text("def halve(number):\n    return number // 0\n")
        done = debug(lab, "q\n", "F/1", "--dir", str(folder)).check()
        assert "ZeroDivisionError" in done.stdout
        assert f"flow debug --dir {folder} F/1/train/3" in done.stdout

    def test_todays_code(self, lab: FlowTester) -> None:
        done = debug(lab, "", "--today", "F/1").check()
        assert f"{lab.path}/flow.py (today's)" in done.stdout
        assert "ended well this time" in done.stdout
        assert "(Pdb)" not in done.stdout

    def test_of_a_failure_in_a_library_the_line_that_called_it(self, lab: FlowTester) -> None:
        done = debug(lab, "p self.alpha * 1000\ndown\nq\n", "F/2/parse").check()
        shown = done.stdout[done.stdout.index("The step stops here") :]
        assert '-> json.loads("{")' in shown
        assert "3000" in shown
        assert "json/__init__.py" in shown

    def test_a_task_that_did_not_fail(self, lab: FlowTester) -> None:
        done = debug(lab, "", "F/1/train/2").check()
        assert "F/1/train/2, attempt 0: succeeded" in done.stdout
        assert "stop at its first line: --start" in done.stdout

    def test_from_the_flow_file(self, lab: FlowTester) -> None:
        done = subprocess.run(
            [sys.executable, "flow.py", "debug", "1/train/3"],
            cwd=lab.path,
            env=lab.environment(),
            input="p number + 1000\nq\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "1005" in done.stdout
        assert "python flow.py debug --dir" in done.stdout


class TestAtTheStart:
    def test_it_stops_at_the_first_line_and_goes_on(self, lab: FlowTester) -> None:
        typed = "p self.input + 100\nn\nn\np self.half + 1000\nc\n"
        done = debug(lab, typed, "--start", "F/1/train/2").check()
        assert "-> self.seen = self.input" in done.stdout
        assert "104" in done.stdout
        assert "1002" in done.stdout

    def test_a_join(self, lab: FlowTester) -> None:
        done = debug(lab, "p [i.half for i in inputs]\nc\n", "--start", "F/2/join").check()
        assert "[2.0, 2.5, 3.0]" in done.stdout

    def test_a_script_with_commands_goes_on_at_the_failure(
        self, lab: FlowTester, tmp_path: Path
    ) -> None:
        script = tmp_path / "commands"
        script.write_text("p 'first', self.input\nc\np 'then', number\nq\n")
        done = lab.flow("debug", "--start", "--script", str(script), "F/1/train/3").check()
        assert "('first', 5)" in done.stdout
        assert "('then', 5)" in done.stdout

    def test_leaving_is_no_failure(self, lab: FlowTester) -> None:
        done = debug(lab, "q\n", "--start", "F/1/train/2").check()
        assert "Traceback" not in done.stdout + done.stderr


def test_the_task_has_the_environment_of_its_decorators(lab: FlowTester) -> None:
    done = debug(lab, "p os.environ['COLOUR']\nq\n", "--start", "F/1/train/2").check()
    assert "'blue'" in done.stdout


def test_of_a_flow_in_a_package_all_its_code_can_be_changed(flowtester: FlowTester) -> None:
    flowtester.write("", "shop/__init__.py")
    flowtester.write("import beside\ndef fail(x):\n    beside.fail(x)\n", "shop/parts.py")
    flowtester.write("def fail(x):\n    raise ValueError(x)\n", "beside.py")
    flowtester.write(
        SMALL.format(line="fail(self.x)", first="from .parts import fail"), "shop/sales.py"
    )
    module = [sys.executable, "-m", "shop.sales", "run"]
    assert flowtester.command(module).returncode == 1
    done = debug(flowtester, "p 'x is', x\nq\n", "F/1").check()
    assert "('x is', 4)" in done.stdout
    (folder,) = re.findall(r"--dir (\S+)", done.stdout)
    changed = Path(folder) / "beside.py"
    changed.write_text("def fail(x):\n    raise ValueError(x * 1000)\n")
    done = debug(flowtester, "q\n", "--dir", folder, "F/1").check()
    assert "ValueError: 4000" in done.stdout


def test_a_step_that_ends_the_process(flowtester: FlowTester) -> None:
    flowtester.write(SMALL.format(line="os.kill(os.getpid(), 9)", first="import os"))
    assert flowtester.flow("run", "flow.py").returncode == 1
    done = debug(flowtester, "q\n", "F/1")
    assert done.returncode == 1
    assert "Step 'start' ended the process, by SIGKILL, before it raised" in done.stdout
    assert "from its first line: --start" in done.stdout


def test_on_a_terminal(lab: FlowTester) -> None:
    done = _on_terminal(lab, ["debug", "F/1/train/3"], b"p number * 1000\nq\n")
    assert "5000" in done
    assert "change it there and go on" in done


def _on_terminal(lab: FlowTester, arguments: list[str], typed: bytes) -> str:
    """Return what the command shows on a terminal; ``typed`` is typed when pdb asks first."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(lab.path)
        os.execve(sys.executable, [sys.executable, "-c", MAIN, *arguments], lab.environment())
    shown, waiting = b"", True
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
        if waiting and b"(Pdb)" in shown:
            waiting = False
            os.write(terminal, typed)
    os.close(terminal)
    assert os.waitpid(process, 0)[1] == 0
    return shown.decode()


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "part", "text"),
        [
            (["train"], "error", "'train' names no task"),
            (["F/9"], "try", "latest runs: 2, 1"),
            (["F/1/tarin"], "try", "did you mean 'train'"),
            (["F/1", "--today", "--dir", "x"], "error", "--today and --dir exclude each other"),
        ],
    )
    def test_what_is_not_there(
        self, lab: FlowTester, arguments: list[str], part: str, text: str
    ) -> None:
        assert text in lab.flow("debug", *arguments).error[part]

    def test_the_file_of_today_is_gone(self, lab: FlowTester) -> None:
        file = lab.path / "flow.py"
        file.rename(lab.path / "moved.py")
        try:
            done = lab.flow("debug", "--today", "F/1")
            assert done.error["error"] == "The file of the flow F is not there"
        finally:
            (lab.path / "moved.py").rename(file)

    def test_a_step_that_is_no_more_today(self, lab: FlowTester) -> None:
        file = lab.path / "flow.py"
        before = file.read_text()
        file.write_text(before.replace("self.parse", "self.read").replace("def parse", "def read"))
        try:
            done = lab.flow("debug", "--today", "F/2/parse")
        finally:
            file.write_text(before)
        assert done.returncode == 1
        assert "The flow has no step 'parse'" in done.stderr
