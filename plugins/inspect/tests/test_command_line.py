"""The commands behind the real command line, after a real run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FLOW = '''
from flow_core import FlowSpec, step


class TinyFlow(FlowSpec):
    """Says hello."""

    @step
    def start(self):
        self.x = 41
        print("hello")
        self.next(self.end)

    @step
    def end(self):
        self.x += 1


if __name__ == "__main__":
    TinyFlow()
'''


def flow(folder: Path, *arguments: str, script: bool = False) -> tuple[int, str, str]:
    program = ["tiny_flow.py"] if script else ["-c", "from flow_core.cli import main; main()"]
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a flow that has run once."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny_flow.py").write_text(FLOW)
    (folder / ".flow").mkdir()
    status, _, errors = flow(folder, "run", script=True)
    assert status == 0, errors
    return folder


def test_the_past_is_read_without_the_flow_file(folder: Path) -> None:
    status, out, _ = flow(folder, "dump", "TinyFlow/1/end")
    assert status == 0
    assert out.splitlines()[0] == "TinyFlow/1/end/2  succeeded"
    assert out.splitlines()[1].split()[0] == "x"
    assert out.rstrip().endswith("42")
    assert flow(folder, "logs", "TinyFlow/1") == (0, "[1/start/1] hello\n", "")


def test_in_a_flow_file_the_name_may_be_left_out(folder: Path) -> None:
    assert flow(folder, "logs", "1/start/1", script=True) == (0, "hello\n", "")


def test_definitions_are_read_from_the_file(folder: Path) -> None:
    status, out, _ = flow(folder, "show", "tiny_flow.py")
    assert (status, out.splitlines()[:2]) == (0, ["TinyFlow  tiny_flow.py:5", "  Says hello."])
    assert "\x1b" not in out
    good = "The graph of TinyFlow looks good: 2 steps.\n"
    assert flow(folder, "check", "tiny_flow.py") == (0, good, "")
    assert flow(folder, "output-dot", script=True)[1].startswith('digraph "TinyFlow" {')


def test_errors_have_their_exit_status(folder: Path) -> None:
    assert flow(folder, "dump", "1")[0] == 2
    assert flow(folder, "dump", "TinyFlow/9")[0] == 1
    (folder / "bad_flow.py").write_text(FLOW.replace("self.end)", "self.ned)"))
    status, _, errors = flow(folder, "check", "bad_flow.py")
    assert status == 1
    assert "did you mean 'end'?" in errors
