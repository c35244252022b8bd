"""The types of cards that come with the plugin pass the suite that authors of others inherit."""

from __future__ import annotations

from collections.abc import Iterator

from flow_cards import CardTask, Component, Markdown, Table
from flow_cards.testing import CardSuite


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


def confusion(task: CardTask) -> Iterator[Component]:
    """How often each class was taken for each other one."""
    yield Markdown("# Confusion")
    yield Table(task.get("matrix") or [], task.get("classes") or [])


class TestFunction(CardSuite):
    card = staticmethod(confusion)
    artifacts = {"matrix": [[5, 1], [0, 7]], "classes": ["cat", "dog"]}
