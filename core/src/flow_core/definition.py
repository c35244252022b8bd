"""The definition of a flow while it may still change: its steps, decorators and parameters.

Once, after all decorators are known, plugins may change it; then its graph and plans are made.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any

from flow_core.errors import FlowError, UsageError
from flow_core.flowspec import FlowSpec, step_functions
from flow_core.index import PluginIndex
from flow_core.options import (
    DECORATORS_ATTRIBUTE,
    USES_ATTRIBUTE,
    Attached,
    Decorator,
    FlowDecorator,
    Options,
    StepDecorator,
    flow_decorators,
)
from flow_core.parameters import Parameter, check_names, collect_parameters, declared

if TYPE_CHECKING:
    from flow_core.mutators import Mutation
    from flow_core.user_decorators import Use


class Decorated:
    """What carries decorators: a step, or the flow itself.

    Attributes:
        attached: the decorators, in order of attachment.
        uses: decorators and mutators that people have written themselves, outermost first.

    Since 0.1.
    """

    attached: list[Attached]
    uses: list[Use]

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

    def chooses(self, kind: str, *, apart_from: str) -> bool:
        """Whether a decorator chooses what `Options.chooses` calls ``kind``, of another source."""
        others = (a.options for a in self.attached if a.source != apart_from)
        return kind != "" and any(options.chooses == kind for options in others)

    def remove(self, decorator: str) -> None:
        """Take a decorator away, every time that it is there."""
        self.attached = [a for a in self.attached if a.name != decorator]


class StepDefinition(Decorated):
    """One step while the definition may still change.

    Attributes:
        name: the step's name.
        function: the step function.
        uses: decorators and mutators that people have written themselves, outermost first.

    Since 0.1.
    """

    def __init__(self, name: str, function: FunctionType) -> None:
        self.name = name
        self.function = function
        self.attached = list(getattr(function, DECORATORS_ATTRIBUTE, ()))
        self.uses: list[Use] = list(getattr(function, USES_ATTRIBUTE, ()))


class _Removed:
    """Stands where a parameter was removed: the name is free for an artifact."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None or self._name not in instance.__dict__:
            raise AttributeError(self._name)
        return instance.__dict__[self._name]

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value


class FlowDefinition(Decorated):
    """A flow while plugins may still change it (hook ``flow_definition``).

    Attributes:
        name: the flow's name.
        cls: the flow class; see `settle_class`.
        steps: step name → `StepDefinition`.
        parameters: the parameters, in order.
        configs: configuration name → its value.
        attached: the decorators of the flow itself; those of steps are in ``steps``.
        uses: mutators of the flow that people have written themselves, outermost first.
        errors: what is wrong with the class itself, for lint to show with all other problems.

    Since 0.1.
    """

    def __init__(
        self,
        cls: type[FlowSpec],
        index: PluginIndex,
        configs: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = cls.__name__
        self.cls = cls
        self.configs = dict(configs or {})
        self.attached = flow_decorators(cls)
        self.uses: list[Use] = [
            use for base in reversed(cls.__mro__) for use in vars(base).get(USES_ATTRIBUTE, ())
        ]
        self._mutation: Mutation | None = None
        self._index = index
        self.errors: list[FlowError] = []
        functions = step_functions(cls, self.errors)
        self.steps = {name: StepDefinition(name, f) for name, f in functions.items()}
        self.parameters: tuple[Parameter, ...] = collect_parameters(cls, self.errors)
        if self.configs:
            self._settle()

    def evaluate(self, value: Any) -> Any:
        """Return ``value`` with all in it that comes from configurations replaced by what they say.

        Raises:
            DefinitionError: they do not say it.
        """
        from flow_core.config import evaluate, settle

        def read(declaration: Any) -> Any:
            return self.configs[declaration.name]

        return settle(value, lambda delayed: evaluate(delayed, read, self.cls))

    def _settle(self) -> None:
        """Put the values of configurations where decorators and parameters ask for them."""
        self.attached = self._settled(self.attached, f"flow {self.name}")
        for step in self.steps.values():
            code = step.function.__code__
            place = f"{code.co_filename}:{code.co_firstlineno}"
            step.attached = self._settled(step.attached, place)
        parameters = []
        for parameter in self.parameters:
            if parameter.delayed:
                try:
                    parameter = parameter.settled(self.evaluate)
                except FlowError as error:
                    error.what = f"Parameter '{parameter.name}': {error.what}"
                    error.where = error.where or parameter.place
                    self.errors.append(error)
                    continue
                self.errors.extend(parameter.problems)
            parameters.append(parameter)
        self.parameters = tuple(parameters)

    def _settled(self, attached: list[Attached], place: str) -> list[Attached]:
        found = []
        for one in attached:
            settle = getattr(one.options, "settled", None)
            try:
                found.append(one if settle is None else one._replace(options=settle(self.evaluate)))
            except FlowError as error:
                if (error.where or "decorator").startswith("decorator"):
                    error.where = place
                if f"@{one.name}" not in error.what:
                    error.what = f"@{one.name}: {error.what}"
                error.hint = error.hint or "correct the configuration"
                self.errors.append(error)
        return found

    # --- what people have written themselves ----------------------------------------------------

    def pre_mutate(self) -> None:
        """Let mutators change what is written in the flow's file."""
        if self._has_mutators():
            self._run_mutators(last=False)

    def mutate(self) -> None:
        """Let mutators see and change all decorators; then check those of the person's own."""
        if self._has_mutators():
            self._run_mutators(last=True)
        if self._mutation is not None:
            configs = {n: v for n, v in declared(self.cls).items() if not isinstance(v, Parameter)}
            parameters = {p.attribute: p for p in self.parameters}
            known = len(self.errors)
            check_names(self.name, {**parameters, **configs}, self.errors)
            told = {str(error) for error in self.errors[:known]}
            self.errors[known:] = [e for e in self.errors[known:] if str(e) not in told]
        for step in self.steps.values():
            if step.uses:
                self._check_uses(step)

    def _has_mutators(self) -> bool:
        uses = (use for owner in (self, *self.steps.values()) for use in owner.uses)
        return any(getattr(use.kind, "mutates", False) for use in uses)

    def _run_mutators(self, last: bool) -> None:
        if self._mutation is None:
            from flow_core.mutators import Mutation

            self._mutation = Mutation(self)
        (self._mutation.mutate if last else self._mutation.pre_mutate)()

    def _check_uses(self, step: StepDefinition) -> None:
        from flow_core.user_decorators import instances

        try:
            instances(step, self.evaluate if self.configs else None)
        except FlowError as error:
            if str(error) not in map(str, self.errors):  # --with puts the same one on every step
                self.errors.append(error)

    def add_parameter(self, parameter: Parameter) -> None:
        """Add a parameter, or replace the one with the same attribute."""
        if parameter.delayed:
            parameter = parameter.settled(self.evaluate)
        self.errors.extend(parameter.problems)
        there = {p.attribute: p for p in self.parameters}
        self.parameters = tuple({**there, parameter.attribute: parameter}.values())

    def is_plugin_decorator(self, name: str) -> bool:
        """Whether ``name`` after ``--with`` is the name of a plugin's decorator.

        Else it is one of a person's own: its name has dots, or it is known by its short name.
        """
        if "." in name:
            return False
        if name in self._index.names("flow.decorators"):
            return True
        return "flow_core.user_decorators" not in sys.modules or not self._known_here(name)

    def _known_here(self, name: str) -> bool:
        from flow_core.user_decorators import is_known

        return is_known(name, self.namespace())

    def namespace(self) -> Mapping[str, Any]:
        """Return the global names of the flow's file."""
        return vars(sys.modules.get(self.cls.__module__, sys))

    def load_decorator(self, name: str) -> Any:
        """Return a plugin's decorator, of steps or flows; errors as `decorator`."""
        return self._load(name)

    def _attach_own(self, text: str, source: str) -> None:
        from flow_core.user_decorators import Custom, find_use

        use = find_use(text, Custom, self.namespace(), source)
        owners: list[Decorated] = [self] if use.kind.for_flows else [*self.steps.values()]
        for owner in owners:
            if not any(one.kind is use.kind for one in owner.uses):
                earlier = sum(one.source == source for one in owner.uses)
                owner.uses.insert(earlier, use)  # outside of all that is written in the file

    def own_modules(self) -> list[str]:
        """Return the names of the modules that hold decorators and mutators of a person's own."""
        uses = [use for owner in (self, *self.steps.values()) for use in owner.uses]
        return sorted({use.kind.__module__ for use in uses})

    def package_files(self) -> list[tuple[str, str]]:
        """Return what decorators of a person's own add to the code snapshot; see `flow_package_files`."""
        if not any(owner.uses for owner in (self, *self.steps.values())):
            return []
        from flow_core.user_decorators import instances, package_files

        made = list(self._mutation.instances) if self._mutation is not None else []
        for step in self.steps.values():
            made += instances(step, self.evaluate if self.configs else None)
        return package_files(made)

    def settle_class(self) -> None:
        """Make ``cls`` a class that has the parameters which the definition has.

        Where they are those of the class as it was written, it is that class. The person's own is
        never changed: it may be run again, with other configurations.
        """
        written = {n: p for n, p in declared(self.cls).items() if isinstance(p, Parameter)}
        wanted = {p.attribute: p for p in self.parameters}
        if written == wanted:
            return
        contents: dict[str, Any] = {name: _Removed(name) for name in written.keys() - wanted.keys()}
        contents |= {name: p for name, p in wanted.items() if written.get(name) is not p}
        same = ("__module__", "__qualname__", "__doc__")
        contents |= {name: getattr(self.cls, name) for name in same}
        self.cls = type(self.name, (self.cls,), contents)

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

        A step that says itself what the decorator chooses, such as where it runs, is left alone. A
        decorator of flows is attached to the flow. A name with dots is one of a person's own:
        ``package.module.name:argument=value``.

        Args:
            text: as after ``--with``.
            source: as for `StepDefinition.attach`.

        Raises:
            PluginError: no plugin provides the decorator.
            UsageError: its options are wrong.
        """
        name, _, options_text = text.partition(":")
        if not self.is_plugin_decorator(name):
            self._attach_own(text, source)
            return
        decorator = self._load(name)
        options = decorator.parse(options_text)
        if isinstance(decorator, FlowDecorator):
            self.attach(decorator, options, source)
            return
        for step in self.steps.values():
            if not step.chooses(options.chooses, apart_from=source):
                step.attach(decorator, options, source)


def all_decorators(flow: type[FlowSpec]) -> Iterator[Attached]:
    """Yield what is attached in the source of a flow class, to it and to its steps."""
    yield from flow_decorators(flow)
    for function in step_functions(flow, []).values():
        yield from getattr(function, DECORATORS_ATTRIBUTE, ())
