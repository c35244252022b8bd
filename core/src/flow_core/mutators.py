"""Mutators: classes of a person's own that change a flow, or a step, before it is checked and run.

    class fast_tests(FlowMutator):
        def pre_mutate(self, mutable_flow):
            for _, step in mutable_flow.steps:
                step.add_decorator("timeout", deco_kwargs={"seconds": 60})

``@fast_tests`` above the class of a flow, or a `StepMutator` above ``@step``. ``pre_mutate`` is called
first for all of them, then ``--with`` adds its decorators, then ``mutate`` is called for all of them.
They run in the launcher and in each process of a task that was not forked from it: what they do must
depend on nothing but the flow and its configurations.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import DefinitionError, FlowError, UsageError, did_you_mean
from flow_core.options import (
    Attached,
    Decorator,
    FlowDecorator,
    Options,
    StepDecorator,
    option_fields,
)
from flow_core.parameters import Parameter, function_place
from flow_core.user_decorators import (
    Custom,
    Use,
    UserStepDecorator,
    described,
    find_use,
    is_flow,
    place_of,
)

if TYPE_CHECKING:
    from flow_core.definition import FlowDefinition

IGNORE, ERROR, OVERRIDE = 1, 2, 3


class DecoratorSpec(NamedTuple):
    """A decorator that is on a flow or step.

    Attributes:
        name: as it is written.
        qualified_name: with its module, for those of a person's own; else the name.
        args, kwargs: what it was given; of a plugin's decorator all its options.
    """

    name: str
    qualified_name: str
    args: list[Any]
    kwargs: dict[str, Any]


class FlowMutator(Custom):
    """Base class of mutators of flows: ``@name`` or ``@name(arguments)`` above the class.

    A subclass of the flow inherits them. Override ``init`` to take arguments, ``add_to_package`` to
    add files to the code snapshot. Since 0.1.
    """

    mutates = True
    for_flows = True

    def pre_mutate(self, mutable_flow: MutableFlow) -> None:
        """Called after the configurations are known, before ``--with`` adds decorators."""

    def mutate(self, mutable_flow: MutableFlow) -> None:
        """Called after ``--with`` has added its decorators: all decorators can be seen."""

    @classmethod
    def _check_target(cls, target: Any) -> None:
        if not is_flow(target):
            raise DefinitionError(
                f"@{cls.decorator_name()} must stand above the class of a flow",
                where=function_place(target),
                why=f"it was put on {described(target)}",
                hint=f"write @{cls.decorator_name()} on the line before 'class MyFlow(FlowSpec):'",
            )


class StepMutator(Custom):
    """Base class of mutators of one step: ``@name`` or ``@name(arguments)`` above ``@step``.

    Since 0.1.
    """

    mutates = True

    def pre_mutate(self, mutable_step: MutableStep) -> None:
        """As `FlowMutator.pre_mutate`, after those of flows."""

    def mutate(self, mutable_step: MutableStep) -> None:
        """As `FlowMutator.mutate`, after those of flows."""


class _Mutable:
    """What can be changed of a flow or step: its decorators."""

    IGNORE, ERROR, OVERRIDE = IGNORE, ERROR, OVERRIDE

    def __init__(self, definition: FlowDefinition, owner: Any, by: Custom, early: bool) -> None:
        self._definition = definition
        self._owner = owner
        self._by = by
        self._early = early

    @property
    def decorator_specs(self) -> Iterator[DecoratorSpec]:
        """All decorators, the outermost first; those of plugins after those of a person's own."""
        for use in self._owner.uses:
            name = use.kind.qualified_name()
            yield DecoratorSpec(use.name, name, list(use.args), dict(use.kwargs))
        for one in self._owner.attached:
            yield DecoratorSpec(one.name, one.name, [], _values(one.options))

    def has_decorator(self, name: str) -> bool:
        """Whether a decorator of this name is there."""
        return any(True for _ in self.get_decorator_specs(name))

    def get_decorator_specs(self, name: str) -> Iterator[DecoratorSpec]:
        """Return those of `decorator_specs` that have this name, short or with its module."""
        return (spec for spec in self.decorator_specs if name in (spec.name, spec.qualified_name))

    def add_decorator(
        self,
        deco: Any,
        deco_args: Sequence[Any] | None = None,
        deco_kwargs: Mapping[str, Any] | None = None,
        duplicates: int = IGNORE,
    ) -> None:
        """Add a decorator.

        Args:
            deco: the decorator (``retry``, or a class of your own), its name, or the text that
                ``--with`` takes: ``"retry:times=3"``.
            deco_args, deco_kwargs: what it is given.
            duplicates: when it is there already: ``IGNORE`` keeps what is there, ``ERROR`` raises,
                ``OVERRIDE`` replaces it.

        Raises:
            DefinitionError: it is there already, or its options are wrong.
            UsageError: there is no such decorator.
        """
        found = self._find(deco, deco_args or (), dict(deco_kwargs or {}))
        source = type(self._by).__name__
        if isinstance(found, Use):
            self._add_use(found._replace(source=source), duplicates)
            return
        decorator, options = found
        there = self._owner.options(decorator.name) is not None
        if there and not decorator.allow_multiple:
            if self._keeps(decorator.name, duplicates):
                return
            self._owner.remove(decorator.name)
        self._owner.attach(decorator, options, source)

    def remove_decorator(
        self,
        deco: Any,
        deco_args: Sequence[Any] | None = None,
        deco_kwargs: Mapping[str, Any] | None = None,
    ) -> bool:
        """Remove a decorator; where arguments are given, only one that has just these.

        Returns:
            False when it is not there.

        Raises:
            DefinitionError: it is a mutator of the flow, which acts already.
        """
        name = deco if isinstance(deco, str) else _name(deco)
        args, kwargs = list(deco_args or ()), dict(deco_kwargs or {})
        exact = deco_args is not None or deco_kwargs is not None
        uses = [u for u in self._owner.uses if name in (u.name, u.kind.qualified_name())]
        if any(issubclass(use.kind, FlowMutator) for use in uses):
            raise DefinitionError(
                f"The mutator @{name} cannot be removed",
                where=place_of(type(self._by)),
                why="it acts already",
                hint="remove what it adds",
            )
        gone = [u for u in uses if not exact or (list(u.args), dict(u.kwargs)) == (args, kwargs)]
        self._owner.uses[:] = [use for use in self._owner.uses if use not in gone]
        kept = [a for a in self._owner.attached if a.name != name or not _fits(a, exact, kwargs)]
        removed = len(gone) + len(self._owner.attached) - len(kept)
        self._owner.attached[:] = kept
        return removed > 0

    def _add_use(self, use: Use, duplicates: int) -> None:
        self._check_use(use)
        if not self._early and getattr(use.kind, "mutates", False):
            raise DefinitionError(
                f"@{type(self._by).__name__} adds the mutator @{use.name} too late",
                where=place_of(type(self._by)),
                why="its pre_mutate could not be called any more",
                hint="add it in pre_mutate",
            )
        if any(u.kind is use.kind for u in self._owner.uses):
            if self._keeps(use.name, duplicates):
                return
            self._owner.uses[:] = [u for u in self._owner.uses if u.kind is not use.kind]
        self._owner.uses.append(use)

    def _check_use(self, use: Use) -> None:
        if issubclass(use.kind, FlowMutator) or not isinstance(self, MutableStep):
            raise DefinitionError(
                f"@{type(self._by).__name__} cannot add @{use.name} here",
                where=place_of(type(self._by)),
                why="mutators of flows are written above the class"
                if issubclass(use.kind, FlowMutator)
                else f"@{use.name} is for steps",
                hint="for _, step in mutable_flow.steps: step.add_decorator(…)",
            )

    def _keeps(self, name: str, duplicates: int) -> bool:
        """Whether what is there already stays."""
        if duplicates == ERROR:
            raise DefinitionError(
                f"@{name} is there already",
                where=place_of(type(self._by)),
                why=f"@{type(self._by).__name__} adds it with duplicates=ERROR",
                hint="duplicates=IGNORE keeps what is there, OVERRIDE replaces it",
            )
        return duplicates != OVERRIDE

    def _find(
        self, deco: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Use | tuple[Decorator[Any], Options]:
        if isinstance(deco, Use):
            return deco
        if isinstance(deco, type) and issubclass(deco, Custom):
            return Use(deco, tuple(args), kwargs)
        text = ""
        if isinstance(deco, str):
            name, _, text = deco.partition(":")
            if not self._definition.is_plugin_decorator(name):
                use = find_use(deco, Custom, self._definition.namespace(), "")
                return use._replace(args=(*use.args, *args), kwargs={**use.kwargs, **kwargs})
            deco = self._definition.load_decorator(name)
        wanted = StepDecorator if isinstance(self, MutableStep) else FlowDecorator
        if not isinstance(deco, wanted):
            raise DefinitionError(
                f"{deco!r} cannot be added here",
                where=place_of(type(self._by)),
                hint="a step decorator is added to a step, a flow decorator to the flow",
            )
        if args:
            raise DefinitionError(
                f"Decorator @{deco.name} takes its options by name only",
                where=place_of(type(self._by)),
                hint="deco_kwargs={…}",
            )
        values = self._definition.evaluate(kwargs) if self._definition.configs else kwargs
        return deco, deco.parse(text) if text else deco.make(**values)


class MutableFlow(_Mutable):
    """A flow while mutators may change it.

    Its steps, parameters and configurations can be read as attributes, too: ``mutable_flow.start``.
    Since 0.1.
    """

    @property
    def name(self) -> str:
        """Name of the flow."""
        return self._definition.name

    @property
    def configs(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of each configuration."""
        yield from self._definition.configs.items()

    @property
    def parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name of the attribute, parameter)."""
        yield from [(p.attribute, p) for p in self._definition.parameters]

    @property
    def steps(self) -> Iterator[tuple[str, MutableStep]]:
        """(name, step)."""
        for step in list(self._definition.steps.values()):
            yield step.name, MutableStep(self._definition, step, self._by, self._early)

    def add_parameter(self, name: str, value: Parameter, overwrite: bool = False) -> None:
        """Add a parameter to the flow: steps read it as ``self.<name>``.

        Args:
            name: name of the attribute.
            value: the parameter; its own name is that of the option.
            overwrite: whether it may take the place of one that is there.

        Raises:
            DefinitionError: it is no parameter, there is one already, or the class has something
                else of this name.
        """
        where = place_of(type(self._by))
        if not isinstance(value, Parameter):
            raise DefinitionError(
                f"@{type(self._by).__name__} adds {value!r} as a parameter",
                where=where,
                hint=f"add_parameter('{name}', Parameter('{name}'))",
            )
        there = dict(self.parameters)
        if name in there and not overwrite:
            raise DefinitionError(
                f"There is a parameter '{name}' already",
                where=where,
                hint=f"add_parameter('{name}', …, overwrite=True) replaces it",
            )
        if name not in there and hasattr(self._definition.cls, name):
            raise DefinitionError(
                f"@{type(self._by).__name__} cannot add a parameter '{name}'",
                where=where,
                why=f"the class of the flow defines '{name}' already",
                hint="choose another name",
            )
        value.attribute = name
        self._definition.add_parameter(value)

    def remove_parameter(self, name: str) -> bool:
        """Remove a parameter, by the name of its attribute; False when there is none."""
        kept = tuple(p for p in self._definition.parameters if p.attribute != name)
        removed = len(kept) < len(self._definition.parameters)
        self._definition.parameters = kept
        return removed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = {**dict(self.steps), **dict(self.parameters), **dict(self.configs)}
        if name in known:
            return known[name]
        raise AttributeError(f"Flow '{self.name}' has no '{name}' ({did_you_mean(name, known)})")


class MutableStep(_Mutable):
    """A step while mutators may change it. Since 0.1."""

    @property
    def name(self) -> str:
        """Name of the step."""
        return str(self._owner.name)

    @property
    def flow(self) -> MutableFlow:
        """The flow."""
        return MutableFlow(self._definition, self._definition, self._by, self._early)


class Mutation:
    """Runs the mutators of a flow."""

    def __init__(self, definition: FlowDefinition) -> None:
        self._definition = definition
        self._made: list[tuple[Use, Any, Any]] = []  # (use, instance, flow or step)

    @property
    def instances(self) -> list[Custom]:
        """All mutators."""
        return [instance for _, instance, _ in self._made]

    def pre_mutate(self) -> None:
        """Call ``pre_mutate`` of all that were not called yet: of the flow, then of its steps."""
        owners = [self._definition, *self._definition.steps.values()]
        for owner in owners:
            while (use := self._next(owner)) is not None:
                evaluate = self._definition.evaluate if self._definition.configs else None
                instance = use.make(evaluate)
                self._made.append((use, instance, owner))
                self._call(instance, "pre_mutate", owner)

    def _next(self, owner: Any) -> Use | None:
        called = [use for use, _, of in self._made if of is owner]
        waiting = (use for use in owner.uses if getattr(use.kind, "mutates", False))
        return next((use for use in waiting if not any(use is one for one in called)), None)

    def mutate(self) -> None:
        """Call ``mutate`` of all: of the flow, then of its steps."""
        self.pre_mutate()  # of those that --with has added
        for use, instance, owner in list(self._made):
            if any(use is one for one in owner.uses):  # else another one has removed it
                self._call(instance, "mutate", owner)

    def _call(self, instance: Any, method: str, owner: Any) -> None:
        kind = MutableFlow if owner is self._definition else MutableStep
        mutable = kind(self._definition, owner, instance, method == "pre_mutate")
        try:
            getattr(instance, method)(mutable)
        except FlowError as error:
            error.where = error.where or place_of(type(instance))
            if isinstance(error, UsageError):  # nobody has typed it on a command line
                raise DefinitionError(
                    f"@{type(instance).__name__}: {error.what}",
                    where=place_of(type(instance)),
                    why=error.why,
                    hint=error.hint,
                ) from None
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            theirs = [f"{f.filename}:{f.lineno}" for f in frames if f.filename != __file__]
            raise DefinitionError(
                f"The mutator @{type(instance).__name__} failed in {method}",
                where=theirs[-1] if theirs else place_of(type(instance)),
                why=f"{type(error).__name__}: {error}",
                hint="correct it",
            ) from error


def _values(options: Options) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in option_fields(type(options))}


def _name(deco: Any) -> str:
    if isinstance(deco, type) and issubclass(deco, Custom):
        return deco.qualified_name()
    return str(getattr(deco, "name", deco))


def _fits(attached: Attached, exact: bool, kwargs: Mapping[str, Any]) -> bool:
    if not exact:
        return True
    values = _values(attached.options)
    return all(name in values and values[name] == value for name, value in kwargs.items())


__all__ = [
    "DecoratorSpec",
    "FlowMutator",
    "MutableFlow",
    "MutableStep",
    "StepMutator",
    "UserStepDecorator",
]
