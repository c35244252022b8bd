"""The suite for decorators passes good ones, and fails what it is there to find."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from flow_core.api import DefinitionError, FlowDecorator, Options, StepDecorator, option
from flow_core.testing import DecoratorSuite


@dataclass(frozen=True)
class GoodOptions(Options):
    """Do something."""

    times: int = option(3, "How often.")
    name: str | None = option(None, "For whom.")

    def validate(self) -> None:
        if self.times < 0:
            raise DefinitionError(f"Option 'times' must be 0 or more, not {self.times}")


@dataclass(frozen=True)
class NeedyOptions(Options):
    """Do something to a place."""

    place: str = option(help="Where.")


class NoOptions(Options):
    """Do it, whatever comes."""


good = StepDecorator("good", GoodOptions)


class TestGood(DecoratorSuite):
    decorator = good
    examples = ({}, {"times": 0, "name": "a,b=c"})


class TestNeedy(DecoratorSuite):
    decorator = StepDecorator("needy", NeedyOptions, allow_multiple=True)
    examples = ({"place": "here"},)


class TestWithoutOptions(DecoratorSuite):
    decorator = StepDecorator("without", NoOptions)


class TestOfFlows(DecoratorSuite):
    decorator = FlowDecorator("of_flows", GoodOptions)


@dataclass(frozen=True)
class UndescribedOptions(Options):
    times: int = 3


@dataclass
class ChangingOptions(Options):
    """Be changed."""

    times: int = option(3, "How often.")


@dataclass(frozen=True)
class ObjectOptions(Options):
    """Hold what has no text form."""

    value: Any = option(None, "Anything.")  # noqa: RUF009


@dataclass(frozen=True)
class EachAnotherOptions(Options):
    """Be unlike all others."""

    value: Any = field(default_factory=object, metadata={"help": "Anything."})


@pytest.mark.parametrize(
    ("options", "example", "test", "why"),
    [
        (UndescribedOptions, {}, "test_it_is_described", "it has no docstring"),
        (UndescribedOptions, {}, "test_options_are_described", r"without help: \['times'\]"),
        (ChangingOptions, {}, "test_options_are_data", "DID NOT RAISE"),
        (EachAnotherOptions, {}, "test_options_are_data", "equal options are equal objects"),
        (ObjectOptions, {"value": (1, 2)}, "test_options_have_a_text_form", "something else"),
        (NeedyOptions, {}, "test_options_of_the_examples", "needs the option 'place'"),
    ],
)
def test_what_it_finds(options: Any, example: Any, test: str, why: str) -> None:
    suite = DecoratorSuite()
    suite.decorator = StepDecorator("bad", options)
    suite.examples = (example,)
    with pytest.raises((AssertionError, DefinitionError, pytest.fail.Exception), match=why):
        getattr(suite, test)()


def test_a_name_that_cannot_stand_behind_an_at_sign() -> None:
    suite = DecoratorSuite()
    suite.decorator = StepDecorator("gpu-pool", GoodOptions)
    with pytest.raises(AssertionError, match="'gpu-pool' cannot stand behind @"):
        suite.test_name_is_an_identifier()


def test_examples_are_needed() -> None:
    suite = DecoratorSuite()
    suite.examples = ()
    with pytest.raises(AssertionError, match="must give examples"):
        suite.test_suite_has_examples()
