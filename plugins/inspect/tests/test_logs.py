"""``logs``."""

from __future__ import annotations

import time
from typing import Any

import pytest

from flow_core.api import NotFound, RunState
from flow_inspect import logs
from flow_inspect.logs import command


@pytest.fixture
def past(here: Any) -> Any:
    here.run()
    here.attempt("start", 1, stdout="hello\nyou", stderr="careful\n")
    here.attempt("work", 2, "failed", stdout="first try\n")
    here.attempt("work", 2, attempt=1, stdout="second try\n")
    return here


def test_one_task_is_shown_as_it_wrote(past: Any) -> None:
    assert past.call(command, "F/1/start/1").out == ["hello", "you", "careful"]
    assert past.call(command, "F/1/start/1", "--stdout").out == ["hello", "you"]
    assert past.call(command, "F/1/start/1", "--stderr").out == ["careful"]
    assert past.call(command, "F/1/start/1", "--both").out == ["hello", "you", "careful"]


def test_lines_of_many_tasks_say_whose_they_are(past: Any) -> None:
    assert past.call(command, "F/1").out == [
        "[1/start/1] hello",
        "[1/start/1] you",
        "[1/start/1] careful",
        "[1/work/2] second try",
    ]
    assert past.call(command, "F/1/work").out == ["[1/work/2] second try"]


def test_an_earlier_attempt_can_be_shown(past: Any) -> None:
    assert past.call(command, "F/1/work/2", "--attempt", "0").out == ["first try"]
    with pytest.raises(NotFound) as caught:
        past.call(command, "F/1/work/2", "--attempt", "5")
    assert (caught.value.what, caught.value.where) == ("There is no attempt 5", "F/1/work/2")
    with pytest.raises(NotFound):
        past.call(command, "F/1/work/2", "--attempt", "5", "--follow")


def test_a_reused_task_shows_what_the_original_wrote_and_says_so(past: Any) -> None:
    past.run("2")
    past.attempt("start", 1, "reused", run="2", origin="F/1/start/1/0")
    past.run("3")
    past.attempt("start", 7, "reused", run="3", origin="F/2/start/1/0")
    context = past.call(command, "F/3/start/7", "--stdout")
    assert context.out == ["hello", "you"]
    assert context.err == ["[3/start/7] reused: this is what F/1/start/1/0 wrote"]


def test_characters_survive_being_read_in_pieces(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_CHUNK", 3)
    here.run()
    here.attempt(stdout="grün\n\nläuft")
    assert here.call(command, "F/1/start/1").out == ["grün", "", "läuft"]


def test_follow_shows_what_comes_and_ends_with_the_run(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = here.session.metadata
    here.run("1", "running", heartbeat_at=time.time())
    here.attempt("start", 1, "running", stdout="one\ntw")
    ticks = iter(
        [
            lambda: here.attempt("start", 1, "running", stdout="one\ntwo\n"),
            lambda: here.attempt("start", 1, stdout="one\ntwo\nthree"),
            lambda: here.attempt("end", 2, stdout="the end\n"),
            lambda: metadata.update_run("F", "1", state=RunState.SUCCEEDED),
        ]
    )
    monkeypatch.setattr(logs.time, "sleep", lambda seconds: next(ticks)())
    assert here.call(command, "F/1", "--follow").out == [
        "[1/start/1] one",
        "[1/start/1] two",
        "[1/start/1] three",
        "[1/end/2] the end",
    ]


def test_follow_leaves_a_lost_run(here: Any) -> None:
    here.run("1", "running", heartbeat_at=time.time() - 100)
    here.attempt("start", 1, "running", stdout="one\n")
    context = here.call(command, "F/1/start/1", "--follow")
    assert context.out == ["one"]
    assert context.err == ["Run F/1 has given no sign of life for a minute: it seems to be lost."]


def test_logs_that_were_copied_when_the_origin_was_removed(here: Any) -> None:
    here.run("2")
    here.attempt(run="2", state="reused", origin="F/1/start/1/0", stdout="as it was\n")
    assert here.call(command, "F/2").out == ["[2/start/1] as it was"]
