"""The suite for decorators passes good ones, and fails what it is there to find."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest

from flow_core.api import DefinitionError, FlowDecorator, Options, StepDecorator, option
from flow_core.testing import DecoratorSuite, failures


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


class ForgetsBounds(StepDecorator[Any]):
    """Takes options that it does not know."""

    def make(self, **options: Any) -> Any:
        known = {f.name for f in dataclasses.fields(self.options)}
        return super().make(**{n: v for n, v in options.items() if n in known})


class Wraps(StepDecorator[Any]):
    """Gives something else than what it decorates."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        attached = super().__call__(*arguments, **options)

        def attach(thing: Any) -> Any:
            attached(thing)
            return object()

        return attach if options else attached


class Anywhere(StepDecorator[Any]):
    """Stands on whatever it is put on."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        def attach(thing: Any) -> Any:
            try:
                return super(Anywhere, self).__call__(**options)(thing)
            except DefinitionError:
                return thing

        return attach(*arguments) if arguments else attach


class OwnText(StepDecorator[Any]):
    """Writes its options in a form that it does not read."""

    def to_text(self, options: Any) -> str:
        return f"{self.name}:times=7"


class AnyType(StepDecorator[Any]):
    """Takes options of any type."""

    def make(self, **options: Any) -> Any:
        try:
            return super().make(**options)
        except DefinitionError as error:
            if "no_such_option" in str(error):
                raise
            return self.options()


class WantsBrackets(StepDecorator[Any]):
    """Means nothing without brackets."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        attached = super().__call__(*arguments, **options)
        return (lambda thing: thing) if arguments else attached


class LocalOptions:
    """Makes options of a class that no other process can import."""

    def __new__(cls) -> Any:
        return dataclass(frozen=True)(
            type("Inner", (Options,), {"__doc__": "Do something.", "__module__": __name__})
        )


BROKEN: list[tuple[Any, dict[str, Any], str, str]] = [
    (UndescribedOptions, {}, "test_it_is_described", "it has no docstring"),
    (UndescribedOptions, {}, "test_options_are_described", "without help: ['times']"),
    (ChangingOptions, {}, "test_options_are_data", "DID NOT RAISE"),
    (EachAnotherOptions, {}, "test_options_are_data", "equal options are equal objects"),
    (ObjectOptions, {"value": (1, 2)}, "test_options_have_a_text_form", "something else"),
    (NeedyOptions, {}, "test_options_of_the_examples", "needs the option 'place'"),
    (LocalOptions(), {}, "test_options_travel_to_other_processes", "PicklingError"),
    (
        StepDecorator("gpu-pool", GoodOptions),
        {},
        "test_name_is_an_identifier",
        "'gpu-pool' cannot stand behind @",
    ),
    (ForgetsBounds("bad", GoodOptions), {}, "test_unknown_options_are_refused", "DID NOT RAISE"),
    (ObjectOptions, {"value": object}, "test_options_have_a_text_form", ""),
    (Wraps("bad", GoodOptions), {"times": 1}, "test_it_can_be_attached", "stays what it is"),
    (Anywhere("bad", GoodOptions), {}, "test_it_stands_on_nothing_else", "DID NOT RAISE"),
    (
        Anywhere("bad", GoodOptions),
        {},
        "test_twice_is_an_error_unless_it_is_meant",
        "DID NOT RAISE",
    ),
    (AnyType("bad", GoodOptions), {}, "test_options_of_a_wrong_type_are_refused", "DID NOT RAISE"),
    (WantsBrackets("bad", GoodOptions), {}, "test_it_may_stand_without_brackets", "assert"),
    (OwnText("bad", GoodOptions), {}, "test_options_have_a_text_form", "means something else"),
]


def suite(chosen: Any, *given: dict[str, Any]) -> type[DecoratorSuite]:
    class TestIt(DecoratorSuite):
        decorator = chosen
        examples = given

    return TestIt


@pytest.mark.parametrize(("broken", "example", "case", "why"), BROKEN)
def test_it_finds(broken: Any, example: dict[str, Any], case: str, why: str) -> None:
    decorator = StepDecorator("bad", broken) if isinstance(broken, type) else broken
    found = failures(suite(decorator, example), case)
    assert [*found] == [case]
    assert why in found[case]


def test_examples_are_needed() -> None:
    found = failures(suite(good), "test_suite_has_examples")
    assert "must give examples" in found["test_suite_has_examples"]


def test_examples_have_what_is_required() -> None:
    case = "test_suite_has_examples"
    found = failures(suite(StepDecorator("needy", NeedyOptions), {}), case)
    assert "example {} lacks ['place'], which have no default" in found[case]


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(DecoratorSuite) if name.startswith("test_")}
    assert cases - {case for _, _, case, _ in BROKEN} == {"test_suite_has_examples"}  # see above
