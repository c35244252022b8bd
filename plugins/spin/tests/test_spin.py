"""The command ``spin``, as a process, on real runs."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester, ProcessResult


def spin(lab: FlowTester, *arguments: str, **options: Any) -> ProcessResult:
    return lab.flow("spin", "flow.py", *arguments, **options)


def as_json(lab: FlowTester, *arguments: str, **options: Any) -> dict[str, Any]:
    done = spin(lab, *arguments, "--json", **options)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def changed(data: dict[str, Any]) -> dict[str, str]:
    return {a["name"]: a["new"]["summary"] for a in data["artifacts"] if a["new"]}


@contextmanager
def edited(lab: FlowTester, old: str, new: str) -> Iterator[None]:
    """Change the code of the flow within a ``with`` block."""
    file = lab.path / "flow.py"
    before = file.read_text()
    assert old in before
    file.write_text(before.replace(old, new))
    try:
        yield
    finally:
        file.write_text(before)


class TestOnInputsOfEarlierTasks:
    def test_a_failed_task_with_todays_code(self, lab: FlowTester) -> None:
        with edited(lab, "self.score = self.input * ", "self.score = 10 + "):
            done = spin(lab, "1/train").check()
        lines = done.stdout.splitlines()
        assert lines[0] == "training 2 1 at 2"
        assert re.fullmatch(
            r"train again on the inputs of F/1/train/3: succeeded in [\d.]+ m?s \(it was failed\)",
            lines[1],
        )
        # The run stopped at the failed task: it may not have begun the last one.
        others = r"  (1 other task|2 other tasks) of the step: name one by RUN/STEP/TASK"
        assert any(re.fullmatch(others, line) for line in lines)
        assert "  changed  score  4 → 12" in lines
        assert any(re.fullmatch(r"  \d artifacts unchanged", line) for line in lines)
        assert lines[-1].startswith("  kept apart: flow --datastore spin dump F/")

    @pytest.mark.parametrize("pathspec", ["train", "2/train", "F/2/train", "2/train/2"])
    def test_forms_of_pathspecs(self, lab: FlowTester, pathspec: str) -> None:
        assert as_json(lab, pathspec)["earlier"] == "F/2/train/2"

    def test_a_join(self, lab: FlowTester) -> None:
        with edited(lab, "[i.score for i in inputs]", "sum(i.score for i in inputs)"):
            data = as_json(lab, "join")
        assert changed(data) == {"scores": "12"}
        assert data["next"] == ["again"]

    def test_a_switch(self, lab: FlowTester) -> None:
        with edited(lab, 'self.way = "left"', 'self.way = "right"'):
            data = as_json(lab, "choose")
        assert changed(data) == {"way": "'right'"}
        assert data["next"] == ["right"]

    def test_each_round_of_a_recursion(self, lab: FlowTester) -> None:
        with edited(lab, "self.count += 1", "self.count += 10"):
            rounds = [as_json(lab, f"2/again/{n}") for n in (6, 7, 8)]
        assert [changed(data)["count"] for data in rounds] == ["10", "11", "12"]
        assert {tuple(data["next"]) for data in rounds} == {("choose",)}

    def test_the_first_and_the_last_step(self, lab: FlowTester) -> None:
        assert as_json(lab, "start")["artifacts"] == []
        facts = changed(as_json(lab, "end"))["facts"]
        run, origin, pathspec = eval(facts)
        assert (origin, pathspec) == ("2", f"F/{run}/end/11")

    def test_a_new_parameter_has_its_default(self, lab: FlowTester) -> None:
        old = 'learning_rate = Parameter("learning-rate", default=2)'
        new = old + '\n    offset = Parameter("offset", default=7)'
        with (
            edited(lab, old, new),
            edited(lab, "self.score = self.input * self", "self.score = self.offset * self"),
        ):
            assert changed(as_json(lab, "train"))["score"] == "14"

    def test_what_it_writes_comes_as_it_is(self, lab: FlowTester) -> None:
        done = spin(lab, "train", "--json")
        assert done.stderr == "training 1 0 at 2\n"
        assert json.loads(done.stdout)["state"] == "succeeded"


class TestFailures:
    def test_a_failure_is_shown_and_told(self, lab: FlowTester) -> None:
        with edited(lab, "self.score = self.input", "self.score = 1 / 0"):
            done = spin(lab, "train")
        assert done.returncode == 1
        log, _, told = done.stderr.partition("error: ")
        assert log.startswith("Traceback")
        assert log.endswith("ZeroDivisionError: division by zero\n")
        assert told.startswith("Step 'train' failed\n")
        assert "  why:   ZeroDivisionError: division by zero\n" in told
        assert "flow debug --today F/2/train/2" in told
        assert "failed in" in done.stdout

    def test_as_json(self, lab: FlowTester) -> None:
        with edited(lab, "self.score = self.input", "self.score = 1 / 0"):
            done = spin(lab, "train", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["failure"]["type"] == "ZeroDivisionError"

    def test_a_process_that_dies(self, lab: FlowTester) -> None:
        with edited(lab, "self.score = self.input", "os._exit(3) #"):
            done = spin(lab, "train")
        assert "with exit status 3" in done.error["why"]

    @pytest.mark.parametrize(
        ("arguments", "part", "text"),
        [
            (["nothing"], "error", "No task of step 'nothing' has started"),
            (["2/right"], "why", "its inputs are those of an earlier task, and there is none"),
            (["2/train/99"], "try", "its first tasks: 2, 3, 4"),
            (["77/train"], "try", "latest runs: 2, 1"),
            (["G/1/train"], "error", "'G/1/train' belongs to another flow"),
        ],
    )
    def test_what_is_not_there(
        self, lab: FlowTester, arguments: list[str], part: str, text: str
    ) -> None:
        done = spin(lab, *arguments)
        assert done.returncode in (1, 2)
        assert text in done.error[part]

    def test_a_step_that_is_no_more(self, lab: FlowTester) -> None:
        with edited(lab, "self.left", "self.port"), edited(lab, "def left", "def port"):
            done = spin(lab, "2/left")
        assert done.error["error"] == "Flow F has no step 'left' today"

    def test_a_spin_of_a_spin(self, lab: FlowTester) -> None:
        done = lab.flow("--datastore", "spin", "spin", "flow.py", "train")
        assert done.error["error"] == "A spin cannot run on a spin"

    def test_gangs_are_refused(self, lab: FlowTester) -> None:
        lab.write(
            """
            from flow_core import FlowSpec, parallel, step

            class G(FlowSpec):
                @step
                def start(self):
                    self.next(self.work, num_parallel=2)

                @parallel
                @step
                def work(self):
                    self.next(self.join)

                @step
                def join(self, inputs):
                    self.next(self.end)

                @step
                def end(self):
                    pass
            """,
            "gang/gang.py",
        )
        lab.flow("run", "gang/gang.py").check()
        done = lab.flow("spin", "gang/gang.py", "work")
        assert done.returncode == 2
        assert "num_parallel" in done.error["why"]
        lab.flow("spin", "gang/gang.py", "join").check()


class TestArtifactsModule:
    def module(self, lab: FlowTester, text: str) -> list[str]:
        (lab.path / "given").mkdir(exist_ok=True)
        (lab.path / "given" / "values.py").write_text(text)
        return ["--artifacts-module", "given/values.py"]

    def test_parameters_and_inputs(self, lab: FlowTester) -> None:
        given = self.module(lab, "ARTIFACTS = {'learning_rate': 50, 'extra': 3}")
        data = as_json(lab, "train", *given)
        assert changed(data)["score"] == "50"
        assert changed(data)["extra"] == "3"

    def test_all_branches_of_a_join_and_single_ones(self, lab: FlowTester) -> None:
        given = self.module(
            lab,
            "x = 100\nARTIFACTS = {'score': 7, '2/train/3': {'score': x}, 'F/2/train/4': {'big': 1}}",
        )
        with edited(lab, 'self.merge_artifacts(inputs, include=["big"])', "pass"):
            data = as_json(lab, "join", *given)
        assert changed(data)["scores"] == "[7, 100, 7]"

    def test_the_real_run_stays_as_it_is(self, lab: FlowTester) -> None:
        before = {
            p: p.read_bytes() for p in sorted((lab.path / ".flow/runs").rglob("*")) if p.is_file()
        }
        given = self.module(lab, "ARTIFACTS = {'score': 7}")
        assert changed(as_json(lab, "join", *given))["scores"] == "[7, 7, 7]"
        assert as_json(lab, "join")["artifacts"] == []
        after = {
            p: p.read_bytes() for p in sorted((lab.path / ".flow/runs").rglob("*")) if p.is_file()
        }
        assert before == after

    @pytest.mark.parametrize(
        ("text", "step", "part", "wanted"),
        [
            ("x = 1", "train", "error", "has no dict ARTIFACTS"),
            ("ARTIFACTS = [1]", "train", "error", "has no dict ARTIFACTS"),
            ("ARTIFACTS = {1: 2}", "train", "error", "has no dict ARTIFACTS"),
            ("1 / 0", "train", "why", "ZeroDivisionError: division by zero"),
            ("ARTIFACTS = (", "train", "why", "SyntaxError"),
            ("ARTIFACTS = {'2/train/9': {}}", "join", "error", "which is no input of F/2/join/5"),
            ("ARTIFACTS = {'2/train/3': 5}", "join", "error", "is a int, not a dict"),
            ("ARTIFACTS = {'x': 5}", "start", "error", "step 'start' has no inputs"),
        ],
    )
    def test_what_is_refused(
        self, lab: FlowTester, text: str, step: str, part: str, wanted: str
    ) -> None:
        done = spin(lab, step, *self.module(lab, text))
        assert done.returncode == 2
        assert wanted in done.error[part]

    def test_there_is_no_such_file(self, lab: FlowTester) -> None:
        done = spin(lab, "train", "--artifacts-module", "nowhere.py")
        assert done.error["error"] == "There is no file 'nowhere.py'"


class TestDecorators:
    def test_they_run_or_are_skipped(self, lab: FlowTester) -> None:
        caught = '@catch(var="failure")\n    @retry(times=0)'
        with (
            edited(lab, "@retry(times=0)", caught),
            edited(lab, "self.score = self.input", "self.score = 1 / 0"),
        ):
            assert as_json(lab, "train")["state"] == "caught"
            assert as_json(lab, "train", "--skip-decorators")["state"] == "failed"
            spawned = {"FLOW_FORK": "never"}
            data = as_json(lab, "train", "--skip-decorators", variables=spawned)
            assert data["state"] == "failed"


class TestWhereItLies:
    def test_no_run_of_the_flow_but_read_from_its_own_store(self, lab: FlowTester) -> None:
        data = as_json(lab, "2/train/4", "--persist")
        index = lab.left(2).metadata
        assert [r.run for r in index.runs("F")] == ["2", "1"]
        dumped = json.loads(
            lab.flow("--datastore", "spin", "dump", data["pathspec"], "--json").stdout
        )
        assert dumped[0]["artifacts"]["score"]["repr"] == "6"
        assert dumped[0]["artifacts"]["big"]["size"] > 5000  # which lies in the real store
        logs = lab.flow("--datastore", "spin", "logs", data["pathspec"]).stdout
        assert logs == "training 3 2 at 2\n"

    def test_one_is_kept_and_of_the_others_the_last(self, lab: FlowTester) -> None:
        kept = as_json(lab, "2/train/4", "--persist")["pathspec"]
        with edited(
            lab, "self.score = ", "self.large = [self.learning_rate] * 9999; self.score = "
        ):
            dropped = as_json(lab, "train")
        large = next(a["new"]["hash"] for a in dropped["artifacts"] if a["name"] == "large")
        blob = lab.path / ".flow/spin/blobs" / large[:2] / large
        assert blob.exists()
        last = as_json(lab, "train")["pathspec"]
        assert not blob.exists()
        found = [
            lab.flow("--datastore", "spin", "dump", p) for p in (kept, dropped["pathspec"], last)
        ]
        assert [done.returncode for done in found] == [0, 1, 0]

    def test_the_client_reads_it(self, lab: FlowTester) -> None:
        data = as_json(lab, "2/train/4", "--persist")
        script = lab.write(
            f"""
            from flow_core import Run, Task, inspect_spin

            with inspect_spin():
                task = Task("{data["pathspec"]}")
            print(task.data.score, len(task.data.big), task.index, Run("F/2").successful)
            with inspect_spin("local"):
                print(Task("{data["pathspec"]}").data.score)
            """,
            "read.py",
        )
        assert lab.python(script).check().stdout == "6 5000 2 True\n6\n"

    def test_before_anything_was_spun(self, flowtester: FlowTester) -> None:
        script = flowtester.write("from flow_core import inspect_spin\ninspect_spin()\n", "s.py")
        done = flowtester.python(script)
        assert "Nothing was spun yet" in done.stderr

    def test_a_run_id_file(self, lab: FlowTester) -> None:
        data = as_json(lab, "train", "--run-id-file", "number")
        assert (lab.path / "number").read_text() == data["pathspec"].split("/")[1]

    def test_another_store(self, lab: FlowTester, tmp_path: Path) -> None:
        place = f"local://{tmp_path}/elsewhere"
        lab.flow("--datastore", place, "run", "flow.py").check()
        done = lab.flow("--datastore", place, "spin", "flow.py", "join").check()
        command = done.stdout.splitlines()[-1].partition("flow ")[2].split()
        assert command[:2] == ["--datastore", f"spin://{place}"]
        assert "scores" in lab.flow(*command).check().stdout


def test_help_says_what_it_does(lab: FlowTester) -> None:
    text = textwrap.dedent(spin(lab, "--help").check().stdout)
    assert "Run one step again with today's code" in text
    assert "--artifacts-module FILE" in text
