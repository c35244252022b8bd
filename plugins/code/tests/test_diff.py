"""The command ``diff``."""

from __future__ import annotations

import json
import re
from typing import Any

from flow_code.diff import compare_runs
from flow_code.runs import FoundRun
from flow_core.testing import FlowTester, MemoryMetadata, MemoryStore


def as_json(lab: FlowTester, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.flow("diff", *arguments, "--json").check().stdout)
    return found


def test_runs_that_are_alike(lab: FlowTester) -> None:
    done = lab.flow("diff", "F/1", "F/2", "--exit-code").check()
    assert done.stdout.endswith("They differ in nothing but when and where they ran.\n")
    data = as_json(lab, "F/1", "F/2")
    assert data["artifacts"] == data["parameters"] == data["code"] == data["constants"] == []


def test_another_parameter_and_what_came_of_it(lab: FlowTester) -> None:
    done = lab.flow("diff", "F/1", "F/3", "--exit-code")
    assert done.returncode == 1
    text = done.stdout
    assert "\nparameters\n  alpha  2 → 5\n" in text
    assert "\ncode" not in text
    assert re.search(r"  train\[1\]  score   2 → 5  \(in 2 of 3 tasks\)\n", text)
    assert re.search(r"  join      scores  \[0, 2, 4\] → \[0, 5, 10\]\n", text)
    assert re.search(r"  outcome    succeeded +succeeded\n", text)
    # Where it came from an earlier step as it is, it is not told again.
    assert "\n  end  " in text
    assert len(re.findall("scores", text)) == 1


def test_code_constants_tags_and_numbers_of_tasks(lab: FlowTester) -> None:
    text = lab.flow("diff", "F/3", "F/4").check().stdout
    assert "\ncode  flow code diff F/3 F/4\n" in text
    assert re.search(r"  lib/more.py +added +\+1 -0\n", text)
    assert "\nconstants\n  SIZE  3 → 4\n" in text
    assert re.search(r"  train  3 → 4 ", text)
    assert re.search(r"  tags       - +big\n", text)
    assert re.search(r"  start +items +\[0, 1, 2\] → \[0, 1, 2, 3\]\n", text)


def test_as_json(lab: FlowTester) -> None:
    data = as_json(lab, "F/1", "F/3")
    assert set(data) == {
        *("old", "new", "parameters", "constants", "code", "environments", "steps", "artifacts")
    }
    assert data["old"]["state"] == "succeeded"
    assert data["old"]["seconds"] > 0
    assert [s["step"] for s in data["steps"]] == ["start", "train", "join", "end"]
    assert data["steps"][1]["tasks"] == [3, 3]
    (score,) = (a for a in data["artifacts"] if a["name"] == "score")
    assert (score["tasks"], score["of"], score["first"]) == (2, 3, "train[1]")
    assert score["old"]["summary"] == "2"
    assert score["new"]["task"] == "F/3/train/3"
    assert score["old"]["hash"] != score["new"]["hash"]


def test_in_the_flow_file(lab: FlowTester) -> None:
    done = lab.python(lab.path / "flow.py", "diff", "1", "3").check()
    assert done.stdout.startswith("F/1 → F/3\n")


def test_a_foreach_of_hundreds_is_one_line(flowtester: FlowTester) -> None:
    source = """
        from flow_core import FlowSpec, Parameter, step

        class F(FlowSpec):
            add = Parameter("add", default=0)

            @step
            def start(self):
                self.items = range(600)
                self.next(self.work, foreach="items")

            @step
            def work(self):
                self.double = 2 * self.input + self.add
                self.next(self.join)

            @step
            def join(self, inputs):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    fakes: dict[tuple[str, str], Any] = {
        ("store", "local"): MemoryStore(),
        ("metadata", "local"): MemoryMetadata(),
    }
    file = flowtester.write(source)
    for add in (0, 1):
        flowtester.run(file, parameters={"add": add}, providers=fakes)
    session = flowtester.session(None, providers=fakes)
    runs = []
    for number in ("1", "2"):
        record = session.metadata.run("F", number)
        assert record is not None
        runs.append(FoundRun(record, session.run_document("F", number)))
    data = compare_runs(session, *runs)
    (row,) = data["artifacts"]
    assert (row["name"], row["tasks"], row["of"]) == ("double", 600, 600)


def test_a_run_that_is_not_there(lab: FlowTester) -> None:
    assert lab.flow("diff", "F/1", "F/77").error["error"] == "There is no run F/77"
