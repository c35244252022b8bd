"""The command ``code``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester

PYTHON = {"PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"}


def as_json(lab: FlowTester, *arguments: str) -> Any:
    return json.loads(lab.flow("code", *arguments, "--json").check().stdout)


class TestList:
    def test_what_a_run_has_kept(self, lab: FlowTester) -> None:
        lines = lab.flow("code", "list", "F/1").check().stdout.splitlines()
        assert [line.split()[-1] for line in lines] == ["flow.py", "lib/helper.py"]
        assert lines[1].split() == ["12", "B", "lib/helper.py"]

    def test_as_json(self, lab: FlowTester) -> None:
        data = as_json(lab, "list", "F/4")
        assert data["run"] == "F/4"
        assert [f["file"] for f in data["files"]] == ["flow.py", "lib/helper.py", "lib/more.py"]
        assert data["files"][2] == {"file": "lib/more.py", "size": 11, "executable": False}

    def test_what_a_run_would_keep_now(self, lab: FlowTester) -> None:
        done = lab.python(lab.path / "flow.py", "code", "list").check()
        assert "lib/more.py" in done.stdout

    def test_in_a_flow_file_a_run_has_its_whole_name_too(self, lab: FlowTester) -> None:
        done = lab.python(lab.path / "flow.py", "code", "list", "4", "--json").check()
        assert json.loads(done.stdout)["run"] == "F/4"

    def test_which_run(self, lab: FlowTester) -> None:
        assert lab.flow("code", "list").error["try"] == "code list MyFlow/3"


class TestShow:
    def test_a_file_and_the_flow_file(self, lab: FlowTester) -> None:
        assert lab.flow("code", "show", "F/4", "lib/helper.py").check().stdout == "x = 1\ny = 3"
        assert "SIZE = 3" in lab.flow("code", "show", "F/1").check().stdout

    def test_as_json(self, lab: FlowTester) -> None:
        data = as_json(lab, "show", "F/4", "lib/helper.py")
        assert data == {
            "run": "F/4",
            "file": "lib/helper.py",
            "executable": False,
            "content": "x = 1\ny = 3",
        }

    def test_one_that_is_not_there(self, lab: FlowTester) -> None:
        done = lab.flow("code", "show", "F/1", "lib/helpr.py")
        assert done.error["try"] == "did you mean 'lib/helper.py'?"


class TestCheckout:
    def test_to_a_folder(self, lab: FlowTester, tmp_path: Path) -> None:
        folder = tmp_path / "old"
        done = lab.flow("code", "checkout", "F/1", "--to", str(folder)).check()
        told, how = done.stdout.splitlines()
        assert told == f"The code of F/1 is in {folder}: 2 files."
        assert how == f"To run it: cd {folder} && python flow.py run"
        assert (folder / "lib/helper.py").read_text() == "x = 1\ny = 2\n"
        data = as_json(lab, "checkout", "F/1", "--to", str(folder))
        assert (data["folder"], data["python_path"]) == (str(folder), str(folder))
        assert data["command"][1:] == ["flow.py"]

    def test_it_runs_from_there(self, lab: FlowTester, tmp_path: Path) -> None:
        lab.flow("code", "checkout", "F/1", "--to", str(tmp_path)).check()
        store = f"local://{tmp_path}/.flow"
        lab.flow("--datastore", store, "run", str(tmp_path / "flow.py")).check()

    def test_how_a_flow_in_a_package_is_run(self, tmp_path: Path) -> None:
        lab = FlowTester(tmp_path)
        source = (
            "from flow_core import FlowSpec, step\nfrom .. import beside\nclass P(FlowSpec):\n"
            "    @step\n    def start(self):\n        self.next(self.end)\n"
            "    @step\n    def end(self):\n        pass\n"
            "if __name__ == '__main__':\n    P()\n"
        )
        for name in ("pkg/__init__.py", "pkg/beside.py", "pkg/flows/__init__.py"):
            lab.write("", name)
        lab.write(source, "pkg/flows/mine.py")
        lab.command([sys.executable, "-m", "pkg.flows.mine", "run"]).check()
        how = lab.flow("code", "checkout", "P/1", "--to", "old").check().stdout.splitlines()[1]
        assert how == "To run it: cd old && python -m pkg.flows.mine run"
        lab.command(["sh", "-c", how.removeprefix("To run it: ")], variables=PYTHON).check()
        assert lab.flow("code", "diff", "P/1", "--dir", "old").check().stdout == ""

    def test_nothing_that_differs_is_replaced(self, lab: FlowTester, tmp_path: Path) -> None:
        (tmp_path / "flow.py").write_text("mine")
        done = lab.flow("code", "checkout", "F/1", "--to", str(tmp_path))
        assert done.error["error"] == "'flow.py' is in the folder already, and differs"
        assert not (tmp_path / "lib").exists()
        lab.flow("code", "checkout", "F/1", "--to", str(tmp_path), "--overwrite").check()
        assert "SIZE" in (tmp_path / "flow.py").read_text()


class TestDiff:
    def test_two_runs(self, lab: FlowTester) -> None:
        text = lab.flow("code", "diff", "F/1", "F/4").check().stdout
        assert "-    SIZE = 3\n+    SIZE = 4\n" in text
        assert "--- /dev/null\n+++ b/lib/more.py\n" in text
        assert "-y = 2\n+y = 3\n\\ No newline at end of file\n" in text

    def test_today(self, lab: FlowTester) -> None:
        assert lab.flow("code", "diff", "F/4").check().stdout == ""
        today = lab.flow("code", "diff", "F/1").check().stdout
        assert today == lab.flow("code", "diff", "F/1", "F/4").stdout
        mine = lab.python(lab.path / "flow.py", "code", "diff", "1").check().stdout
        assert mine == today

    def test_a_pipe_gets_a_patch(self, lab: FlowTester, tmp_path: Path) -> None:
        patch = lab.flow("code", "diff", "F/1", "F/4").check().stdout
        lab.flow("code", "checkout", "F/1", "--to", str(tmp_path)).check()
        subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=tmp_path, check=True)
        assert as_json(lab, "diff", "F/4", "--dir", str(tmp_path))["files"] == []

    def test_numbers_and_exit_status(self, lab: FlowTester) -> None:
        done = lab.flow("code", "diff", "F/1", "F/4", "--stat", "--exit-code")
        assert done.returncode == 1
        rows = [line.split() for line in done.stdout.splitlines()]
        assert rows == [
            ["changed", "flow.py", "+1", "-1"],
            ["changed", "lib/helper.py", "+1", "-1"],
            ["added", "lib/more.py", "+1", "-0"],
        ]
        assert lab.flow("code", "diff", "F/1", "F/2", "--exit-code").check().stdout == ""

    def test_as_json(self, lab: FlowTester) -> None:
        data = as_json(lab, "diff", "F/1")
        assert (data["old"], data["new"]) == ("F/1", "today")
        assert [f["change"] for f in data["files"]] == ["changed", "changed", "added"]
        assert set(data["files"][0]) == {"file", "change", "added", "removed", "diff"}

    @pytest.mark.parametrize(
        ("arguments", "part", "text"),
        [
            (["F"], "error", "'F' names no run"),
            (["f.py"], "try", "MyFlow/3; for the flow in that file: python f.py code …"),
            (["F/9"], "try", "latest runs: 4, 3, 2, 1"),
            (["G/1"], "error", "There is no run G/1"),
            (["F/1", "--dir", "nowhere"], "error", "The file of the flow F is not there"),
            (["F/1", "F/2", "--dir", "x"], "error", "--dir is for today's code"),
        ],
    )
    def test_what_is_not_there(
        self, lab: FlowTester, arguments: list[str], part: str, text: str
    ) -> None:
        assert text in lab.flow("code", "diff", *arguments).error[part]
