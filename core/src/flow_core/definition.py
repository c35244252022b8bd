"""The definition of a flow while it may still change: its steps, decorators and parameters.

Once, after all decorators are known, plugins may change it; then its graph and plans are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

from flow_core.errors import FlowError, UsageError
from flow_core.flowspec import FlowSpec, step_functions
from flow_core.index import PluginIndex
from flow_core.options import (
    DECORATORS_ATTRIBUTE,
    Attached,
    Decorator,
    FlowDecorator,
    Options,
    StepDecorator,
    flow_decorators,
)
from flow_core.parameters import Parameter, collect_parameters


class Decorated:
    """What carries decorators: a step, or the flow itself.

    Attributes:
        attached: the decorators, in order of attachment.

    Since 0.1.
    """

    attached: list[Attached]

    def options(self, decorator: str) -> Options | None:
        """Return the options of a decorator, or None when it is not there."""
        return next((a.options for a in self.attached if a.name == decorator), None)

    def all_options(self, decorator: str) -> list[Options]:
        """Return the options of a decorator for each time that it is there, in order."""
        return [a.options for a in self.attached if a.name == decorator]

    def attach(self, decorator: Decorator[Any], options: Options, source: str) -> bool:
        """Add a decorator: ``step.attach(retry, retry.make(times=2), "my-plugin")``.

        Args:
            decorator: your own, or one of another plugin: `FlowDefinition.decorator`.
            options: what ``decorator.make`` or ``decorator.parse`` returns.
            source: who adds it, for people: the name of your plugin.

        Returns:
            False when it is there already, which then counts.
        """
        if not decorator.allow_multiple and self.options(decorator.name) is not None:
            return False
        self.attached.append(Attached(decorator.name, options, source))
        return True

    def remove(self, decorator: str) -> None:
        """Take a decorator away, every time that it is there."""
        self.attached = [a for a in self.attached if a.name != decorator]


class StepDefinition(Decorated):
    """One step while the definition may still change.

    Attributes:
        name: the step's name.
        function: the step function.

    Since 0.1.
    """

    def __init__(self, name: str, function: FunctionType) -> None:
        self.name = name
        self.function = function
        self.attached = list(getattr(function, DECORATORS_ATTRIBUTE, ()))


class FlowDefinition(Decorated):
    """A flow while plugins may still change it (hook ``flow_definition``).

    Attributes:
        name: the flow's name.
        cls: the flow class.
        steps: step name → `StepDefinition`.
        parameters: the parameters, in order.
        attached: the decorators of the flow itself; those of steps are in ``steps``.
        errors: what is wrong with the class itself, for lint to show with all other problems.

    Since 0.1.
    """

    def __init__(self, cls: type[FlowSpec], index: PluginIndex) -> None:
        self.name = cls.__name__
        self.cls = cls
        self.attached = flow_decorators(cls)
        self._index = index
        self.errors: list[FlowError] = []
        functions = step_functions(cls, self.errors)
        self.steps = {name: StepDefinition(name, f) for name, f in functions.items()}
        self.parameters: tuple[Parameter, ...] = collect_parameters(cls, self.errors)

    def decorator_names(self) -> set[str]:
        """Return the names of all decorators of the flow and its steps."""
        return {a.name for one in (self, *self.steps.values()) for a in one.attached}

    def decorator(self, name: str) -> StepDecorator[Any]:
        """Return the decorator of steps that a plugin offers under ``name``.

        Raises:
            PluginError: no plugin provides it, or it cannot be loaded.
            UsageError: it is a decorator of flows.
        """
        found: StepDecorator[Any] | FlowDecorator[Any] = self._load(name)
        if isinstance(found, FlowDecorator):
            raise UsageError(
                f"@{name} is a decorator for flows, not for steps",
                hint=f"--with {name} attaches it to the flow; a plugin calls flow_decorator('{name}')",
            )
        return found

    def flow_decorator(self, name: str) -> FlowDecorator[Any]:
        """Return the decorator of flows that a plugin offers under ``name``; errors as above."""
        found = self._load(name)
        if not isinstance(found, FlowDecorator):
            raise UsageError(f"@{name} is a decorator for steps, not for flows")
        return found

    def _load(self, name: str) -> Any:
        return self._index.load("flow.decorators", name)

    def attach_everywhere(self, text: str, source: str) -> None:
        """Attach ``name`` or ``name:option=value,…`` to every step that has no such decorator.

        A decorator of flows is attached to the flow.

        Args:
            text: as after ``--with``.
            source: as for `StepDefinition.attach`.

        Raises:
            PluginError: no plugin provides the decorator.
            UsageError: its options are wrong.
        """
        name, _, options_text = text.partition(":")
        decorator = self._load(name)
        options = decorator.parse(options_text)
        if isinstance(decorator, FlowDecorator):
            self.attach(decorator, options, source)
            return
        for step in self.steps.values():
            step.attach(decorator, options, source)


def all_decorators(flow: type[FlowSpec]) -> Iterator[Attached]:
    """Yield what is attached in the source of a flow class, to it and to its steps."""
    yield from flow_decorators(flow)
    for function in step_functions(flow, []).values():
        yield from getattr(function, DECORATORS_ATTRIBUTE, ())
