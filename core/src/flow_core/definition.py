"""The definition of a flow while it may still change: its steps, decorators and parameters.

Once, after all decorators are known, plugins may change it; then its graph and plans are made.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from flow_core.errors import FlowError
from flow_core.flowspec import FlowSpec, step_functions
from flow_core.index import PluginIndex
from flow_core.options import DECORATORS_ATTRIBUTE, Attached, Options, StepDecorator
from flow_core.parameters import Parameter, collect_parameters


class StepDefinition:
    """One step while the definition may still change.

    Attributes:
        name: the step's name.
        function: the step function.
        attached: its decorators, in order of attachment.

    Since 0.1.
    """

    def __init__(self, name: str, function: FunctionType) -> None:
        self.name = name
        self.function = function
        self.attached: list[Attached] = list(getattr(function, DECORATORS_ATTRIBUTE, ()))

    def options(self, decorator: str) -> Options | None:
        """Return the options of a decorator, or None when the step does not carry it."""
        return next((a.options for a in self.attached if a.name == decorator), None)

    def attach(self, decorator: StepDecorator[Any], options: Options, source: str) -> bool:
        """Add a decorator: ``step.attach(retry, retry.make(times=2), "my-plugin")``.

        Args:
            decorator: your own, or one of another plugin: `FlowDefinition.decorator`.
            options: what ``decorator.make`` or ``decorator.parse`` returns.
            source: who adds it, for people: the name of your plugin.

        Returns:
            False when the step carries it already, which then counts.
        """
        if not decorator.allow_multiple and self.options(decorator.name) is not None:
            return False
        self.attached.append(Attached(decorator.name, options, source))
        return True

    def remove(self, decorator: str) -> None:
        """Take a decorator away, every time that it is there."""
        self.attached = [a for a in self.attached if a.name != decorator]


class FlowDefinition:
    """A flow while plugins may still change it (hook ``flow_definition``).

    Attributes:
        name: the flow's name.
        cls: the flow class.
        steps: step name → `StepDefinition`.
        parameters: the parameters, in order.
        errors: what is wrong with the class itself, for lint to show with all other problems.

    Since 0.1.
    """

    def __init__(self, cls: type[FlowSpec], index: PluginIndex) -> None:
        self.name = cls.__name__
        self.cls = cls
        self._index = index
        self.errors: list[FlowError] = []
        functions = step_functions(cls, self.errors)
        self.steps = {name: StepDefinition(name, f) for name, f in functions.items()}
        self.parameters: tuple[Parameter, ...] = collect_parameters(cls, self.errors)

    def decorator(self, name: str) -> StepDecorator[Any]:
        """Return the decorator that a plugin offers under ``name``.

        Raises:
            PluginError: no plugin provides it, or it cannot be loaded.
        """
        found: StepDecorator[Any] = self._index.load("flow.decorators", name)
        return found

    def attach_everywhere(self, text: str, source: str) -> None:
        """Attach ``name`` or ``name:option=value,…`` to every step that has no such decorator.

        Args:
            text: as after ``--with``.
            source: as for `StepDefinition.attach`.

        Raises:
            PluginError: no plugin provides the decorator.
            UsageError: its options are wrong.
        """
        name, _, options_text = text.partition(":")
        decorator = self.decorator(name)
        options = decorator.parse(options_text)
        for step in self.steps.values():
            step.attach(decorator, options, source)
