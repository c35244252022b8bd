"""`Run`: state, tags, parameters, code, end task."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from datetime import timezone
from typing import Any

import pytest

from flow_client import Flow, ObjectNotFound, Run
from flow_core.api import RunState, UsageError


def test_what_a_finished_run_says(past: Any) -> None:
    past.run("3", tags=["good"], origin="F/1", finished_at=1010.0)
    run = Run("F/3")
    assert run.id == "3"
    assert run.path_components == ["F", "3"]
    assert run.parent == Flow("F")
    assert (run.state, run.successful, run.finished, run.failed) == ("succeeded", True, True, False)
    assert run.created_at.timestamp() == 1003.0
    assert run.created_at.tzinfo is not None
    assert run.finished_at is not None
    assert run.finished_at.astimezone(timezone.utc).timestamp() == 1010.0
    assert run.origin_pathspec == "F/1"
    assert run.tags == {"good", "user:ada"}
    assert (run.user_tags, run.system_tags) == ({"good"}, {"user:ada"})
    assert run.info["python"] == "3.11"
    assert run.graph["steps"]["start"]["targets"] == ["work"]
    assert repr(run) == "Run('F/3')"


def test_a_failed_run_says_why(past: Any) -> None:
    past.run("1", "failed", message="step 'work': boom")
    run = Run("F/1")
    assert (run.successful, run.finished, run.failed) == (False, True, True)
    assert run.message == "step 'work': boom"
    assert run.end_task is None
    assert run.data is None


def test_a_running_run_is_read_again(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time())
    run = Run("F/1")
    assert (run.state, run.finished, run.finished_at) == ("running", False, None)
    past.session.metadata.update_run("F", "1", state=RunState.SUCCEEDED, finished_at=5000.0)
    assert (run.state, run.successful, run.finished) == ("succeeded", True, True)


def test_a_run_without_heartbeat_is_lost(past: Any) -> None:
    past.run("1", "running", heartbeat_at=time.time() - 61)
    run = Run("F/1")
    assert (run.state, run.finished, run.failed) == ("lost", True, True)


@pytest.mark.skipif(os.name != "posix", reason="only there a process can be asked for")
def test_a_run_whose_launcher_here_is_gone_is_lost_at_once(past: Any) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    here = os.uname().nodename
    past.run("1", "running", heartbeat_at=time.time(), host=here, pid=ended.pid)
    past.run("2", "running", heartbeat_at=time.time(), host=here, pid=os.getpid())
    past.run("3", "running", heartbeat_at=time.time(), host="elsewhere", pid=ended.pid)
    assert [Run(f"F/{n}").state for n in (1, 2, 3)] == ["lost", "running", "running"]


def test_a_run_that_ends_while_it_is_looked_at_is_not_lost(
    past: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    past.run("1", "running", heartbeat_at=time.time())
    run = Run("F/1")

    def gone(record: Any) -> bool:
        past.session.metadata.update_run("F", "1", state=RunState.SUCCEEDED)
        return True

    monkeypatch.setattr("flow_client.run.seems_lost", gone)
    assert run.state == "succeeded"


def test_a_missing_run_shows_the_latest_ones(past: Any) -> None:
    for number in range(1, 8):
        past.run(str(number))
    with pytest.raises(ObjectNotFound) as caught:
        Run("F/99")
    assert str(caught.value) == (
        "There is no run 'F/99'\n"
        "  where: memory://here\n"
        "  why:   the index knows no such run of the flow\n"
        "  try:   latest runs: 7, 6, 5, 4, 3"
    )


def test_a_missing_run_of_a_missing_flow_is_about_the_flow(past: Any) -> None:
    with pytest.raises(ObjectNotFound, match="There is no flow 'X'"):
        Run("X/1")


# --- tags ---------------------------------------------------------------------------------------


def test_tags_are_added_removed_and_replaced(past: Any) -> None:
    past.run("1", tags=["a"])
    run = Run("F/1")
    run.add_tag("b")
    run.add_tags(["c", "d"])
    run.remove_tag("a")
    run.remove_tags(["c"])
    run.replace_tag("d", "e")
    run.replace_tags(["e"], ["f"])
    assert run.user_tags == {"b", "f"}
    assert Run("F/1").user_tags == {"b", "f"}


def test_a_system_tag_cannot_be_removed_and_need_not_be_added(past: Any) -> None:
    past.run("1")
    run = Run("F/1")
    with pytest.raises(UsageError, match="The tag 'user:ada' cannot be removed"):
        run.remove_tag("user:ada")
    run.add_tag("user:ada")
    assert run.user_tags == frozenset()


def test_text_is_no_list_of_tags(past: Any) -> None:
    past.run("1")
    with pytest.raises(UsageError, match="A list of tags is wanted, not the text 'abc'"):
        Run("F/1").add_tags("abc")


# --- content ------------------------------------------------------------------------------------


def test_parameters_are_a_mapping(past: Any) -> None:
    past.run("1", parameters={"alpha": 0.5, "words": ["a"]})
    parameters = Run("F/1").parameters
    assert dict(parameters) == {"alpha": 0.5, "words": ["a"]}
    assert len(parameters) == 2
    assert "alpha" in parameters
    assert parameters.get("beta") is None
    assert repr(parameters) == "<Parameters alpha, words>"


def test_steps_come_newest_first(past: Any) -> None:
    past.foreach()
    run = Run("F/1")
    assert [s.id for s in run] == ["end", "join", "work", "start"]
    assert run["work"].pathspec == "F/1/work"
    assert "work" in run
    assert "walk" not in run


def test_data_is_that_of_the_end_task(past: Any) -> None:
    past.foreach()
    run = Run("F/1")
    assert run.end_task is not None
    assert run.end_task.pathspec == "F/1/end/6"
    assert run.data is not None
    assert run.data.total == 14


def test_equality_hash_and_pickle_go_by_pathspec(past: Any) -> None:
    past.run("1", user="bob")
    past.run("2")
    one = Run._restore("F/1", None)
    assert one == Run._restore("F/1", None)
    assert one != Run("F/2")
    assert len({one, Run._restore("F/1", None)}) == 1
    assert one != "F/1"
    # What was found once is found again, whatever the namespace.
    assert pickle.loads(pickle.dumps(one)) == one


def test_the_table_of_a_notebook_escapes_everything(past: Any) -> None:
    past.run("1", "failed", message="<script>")
    past.attempt("start", 1)
    html = Run("F/1")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<td>start</td><td>1</td><td>1 succeeded</td>" in html
