"""The types of cards that come with the plugin pass the suite that authors of others inherit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_cards import CardTask, Component, Markdown, Table
from flow_cards.testing import CardSuite, Page, card_task, render
from flow_cards.types import default, html
from flow_core.api import Failure, NotFound


class TestDefault(CardSuite):
    card = "default"
    artifacts = {"accuracy": 0.93, "names": ["a", "b"], "model": {"depth": 3}}


class TestBlank(CardSuite):
    card = "blank"
    options = {"title": "Mine"}


class TestError(CardSuite):
    card = "error"
    options = {"title": "It failed", "text": "Traceback\nValueError: x"}


class TestHtml(CardSuite):
    card = "html"
    artifacts = {"html": "<h1>Hello</h1>"}

    def test_draws_a_task_without_artifacts(self) -> None:
        """One that succeeded should have left the page."""
        with pytest.raises(NotFound) as caught:
            self.draw(self.task(artifacts={"htlm": "x"}))
        assert caught.value.what == "The task has no artifact 'html', which would be the page"
        assert caught.value.hint == "did you mean 'htlm'?"

    def test_draws_a_task_of_which_hardly_anything_is_known(self) -> None:
        task = CardTask("F", "1", "start", 1, state="running", options=self.options)
        self.check(self.draw(task))

    def test_of_a_failed_task_it_says_why(self) -> None:
        failed = card_task(state="failed", failure=Failure("error", "ValueError", "no good"))
        assert "ValueError: no good" in Page(render(html, failed)).text


class TestLogs:
    def test_the_traceback_is_shown_once(self) -> None:
        trace = "Traceback (most recent call last):\n  in start\nValueError: no good"
        failure = Failure("error", "ValueError", "no good", trace)
        logs = {"stdout": "", "stderr": f"before\n{trace}\n"}
        text = Page(render(default, card_task(state="failed", failure=failure, logs=logs))).text
        assert text.count("in start") == 1
        assert "before" in text


def test_what_a_task_asked_for_and_what_to_do_next() -> None:
    starved = Failure("out-of-memory", "", "too big", hint="@resources(memory=9000)")
    asked = {"memory": 64000.0, "cpu": 0.5, "gpu": 2, "chips": 3}
    text = Page(render(default, card_task(state="failed", failure=starved, resources=asked))).text
    assert "chips 3, cpu 0.5, gpu 2, memory 64,000 MB" in text
    assert "try: @resources(memory=9000)" in text


def confusion(task: CardTask) -> Iterator[Component]:
    """How often each class was taken for each other one."""
    yield Markdown("# Confusion")
    yield Table(task.get("matrix") or [], task.get("classes") or [])


class TestFunction(CardSuite):
    card = staticmethod(confusion)
    artifacts = {"matrix": [[5, 1], [0, 7]], "classes": ["cat", "dog"]}
