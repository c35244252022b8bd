"""The suite for types of cards finds each promise that a type breaks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flow_cards import CardTask, Component, Markdown, Table
from flow_cards.testing import CardSuite
from flow_core.testing import failures

HERE = os.getpid()


def good(task: CardTask) -> Iterator[Component]:
    """How often each class was taken for each other one."""
    yield Markdown(f"# {task.options.get('title', 'Confusion')}")
    yield Table(task.get("matrix") or [], task.get("classes") or [])


def without_docstring(task: CardTask) -> Iterator[Component]:
    return good(task)


def text(task: CardTask) -> Any:
    """A text, which is no component."""
    return "<h1>Confusion</h1>"


def raises(task: CardTask) -> Iterator[Component]:
    """Need what is not always there."""
    yield Table(task["matrix"], task["classes"])


def needs_options(task: CardTask) -> Iterator[Component]:
    """Need an option."""
    yield Markdown(task.options["title"])
    yield from good(task)


def needs_failure_text(task: CardTask) -> Iterator[Component]:
    """Show what failed, and believe that there is a traceback."""
    if task.failure is not None:
        yield Markdown(task.failure.traceback.splitlines()[-1])
    yield from good(task)


def needs_an_end(task: CardTask) -> Iterator[Component]:
    """Believe that each task has ended."""
    yield Markdown({"succeeded": "It went well", "failed": "It went wrong"}[task.state])
    yield from good(task)


def needs_times(task: CardTask) -> Iterator[Component]:
    """Show how often it could run in an hour."""
    yield Markdown(f"{3600 / (task.finished - task.started)} times an hour")
    yield from good(task)


def says_nothing(task: CardTask) -> Iterator[Component]:
    """Fail without a word where an artifact is of another type."""
    if type(task.get("matrix")) is not list:
        raise ValueError
    yield from good(task)


def tells_time(task: CardTask) -> Iterator[Component]:
    """Show when it was made."""
    yield Markdown(f"made {time.perf_counter_ns()}")
    yield from good(task)


def prints(task: CardTask) -> Iterator[Component]:
    """Say what it does."""
    print("drawing …")
    yield from good(task)


def writes(task: CardTask) -> Iterator[Component]:
    """Keep a copy beside the flow."""
    with open("confusion.txt", "w", encoding="utf-8") as file:
        file.write(str(task.get("matrix")))
    yield from good(task)


def sorts(task: CardTask) -> Iterator[Component]:
    """Sort the classes, which belong to the task."""
    classes = task.get("classes")
    if isinstance(classes, list) and all(isinstance(c, str) for c in classes):
        classes.sort()
    yield from good(task)


def shows_all(task: CardTask) -> Iterator[Component]:
    """Show each artifact, whatever it is."""
    for name in task.artifacts:
        yield Markdown(f"{name}: {task.get(name)!r}")


def shows_twice(task: CardTask) -> Iterator[Component]:
    """Show what the step added at the begin, and at the end."""
    yield from task.components
    yield from good(task)
    yield from task.components


def slow(task: CardTask) -> Iterator[Component]:
    """Take its time."""
    time.sleep(0.6)
    yield from good(task)


def at_home(task: CardTask) -> Iterator[Component]:
    """Work in the process only that has loaded it."""
    if os.getpid() != HERE:
        raise RuntimeError("this is another process")
    yield from good(task)


def sets_variable(task: CardTask) -> Iterator[Component]:
    """Choose how to draw, for all."""
    os.environ["DRAWING_BACKEND"] = "svg"
    yield from good(task)


def never_fails(task: CardTask) -> Iterator[Component]:
    """Know nothing of tasks that failed."""
    assert task.failure is None
    yield from good(task)


def never_one_of_many(task: CardTask) -> Iterator[Component]:
    """Know nothing of foreaches."""
    assert not task.foreach
    yield from good(task)


def a_paragraph_each(task: CardTask) -> Iterator[Component]:
    """Say much of each artifact, however many there are."""
    for name in task.artifacts:
        yield Markdown(f"{name}: {'it is one of the artifacts of this task. ' * 10}")


def plain_letters(task: CardTask) -> Iterator[Component]:
    """Believe that all text is of plain letters."""
    texts = [task.flow, *map(str, task.get("classes") or [])]
    texts += [part.text for part in task.components if isinstance(part, Markdown)]
    yield Markdown(b" ".join(text.encode("ascii") for text in texts).decode())
    yield from good(task)


BROKEN = [
    (never_fails, "test_draws_a_failed_task"),
    (never_one_of_many, "test_draws_an_item_of_a_foreach"),
    (a_paragraph_each, "test_draws_ten_thousand_artifacts"),
    (plain_letters, "test_escapes_what_the_step_added"),
    (plain_letters, "test_escapes_facts"),
    (plain_letters, "test_escapes_artifacts"),
    (without_docstring, "test_is_a_function_that_says_what_it_shows"),
    (text, "test_draws_a_task"),
    (raises, "test_draws_a_task_without_artifacts"),
    (needs_options, "test_draws_without_its_options"),
    (needs_failure_text, "test_draws_a_task_that_was_killed"),
    (needs_an_end, "test_draws_a_task_that_still_runs"),
    (needs_times, "test_draws_a_task_of_which_hardly_anything_is_known"),
    (says_nothing, "test_draws_artifacts_of_other_types"),
    (tells_time, "test_gives_the_same_for_the_same_data"),
    (prints, "test_changes_nothing_outside"),
    (writes, "test_changes_nothing_outside"),
    (sets_variable, "test_changes_nothing_outside"),
    (sorts, "test_does_not_change_its_data"),
    (shows_all, "test_draws_without_an_artifact_that_cannot_be_read"),
    (shows_all, "test_draws_an_artifact_that_cannot_be_shown"),
    (shows_all, "test_does_not_read_what_is_large"),
    (shows_all, "test_draws_long_values"),
    (shows_twice, "test_shows_what_the_step_added_once"),
    (slow, "test_draws_a_task"),
    (at_home, "test_draws_in_a_process_of_its_own"),
]


def suite(chosen: Any) -> type[CardSuite]:
    class TestIt(CardSuite):
        card = staticmethod(chosen)
        artifacts = {"matrix": [[5, 1], [0, 7]], "classes": ["dog", "cat"]}
        options = {"title": "Mine"}
        seconds = 0.5 if chosen is slow else 10.0

    return TestIt


@pytest.mark.parametrize(("card", "case"), BROKEN)
def test_it_finds(card: Any, case: str) -> None:
    try:
        found = failures(suite(card), case)
    finally:
        os.environ.pop("DRAWING_BACKEND", None)
    assert {name.partition("[")[0] for name in found} == {case}


def test_it_passes_what_is_good() -> None:
    assert failures(suite(good)) == {}


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(CardSuite) if name.startswith("test_")}
    # What these see is the drawing's own, which escapes all and makes the document.
    safe = {"test_is_a_document_that_needs_nothing_else", "test_escapes_options"}
    assert cases - {case for _, case in BROKEN} == safe


def test_without_pytest_it_says_what_to_install():
    code = "import sys; sys.modules['pytest'] = None; import flow_cards.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("pip install 'flow-cards[testing]'")
    assert "ModuleNotFoundError: flow_cards.testing needs pytest" in done.stderr
