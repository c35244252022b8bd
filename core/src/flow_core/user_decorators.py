"""Step decorators that people write themselves: code before and after the body of a step, or in its place.

Two forms make the same thing, a class. The first has methods:

    class timing(UserStepDecorator):
        def pre_step(self, step_name, flow, inputs=None): ...
        def post_step(self, step_name, flow, exception=None): ...

The second is a generator whose ``yield`` stands for the body:

    @user_step_decorator
    def timing(step_name, flow, inputs=None, attributes=None):
        begun = time.time()
        yield
        print(time.time() - begun)

Both are put above ``@step``: ``@timing`` or ``@timing(unit="ms")``. The outermost begins first and ends
last, as decorators of Python do.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, overload

from flow_core.errors import (
    DefinitionError,
    FlowError,
    TransitionError,
    UsageError,
    did_you_mean,
    near_misses,
)
from flow_core.options import USES_ATTRIBUTE
from flow_core.parameters import function_place

if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    from flow_core.definition import StepDefinition

    F = TypeVar("F", bound=Callable[..., Any])
    T = TypeVar("T")

    class MadeDecorator(Protocol):
        """A class of step decorators, as it is written above a step."""

        @overload
        def __call__(self, step: F, /) -> F: ...
        @overload
        def __call__(self, /, **attributes: Any) -> Callable[[F], F]: ...


USER_SKIP_STEP: dict[str, Any] = {}
"""``yield USER_SKIP_STEP``: the body is skipped, and the step goes on as its source says."""


class Use(NamedTuple):
    """One decorator or mutator of a person's own, where it stands.

    Attributes:
        kind: the class.
        args, kwargs: what it was given.
        source: ``"code"``, ``"--with"``, or the name of the mutator that added it.
    """

    kind: type[Custom]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    source: str = "code"

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.kind.decorator_name()

    def __repr__(self) -> str:
        return f"@{self.name}"

    def __call__(self, target: Any) -> Any:
        """Put it on a step or a flow."""
        self.kind._check_target(target)
        owner = vars(target)
        if USES_ATTRIBUTE not in owner:
            setattr(target, USES_ATTRIBUTE, [])
        # The decorator nearest to the function is applied first; they are read from above.
        vars(target)[USES_ATTRIBUTE].insert(0, self)
        return target

    def make(self, evaluate: Callable[[Any], Any] | None = None) -> Any:
        """Return an instance with its ``init`` called.

        Args:
            evaluate: puts the values of configurations in; None = nothing is delayed.

        Raises:
            DefinitionError: the arguments are not what ``init`` takes, or it failed.
        """
        args, kwargs = self.args, dict(self.kwargs)
        if evaluate is not None:
            try:
                args, kwargs = evaluate(args), evaluate(kwargs)
            except FlowError as error:
                error.what = f"@{self.name}: {error.what}"
                error.where = error.where or place_of(self.kind)
                raise
        instance = object.__new__(self.kind)
        instance._use = self
        self._check_arguments(instance, args, kwargs)
        try:
            instance.init(*args, **kwargs)
        except FlowError:
            raise
        except Exception as error:
            raise DefinitionError(
                f"@{self.name} cannot be made",
                where=place_of(self.kind),
                why=f"{type(error).__name__}: {error}",
                hint=f"correct its arguments, or {self.kind.__name__}.init",
            ) from error
        return instance

    def _check_arguments(
        self, instance: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        try:
            signature = inspect.signature(instance.init)
            signature.bind(*args, **kwargs)
        except TypeError as error:
            takes = str(signature).partition(" ->")[0]
            none = takes == "()"
            raise DefinitionError(
                f"@{self.name} was given arguments that it does not take",
                where=place_of(self.kind),
                why=str(error),
                hint=f"write def init(self, …) in {self.kind.__name__} to take them, or leave them out"
                if none
                else f"@{self.name}{takes}",
            ) from None


class Custom:
    """What user step decorators and mutators have in common: how they are written above a step.

    Called with a step (or flow) alone, a subclass is put on it; called with arguments, it returns
    what puts it there.
    """

    mutates = False
    for_flows = False
    _use: Use

    if TYPE_CHECKING:  # an instance stands for the `Use`, which puts it on a step

        def __call__(self, target: F, /) -> F: ...

    @overload
    def __new__(cls, target: F, /) -> F: ...  # type: ignore[misc]
    @overload
    def __new__(cls: type[T], /, *args: Any, **kwargs: Any) -> T: ...
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if "__init__" in {name for c in cls.__mro__ for name in vars(c) if c is not object}:
            raise DefinitionError(
                f"{cls.__name__} has an __init__, which is never called",
                where=place_of(cls),
                hint="call it init",
            )
        if len(args) == 1 and not kwargs and (_is_step(args[0]) or is_flow(args[0])):
            return Use(cls)(args[0])
        return Use(cls, args, kwargs)

    def init(self) -> None:
        """Override it to take arguments: ``def init(self, times=3)``."""

    @classmethod
    def decorator_name(cls) -> str:
        """The name for people, and for ``--with``."""
        return cls.__name__

    @classmethod
    def qualified_name(cls) -> str:
        """The name with its module: ``team.decorators.timing``."""
        return f"{_module_name(cls)}.{cls.__qualname__}"

    @classmethod
    def _check_target(cls, target: Any) -> None:
        if not _is_step(target):
            raise DefinitionError(
                f"@{cls.decorator_name()} must stand above @step, on a step function",
                where=function_place(target),
                why=f"it was put on {described(target)}",
                hint=f"write @{cls.decorator_name()} on the line before @step",
            )

    def add_to_package(self) -> Any:
        """Override it to add files to the code snapshot: (path on disk, path in the snapshot)."""
        return ()


def _is_step(target: Any) -> bool:
    return inspect.isfunction(target) and hasattr(target, "__flow_step__")


def described(target: Any) -> str:
    """Return what something is on which a decorator was put, for errors."""
    if isinstance(target, type):
        return f"the class {target.__name__}"
    if inspect.isfunction(target):
        return f"the {'step' if _is_step(target) else 'function'} {target.__name__}"
    return repr(target)


def is_flow(target: Any) -> bool:
    """Whether it is the class of a flow."""
    return isinstance(target, type) and hasattr(target, "__flow_parameter__")


def _module_name(cls: type) -> str:
    """The name of a class's module; of a script that of its file, as if it were imported."""
    if cls.__module__ != "__main__":
        return cls.__module__
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "__main__"


def place_of(cls: type) -> str | None:
    """Return the file and line of a class, as far as they are known."""
    function = getattr(cls, "generator", None)
    code = getattr(function, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):
        return None


def _check_call(
    function: Callable[..., Any], what: str, hint: str, *args: Any, **kwargs: Any
) -> None:
    """Refuse a function that cannot be called so, where it is written and not in a task."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise DefinitionError(
            f"{what} does not take what it is given",
            where=function_place(function),
            why=str(error),
            hint=hint,
        ) from None


class UserStepDecorator(Custom):
    """Base class of step decorators with methods; see the module.

    An instance is made for each attempt of a task, so that what ``pre_step`` sets on ``self`` is there
    in ``post_step``.

    Attributes:
        skip_step: set in ``pre_step``: True skips the body, a dict does and gives options of
            ``self.next`` (see `post_step`).

    Since 0.1.
    """

    skip_step: bool | Mapping[str, Any] = False

    def __init_subclass__(cls) -> None:
        for base in ("pre_step", "post_step"):
            method = vars(cls).get(base)
            if inspect.isfunction(method):
                last = "inputs" if base == "pre_step" else "exception"
                hint = f"def {base}(self, step_name, flow, {last}=None):"
                _check_call(method, f"{cls.__name__}.{base}", hint, cls, "step", None, None)

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Any:
        """Called before the body, or the next decorator.

        Args:
            step_name: name of the step.
            flow: the flow object, as ``self`` in the step.
            inputs: the inputs of a join, else None.

        Returns:
            None, or a function that runs in place of the body and of the decorators inside of this
            one: ``f(flow)``, in a join ``f(flow, inputs)``. It may return options of ``self.next``,
            or call it itself.
        """

    def post_step(self, step_name: str, flow: Any, exception: Exception | None = None) -> Any:
        """Called after the body; what it sets on ``flow`` is stored.

        Args:
            step_name, flow: as before.
            exception: what the body, or a decorator inside of this one, raised.

        Returns:
            None: the step goes on, and an exception is swallowed; an exception, which is raised; or
            a pair of both with options of ``self.next``, for steps whose way on cannot be known:
            ``{"condition": "kind"}`` after ``flow.kind = …`` for a switch, ``{"num_parallel": 4}``.
        """
        return exception


class _GeneratorDecorator(UserStepDecorator):
    """A decorator that was written as a generator."""

    generator: ClassVar[Callable[..., Iterator[Any]]]

    def init(self, *args: Any, **kwargs: Any) -> None:
        names = list(inspect.signature(type(self).generator).parameters)
        if (args or kwargs) and "attributes" not in names:
            raise DefinitionError(
                f"@{self.decorator_name()} takes no arguments",
                where=place_of(type(self)),
                hint=f"def {self.decorator_name()}(step_name, flow, inputs=None, attributes=None):",
            )
        if args:
            raise DefinitionError(
                f"@{self.decorator_name()} takes its arguments by name only",
                where=place_of(type(self)),
                hint=f"@{self.decorator_name()}(name=value)",
            )
        self._attributes = kwargs
        self._running: Iterator[Any] | None = None

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Any:
        self._running = self._start(step_name, flow, inputs)
        try:
            answer = next(self._running)
        except StopIteration:
            raise self._wrong("ended without a yield", "add it where the step is to run") from None
        if answer is None or callable(answer):
            return answer
        if not isinstance(answer, Mapping):
            self._running.close()  # type: ignore[attr-defined]
            raise self._wrong(
                f"yielded {answer!r}",
                "yield nothing, a function that runs in place of the step, or a dict to skip it",
            )
        self.skip_step = answer or True
        return None

    def _start(self, step_name: str, flow: Any, inputs: Any) -> Iterator[Any]:
        generator = type(self).generator
        names = inspect.signature(generator).parameters
        every = {"inputs": inputs, "attributes": self._attributes}
        return generator(step_name, flow, **{n: v for n, v in every.items() if n in names})

    def post_step(self, step_name: str, flow: Any, exception: Exception | None = None) -> Any:
        running: Any = self._running
        try:
            if exception is None:
                next(running)
            else:
                running.throw(exception)
        except StopIteration as end:
            return end.value
        running.close()
        raise self._wrong("yielded twice", "a decorator has one yield, which stands for the step")

    def _wrong(self, what: str, hint: str) -> DefinitionError:
        return DefinitionError(
            f"The step decorator @{self.decorator_name()} {what}",
            where=place_of(type(self)),
            hint=hint,
        )


def user_step_decorator(function: Callable[..., Iterator[Any]]) -> MadeDecorator:
    """Make a step decorator of a generator: its one ``yield`` stands for the body of the step.

    An exception of the body is raised at the ``yield``; when the generator handles it, the step goes
    on. ``yield f`` runs ``f(flow)``, in a join ``f(flow, inputs)``, in place of the body;
    ``yield USER_SKIP_STEP`` skips it; ``yield {"condition": "kind"}`` does, too, and gives options
    of ``self.next``. What it returns is what `UserStepDecorator.post_step` returns.

    Args:
        function: ``f(step_name, flow, inputs=None, attributes=None)``; ``attributes`` are the
            arguments of the decorator by name. The last two may be left out.

    Since 0.1.

    Raises:
        DefinitionError: it is no generator.
    """
    name = getattr(function, "__name__", repr(function))
    code = getattr(function, "__code__", None)
    if not inspect.isgeneratorfunction(function):
        raise DefinitionError(
            f"The step decorator @{name} has no yield",
            where=f"{code.co_filename}:{code.co_firstlineno}" if code else None,
            why="a yield stands for the body of the step",
            hint=f"def {name}(step_name, flow, inputs=None, attributes=None): … yield …",
        )
    names = [n for n in ("inputs", "attributes") if n in inspect.signature(function).parameters]
    hint = f"def {name}(step_name, flow, inputs=None, attributes=None):"
    _check_call(function, f"The step decorator @{name}", hint, "step", None, **dict.fromkeys(names))
    contents = {
        "generator": staticmethod(function),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
    }
    made: Any = type(name, (_GeneratorDecorator,), contents)
    return made  # type: ignore[no-any-return]


# --- in a task --------------------------------------------------------------------------------------


class Body(NamedTuple):
    """The body of a step, with what it runs on.

    Attributes:
        step: name of the step.
        flow: the flow object.
        inputs: the inputs of a join, as a tuple of one; else ``()``.
        run: calls a function with them, also an ``async`` one.
        function: the step function.
        binding: where the transition is.
    """

    step: str
    flow: Any
    inputs: tuple[Any, ...]
    run: Callable[[Callable[..., Any]], Any]
    function: Callable[..., Any]
    binding: Any


def run_wrapped(body: Body, decorators: Sequence[UserStepDecorator]) -> None:
    """Run a step's body inside of its user decorators, outermost first."""
    begun: list[UserStepDecorator] = []
    error: Exception | None = None
    overrides: Mapping[str, Any] | None = None
    try:
        overrides = _go_in(body, decorators, begun)
    except Exception as raised:
        error = raised
    why = ""
    for decorator in reversed(begun):
        before = error
        try:
            error, given = _answer(decorator, decorator.post_step(body.step, body.flow, error))
        except Exception as raised:
            error, given = raised, None
        if before is not None and error is None:
            name = decorator.decorator_name()
            why = f"@{name} handled {type(before).__name__}: {before}, before self.next was called"
            overrides = overrides or {}
        if given is not None:
            overrides = {**(overrides or {}), **given}
    if error is not None:
        raise error
    if overrides is not None and body.binding.transition is None:
        skipper = begun[-1].decorator_name()
        _go_on(body, overrides, why or f"@{skipper} stood in for the body of the step")


def _go_in(
    body: Body, decorators: Sequence[UserStepDecorator], begun: list[UserStepDecorator]
) -> Mapping[str, Any] | None:
    """Run all that comes before the post parts; return options of ``self.next``, None = the body
    has run, and said itself."""
    inputs = body.inputs[0] if body.inputs else None
    for decorator in decorators:
        replacement = decorator.pre_step(body.step, body.flow, inputs)
        begun.append(decorator)
        skip = decorator.skip_step
        if skip is not False and skip is not None:
            return skip if isinstance(skip, Mapping) else {}
        if replacement is not None:
            if not callable(replacement):
                raise DefinitionError(
                    f"The step decorator @{decorator.decorator_name()} returned {replacement!r} "
                    "before the step",
                    where=place_of(type(decorator)),
                    hint="return None, or a function that runs in place of the step",
                )
            answer = body.run(replacement)
            return answer if isinstance(answer, Mapping) else {}
    body.run(body.function)
    return None


def _answer(
    decorator: UserStepDecorator, answer: Any
) -> tuple[Exception | None, Mapping[str, Any] | None]:
    if answer is None:
        return None, None
    if isinstance(answer, Exception):
        return answer, None
    if isinstance(answer, Mapping):
        return None, answer
    if isinstance(answer, tuple) and len(answer) == 2:
        error, given = answer
        if isinstance(error, (Exception, type(None))) and isinstance(given, (Mapping, type(None))):
            return error, given
    raise DefinitionError(
        f"The step decorator @{decorator.decorator_name()} returned {answer!r} after the step",
        where=place_of(type(decorator)),
        hint="return None, an exception, or (exception or None, options of self.next)",
    )


def _go_on(body: Body, overrides: Mapping[str, Any], why: str) -> None:
    """Call ``self.next`` as the source of the step says, for a body that did not."""
    try:
        body.binding.next_as_written(body.flow, overrides)
    except TransitionError as error:
        error.why = error.why or why
        raise


# --- by name: --with team.decorators.timing:unit=ms ------------------------------------------------


_NEXT = re.compile(r",(?=\s*(?:[A-Za-z_]\w*|\d+)\s*=)")


def find_use(text: str, base: type[Custom], namespace: Mapping[str, Any], source: str) -> Use:
    """Return the use that ``name:argument=value,0=value`` means.

    Args:
        text: the name of a class, with as much of its module in front as makes it unique.
        base: what it must derive from.
        namespace: names of the flow's own file.
        source: as in `Use`.

    Raises:
        UsageError: there is none of this name, more than one, or the arguments are no list of
            ``name=value``.
    """
    name, _, options = text.partition(":")
    kind = _find(name, base, namespace)
    args: dict[int, Any] = {}
    kwargs: dict[str, Any] = {}
    for part in _NEXT.split(options) if options else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(
                f"--with {name}: '{part}' is not of the form argument=value",
                hint=f"--with {name}:argument=value,argument=value; without a name: 0=value",
            )
        key = key.strip()
        if key.isdigit():
            args[int(key)] = _value(value.strip())
        else:
            kwargs[key] = _value(value.strip())
    if sorted(args) != list(range(len(args))):
        raise UsageError(
            f"--with {name}: the positions {', '.join(map(str, sorted(args)))} leave one out",
            hint=f"--with {name}:0=value,1=value",
        )
    return Use(kind, tuple(args[n] for n in sorted(args)), kwargs, source)


def _value(text: str) -> Any:
    """JSON, else the text; ``True`` and ``None`` as Python writes them are understood, too."""
    words = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _find(name: str, base: type[Custom], namespace: Mapping[str, Any]) -> type[Custom]:
    _import(name)
    known: dict[str, type[Custom]] = {}
    for kind in _subclasses(base):
        known[kind.qualified_name()] = kind  # of two of one name, the one that was made last
    for value in namespace.values():
        if isinstance(value, type) and issubclass(value, base):
            known[value.qualified_name()] = value
    found = [full for full in known if f".{full}".endswith(f".{name}")]
    if len(found) > 1 and name not in found:
        raise UsageError(
            f"'{name}' can be more than one decorator",
            where=f"--with {name}",
            hint="write one of: " + ", ".join(sorted(found)),
        )
    if found:
        return known[name if name in found else found[0]]
    shorts = {full.rpartition(".")[2] for full in known} | set(known)
    raise UsageError(
        f"There is no decorator '{name}'",
        where=f"--with {name}",
        hint=did_you_mean(name, shorts)
        if near_misses(name, shorts)
        else "--with package.module.name, of a module that can be imported",
    )


def is_known(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a decorator of a person's own has this short name."""
    found = namespace.get(name)
    here = isinstance(found, type) and issubclass(found, Custom)
    return here or any(kind.decorator_name() == name for kind in _subclasses(Custom))


def _subclasses(base: type[Custom]) -> Iterator[type[Custom]]:
    for kind in base.__subclasses__():
        if not kind.__module__.startswith("flow_core."):
            yield kind
        yield from _subclasses(kind)


def _import(name: str) -> None:
    """Import the module of a name with dots, so that its classes are known."""
    module = name.rpartition(".")[0]
    while module and module not in sys.modules:
        import importlib

        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise _broken(name, error) from error
            module = module.rpartition(".")[0]  # perhaps a part of it is a class
        except Exception as error:
            raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> UsageError:
    return UsageError(
        f"The module of '{name}' cannot be imported",
        where=f"--with {name}",
        why=f"{type(error).__name__}: {error}",
        hint="repair the module",
    )


def instances(step: StepDefinition, evaluate: Callable[[Any], Any] | None) -> list[Any]:
    """Return the user decorators of a step, outermost first, each newly made."""
    return [use.make(evaluate) for use in step.uses if issubclass(use.kind, UserStepDecorator)]


def package_files(made: Sequence[Custom]) -> list[tuple[str, str]]:
    """Return what decorators add to the code snapshot: (path on disk, path in the snapshot).

    Args:
        made: instances that may add files of their own.
    """
    found = {target: path for one in made for path, target in one.add_to_package()}
    return [(path, target) for target, path in found.items()]
