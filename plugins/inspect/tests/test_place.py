"""What the commands are about: a run, a step or a task, named with or without the flow."""

from __future__ import annotations

from typing import Any

import pytest

from flow_core.api import NotFound, UsageError
from flow_inspect.dump import command
from flow_inspect.place import Place, attempts, read_place


class F:
    """Stands for a flow class."""


@pytest.mark.parametrize(
    ("flow", "text", "place"),
    [
        (None, "F/3", Place("F", "3")),
        (None, "F/3/start", Place("F", "3", "start")),
        (None, "F/3/start/1", Place("F", "3", "start", 1)),
        (F, "3", Place("F", "3")),
        (F, "3/start", Place("F", "3", "start")),
        (F, "3/start/1", Place("F", "3", "start", 1)),
        (F, "G/3/start", Place("G", "3", "start")),
    ],
)
def test_pathspecs(here: Any, flow: Any, text: str, place: Place) -> None:
    context = here.call(command, "--help", flow=flow)
    assert read_place(context, text) == place


@pytest.mark.parametrize("text", ["3", "F", "F/", "F/1/s/x", "F/1/s/1/x", "F//s", ""])
def test_a_wrong_form_shows_the_right_ones(here: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        here.call(command, text)
    assert caught.value.what == f"'{text}' names no run, step or task"
    assert caught.value.why == "a pathspec is Flow/run, Flow/run/step or Flow/run/step/task"
    assert "command MyFlow/3/start/1" in str(caught.value.hint)


def test_what_is_missing_says_what_there_is(here: Any) -> None:
    here.run()
    here.attempt("start", 1)
    with pytest.raises(NotFound) as caught:
        here.call(command, "F/9")
    assert str(caught.value) == (
        "There is no run F/9\n"
        "  where: memory://here\n"
        "  why:   the index does not know it\n"
        "  try:   latest runs: 1"
    )
    with pytest.raises(NotFound, match="No task of step 'strat' has started") as caught:
        here.call(command, "F/1/strat")
    assert caught.value.hint == "did you mean 'start'?"
    with pytest.raises(NotFound, match="Step F/1/start has no task 7") as caught:
        here.call(command, "F/1/start/7")
    assert caught.value.hint == "its first tasks: 1"
    with pytest.raises(NotFound) as caught:
        here.call(command, "G/1")
    assert caught.value.hint == "known names: F"


def test_many_tasks_are_read_page_by_page(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flow_inspect.place._PAGE", 3)
    here.run()
    for task in range(1, 9):
        here.attempt("work", task)
    here.attempt("work", 4, "failed", attempt=1)
    place = Place("F", "1")
    assert [r.task for r in attempts(here.session, place)] == [*range(1, 9)]
    assert [r.task for r in attempts(here.session, place, 1)] == [4]
