"""What every decorator must do. Subclass `DecoratorSuite`; say which ``decorator``."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flow_core.errors import DefinitionError, UsageError
from flow_core.flowspec import FlowSpec, step
from flow_core.options import FlowDecorator, Options, StepDecorator, describe_options


@pytest.mark.usefixtures("no_leaks")
class DecoratorSuite:
    """Inherit it as ``class TestMine(DecoratorSuite)`` and say ``decorator``.

    Attributes:
        decorator: the decorator, of steps or of flows.
        examples: options with which it can be used; by default none, so that those which have no
            default must be in each.

    Since 0.1.
    """

    decorator: StepDecorator[Any] | FlowDecorator[Any]
    examples: Sequence[Mapping[str, Any]] = ({},)

    # --- what it says of itself -------------------------------------------------------------

    def test_suite_has_examples(self) -> None:
        assert len(self.examples) > 0, "the subclass of DecoratorSuite must give examples"
        required = [o.name for o in describe_options(self.decorator.options) if o.required]
        for example in self.examples:
            missing = [name for name in required if name not in example]
            assert not missing, f"example {dict(example)} lacks {missing}, which have no default"

    def test_name_is_an_identifier(self) -> None:
        name = self.decorator.name
        assert name.isidentifier(), f"{name!r} cannot stand behind @"

    def test_it_is_described(self) -> None:
        about = (self.decorator.options.__doc__ or "").strip()
        assert about, "the docstring of the options class says what the decorator does"
        assert not about.startswith(f"{self.decorator.options.__name__}("), "it has no docstring"

    def test_options_are_described(self) -> None:
        bare = [o.name for o in describe_options(self.decorator.options) if not o.help]
        assert not bare, f"without help: {bare}; write option(default, 'What it means.')"

    # --- options ----------------------------------------------------------------------------

    def test_options_of_the_examples(self) -> None:
        for options in self._made():
            assert isinstance(options, self.decorator.options)

    def test_options_are_data(self) -> None:
        for options, again in zip(self._made(), self._made(), strict=True):
            assert options == again, "equal options are equal objects, as those of dataclasses are"
            for field in describe_options(type(options)):
                with pytest.raises(AttributeError):
                    setattr(options, field.name, None)

    def test_options_travel_to_other_processes(self) -> None:
        for options in self._made():
            assert pickle.loads(pickle.dumps(options)) == options

    def test_options_have_a_text_form(self) -> None:
        for options in self._made():
            text = self.decorator.to_text(options)
            name, _, rest = text.partition(":")
            assert name == self.decorator.name
            assert self.decorator.parse(rest) == options, f"--with {text} means something else"

    def test_unknown_options_are_refused(self) -> None:
        for example in self.examples:
            with pytest.raises(DefinitionError, match="no_such_option"):
                self.decorator.make(**{**example, "no_such_option": 1})
        with pytest.raises(UsageError, match="no_such_option"):
            self.decorator.parse("no_such_option=1")

    def test_options_of_a_wrong_type_are_refused(self) -> None:
        for option in describe_options(self.decorator.options):
            if option.type in ("int", "float", "bool", "str"):
                with pytest.raises(DefinitionError, match=option.name):
                    self.decorator.make(**{**self.examples[0], option.name: object()})

    # --- where it stands --------------------------------------------------------------------

    def test_it_can_be_attached(self) -> None:
        for example in self.examples:
            thing: Any = self._thing()
            assert self.decorator(**example)(thing) is thing, "what it decorates stays what it is"

    def test_it_may_stand_without_brackets(self) -> None:
        if {} not in [dict(example) for example in self.examples]:
            pytest.skip("without options it means nothing")
        thing = self._thing()
        assert self.decorator(thing) is thing

    def test_twice_is_an_error_unless_it_is_meant(self) -> None:
        attach = self.decorator(**self.examples[0])
        once = attach(self._thing())
        if self.decorator.allow_multiple:
            assert attach(once) is once
        else:
            with pytest.raises(DefinitionError, match="twice"):
                attach(once)

    def test_it_stands_on_nothing_else(self) -> None:
        other: Any = _nothing
        with pytest.raises(DefinitionError, match=self.decorator.name):
            self.decorator(**self.examples[0])(other)

    # --- parts ------------------------------------------------------------------------------

    def _made(self) -> list[Options]:
        return [self.decorator.make(**example) for example in self.examples]

    def _thing(self) -> Any:
        """Return something new that it may decorate."""
        if isinstance(self.decorator, FlowDecorator):
            return type("SuiteFlow", (FlowSpec,), {})

        @step
        def start(self: Any) -> None:
            pass

        return start


def _nothing() -> None:
    """Be neither a step nor a flow."""
