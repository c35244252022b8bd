"""`Task`: state, artifacts, failure, logs, neighbours."""

from __future__ import annotations

import pickle
import time
from typing import Any

import pytest

from flow_client import DataArtifact, ObjectNotFound, Run, Step, Task
from flow_core.api import (
    Failure,
    InputRange,
    IntegrityError,
    NotFound,
    Transition,
    UsageError,
)

BOOM = Failure("error", "ValueError", "boom <b>", "Traceback …\nValueError: boom")


def test_what_a_finished_task_says(past: Any) -> None:
    past.run("1")
    past.attempt("work", 2, indices=(1, 2), notes={"gpu": "yes"})
    task = Task("F/1/work/2")
    assert (task.id, task.parent, task.attempt, task.current_attempt) == (
        "2",
        Step("F/1/work"),
        0,
        0,
    )
    assert (task.index, task.foreach_indices) == (2, (1, 2))
    assert (task.state, task.successful, task.finished, task.failed) == (
        "succeeded",
        True,
        True,
        False,
    )
    assert (task.runtime_seconds, task.cpu_seconds, task.peak_memory) == (2.5, 1.5, 4096)
    assert task.created_at is not None
    assert task.created_at.timestamp() == 2002.0
    assert task.exception is None
    assert task.origin_pathspec is None
    assert task.code is None
    facts = task.metadata_dict
    assert (facts["host"], facts["pid"], facts["gpu"], facts["state"]) == (
        "box",
        77,
        "yes",
        "succeeded",
    )
    assert {fact.name: fact.value for fact in task.metadata} == facts
    assert task.tags == Run("F/1").tags


def test_outside_of_a_foreach_there_is_no_index(past: Any) -> None:
    past.run("1")
    past.attempt()
    assert (Task("F/1/start/1").index, Task("F/1/start/1").foreach_indices) == (None, ())


# --- state --------------------------------------------------------------------------------------


def test_a_task_that_failed_for_good_is_finished(past: Any) -> None:
    past.run("1", "failed")
    past.attempt(state="failed", failure=BOOM, artifacts={"x": 1})
    task = Task("F/1/start/1")
    assert (task.state, task.successful, task.finished, task.failed) == (
        "failed",
        False,
        True,
        True,
    )
    assert task.exception is not None
    assert task.exception.type == "ValueError"
    assert task.exception.message == "boom <b>"
    assert task.exception.traceback.startswith("Traceback")
    assert str(task.exception) == "ValueError: boom <b>"
    assert task.data.x == 1  # what was set before the failure
    assert "boom &lt;b&gt;" in task._repr_html_()


def test_a_failed_task_that_may_be_tried_again_is_not_finished(past: Any) -> None:
    plans = {"start": {"retry": {"times": 1}}}
    past.run("1", "running", heartbeat_at=time.time(), plans=plans)
    past.attempt(state="failed", failure=BOOM)
    task = Task("F/1/start/1")
    assert (task.state, task.finished, task.failed) == ("failed", False, False)
    assert Task("F/1/start/1", attempt=0).finished
    past.attempt(attempt=1, state="failed", failure=BOOM)
    assert (task.attempt, task.finished, task.failed) == (1, True, True)


def test_a_death_that_a_plugin_will_record_is_not_the_end(past: Any) -> None:
    plans = {"start": {"retry": {"times": 0}, "handles_failure": True}}
    past.run("1", "running", heartbeat_at=time.time(), plans=plans)
    past.attempt(state="failed", failure=Failure("killed", "SIGKILL", "killed"))
    task = Task("F/1/start/1")
    assert not task.finished
    past.attempt(attempt=1, state="caught", failure=Failure("killed", "SIGKILL", "killed"))
    assert (task.state, task.finished, task.successful, task.failed) == (
        "caught",
        True,
        False,
        False,
    )
    assert task.exception is not None
    assert task.exception.cause == "killed"


def test_a_running_task_is_read_again(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time(), parameters={"alpha": 1})
    past.attempt(state="running")
    task = Task("F/1/start/1")
    assert (task.state, task.finished, task.finished_at) == ("running", False, None)
    assert task.runtime_seconds is not None
    assert [a.id for a in task] == ["alpha"]
    assert list(task.parent_tasks) == []
    past.attempt(artifacts={"x": 1})
    assert (task.state, task.finished) == ("succeeded", True)
    assert [a.id for a in task] == ["alpha", "x"]


def test_in_a_dead_run_the_manifest_counts_not_the_index(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time() - 100)
    past.attempt("start", 1, indexed="running", artifacts={"x": 1})
    past.attempt("work", 2, "running")
    assert (Task("F/1/start/1").state, Task("F/1/start/1").data.x) == ("succeeded", 1)
    lost = Task("F/1/work/2")
    assert (lost.state, lost.finished, lost.failed, lost.runtime_seconds) == (
        "lost",
        True,
        True,
        None,
    )


def test_a_task_that_the_index_does_not_know_yet_is_found_in_the_store(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time())
    manifest = past.attempt("start", 1, run="1", artifacts={"x": 1})
    other = manifest._replace(task=8, step="work", failure=BOOM)
    past.session.store.write([(other.key, other.encode())])
    assert Task("F/1/work/8").data.x == 1
    assert Task("F/1/work/8").exception is not None


def test_a_reused_failure_that_was_caught_is_no_success(past: Any) -> None:
    past.run("1")
    past.attempt(state="reused", failure=BOOM, origin="F/0/start/1/0")
    assert not Task("F/1/start/1").successful


# --- attempts -----------------------------------------------------------------------------------


def test_each_attempt_can_be_read(past: Any) -> None:
    past.run("1")
    past.attempt(state="failed", failure=BOOM, artifacts={"x": 0}, logs={"stdout": "first"})
    past.attempt(attempt=1, artifacts={"x": 1}, logs={"stdout": "second"})
    task, first = Task("F/1/start/1"), Task("F/1/start/1", attempt=0)
    assert (task.attempt, task.data.x, task.stdout) == (1, 1, "second")
    assert (first.attempt, first.data.x, first.stdout) == (0, 0, "first")
    assert (first.state, first.finished) == ("failed", True)
    assert [(a.attempt, a.state) for a in task.attempts] == [(0, "failed"), (1, "succeeded")]
    assert DataArtifact("F/1/start/1/x", attempt=0).data == 0
    assert first != task
    assert repr(first) == "Task('F/1/start/1', attempt=0)"
    assert pickle.loads(pickle.dumps(first)).data.x == 0


def test_a_missing_attempt_says_which_there_are(past: Any) -> None:
    past.run("1")
    past.attempt(state="failed")
    past.attempt(attempt=1)
    with pytest.raises(ObjectNotFound) as caught:
        Task("F/1/start/1", attempt=5)
    assert caught.value.what == "Task 'F/1/start/1' has no attempt 5"
    assert caught.value.hint == "attempts: 0, 1"
    with pytest.raises(UsageError, match="-1 is not the number of an attempt"):
        Task("F/1/start/1", attempt=-1)


def test_a_missing_task_says_which_there_are(past: Any) -> None:
    past.foreach()
    with pytest.raises(ObjectNotFound) as caught:
        Task("F/1/work/9")
    assert str(caught.value) == (
        "Step 'F/1/work' has no task '9'\n"
        "  where: memory://here\n"
        "  why:   the index knows no such task\n"
        "  try:   newest tasks: 4, 3, 2"
    )
    with pytest.raises(ObjectNotFound) as caught:
        Task("F/1/work/last")
    assert caught.value.why == "tasks have numbers"


# --- artifacts ----------------------------------------------------------------------------------


def test_artifacts_include_parameters_and_constants(past: Any) -> None:
    past.run("1", parameters={"learning-rate": 0.5}, constants={"LIMIT": 7})
    past.attempt(artifacts={"x": [1], "_private": 2})
    task = Task("F/1/start/1")
    assert [a.id for a in task] == ["LIMIT", "learning_rate", "x"]
    assert [a.id for a in task.artifacts] == ["LIMIT", "learning_rate", "x"]
    assert (task.data.learning_rate, task.data.LIMIT, task.data.x) == (0.5, 7, [1])
    assert (task["_private"].data, task.data._private) == (2, 2)
    assert "x" in task.data
    assert "y" not in task.data
    assert "x" in task
    assert dir(task.data) == ["LIMIT", "_private", "learning_rate", "x"]
    assert repr(task.data) == "<FlowData of F/1/start/1: LIMIT, _private, learning_rate, x>"
    assert pickle.loads(pickle.dumps(task.data)).x == [1]


def test_a_missing_artifact_shows_near_ones(past: Any) -> None:
    past.run("1")
    past.attempt(artifacts={"model": 1})
    with pytest.raises(ObjectNotFound) as caught:
        DataArtifact("F/1/start/1/modle")
    assert str(caught.value) == (
        "Task 'F/1/start/1' has no artifact 'modle'\n"
        "  where: attempt 0\n"
        "  try:   did you mean 'model'?"
    )
    with pytest.raises(AttributeError, match="did you mean 'model'"):
        Task("F/1/start/1").data.modle


def test_an_artifact_tells_of_itself_without_being_read(past: Any) -> None:
    past.run("1")
    manifest = past.attempt(artifacts={"x": list(range(5000))})
    artifact = Task("F/1/start/1")["x"]
    assert artifact == DataArtifact("F/1/start/1/x")
    assert artifact.pathspec == "F/1/start/1/x"
    assert artifact.sha == manifest.artifacts["x"].hash
    assert artifact.size == manifest.artifacts["x"].size
    assert artifact.type == "list"
    assert artifact.parent == Task("F/1/start/1")
    assert artifact.created_at == artifact.finished_at == artifact.parent.finished_at
    assert pickle.loads(pickle.dumps(artifact)).data == list(range(5000))


def test_damaged_data_is_never_unpickled(past: Any) -> None:
    past.run("1")
    manifest = past.attempt(artifacts={"x": list(range(5000))})
    digest = manifest.artifacts["x"].hash
    past.session.store.write(
        [(f"blobs/{digest[:2]}/{digest}", b"c" * manifest.artifacts["x"].size)]
    )
    with pytest.raises(IntegrityError, match="artifact 'x' of F/1/start/1 is damaged"):
        Task("F/1/start/1").data.x


def test_a_damaged_manifest_is_not_believed(past: Any) -> None:
    past.run("1")
    manifest = past.attempt(artifacts={"x": 1})
    past.session.store.write([(manifest.key, manifest.encode().replace(b'"x"', b'"y"'))])
    with pytest.raises(IntegrityError):
        Task("F/1/start/1").data.x


def test_a_listed_task_costs_no_read_of_the_store(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.foreach()
    reads: list[Any] = []
    real = past.session.store.read
    monkeypatch.setattr(past.session.store, "read", lambda keys: reads.append(keys) or real(keys))
    tasks = list(Step("F/1/work"))
    assert [(t.state, t.index, t.successful) for t in tasks] == [
        ("succeeded", 2, True),
        ("succeeded", 1, True),
        ("succeeded", 0, True),
    ]
    assert reads == []


# --- logs ---------------------------------------------------------------------------------------


def test_logs_are_text(past: Any) -> None:
    past.run("1")
    past.attempt(logs={"stdout": "grün\nzwei\n\nvier", "stderr": "bad\n"})
    task = Task("F/1/start/1")
    assert (task.stdout, task.stderr) == ("grün\nzwei\n\nvier", "bad\n")
    assert (task.stdout_size, task.stderr_size) == (16, 4)
    assert list(task.loglines()) == ["grün", "zwei", "", "vier"]
    assert list(task.loglines("stderr")) == ["bad"]
    with pytest.raises(UsageError, match="There is no stream 'out'"):
        task.loglines("out")


def test_long_logs_are_read_in_pieces(past: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_client.reader._LOG_CHUNK", 3)
    past.run("1")
    past.attempt(logs={"stdout": "grün\nläuft\n"})
    assert Task("F/1/start/1").stdout == "grün\nläuft\n"
    assert list(Task("F/1/start/1").loglines()) == ["grün", "läuft"]


def test_a_task_that_wrote_nothing_has_empty_logs(past: Any) -> None:
    past.run("1")
    past.attempt()
    assert (Task("F/1/start/1").stdout, Task("F/1/start/1").stdout_size) == ("", 0)
    assert list(Task("F/1/start/1").loglines()) == []


def test_a_reused_task_shows_the_logs_of_where_it_ran(past: Any) -> None:
    for run in "123":
        past.run(run)
    past.attempt(run="1", attempt=1, logs={"stdout": "long ago"})
    past.attempt(run="2", task=4, state="reused", origin="F/1/start/1/1")
    past.attempt(run="3", task=9, state="reused", origin="F/2/start/4/0")
    task = Task("F/3/start/9")
    assert (task.state, task.successful, task.finished) == ("reused", True, True)
    assert (task.stdout, task.stdout_size) == ("long ago", 8)
    assert task.origin_pathspec == "F/2/start/4"


# --- neighbours ---------------------------------------------------------------------------------


def test_parents_and_children(past: Any) -> None:
    past.foreach()

    def names(tasks: Any) -> list[str]:
        return [t.pathspec.removeprefix("F/1/") for t in tasks]

    start, work = Task("F/1/start/1"), Task("F/1/work/3")
    assert names(start.parent_tasks) == []
    assert names(start.child_tasks) == ["work/2", "work/3", "work/4"]
    assert names(work.parent_tasks) == ["start/1"]
    assert names(work.child_tasks) == ["join/5"]
    assert names(Task("F/1/join/5").parent_tasks) == ["work/2", "work/3", "work/4"]
    assert names(Task("F/1/end/6").child_tasks) == []


def test_neighbours_of_a_step_that_repeats(past: Any) -> None:
    past.run("1")
    again, on = Transition(("work",), "more", case="True"), Transition(("join",), "more")
    for index, first in ((0, 2), (1, 3)):
        ways = [(first, 0, again, InputRange("start", 1, 1, 0))]
        ways.append((first + 2, 1, on, InputRange("work", first, first, 0)))
        for task, iteration, way, before in ways:
            facts = {"iteration": iteration, "transition": way, "inputs": (before,)}
            past.attempt("work", task, indices=(index,), **facts)
    past.attempt("start", 1, transition=Transition(("work",), "items", 2))
    past.attempt("join", 6, inputs=(InputRange("work", 4, 5, 0),))
    tasks = {n: Task(f"F/1/work/{n}") for n in (2, 3, 4, 5)}
    assert [task.iteration for task in tasks.values()] == [0, 0, 1, 1]
    assert [t.id for t in Task("F/1/start/1").child_tasks] == ["2", "3"]
    assert [t.id for t in tasks[2].child_tasks] == ["4"]
    assert [t.id for t in tasks[3].child_tasks] == ["5"]
    assert [t.id for t in tasks[5].child_tasks] == ["6"]
    assert [t.id for t in tasks[5].parent_tasks] == ["3"]


def test_the_parent_of_a_join_of_nothing_is_what_split(past: Any) -> None:
    past.run("1")
    past.attempt("start", 1, transition=Transition(("work",), "items", 0))
    past.attempt("join", 2, inputs=(InputRange("start", 1, 0, 0),))
    assert [t.pathspec for t in Task("F/1/join/2").parent_tasks] == ["F/1/start/1"]


def test_neighbours_of_a_wide_foreach_are_read_page_by_page(past: Any) -> None:
    past.run("1")
    split, branches = InputRange("start", 1, 1, 0), InputRange("work", 2, 101, 0)
    past.attempt("start", 1)
    for index in range(100):
        past.attempt("work", 2 + index, indices=(index,), inputs=(split,))
    past.attempt("join", 102, inputs=(branches,))
    ids = [str(number) for number in range(2, 102)]
    assert [t.id for t in Task("F/1/start/1").child_tasks] == ids
    assert [t.id for t in Task("F/1/join/102").parent_tasks] == ids
    assert [t.id for t in Task("F/1/work/77").child_tasks] == ["102"]
    assert [t.id for t in Task("F/1/work/77").parent_tasks] == ["1"]


def test_not_found_is_a_lookup_error_of_both_kinds(past: Any) -> None:
    past.run("1")
    past.attempt()
    with pytest.raises(KeyError):
        Task("F/1/start/1")["x"]
    with pytest.raises(NotFound):
        Task("F/1/start/1")["x"]


def test_the_facts_of_its_run_are_told_too(past: Any) -> None:
    past.run("1", plans={"work": {"compute": "local"}})
    past.attempt("start", 1)
    past.attempt("work", 2, "reused", indices=(1,), origin="F/0/work/7/1")
    facts = Task("F/1/work/2").metadata_dict
    assert facts["origin_run_id"] == "0"
    assert facts["origin_task_id"] == "7"
    assert facts["foreach_stack"] == ["start:items[1]"]
    assert (facts["compute"], facts["user"], facts["python"]) == ("local", "ada", "3.11")
    assert facts["datastore"] == "memory://here"
    ordinary = Task("F/1/start/1")
    assert ordinary.metadata_dict["origin_run_id"] is None, "and not the text 'None'"
    fact = next(f for f in ordinary.metadata if f.name == "attempt")
    assert (fact.value, fact.type, fact.task) == (0, "attempt", ordinary)


def test_neighbours_by_their_pathspecs(past: Any) -> None:
    past.foreach()
    assert list(Task("F/1/join/5").parent_task_pathspecs) == [f"F/1/work/{n}" for n in (2, 3, 4)]
    assert list(Task("F/1/join/5").child_task_pathspecs) == ["F/1/end/6"]


def test_lines_as_bytes(past: Any) -> None:
    past.run("1")
    past.attempt("start", 1, logs={"stdout": "grün\nblau"})
    task = Task("F/1/start/1")
    assert list(task.loglines("stdout", as_unicode=False)) == ["grün".encode(), b"blau"]
    assert list(task.loglines()) == ["grün", "blau"]


def test_logs_that_were_copied_when_the_origin_was_removed(past: Any) -> None:
    past.run("2")
    past.attempt("start", 1, "reused", run="2", origin="F/1/start/1/0", logs={"stderr": "mine"})
    task = Task("F/2/start/1")
    assert (task.stdout, task.stderr) == ("", "mine")


def test_artifacts_in_a_notebook(past: Any) -> None:
    past.run("1")
    past.attempt("start", 1, artifacts={"x": "<b>"})
    html = Task("F/1/start/1")["x"]._repr_html_()
    assert "<td>type</td><td>str</td>" in html
    assert "<caption>F/1/start/1/x</caption>" in html
    assert Task("F/1/start/1").data._repr_html_() == Task("F/1/start/1")._repr_html_()
