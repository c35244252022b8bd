"""What a task sees of its own run, whose index lags behind the store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flow_client import Run, Step, Task, plugin
from flow_core.api import Failure, ForeachFrame, InputRange, TaskSpec, current

SPLIT = InputRange("start", 1, 1, 0)


@pytest.fixture
def inside(past: Any) -> Iterator[Any]:
    """A past whose run goes on, seen by its task ``work/4``, of which the index has not heard."""
    past.run("1", "running", heartbeat_at=math.inf)
    foreach = (ForeachFrame("start", 1, 0, "items", 2, 3),)
    task: Any = SimpleNamespace(
        session=past.session,
        run=past.session.run_document("F", "1"),
        spec=TaskSpec("F", "1", "work", 4, 1, (SPLIT,), foreach),
        current=type(current)(),
    )
    task.current.begin({"namespace": "user:ada"})
    plugin.flow_task_setup(task)
    # The fixture `past` lets this thread read from its session, which no task does.
    from flow_client import scope

    token = scope._using.set(None)
    yield past
    scope._using.reset(token)
    plugin.flow_task_teardown()


def test_tasks_that_the_index_does_not_know_yet(inside: Any) -> None:
    inside.attempt("start", 1, artifacts={"x": 5}, indexed="no")
    run = Run("F/1")
    start = run["start"].task
    assert start is not None
    assert (start.state, start.finished, start.data.x) == ("succeeded", True, 5)
    assert [s.id for s in run] == ["work", "start"]
    assert [t.pathspec for t in run["start"]] == ["F/1/start/1"]
    assert [t.id for t in run["start"].tasks(state="succeeded")] == ["1"]
    assert Task("F/1/start/1") == start
    assert start.runtime_seconds == 2.5
    assert run["start"].finished_at == start.finished_at
    assert run["start"].created_at == start.created_at
    assert run["join"].task is None


def test_tasks_that_run_in_the_index_and_have_ended(inside: Any) -> None:
    inside.attempt("start", 1, artifacts={"x": 5}, indexed="running")
    inside.attempt("work", 2, indices=(0,), inputs=(SPLIT,), indexed="running")
    step = Step("F/1/start")
    assert [t.state for t in step] == ["succeeded"]
    assert step.finished_at is not None
    child_tasks = Task("F/1/start/1").child_tasks
    assert [t.id for t in child_tasks] == ["2", "4"]


def test_attempts_in_between(inside: Any) -> None:
    failure = Failure("error", "ValueError", "no", "…")
    inside.attempt("work", 2, "failed", indices=(0,), failure=failure)
    inside.attempt("work", 2, "succeeded", indices=(0,), attempt=1, indexed="no")
    task = next(t for t in Step("F/1/work") if t.id == "2")
    assert (task.attempt, task.state) == (1, "succeeded")
    assert [t.state for t in task.attempts] == ["failed", "succeeded"]
    assert Task("F/1/work/2", attempt=0).failed


def test_the_task_itself(inside: Any) -> None:
    inside.attempt("start", 1, artifacts={"x": 5}, indexed="no")
    inside.attempt("work", 2, indices=(0,), inputs=(SPLIT,))
    task = Task("F/1/work/4")
    assert (task.state, task.finished, task.attempt, task.index) == ("running", False, 1, 2)
    assert [t.pathspec for t in task.parent_tasks] == ["F/1/start/1"]
    assert list(task.child_tasks) == []
    assert [t.id for t in Step("F/1/work")] == ["4", "2"]
    older = Step("F/1/work").tasks(before=task)
    assert [t.id for t in older] == ["2"]
    assert Step("F/1/work").finished_at is None


def test_other_runs_are_read_as_ever(inside: Any) -> None:
    inside.foreach("2")
    inside.attempt("end", 9, run="2", indexed="no")
    run = Run("F/2")
    assert [t.id for t in run["end"]] == ["6"]
    assert [s.id for s in run] == ["end", "join", "work", "start"]
    assert [t.id for t in Task("F/2/end/6").parent_tasks] == ["5"]
    assert [t.id for t in run["work"].tasks(state="succeeded")] == ["4", "3", "2"]


LIVE = """
    from flow_core import FlowSpec, Run, Step, Task, current, step

    class F(FlowSpec):
        @step
        def start(self):
            assert Task(current.pathspec) == current.task
            assert Run(f"F/{current.run_id}")["start"].task == current.task
            self.me, self.items = current.pathspec, [1, 2, 3]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            run = Run(f"F/{current.run_id}")
            assert run["start"].task.data.items == [1, 2, 3]
            assert Task(self.me).finished
            assert [t.pathspec for t in current.task.parent_tasks] == [self.me]
            self.next(self.join)

        @step
        def join(self, inputs):
            tasks = list(Step(f"F/{current.run_id}/work"))
            assert [t.state.replace("reused", "succeeded") for t in tasks] == ["succeeded"] * 3
            self.seen = [s.id for s in Run(f"F/{current.run_id}")]
            self.next(self.end)

        @step
        def end(self):
            assert Run(f"F/{current.run_id}")["join"].task.data.seen == self.seen

    if __name__ == "__main__":
        F()
"""


def test_in_a_real_run_and_one_that_reuses_tasks(flowtester: Any) -> None:
    file = flowtester.write(LIVE)
    flowtester.python(file, "run").check()
    assert flowtester.left().artifact("end", "seen") == ["join", "work", "start"]
    flowtester.python(file, "resume", "join").check()
    assert flowtester.left(2).artifact("end", "seen") == ["join", "work", "start"]
