"""What is easy to miss: behaviours that users rely on and nobody writes down, through the real commands.

Most of them have tests beside the code that makes them so; docs/parity.md says which. Here are those
that only a whole run shows.
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

import pytest

from flow_core.api import RunState

FLOW = """
    import os, subprocess, sys, time
    from dataclasses import dataclass
    from flow_core import FlowSpec, Parameter, catch, current, step

    seen = []

    @dataclass
    class Point:
        x: int

    class F(FlowSpec):
        '''Says what the flow is for.'''

        limits = {"low": 1}

        class Nested:
            size = 3

        alpha = Parameter("alpha", default=lambda c: f"{c.parameter_name} at {time.time_ns()}")

        @property
        def double(self):
            return 2 * self.number

        @step
        def start(self):
            self.at_start = self.alpha
            self.number, self._hidden, self.__gone = 2, "kept", "lost"
            self.first = self.second = [1]
            self.point = Point(5)
            self.untouched = "as it was"
            self.limits["low"] = 0
            os.environ["SET_IN_A_STEP"] = "yes"
            seen.append("start")
            self.outside = (self.index, self.input, self.foreach_stack())
            subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
            os.write(1, b"from below Python\\n")
            self.next(self.change)

        @step
        def change(self):
            self.first.append(2)
            self.of_processes = (os.environ.get("SET_IN_A_STEP"), list(seen))
            self.of_names = (hasattr(self, "_hidden"), hasattr(self, "_F__gone"), self.limits)
            self.both = (self.first, self.second, self.double, self.Nested.size)
            self.next(self.risky)

        @catch(var="trouble")
        @step
        def risky(self):
            self.before = "was set"
            raise ValueError("on purpose")
            self.next(self.fine)

        @catch(var="nothing")
        @step
        def fine(self):
            self.next(self.end)

        @step
        def end(self):
            self.at_end = self.alpha
            self.caught = (str(self.trouble), self.before, self.nothing)

    if __name__ == "__main__":
        F()
"""
READ = """
    import json, sys
    from flow_core import Run
    run = Run("F/" + sys.argv[1])
    risky = run["risky"].task
    print(json.dumps({
        "run": [run.successful, run.finished, run.origin_pathspec],
        "risky": [risky.successful, risky.finished, str(risky.exception)],
        "constants": run["start"].task["limits"].data,
        "artifacts": sorted(a.id for a in run["start"].task),
        "code": run.code.script_name,
    }))
"""


@pytest.fixture(scope="module")
def whole(module_lab: Any) -> Any:
    """A run of the flow, and what a client in another process reads of it."""
    file = module_lab.write(FLOW)
    done = module_lab.python(file, "run").check()
    read = module_lab.python(module_lab.write(READ, "read.py"), "1").check()
    return done, module_lab.left(), json.loads(read.stdout)


def test_two_names_of_one_value_part_and_changes_in_place_are_kept(whole):
    _, run, _ = whole
    assert run.artifact("change", "both") == ([1, 2], [1], 4, 3)
    assert run.artifact("start", "first") == [1]
    assert run.artifact("end", "first") == [1, 2]


def test_what_a_step_does_not_touch_travels_by_reference(whole):
    _, run, _ = whole
    hashes = {run.manifests(s)[0].artifacts["untouched"].hash for s in ("start", "change", "end")}
    assert len(hashes) == 1


def test_nothing_of_a_process_reaches_the_next_step(whole):
    _, run, _ = whole
    assert run.artifact("change", "of_processes") == (None, [])


def test_private_names_and_constants(whole):
    _, run, read = whole
    assert run.artifact("change", "of_names") == (True, False, {"low": 1})
    assert read["constants"] == {"low": 1}
    assert "double" not in run.manifests("start")[0].artifacts
    assert "Nested" not in run.manifests("start")[0].artifacts


def test_outside_of_a_foreach_there_is_no_item(whole):
    assert whole[1].artifact("start", "outside") == (None, None, [])


def test_output_of_children_and_from_below_python_is_captured(whole):
    done, run, _ = whole
    assert run.output("start") == "from a child\nfrom below Python\n"
    assert "] from a child" in done.stdout
    assert "] from below Python" in done.stdout


def test_a_caught_task_is_over_without_success_and_says_why(whole):
    _, run, read = whole
    assert read["risky"] == [False, True, "ValueError: on purpose"]
    assert read["run"][:2] == [True, True]
    assert run.artifact("end", "caught") == ("ValueError: on purpose", "was set", None)


def test_an_ordinary_run_has_no_origin(whole):
    _, run, read = whole
    assert read["run"][2] is None
    assert all(m.origin is None for m in run.manifests("start"))


def test_a_computed_default_is_computed_once(whole):
    _, run, _ = whole
    assert run.artifact("end", "at_start") == run.artifact("end", "at_end")
    assert run.artifact("end", "at_end").startswith("alpha at ")


def test_resume_keeps_parameters_and_no_tags(module_lab, whole):
    module_lab.python(module_lab.path / "flow.py", "run", "--tag", "mine", "--alpha", "7").check()
    changed = textwrap.dedent(FLOW).replace('self.before = "was set"', 'self.before = "anew"')
    (module_lab.path / "flow.py").write_text(changed)
    module_lab.python(module_lab.path / "flow.py", "resume", "risky").check()
    run = module_lab.left(3)
    assert run.artifact("end", "at_end") == "7"
    assert run.artifact("end", "caught")[1] == "anew"
    assert "mine" not in run.metadata.run("F", "3").tags
    assert [m.state.value for m in run.manifests("change")] == ["reused"]


def test_a_caught_task_is_reused_unless_it_is_named(module_lab, whole):
    module_lab.python(module_lab.path / "flow.py", "resume", "fine", "--origin-run-id", "1").check()
    newest = max(int(r.run) for r in module_lab.left().metadata.runs("F"))
    run = module_lab.left(newest)
    assert [m.state.value for m in run.manifests("risky")] == ["reused"]
    assert run.artifact("end", "caught")[0] == "ValueError: on purpose"


def test_top_level_options_may_stand_before_the_command(module_lab, whole):
    done = module_lab.python(module_lab.path / "flow.py", "--with", "retry:times=0", "show")
    assert "retry" in done.check().stdout
    assert "Says what the flow is for." in done.stdout


def test_the_person_may_be_called_root(lab):
    file = lab.write(FLOW)
    lab.python(file, "run", variables={"FLOW_USER": "root"}).check()
    assert "user:root" in lab.left().metadata.run("F", "1").system_tags


SLOW = """
    import time
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = ["fails", "slow"]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.half = "done"
            if self.input == "fails":
                time.sleep(0.5)
                raise ValueError("the first failure")
            time.sleep(60)
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


def test_a_failure_ends_the_others_which_say_so(lab):
    done = lab.python(lab.write(SLOW), "run")
    assert done.returncode == 1
    run = lab.left()
    assert run.state is RunState.FAILED
    failed, cancelled = run.manifests("work")
    assert failed.failure.message == "the first failure"
    assert cancelled.failure.cause == "cancelled"
    assert not run.manifests("join")
    lab.assert_nothing_runs()
