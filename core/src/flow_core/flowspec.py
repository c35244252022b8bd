"""FlowSpec and `step`: what a person writes a flow with."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, Generic, NamedTuple, NoReturn, Protocol, TypeVar, overload

from flow_core.errors import DefinitionError, FlowError, TransitionError, refuse
from flow_core.parameters import Parameter

# A step takes the flow; a join takes the inputs, too.
F = TypeVar("F", bound=Callable[[Any], Any] | Callable[[Any, Any], Any])

BINDING = "__flow__"
_OWN_PROPERTIES = frozenset({"name", "input", "index", "script_name"})
RESERVED_STEPS = frozenset(
    {"name", "next", "input", "index", "foreach_stack", "merge_artifacts", "script_name"}
)


class FlowLoaded(SystemExit):
    """Ends the loading of a flow file where it would start the command line, or a run."""

    def __init__(self, flow: type[FlowSpec]) -> None:
        super().__init__(flow)
        self.flow = flow


def stop_loading(flow: type[FlowSpec]) -> NoReturn:
    """End what runs of a file that is loaded for its flow."""
    import threading

    if threading.current_thread() is not threading.main_thread():
        raise SystemExit  # which alone ends a thread of the file without a word
    raise FlowLoaded(flow)


LANGUAGE = "__flow_language__"
"""Mark of a class that stands between `FlowSpec` and people's flows, such as one that brings the names
of another tool: it may override what belongs to flow-core."""

LOADED = "__flow_loaded__"
"""Mark of a ``__main__`` that was loaded for its classes: no flow starts the command line, or a run,
there, be it in a thread, or later. Otherwise each task would start the whole run again. It is True,
and then the threads that loading has started."""


class FromPython:
    """A function of flow classes that objects of them do not have: ``MyFlow.run``.

    A step, parameter or artifact may have its name: that of the flow comes first, and the function
    is then reached in another way, see `flow_core.library`.

    Args:
        name: its name in `flow_core.library`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, flow: Any, owner: type[FlowSpec]) -> Any:
        if flow is not None:
            raise AttributeError(self._name)  # Python then asks `FlowSpec.__getattr__`
        return importlib.import_module("flow_core.library").of_class(owner, self._name)


class StepMark(NamedTuple):
    """What ``@step`` leaves on a function.

    Attributes:
        start, end: whether the step is marked as the first or the last one.
        node_info: JSON data about the step, of its author.
    """

    start: bool = False
    end: bool = False
    node_info: Mapping[str, Any] = {}


@overload
def step(function: F) -> F: ...
@overload
def step(
    *, start: bool = False, end: bool = False, node_info: Mapping[str, Any] | None = None
) -> Callable[[F], F]: ...
def step(
    function: Any = None,
    *,
    start: bool = False,
    end: bool = False,
    node_info: Mapping[str, Any] | None = None,
) -> Any:
    """Make a method of a flow a step. It stands nearest to the function, below other decorators.

    A step is ``def name(self)``, or ``def name(self, inputs)`` for a join, and ends with
    ``self.next(...)``, save the last one. ``async def`` is a step as well. The first step is called
    ``start`` and the last one ``end``, unless others are marked. Since 0.1.

    Args:
        start: this is the first step, whatever its name.
        end: this is the last step, whatever its name.
        node_info: your own facts about the step, JSON data: ``show --json``, ``run.graph``.

    Raises:
        DefinitionError: it stands on no plain function, or ``node_info`` is no JSON data.
    """
    if node_info is not None:
        _check_info(node_info)
    mark = StepMark(start, end, dict(node_info or {}))

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType):
            raise DefinitionError(
                f"@step was put on {function!r}, which is no plain function",
                hint="put @step directly above 'def', below all other decorators",
            )
        function.__flow_step__ = mark  # type: ignore[attr-defined]
        return function

    return decorate if function is None else decorate(function)


def _check_info(node_info: Any) -> None:
    import json

    try:
        if not isinstance(node_info, Mapping):
            raise TypeError(f"it is a {type(node_info).__name__}")
        json.dumps(dict(node_info))
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            "node_info= takes a dict of JSON data",
            why=str(error),
            hint='@step(node_info={"team": "search"})',
        ) from None


class Binding(Protocol):
    """What a flow object asks of the task that it belongs to. For the kernel."""

    def artifact(self, name: str) -> Any:
        """Return the value of an artifact; `KeyError` when there is none."""

    def parameter(self, parameter: Parameter) -> Any:
        """Return the value of a parameter."""

    def check_assignment(self, name: str) -> None:
        """Raise `AttributeError` when ``self.name = …`` is not allowed."""

    def forget(self, name: str) -> bool:
        """Drop an artifact of an earlier step; False when there is none."""

    def next(self, targets: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Take the transition."""

    @property
    def place(self) -> str:
        """The step with its foreach indices, for people: `` step work[0,1]``."""

    @property
    def input(self) -> Any:
        """The item of the innermost foreach."""

    @property
    def index(self) -> int | None:
        """The number of that item."""

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        """All surrounding foreaches."""

    def merge(self, inputs: Any, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Take over artifacts of the branches."""


class FlowSpec:
    """Base class of flows: steps are methods marked with `step`, artifacts are attributes.

    What a step assigns to ``self`` is an *artifact*: it is stored when the step ends and can be read
    in every later step, and by the client when the run is over. Reading is lazy. Names that begin
    with ``__`` are not stored.

    ``MyFlow()`` in a script starts the command line; ``MyFlow.run(alpha=3)`` runs the flow from
    Python, ``MyFlow.resume()`` goes on after a failure.
    Since 0.1.
    """

    run: Any = FromPython("run")
    resume: Any = FromPython("resume")

    def __init__(self) -> None:
        cls = type(self)
        if hasattr(sys.modules.get("__main__"), LOADED):
            stop_loading(cls)
        if cls.__module__ != "__main__":
            raise DefinitionError(
                f"{cls.__name__}() starts the command line, which only a script can do",
                why=f"it was called from an import of '{cls.__module__}'",
                hint=f"{cls.__name__}.run(), or flow run {cls.__module__}:{cls.__name__}",
            )
        self.__flow_start__()

    @classmethod
    def __flow_start__(cls) -> None:
        """Start the command line of a script. A base class with another one overrides this."""
        # The one place where a lower layer reaches up: a script begins here.
        collecting = gc.isenabled()
        gc.disable()  # as `main` does, but before the imports
        command_line = importlib.import_module("flow_core.cli")
        if collecting:
            gc.enable()
        command_line.main(flow=cls)

    # --- in a step ------------------------------------------------------------------------------

    @overload
    def next(
        self,
        *targets: Callable[..., Any],
        foreach: str = ...,
        allow_empty: bool = ...,
        num_parallel: int | str = ...,
    ) -> None: ...
    @overload
    def next(self, cases: Mapping[Any, Callable[..., Any]], /, *, condition: str) -> None: ...
    def next(self, *targets: Any, **options: Any) -> None:
        """Say which step follows; the last statement of every step but the last one.

        ``self.next(self.a)`` goes on with one step, ``self.next(self.a, self.b)`` with several at
        once, ``self.next(self.work, foreach="items")`` with one task for each item of the artifact
        ``items`` (with ``allow_empty=True`` there may be none: the join then has no inputs).
        ``self.next({"x": self.a, "y": self.b}, condition="kind")`` goes on with the step that
        belongs to the value of the artifact ``kind``; that may be the step itself, once more.
        ``self.next(self.train, num_parallel=4)`` goes on with a gang of 4 tasks that start together
        and can talk to each other (the number, or the name of an artifact).

        Raises:
            TransitionError: called twice, or otherwise than the source of the step says; there are
                no items; no case has the value of the condition.
        """
        self.__binding().next(targets, options)

    @property
    def name(self) -> str:
        """Name of the flow."""
        return type(self).__name__

    @property
    def script_name(self) -> str:
        """Name of the flow's file, without its folder; ``''`` in a notebook."""
        module = sys.modules.get(type(self).__module__)
        return os.path.basename(getattr(module, "__file__", None) or "")

    @property
    def input(self) -> Any:
        """The item of the innermost foreach that this task works on; None outside of a foreach."""
        return self.__binding().input

    @property
    def index(self) -> int | None:
        """The number of the item, from 0; None outside of a foreach."""
        return self.__binding().index

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        """Return (index, number of items, item) of all surrounding foreaches, outermost first."""
        return self.__binding().foreach_stack()

    def merge_artifacts(
        self, inputs: Any, exclude: Sequence[str] = (), include: Sequence[str] = ()
    ) -> None:
        """In a join, take over the artifacts on which the branches agree.

        An artifact is taken when all branches that have it have the same value (the same hash); a
        name that is set on ``self`` already is left alone. Nothing is loaded.

        Args:
            inputs: the join's ``inputs``.
            exclude: names to leave out.
            include: take only these names.

        Raises:
            MergeError: the branches differ in an artifact, an included one is missing, or both
                ``include`` and ``exclude`` are given.
        """
        # A name alone is meant as a list of one; its letters are no names.
        names = ([n] if isinstance(n, str) else n for n in (include, exclude))
        self.__binding().merge(inputs, *map(tuple, names))

    # --- attributes -----------------------------------------------------------------------------

    def __binding(self) -> Binding:
        binding: Binding | None = self.__dict__.get(BINDING)
        if binding is None:
            raise TransitionError(
                f"This {type(self).__name__} object is not in a task",
                hint="steps run inside a run: flow run FILE",
            )
        return binding

    def __getattr__(self, name: str) -> Any:
        binding: Binding | None = self.__dict__.get(BINDING)
        if binding is not None and not name.startswith("__"):
            try:
                value = binding.artifact(name)
            except KeyError as error:
                hint = f" {error.args[0]}" if error.args and error.args[0] else ""
                raise AttributeError(
                    f"Flow '{type(self).__name__}' has no artifact '{name}' here.{hint}"
                ) from None
            self.__dict__[name] = value
            return value
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        binding: Binding | None = self.__dict__.get(BINDING)
        if binding is not None:
            binding.check_assignment(name)
            if name in _OWN_PROPERTIES:
                raise AttributeError(
                    f"'{name}' is flow-core's own and cannot be changed; assign to another name"
                )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        binding: Binding | None = self.__dict__.get(BINDING)
        forgotten = binding is not None and binding.forget(name)
        if name in self.__dict__ or not forgotten:
            super().__delattr__(name)

    def __flow_parameter__(self, parameter: Parameter) -> Any:
        return self.__binding().parameter(parameter)

    def __getstate__(self) -> NoReturn:
        raise TypeError(
            f"the flow object itself ({type(self).__name__}) cannot be stored: "
            "was 'self' or 'inputs' assigned to an artifact?"
        )

    def __repr__(self) -> str:
        binding: Binding | None = self.__dict__.get(BINDING)
        return f"<flow {type(self).__name__}{binding.place if binding is not None else ''}>"


def step_functions(
    flow: type[FlowSpec], errors: list[FlowError] | None = None
) -> dict[str, FunctionType]:
    """Return the steps of a flow class by name, base classes first, overriding ones in place.

    Raises:
        DefinitionError: a step has a reserved name; unless ``errors`` is given, which then gets it.
    """
    found: dict[str, FunctionType] = {}
    for cls in reversed(flow.__mro__):
        for name, value in vars(cls).items():
            if name in RESERVED_STEPS and _is_own(cls):
                refuse(_reserved(cls, name, value), errors)
            if getattr(value, "__flow_step__", False):
                found[name] = value
            elif name in found:
                del found[name]  # a subclass replaced the step by something else
    for name in found:
        if name.startswith("_"):
            error = DefinitionError(
                f"A step cannot be called '{name}'",
                where=_place(found[name]),
                why="it begins with '_'",
                hint=f"rename it, for example to '{name.strip('_')}_step'",
            )
            refuse(error, errors)
    return found


def _is_own(cls: type) -> bool:
    """Whether a class belongs to a person's flow, and not to the language that it is written in."""
    return issubclass(cls, FlowSpec) and cls is not FlowSpec and LANGUAGE not in vars(cls)


def _reserved(cls: type, name: str, value: Any) -> DefinitionError:
    step = getattr(value, "__flow_step__", False)
    return DefinitionError(
        f"{'A step' if step else 'An attribute'} cannot be called '{name}'",
        where=_place(value) if isinstance(value, FunctionType) else _place_in_class(cls, name),
        why=f"self.{name} is flow-core's own",
        hint=f"rename it, for example to '{name}_step'" if step else f"my_{name} = …",
    )


def class_names(flow: type[FlowSpec]) -> dict[str, Any]:
    """Return everything that the classes of a flow define: what an artifact cannot be called.

    Properties with a setter are not among them: assigning to one calls it. Nor are functions of
    the class that its objects do not have.
    """
    found: dict[str, Any] = {}
    for cls in reversed([c for c in flow.__mro__ if c is not object and c is not Generic]):
        found.update(vars(cls))
    return {
        n: v
        for n, v in found.items()
        if not hasattr(type(v), "__set__") and not isinstance(v, FromPython)
    }


def is_stored(flow: type[FlowSpec], name: str) -> bool:
    """Whether an attribute of this name is an artifact: not ``__x``, which Python calls
    ``_MyFlow__x`` when it is written in a class."""
    hidden = ("__", *(f"_{c.__name__.lstrip('_')}__" for c in flow.__mro__))
    return not name.startswith(hidden)


def constants(flow: type[FlowSpec]) -> dict[str, Any]:
    """Return the class constants of a flow: public data attributes, inherited ones included."""
    found: dict[str, Any] = {}
    for cls in reversed([c for c in flow.__mro__ if _is_own(c)]):
        for name, value in vars(cls).items():
            found.pop(name, None)
            if not name.startswith("_") and _is_data(value):
                found[name] = value
    return found


def _is_data(value: Any) -> bool:
    """Code is no data: functions, classes, and everything that acts on attribute access."""
    kind = type(value)
    return not (callable(value) or hasattr(kind, "__get__") or hasattr(kind, "__set__"))


def _place(function: FunctionType) -> str:
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def _place_in_class(cls: type, name: str) -> str:
    """Return file and line where the body of a class gives something a name, as far as the source
    is there to tell."""
    import ast  # only where something is wrong
    import inspect
    import textwrap

    try:
        lines, first = inspect.getsourcelines(cls)
        (found,) = ast.parse(textwrap.dedent("".join(lines))).body
    except (OSError, TypeError, SyntaxError):
        return f"class {cls.__qualname__}"
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    named = [
        int(getattr(node, "lineno", 1))
        for statement in getattr(found, "body", [])
        for node in ([statement] if isinstance(statement, inner) else ast.walk(statement))
        if name == (node.id if isinstance(node, ast.Name) else getattr(node, "name", None))
    ]
    return f"{inspect.getsourcefile(cls)}:{first + min(named, default=1) - 1}"


def flows_in(namespace: Mapping[str, Any], module: str) -> Iterator[type[FlowSpec]]:
    """Yield the flow classes that ``module`` itself defines, in order of definition."""
    for value in namespace.values():
        if isinstance(value, type) and issubclass(value, FlowSpec) and value.__module__ == module:
            yield value
