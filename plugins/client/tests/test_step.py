"""`Step`: its tasks, newest first, and its neighbours."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from flow_client import ObjectNotFound, Run, Step, Task
from flow_core.api import Failure, UsageError


def test_tasks_come_newest_first(past: Any) -> None:
    past.foreach()
    step = Step("F/1/work")
    assert [t.id for t in step] == ["4", "3", "2"]
    assert step.task == Task("F/1/work/4")
    assert step["3"] == step[3] == Task("F/1/work/3")
    assert "3" in step
    assert "5" not in step
    assert [t.id for t in step.tasks(limit=2)] == ["4", "3"]


def test_it_knows_its_run_times_and_neighbours(past: Any) -> None:
    past.foreach()
    step = Step("F/1/work")
    assert step.parent == Run("F/1")
    assert step.tags == {"user:ada"}
    assert (step.user_tags, step.system_tags) == (frozenset(), {"user:ada"})
    assert step.created_at is not None
    assert step.created_at.timestamp() == 2002.0
    assert step.finished_at is not None
    assert step.finished_at.timestamp() == 2006.5
    assert [s.id for s in step.parent_steps] == ["start"]
    assert [s.id for s in step.child_steps] == ["join"]
    assert pickle.loads(pickle.dumps(step)) == step


def test_a_step_with_a_running_task_is_not_finished(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time())
    past.attempt("start", 1)
    past.attempt("work", 2)
    past.attempt("work", 3, "running")
    assert Step("F/1/work").finished_at is None
    assert Step("F/1/start").finished_at is not None


def test_a_step_of_the_graph_that_has_not_started_is_empty(past: Any) -> None:
    past.run("1")
    step = Step("F/1/work")
    assert (step.task, list(step), step.created_at, step.finished_at) == (None, [], None, None)


def test_tasks_are_filtered_by_state(past: Any) -> None:
    past.run("1", "failed")
    past.attempt("work", 1)
    past.attempt("work", 2, "failed")
    past.attempt("work", 3, "failed")
    past.attempt("work", 3, attempt=1)
    past.attempt("work", 4, indexed="running")  # the index lags behind its manifest
    past.attempt("work", 5, "running")
    tasks = Step("F/1/work").tasks
    assert [t.id for t in tasks(state="succeeded")] == ["4", "3", "1"]
    assert [t.id for t in tasks(state="failed")] == ["2"]
    assert [t.id for t in tasks(state="lost")] == ["5"]
    assert list(tasks("running")) == []


def test_an_unknown_state_is_refused(past: Any) -> None:
    past.run("1")
    with pytest.raises(UsageError, match="There is no state 'okay' of a task"):
        Step("F/1/start").tasks(state="okay")


def test_a_missing_step_shows_near_ones(past: Any) -> None:
    past.run("1")
    with pytest.raises(ObjectNotFound) as caught:
        Step("F/1/wrok")
    assert str(caught.value) == (
        "Run 'F/1' has no step 'wrok'\n"
        "  where: memory://here\n"
        "  why:   neither its graph nor its tasks know the step\n"
        "  try:   did you mean 'work'?"
    )
    with pytest.raises(KeyError):
        Run("F/1")["nothing"]


@pytest.mark.parametrize("ids", [[7], [1, 2, 3], [5, 900, 40_000], [*range(100, 150), 9000]])
def test_ids_may_lie_far_apart(past: Any, ids: list[int]) -> None:
    past.run("1")
    for task in ids:
        past.attempt("work", task)
    step = Step("F/1/work")
    assert [int(t.id) for t in step] == sorted(ids, reverse=True)
    assert step.task is not None
    assert int(step.task.id) == max(ids)


def test_a_listing_reads_the_details_of_its_tasks_at_once(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("1")
    for task in range(1, 21):
        past.attempt("work", task)
    calls: list[dict[str, Any]] = []
    real = past.session.metadata.attempts

    def attempts(*arguments: Any, **options: Any) -> Any:
        calls.append(options)
        found = real(*arguments, **options)
        return [type(r)(*r[:7]) for r in found] if options.get("brief") else found

    monkeypatch.setattr(past.session.metadata, "attempts", attempts)
    tasks = list(Step("F/1/work"))
    before = len(calls)
    assert all(task.state == "succeeded" and task.index is None for task in tasks)
    assert len(calls) == before, "a listing knows the states"
    assert all(task.finished_at is not None for task in tasks)
    assert all(task.successful for task in tasks)
    assert len(calls) == before + 1, "what it lacks is read once for all"


def test_a_listed_task_that_was_tried_again_since(past: Any) -> None:
    past.run("1", state="running")
    past.attempt("work", 1, state="failed", failure=Failure("error", "E", "boom"))
    past.attempt("work", 2)
    task = list(Step("F/1/work"))[1]
    past.attempt("work", 1, attempt=1)
    assert (task.attempt, task.successful) == (0, False), "it had failed for good"
    assert task.finished_at == Task("F/1/work/1", attempt=0).finished_at


def test_many_tasks_are_read_page_by_page(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_client.reader.PAGE", 10)
    past.run("1")
    for task in range(3, 58):
        past.attempt("work", task)
    pages: list[int] = []
    real = past.session.metadata.attempts

    def attempts(*arguments: Any, **options: Any) -> Any:
        found = real(*arguments, **options)
        pages.append(len(found))
        return found

    monkeypatch.setattr(past.session.metadata, "attempts", attempts)
    assert [int(t.id) for t in Step("F/1/work")] == list(range(57, 2, -1))
    assert max(pages) <= 20


def gang(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the step `start` lead to `work` with ``num_parallel``, and write a run of it."""
    graph = type(past).run.__globals__["GRAPH"]
    monkeypatch.setitem(graph["steps"]["start"], "kind", "parallel")
    past.foreach()


def test_the_main_task_of_a_gang(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gang(past, monkeypatch)
    step = Step("F/1/work")
    assert step.control_task == Task("F/1/work/2")
    assert list(step.control_tasks()) == [Task("F/1/work/2")]
    assert list(Task("F/1/start/1").child_tasks) == [Task(f"F/1/work/{n}") for n in (2, 3, 4)]


def test_other_steps_have_no_main_task(past: Any) -> None:
    past.foreach()
    assert Step("F/1/work").control_task is None
    assert Step("F/1/start").control_task is None


def test_tasks_are_filtered_by_tags_of_the_run_and_taken_in_pages(past: Any) -> None:
    past.foreach()
    Run("F/1").add_tag("a")
    step = Step("F/1/work")
    assert [t.id for t in step.tasks("a", state=["succeeded", "failed"], limit=2)] == ["4", "3"]
    assert list(step.tasks("b")) == list(step.control_tasks("b")) == []
    assert list(Run("F/1").steps("b")) == []
    assert len(list(Run("F/1").steps("a", "user:ada"))) == 4
    third = Task("F/1/work/3")
    assert [t.id for t in step.tasks(before=third)] == ["2"]
    assert [t.id for t in step.tasks(state="succeeded", before=third)] == ["2"]


def test_what_a_step_ran_in(past: Any) -> None:
    past.run("1", plans={"start": {"compute": "local", "environment": None}})
    past.attempt("start", 1)
    found = {"environment": None, "variables": {}, "python": "3.11"}
    assert Step("F/1/start").environment_info == found
    assert Task("F/1/start/1").environment_info == {**found, "host": "box"}
    assert Task("F/1/start/1").runtime_name == "local"


def test_a_notebook_shows_the_tasks(past: Any) -> None:
    past.foreach()
    html = Step("F/1/work")._repr_html_()
    assert "<td>4</td><td>succeeded</td><td>2</td><td>2.5</td>" in html
