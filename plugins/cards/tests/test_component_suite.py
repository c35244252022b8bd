"""The suite for components finds each promise that a component breaks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from flow_cards import Component, Markdown, ProgressBar, Template
from flow_cards.testing import ComponentSuite
from flow_core.testing import failures

COUNT = itertools.count()


@dataclass(frozen=True)
class Score(Component):
    """A score under its name, as a bar."""

    name: str
    value: float = 0.5
    live: ClassVar[tuple[str, ...]] = ("value",)

    def parts(self) -> Iterator[Component]:
        yield Markdown(f"**{self.name}**")
        yield ProgressBar(max=1, value=self.value)


@dataclass(frozen=True)
class Silent(Score):
    pass


@dataclass
class Thawed(Component):
    """Can be changed."""

    name: str

    def parts(self) -> Iterator[Component]:
        yield Markdown(self.name)


@dataclass(frozen=True)
class Partless(Component):
    """Says no parts."""

    name: str


@dataclass(frozen=True)
class Counting(Score):
    """Shows how often it was asked."""

    def parts(self) -> Iterator[Component]:
        yield Markdown(f"{next(COUNT)}")


@dataclass(frozen=True)
class LiveNowhere(Score):
    """Takes an update for a field that it has not."""

    live: ClassVar[tuple[str, ...]] = ("score",)


@dataclass(frozen=True)
class PlainLetters(Score):
    """Believes that all text is of plain letters."""

    def parts(self) -> Iterator[Component]:
        yield Markdown(self.name.encode("ascii").decode())


BROKEN = [
    (Silent, "test_says_what_it_shows"),
    (Thawed, "test_is_frozen_data"),
    (Partless, "test_draws"),
    (Counting, "test_gives_the_same_for_the_same_data"),
    (Counting, "test_shows_the_same_when_it_was_stored"),
    (LiveNowhere, "test_can_be_updated"),
    (PlainLetters, "test_escapes_its_texts"),
]


def suite(chosen: Any) -> type[ComponentSuite]:
    class TestIt(ComponentSuite):
        component = chosen
        arguments = {"name": "accuracy"}

    return TestIt


@pytest.mark.parametrize(("component", "case"), BROKEN)
def test_it_finds(component: Any, case: str) -> None:
    assert {*failures(suite(component), case)} == {case}


def test_it_passes_what_is_good() -> None:
    assert failures(suite(Score)) == {}


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(ComponentSuite) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}


class TestTemplate(ComponentSuite):
    component = Template
    arguments = {"source": "<p>{{ name }}</p>", "values": {"name": "accuracy"}}

    def test_escapes_its_texts(self) -> None:
        for text in ("<script>x</script>", "{{ 7 * 7 }}"):
            page = self.draw(self.make(values={"name": text}))
            assert text in page.text
