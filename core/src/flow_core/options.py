"""Decorators are data: one frozen options class is the only declaration of an option.

The class gives the signature, the defaults, the documentation, the ``--with name:option=value``
grammar and the text form. A decorator made of it attaches one options object to a step and does
nothing else; the hooks of its plugin read the object later.

    @dataclass(frozen=True)
    class RetryOptions(Options):
        '''Try a failed step again.'''
        times: int = option(3, "How often to try again after the first attempt.")

    retry = StepDecorator("retry", RetryOptions)
"""

from __future__ import annotations

import contextlib
import json
import re
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Union, overload

from flow_core.errors import DefinitionError, UsageError, did_you_mean
from flow_core.parameters import is_delayed

if TYPE_CHECKING:
    from dataclasses import Field

    from flow_core.deprecation import Deprecation
    from flow_core.run import RunDraft

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

DECORATORS_ATTRIBUTE = "__flow_decorators__"
FLOW_DECORATORS_ATTRIBUTE = "__flow_class_decorators__"
USES_ATTRIBUTE = "__flow_uses__"
"""Where steps and flows keep decorators and mutators that people have written themselves."""


class Options:
    """Base class for the options of a decorator. Subclass it as a frozen dataclass.

    Override `validate` to refuse combinations; types are checked before it is called.

    Attributes:
        chooses: what only one decorator of a step can choose: ``"compute"`` where the plugin calls
            `PlanDraft.use_compute`. ``--with`` leaves a step alone in which another decorator chooses
            it. ``""`` = nothing.

    Since 0.1.
    """

    chooses: typing.ClassVar[str] = ""

    # For a class without options, which need not be a dataclass; a dataclass has its own.
    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}()"

    def __post_init__(self) -> None:
        for name, annotation in option_types(type(self)).items():
            value = getattr(self, name)
            if not _fits(value, annotation):
                raise DefinitionError(
                    f"Option '{name}' must be {_type_text(annotation)}, not {value!r}",
                    why=f"it was given a value of type {_kind(value)}",
                    hint=_meant(name, value, annotation),
                )
        self.validate()

    def validate(self) -> None:
        """Raise `DefinitionError` when the values do not fit together."""

    def to_json(self, draft: RunDraft) -> dict[str, Any]:
        """Return the options of a flow decorator as JSON data: what a run records of them, and what
        deployers read. Override it to give a normal form.

        Here, functions and other values that JSON lacks are given as text.

        Args:
            draft: the run, or the deployment, that is described, with the notes of plugins.
        """
        return {f.name: _jsonable(getattr(self, f.name)) for f in option_fields(type(self))}


REQUIRED: Any = ...
"""Stands for the default of an option that has none."""


def option(
    default: Any = REQUIRED, help: str = "", *, deprecated: Deprecation | None = None
) -> Any:
    """Declare one option of an `Options` class.

    Args:
        default: None needs a value as any other; without it the option is required.
        help: one or two sentences, with the unit of a number.
        deprecated: the former name, which works as well; or that the option goes away. See
            `flow_core.api.deprecated`.
    """
    from dataclasses import field  # some milliseconds, which flows without decorators do not pay

    metadata = {"help": help, "deprecated": deprecated}
    if isinstance(default, (list, dict, set)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return (
        field(metadata=metadata)
        if default is REQUIRED
        else field(default=default, metadata=metadata)
    )


def option_fields(cls: type[Options]) -> Sequence[Field[Any]]:
    """Return the fields of an options class; none of one that declares no option."""
    from dataclasses import fields, is_dataclass

    return fields(cls) if is_dataclass(cls) else ()


def _notices(cls: type[Options]) -> dict[str, Deprecation]:
    """Return what is said of the options that go away, or had another name, by their names."""
    found = {f.name: f.metadata.get("deprecated") for f in option_fields(cls)}
    return {name: notice for name, notice in found.items() if notice is not None}


def _former(cls: type[Options], types: dict[str, Any]) -> dict[str, Any]:
    """Return the types of options by their former names."""
    return {n.name: types[name] for name, n in _notices(cls).items() if n.name}


def default_of(field: Field[Any]) -> Any:
    """Return the default of an option, or `REQUIRED`."""
    from dataclasses import MISSING

    if field.default_factory is not MISSING:
        return field.default_factory()
    return REQUIRED if field.default is MISSING else field.default


class OptionInfo(typing.NamedTuple):
    """What is known of one option: for help texts, ``flow plugins show`` and stubs."""

    name: str
    type: str
    default: Any  # ``...`` when there is none
    help: str

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is REQUIRED


def describe_options(cls: type[Options]) -> tuple[OptionInfo, ...]:
    """Return the options of ``cls`` in the order of declaration."""
    annotations = option_types(cls)
    return tuple(
        OptionInfo(
            field.name,
            _type_text(annotations[field.name]),
            default_of(field),
            field.metadata.get("help", ""),
        )
        for field in option_fields(cls)
    )


class Attached(typing.NamedTuple):
    """One decorator as it sits on a step or a flow: its name, its options, where it came from.

    ``source`` is ``"code"`` for a decorator written in the flow file and ``"--with"``,
    or the name of a plugin, for one that was added later.
    """

    name: str
    options: Options
    source: str = "code"


class Decorator(Generic[P]):
    """What `StepDecorator` and `FlowDecorator` have in common: options, and their text form.

    Since 0.1.
    """

    def __init__(
        self, name: str, options: Callable[P, Options], *, allow_multiple: bool = False
    ) -> None:
        self.name = name
        self.options: type[Options] = options  # type: ignore[assignment]
        _check_declared(self.options)
        self.allow_multiple = allow_multiple
        self.__doc__ = self.options.__doc__

    def _called(self, args: tuple[Any, ...], values: dict[str, Any], bare: bool) -> Any:
        """Attach, where ``bare`` says that the decorator stands without options; else return what
        attaches them."""
        if bare:
            return self._attach(self.make(), args[0])
        if args:
            raise DefinitionError(
                f"Decorator @{self.name} takes its options by name only",
                hint=f"@{self.name}({self._signature()})",
            )
        options = self.take(values)
        return lambda target: self._attach(options, target)

    def _attach(self, options: Options, target: Any) -> Any:
        raise NotImplementedError

    def make(self, **values: Any) -> Options:
        """Build the options object; `DefinitionError` for an unknown, missing or ill-typed one."""
        known = option_types(self.options)
        values = self._present(values)
        for name in values:
            if name not in known:
                raise DefinitionError(
                    f"Decorator @{self.name} has no option '{name}'",
                    hint=did_you_mean(name, known),
                )
        required = [f.name for f in option_fields(self.options) if default_of(f) is REQUIRED]
        missing = [name for name in required if name not in values]
        if missing:
            raise DefinitionError(
                f"Decorator @{self.name} needs the option '{missing[0]}'",
                hint=f"@{self.name}({self._signature()})",
            )
        try:
            return self.options(**values)
        except DefinitionError as error:
            error.where = error.where or f"decorator @{self.name}"
            raise

    def _present(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return values by the present names of the options; warn of former ones."""
        for name, notice in _notices(self.options).items():
            former = notice.name or name
            if former not in values:
                continue
            from flow_core.deprecation import warn_caller

            what = f"The option '{former}' of @{self.name}"
            if notice.name and name in values:
                raise DefinitionError(
                    f"Decorator @{self.name} was given '{name}' and '{former}', its former name",
                    hint=f"keep '{name}'",
                )
            warn_caller(notice.called(what, name) if notice.name else notice.gone(what))
            values = {name if n == former else n: value for n, value in values.items()}
        return values

    def take(self, values: dict[str, Any]) -> Options:
        """As `make`; values that come from configurations of the flow are put in later."""
        if not is_delayed(values):
            return self.make(**values)
        from flow_core.config import DelayedOptions

        return DelayedOptions(self, values)

    def parse(self, text: str) -> Options:
        """Build the options from the text form ``option=value,option=value`` of ``--with``.

        A comma separates options only where ``word=`` follows, so JSON values may hold commas.

        Raises:
            UsageError: the text does not fit the grammar or an option's type.
        """
        annotations = option_types(self.options)
        known = {**annotations, **_former(self.options, annotations)}
        values: dict[str, Any] = {}
        for name, value in _split_options(self.name, text):
            if name not in known:
                raise UsageError(
                    f"--with {self.name}: there is no option '{name}'",
                    hint=did_you_mean(name, annotations) or f"--with {self.name}",
                )
            values[name] = _parse_value(self.name, name, value, known[name])
        try:
            return self.make(**values)
        except DefinitionError as error:
            raise UsageError(
                f"--with {self.name}: {error.what}", why=error.why, hint=_as_with(error.hint)
            ) from None

    def to_text(self, options: Options) -> str:
        """Return the ``--with`` form of ``options``: ``parse`` of it gives an equal object."""
        shown = []
        for field in option_fields(type(options)):
            value = getattr(options, field.name)
            if value != default_of(field):
                shown.append(f"{field.name}={value if _plain(value) else _json(value)}")
        return self.name + (":" + ",".join(shown) if shown else "")

    def _signature(self) -> str:
        return ", ".join(
            f"{o.name}=…" if o.required else f"{o.name}={o.default!r}"
            for o in describe_options(self.options)
        )


class StepDecorator(Decorator[P]):
    """A decorator for steps: ``@name`` or ``@name(option=value)``.

    Args:
        name: the name under which the plugin offers it (entry-point group ``flow.decorators``).
        options: the class that declares its options.
        allow_multiple: whether a step may carry it more than once.

    Since 0.1.
    """

    def __repr__(self) -> str:
        return f"<step decorator {self.name}>"

    @overload
    def __call__(self, step: F, /) -> F: ...
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Callable[[F], F]: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        bare = len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType)
        return self._called(args, kwargs, bare)

    def _attach(self, options: Options, step: F) -> F:
        if not hasattr(step, "__flow_step__"):
            raise DefinitionError(
                f"@{self.name} must stand above @step, on a step function",
                where=_place(step),
                hint=f"write @{self.name} on the line before @step",
            )
        attached: list[Attached] = step.__dict__.setdefault(DECORATORS_ATTRIBUTE, [])
        if not self.allow_multiple and any(a.name == self.name for a in attached):
            raise DefinitionError(
                f"Step '{step.__name__}' has @{self.name} twice",
                where=_place(step),
                hint="keep one of them",
            )
        attached.append(Attached(self.name, options))
        return step


class FlowDecorator(Decorator[P]):
    """A decorator for flows: ``@name`` or ``@name(option=value)`` above the class.

    A subclass of the flow inherits it; its own decorator of the same name stands for the inherited
    one, or comes after it where ``allow_multiple`` is set.

    Args:
        name: the name under which the plugin offers it (entry-point group ``flow.decorators``).
        options: the class that declares its options.
        allow_multiple: whether a flow may carry it more than once.

    Since 0.1.
    """

    def __repr__(self) -> str:
        return f"<flow decorator {self.name}>"

    @overload
    def __call__(self, flow: C, /) -> C: ...
    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Callable[[C], C]: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._called(args, kwargs, len(args) == 1 and not kwargs and callable(args[0]))

    def _attach(self, options: Options, flow: C) -> C:
        if not isinstance(flow, type) or not hasattr(flow, "__flow_parameter__"):
            raise DefinitionError(
                f"@{self.name} must stand above the class of a flow",
                where=_place(flow),
                hint=f"write @{self.name} on the line before 'class MyFlow(FlowSpec):'",
            )
        if FLOW_DECORATORS_ATTRIBUTE not in vars(flow):
            setattr(flow, FLOW_DECORATORS_ATTRIBUTE, [])
        attached: list[tuple[FlowDecorator[Any], Attached]] = vars(flow)[FLOW_DECORATORS_ATTRIBUTE]
        if not self.allow_multiple and any(a.name == self.name for _, a in attached):
            raise DefinitionError(
                f"Flow '{flow.__name__}' has @{self.name} twice", hint="keep one of them"
            )
        # The decorator nearest to the class is applied first; they are read from above.
        attached.insert(0, (self, Attached(self.name, options)))
        return flow


def flow_decorators(flow: type) -> list[Attached]:
    """Return the decorators of a flow class: those of base classes first, overridden ones left out."""
    found: list[tuple[FlowDecorator[Any], Attached]] = []
    for cls in reversed(flow.__mro__):
        own = vars(cls).get(FLOW_DECORATORS_ATTRIBUTE, ())
        replaced = {d.name for d, _ in own if not d.allow_multiple}
        found = [pair for pair in found if pair[0].name not in replaced]
        found.extend(own)
    return [attached for _, attached in found]


def _check_declared(cls: type[Options]) -> None:
    """Refuse a class whose options would be seen by nobody."""
    if vars(cls).get("__annotations__") and "__dataclass_fields__" not in vars(cls):
        raise DefinitionError(
            f"The options class {cls.__qualname__} is no dataclass",
            where=f"class {cls.__module__}.{cls.__qualname__}",
            why="it declares options, which only a dataclass makes known",
            hint="write @dataclass(frozen=True) above it",
        )


def option_types(cls: type[Options]) -> dict[str, Any]:
    """Return the declared types of the options of ``cls``, by name, resolved from annotations."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in option_fields(cls)}


def _place(step: Any) -> str | None:
    code = getattr(step, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None


_NEXT_OPTION = r",(?=\s*[A-Za-z_]\w*\s*=)"


def _split_options(decorator: str, text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(_NEXT_OPTION, text) if text else ():
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(
                f"--with {decorator}: '{part}' is not of the form option=value",
                hint=f"--with {decorator}:option=value,option=value",
            )
        yield name.strip(), value.strip()


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


_OF_MANY = (Sequence, Collection, Iterable)


def _meant(name: str, value: Any, annotation: Any) -> str | None:
    """Return what a person may have meant by a value of another type: what to type."""
    if isinstance(value, str) and _fits([value], annotation):
        return f"{name}=[{value!r}]"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = str(value)  # a version, such as 3.12
        return f"{name}={text!r}" if _fits(text, annotation) else None
    if isinstance(value, dict):
        texts = {k: str(v) if type(v) in (int, float) else v for k, v in value.items()}
        return f"{name}={texts!r}" if _fits(texts, annotation) else None
    return None


def _fits(value: Any, annotation: Any) -> bool:
    for member in _members(annotation):
        origin = typing.get_origin(member) or member
        if origin is Any:
            return True
        if origin is typing.Literal:
            if value in typing.get_args(member):
                return True
        elif not isinstance(origin, type):
            return True
        elif isinstance(value, bool) and origin in (int, float):
            continue  # bool is an int for Python, but times=True is a mistake
        elif isinstance(value, (str, bytes)) and origin in _OF_MANY:
            continue  # a text is a sequence of texts for Python, but packages="pandas" is a mistake
        elif isinstance(value, (int, float) if origin is float else origin) and _parts_fit(
            value, typing.get_args(member)
        ):
            return True
    return False


def _parts_fit(value: Any, kinds: tuple[Any, ...]) -> bool:
    """Whether the items of a list, tuple, set or dict have the types ``kinds`` behind its own."""
    if not kinds or not isinstance(value, (list, tuple, set, frozenset, dict)):
        return True
    if isinstance(value, dict):
        keys, values = kinds
        return all(_part_fits(k, keys) and _part_fits(v, values) for k, v in value.items())
    if isinstance(value, tuple) and len(kinds) > 1 and kinds[1] is not ...:
        return len(value) == len(kinds) and all(map(_part_fits, value, kinds))
    return all(_part_fits(part, kinds[0]) for part in value)


def _part_fits(value: Any, kind: Any) -> bool:
    # JSON, the form of ``--with``, has lists where Python has tuples.
    return _fits(value, kind) or (typing.get_origin(kind) is tuple and isinstance(value, list))


def _kind(value: Any) -> str:
    """Return the type of a value as text, with that of its items: ``list[int or str]``."""
    name = type(value).__name__
    if not isinstance(value, (list, tuple, set, frozenset, dict)) or not value:
        return name
    parts = [value, value.values()] if isinstance(value, dict) else [value]
    return f"{name}[{', '.join(' or '.join(sorted({_kind(v) for v in p})) for p in parts)}]"


def _type_text(annotation: Any) -> str:
    names = []
    for member in _members(annotation):
        if member is type(None):
            names.append("None")
        elif typing.get_origin(member) is typing.Literal:
            names.extend(repr(choice) for choice in typing.get_args(member))
        else:
            names.append(getattr(member, "__name__", str(member)) + _parts_text(member))
    return " or ".join(names)


def _parts_text(annotation: Any) -> str:
    """Return the types of a container's items in brackets; nothing where any will do."""
    kinds = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if kinds[-1:] in ((), (Any,)) or origin is Callable or not isinstance(origin, type):
        return ""
    return f"[{', '.join('...' if kind is ... else _type_text(kind) for kind in kinds)}]"


def _parse_value(decorator: str, name: str, text: str, annotation: Any) -> Any:
    for candidate in _readings(text):
        if _fits(candidate, annotation):
            return candidate
        if isinstance(candidate, list) and _fits(tuple(candidate), annotation):
            return tuple(candidate)
    raise UsageError(
        f"--with {decorator}: option '{name}' must be {_type_text(annotation)}, not '{text}'",
        hint=_with(decorator, {name: _example(annotation)}),
    )


def _example(annotation: Any) -> Any:
    """Return a list or a dict that fits, to show how it is written; "…" for other types."""
    for part in ("value", 1):
        for value in ([part], (part,), {"name": part}):
            if _fits(value, annotation):
                return value
    return "…"


def _as_with(hint: str | None) -> str | None:
    """Return a hint ``@name(option=value)`` as it is typed after ``--with``."""
    found = re.fullmatch(r"@(\w+)\((.*)\)", hint or "", re.DOTALL)
    if found is None:
        return hint
    import ast  # only for errors

    try:
        call: Any = ast.parse(f"f({found[2].replace('=…', '=...')})", mode="eval").body
        values = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        return hint  # names a function, for example, which only code can
    needed = [name for name, value in values.items() if value is ...]
    return _with(found[1], dict.fromkeys(needed, "…") or values)


def _with(decorator: str, values: dict[str, Any]) -> str:
    text = ",".join(f"{k}={v if isinstance(v, str) else _json(v)}" for k, v in values.items())
    option = f"{decorator}:{text}"
    return "--with " + (f"'{option}'" if re.search(r"[^\w:=,.…/+-]", option) else option)


def _readings(text: str) -> Iterator[Any]:
    """Yield the values that ``text`` may stand for, most specific first."""
    lowered = text.lower()
    if lowered in ("true", "false", "yes", "no"):
        yield lowered in ("true", "yes")
    if lowered in ("none", "null"):
        yield None
    with contextlib.suppress(ValueError):
        yield json.loads(text)
    yield text


def _plain(value: Any) -> bool:
    """Whether the bare text of ``value`` reads back as the same value."""
    return (
        isinstance(value, str)
        and next(_readings(value)) == value
        and value == value.strip()
        and not re.search(_NEXT_OPTION, value)
    )


def _json(value: Any) -> str:
    """JSON text without a comma that would begin the next option: such a comma is in a string."""
    return re.sub(_NEXT_OPTION, r"\\u002c", json.dumps(value))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _jsonable(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(part) for part in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return getattr(value, "__qualname__", None) or repr(value)
