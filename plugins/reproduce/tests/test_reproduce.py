"""The command ``reproduce``: runs that are run once more."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

import pytest

from flow_core.api import RunDocument, RunState, Session, Settings, run_key
from flow_core.testing import FlowTester
from flow_reproduce.runs import read_run, remarks


def steps_of(data):
    return {step["step"]: step for step in data["steps"]}


class TestOnceMore:
    def test_what_differs_is_told_and_why(self, lab):
        assert lab.again.returncode == 1
        assert lab.again.stderr == ""
        text = lab.again.stdout[lab.again.stdout.index("\nF/1 → F/2\n") :]
        assert re.search(r"^start +1 +4  yes$", text, re.MULTILINE)
        assert re.search(r"^train +2 +10  yes$", text, re.MULTILINE)
        assert re.search(r"^risky +1 +3  in value, not in bytes: set$", text, re.MULTILINE)
        assert re.search(r"^chance +1 +4  no: number, set$", text, re.MULTILINE)
        assert re.search(r"^chance  number  0\.\d+ → 0\.\d+$", text, re.MULTILINE)
        assert "  it begins here: chance read the same, and made something else of it" in text
        assert "  end read something else: 'number'" in text
        assert re.search(r"^words  set  \{.*  equal in value, not in bytes$", text, re.MULTILINE)
        last = "3 of 7 steps are bit-equal, 2 are equal in value; the first that differs is chance."
        assert text.rstrip().endswith(last)

    def test_it_is_a_run_like_any_other(self, lab):
        run = lab.tester.left(2)
        assert run.state is RunState.SUCCEEDED
        record = run.metadata.run("F", "2")
        assert "reproduces:F/1" in record.system_tags
        assert record.tags == ()  # what people mean by theirs is not known
        assert record.origin is None
        found = lab.tester.flow("runs", "F", "--tag", "reproduces:F/1", "--json").check()
        assert [row["run"] for row in json.loads(found.stdout)] == ["F/2"]

    def test_its_code_parameters_and_decorators_are_those_of_the_run(self, lab):
        one, two = (
            json.loads(
                (lab.tester.path / f".flow/runs/F/{n}/run.json").read_bytes().split(b"\n")[1]
            )
            for n in (1, 2)
        )
        assert one["code"] == two["code"]
        assert one["parameters"] == two["parameters"]
        assert one["plans"] == two["plans"]
        assert all("timeout" in s["decorators"] for s in two["graph"]["steps"].values())

    def test_nothing_is_taken_from_a_cache(self, lab):
        states = [m.state.value for m in lab.tester.left(2).manifests("train")]
        assert states == ["succeeded", "succeeded"]
        assert lab.tester.left(2).output("train") == "trained\n" * 2

    def test_the_folder_with_its_code_is_gone(self, lab):
        assert [*(lab.tester.path / ".cache/flow/reproduce").iterdir()] == []

    def test_runs_that_are_there_are_compared(self, lab):
        data = lab.data("F/1", "--against", "F/2")
        steps = steps_of(data)
        assert (data["old"], data["new"], data["equal"]) == ("F/1", "F/2", False)
        assert [s for s in steps if steps[s]["equal"] == "equal"] == ["start", "train", "join"]
        assert steps["risky"]["differences"][0]["inherited"]
        assert steps["chance"]["read_the_same"] == 1
        assert steps["end"]["read"] == ["'number'"]
        same = lab.data("F/1", "--against", "F/1")
        assert same["equal"]
        assert (
            lab.tester.flow("reproduce", "F/1", "--against", "F/1")
            .check()
            .stdout.endswith("\nAll 7 steps are bit-equal.\n")
        )

    def test_some_steps(self, lab):
        done = lab.tester.flow(
            "reproduce", "F/1", "--against", "F/2", "--step", "join", "--step", "start"
        )
        assert done.check().stdout.endswith("\nAll 2 steps are bit-equal.\n")


class TestWhatIsSaidBefore:
    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (["F/9"], {"error": "There is no run F/9", "try": "the latest are: 2, 1"}),
            (["G/1"], {"error": "There is no run G/1", "try": "known names: F"}),
            (["F"], {"error": "'F' names no run", "try": "F/2"}),
            (["G"], {"error": "'G' names no run", "try": "MyFlow/3"}),
            (
                ["F/1", "--step", "jion"],
                {"error": "Run F/1 has no step 'jion'", "try": "did you mean 'join'?"},
            ),
            (
                ["F/1", "--against", "F/2", "--folder", "x"],
                {"error": "--folder has no effect with --against"},
            ),
        ],
    )
    def test_what_is_not_there(self, lab, arguments, error):
        done = lab.tester.flow("reproduce", *arguments)
        assert done.returncode == 2 if "no effect" in error["error"] else done.returncode in (1, 2)
        assert {**done.error, **error} == done.error

    def test_what_was_another_then(self, lab):
        tester = lab.tester
        key = tester.path / ".flow/runs/F/1/run.json"
        document = RunDocument.decode(key.read_bytes(), run_key("F", "1"))
        packages = {**document.info["packages"], "click": "1.0", "gone": "2.0"}
        info = {**document.info, "python": "3.1.4", "packages": packages, "flow_core": "0.0.1"}
        changed = document._replace(
            run="7", info=info, code=None, scope=("proj", "user.bob"), origin="F/0"
        )
        other = key.parent.parent / "7/run.json"
        other.parent.mkdir()
        other.write_bytes(changed.encode())
        done = tester.flow("reproduce", "F/7")
        assert done.returncode == 1
        assert done.error["error"] == "Run F/7 has kept no code, so it cannot be run again"
        assert done.error["try"] == "compare it with another run: --against F/RUN"
        settings = Settings(tester.environment(), str(tester.path))
        settings.override("datastore", f"local://{tester.path}/.flow", "test")
        with Session(settings=settings) as session:
            told = [*remarks(session, read_run(session, "F", "7"))]
        assert told[0] == "it was killed: only the tasks that it has finished can be compared"
        assert "it ran with flow-core 0.0.1, this is " in told[2]
        assert told[1] == "it went on after F/0, which is gone; all runs with its own code now"
        assert told[3].startswith("its steps ran in Python 3.1.4, this is 3.")
        assert told[4].startswith("its steps ran with other packages: click 1.0 → ")
        assert told[4].endswith(", gone 2.0 (not here)")
        assert told[5] == "it ran as proj.user.bob.F; this one runs as yours"


class TestRunsThatFailed:
    SOURCE = """
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                self.x = 1
                self.next(self.end)

            @step
            def end(self):
                raise KeyError("nope")
    """

    def test_they_fail_again(self, flowtester: FlowTester):
        file = flowtester.write(self.SOURCE)
        assert flowtester.flow("run", str(file)).returncode == 1
        done = flowtester.flow("reproduce", "F/1")
        assert done.returncode == 0
        assert "note: F/1: it failed: KeyError: 'nope'; what its tasks left is" in done.stderr
        assert done.stdout.endswith("\nAll 2 steps are bit-equal. Both runs failed.\n")
        (kept,) = (flowtester.path / ".cache/flow/reproduce").iterdir()
        assert (kept / "flow.py").read_text() == file.read_text()  # `resume` needs it
        os.utime(kept, (0, 0))
        flowtester.flow("reproduce", "F/1").check()
        assert not kept.exists()  # it was of long ago

    def test_modules_that_were_found_elsewhere(self, flowtester: FlowTester, tmp_path: Path):
        file = flowtester.write(
            f"import inside, outside\n{textwrap.dedent(self.SOURCE)}".replace(
                "x = 1", "x = inside.X"
            )
        )
        flowtester.write("X = 3", "src/inside.py")
        elsewhere = FlowTester(tmp_path).write("", "lib/outside.py").parent
        path = os.pathsep.join([str(flowtester.path / "src"), str(elsewhere)])
        flowtester.flow("run", str(file), variables={"PYTHONPATH": path})
        shutil.rmtree(flowtester.path / "src")
        shutil.rmtree(elsewhere)
        done = flowtester.flow("reproduce", "F/1").check()
        assert done.stdout.endswith("\nAll 2 steps are bit-equal. Both runs failed.\n")

    def test_a_package_that_is_not_here(self, flowtester: FlowTester):
        site = flowtester.path / "lib/site-packages"
        site.mkdir(parents=True)
        (site / "only_there.py").write_text("")
        file = flowtester.write(f"import only_there\n{textwrap.dedent(self.SOURCE)}")
        flowtester.flow("run", str(file), variables={"PYTHONPATH": str(site)})
        shutil.rmtree(site)
        done = flowtester.flow("reproduce", "F/1")
        assert done.returncode == 1
        assert "error: The flow file cannot be loaded\n" in done.stderr
        assert "why:   ModuleNotFoundError: No module named 'only_there'\n" in done.stderr
        assert done.stderr.count("error: ") == 1
        assert [*(flowtester.path / ".cache/flow/reproduce").iterdir()] == []


def test_the_order_of_sets_when_the_seed_was_given(flowtester: FlowTester):
    file = flowtester.write(
        """
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                self.set = {"a", "b", "c", "d", "e", "f", "g", "h"}
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    flowtester.flow("run", str(file), variables={"PYTHONHASHSEED": "7"}).check()
    done = flowtester.flow("reproduce", "F/1", "--folder", "code").check()
    assert done.stdout.endswith("\nAll 2 steps are bit-equal.\n")
    assert (flowtester.path / "code/flow.py").exists()


def test_a_run_of_which_only_the_store_knows(flowtester: FlowTester, tmp_path: Path):
    """Another machine has its own index."""
    file = flowtester.write(TestRunsThatFailed.SOURCE.replace('raise KeyError("nope")', "pass"))
    store = f"local://{tmp_path}/shared"
    flowtester.flow("--datastore", store, "run", str(file)).check()
    file.unlink()
    there = FlowTester(tmp_path / "there")
    there.path.mkdir()
    options = ["--datastore", store, "--metadata", f"local://{there.path}/index"]
    done = there.flow(*options, "reproduce", "F/1")
    assert "All 2 steps are bit-equal.\n" in done.check().stdout
    assert there.flow(*options, "runs", "F").check().stdout.count("F/") == 1


def test_a_flow_that_is_a_module(flowtester: FlowTester):
    """It is loaded as what it was, and not from the current folder."""
    flowtester.write("", "company/__init__.py")
    util = flowtester.write("X = 3", "company/util.py")
    source = textwrap.dedent(TestRunsThatFailed.SOURCE).replace('raise KeyError("nope")', "pass")
    source = source.replace("x = 1", "x = Row(util.X)")
    row = "class Row:\n    def __init__(self, x):\n        self.x = x\n\n"
    start = 'if __name__ == "__main__":\n    F()\n'
    flowtester.write(f"from . import util\n{row}{source}\n{start}", "company/first.py")
    flowtester.flow("run", "company.first").check()
    flowtester.command([sys.executable, "-m", "company.first", "run"]).check()
    util.write_text("X = 4")
    for run in ("F/1", "F/2"):
        done = flowtester.flow("reproduce", run).check()
        assert done.stdout.endswith("\nAll 2 steps are bit-equal.\n")
    modules = []
    for number in (1, 2, 3, 4):
        raw = (flowtester.path / f".flow/runs/F/{number}/run.json").read_bytes()
        modules.append(json.loads(raw.split(b"\n", 1)[1])["info"].get("module"))
    assert modules == ["company.first", None, "company.first", None]
