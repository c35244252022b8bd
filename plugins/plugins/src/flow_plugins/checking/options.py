"""Checks of decorators: each combination of options has a text form that reads back as the same."""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flow_core.api import (
    Decorator,
    DefinitionError,
    EntryPoint,
    OptionInfo,
    PluginError,
    UsageError,
    describe_options,
)
from flow_plugins.checking.findings import FAIL, OK, WARN, Finding

_TEXTS = ("word", "two words", "a,b=c", "true", "12", 'say "no"', "[1]", "None", " spaced ", "")
_SAMPLES: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    int: (0, 1, 7, 100_000),
    float: (0.0, 0.5, 1e-9, 3.0),
    str: _TEXTS,
    dict: ({}, {"a": 1}, {"b": "x,y=z", "c": [1, None]}),
    type(None): (None,),
}
_MANY: tuple[list[Any], ...] = ([], ["a", "b=1,c=2"], [1, 2.5], ["x"])
_MOST_STARTS = 2_000
"""Combinations of values for required options that are tried to find one which is accepted."""


class Tried(NamedTuple):
    """What was found out about the options of one decorator.

    Attributes:
        texts: texts of ``--with`` that read back as what they were written from.
        lost: (text, why) of those that do not.
        untold: options of which no value has a text: functions, for example.
        started: whether any values were accepted at all.
    """

    texts: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]
    untold: tuple[str, ...]
    started: bool


def option_findings(entry: EntryPoint, decorator: Decorator[Any]) -> Iterator[Finding]:
    """Check the options of a decorator."""
    try:
        options = describe_options(decorator.options)
    except Exception as error:  # whatever evaluating their annotations raises
        yield Finding(
            "options",
            FAIL,
            f"The types of the options of @{entry.name} cannot be told",
            entry.value,
            why=f"{type(error).__name__}: {error}",
            hint="import what the annotations name, not only for type checkers",
        )
        return
    findings = [*_named(entry, decorator), *_documented(entry, decorator, options)]
    tried = try_options(decorator)
    findings += _lost(entry, tried)
    yield from findings
    if not findings:
        yield Finding("options", OK, _told(entry, tried))


def _told(entry: EntryPoint, tried: Tried) -> str:
    text = f"@{entry.name}: {len(tried.texts)} texts of --with read back as they were written"
    if not tried.started:
        text = f"@{entry.name}: no values could be guessed for its options, nothing was tried"
    return text + (f"; only in code: {', '.join(tried.untold)}" if tried.untold else "")


def _named(entry: EntryPoint, decorator: Decorator[Any]) -> Iterator[Finding]:
    if decorator.name != entry.name:
        yield Finding(
            "options",
            FAIL,
            f"The decorator '{entry.name}' calls itself '{decorator.name}'",
            entry.value,
            why="its hooks and --with would look for another name than flows import",
            hint=f'{type(decorator).__name__}("{entry.name}", …)',
        )


def _documented(
    entry: EntryPoint, decorator: Decorator[Any], options: tuple[OptionInfo, ...]
) -> Iterator[Finding]:
    own = vars(decorator.options).get("__doc__") or ""
    if not own.strip() or own.startswith(f"{decorator.options.__name__}("):  # that of dataclasses
        yield Finding(
            "options",
            WARN,
            f"@{entry.name} has no text that says what it does",
            entry.value,
            hint=f"write it as the docstring of {decorator.options.__name__}",
        )
    silent = [option.name for option in options if not option.help.strip()]
    if silent:
        yield Finding(
            "options",
            WARN,
            f"Options of @{entry.name} have no help: {', '.join(silent)}",
            entry.value,
            hint='option(default, "What it does, with its unit.")',
        )


def _lost(entry: EntryPoint, tried: Tried) -> Iterator[Finding]:
    for text, why in tried.lost[:3]:
        yield Finding(
            "options",
            FAIL,
            f"Options of @{entry.name} do not survive as text: --with '{text}'",
            entry.value,
            why=why,
            hint="use types that JSON has, and compare options by value",
        )


# --- trying -------------------------------------------------------------------------------------


def try_options(decorator: Decorator[Any]) -> Tried:
    """Write values of a decorator's options as text, read them back, and compare."""
    types_of = typing.get_type_hints(decorator.options)
    options = describe_options(decorator.options)
    values = {o.name: samples(types_of[o.name]) for o in options}
    untold = tuple(name for name, found in values.items() if not found)
    start = _start(decorator, options, values)
    if start is None:
        return Tried((), (), untold, False)
    texts, lost = [], []
    for chosen in _variations(start, values):
        options_object = _make(decorator, chosen)
        if options_object is None:
            continue  # the plugin refuses these values, and may
        text, why = _round_trip(decorator, options_object)
        if why:
            lost.append((text, why))
        else:
            texts.append(text)
    return Tried(tuple(dict.fromkeys(texts)), tuple(lost), untold, True)


def samples(annotation: Any) -> list[Any]:
    """Return values of a type that have a text form; none where there are no such values."""
    found: list[Any] = []
    for member in _members(annotation):
        origin = typing.get_origin(member) or member
        if origin is typing.Literal:
            found += typing.get_args(member)
        elif origin in _SAMPLES:
            found += _SAMPLES[origin]
        elif origin is Any or origin is object:
            found += ["word", 7, [1, "a"], {"a": 1}]
        elif origin is collections.abc.Mapping:
            found += _SAMPLES[dict]
        elif isinstance(origin, type) and origin in (list, collections.abc.Sequence):
            found += _of_many(member, list)
            found += _of_many(member, tuple) if origin is not list else []
        elif origin is tuple:
            found += _of_many(member, tuple)
    return found


def _of_many(member: Any, kind: type) -> list[Any]:
    inner = [part for part in typing.get_args(member) if part is not Ellipsis]
    if not inner:
        return [kind(value) for value in _MANY]
    values = samples(inner[0])
    return [kind(values[:n]) for n in range(min(3, len(values)) + 1)]


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _start(
    decorator: Decorator[Any], options: tuple[OptionInfo, ...], values: Mapping[str, list[Any]]
) -> dict[str, Any] | None:
    """Return values for the required options with which the plugin is content."""
    required = [option.name for option in options if option.required]
    combinations = itertools.product(*(values[name] for name in required))
    for combination in itertools.islice(combinations, _MOST_STARTS):
        chosen = dict(zip(required, combination, strict=True))
        if _make(decorator, chosen) is not None:
            return chosen
    if required:
        return None
    # Some need one of several options, each of which has a default.
    single = ({name: value} for name, found in values.items() for value in found)
    return next((chosen for chosen in single if _make(decorator, chosen) is not None), None)


def _variations(
    start: Mapping[str, Any], values: Mapping[str, list[Any]]
) -> Iterator[dict[str, Any]]:
    """Yield the values to begin with, each other value of each option, and two options at once."""
    yield dict(start)
    for name, found in values.items():
        for value in found:
            yield {**start, name: value}
    for (first, some), (second, others) in itertools.combinations(values.items(), 2):
        for one, other in zip(some, reversed(others), strict=False):
            yield {**start, first: one, second: other}


def _make(decorator: Decorator[Any], chosen: Mapping[str, Any]) -> Any:
    try:
        return decorator.make(**chosen)
    except (DefinitionError, PluginError):
        return None


def _round_trip(decorator: Decorator[Any], options: Any) -> tuple[str, str]:
    """Return the text, and why it does not read back as the same; ``""`` when it does."""
    try:
        text = decorator.to_text(options)
    except Exception as error:  # whatever json says of a value
        return repr(options), f"it cannot be written: {type(error).__name__}: {error}"
    try:
        again = decorator.parse(text.partition(":")[2])
    except UsageError as error:
        return text, f"it cannot be read: {error.what}"
    same = again == options or _as_lists(again) == _as_lists(options)
    return text, "" if same else f"{options!r} became {again!r}"


def _as_lists(value: Any) -> Any:
    """Return options as plain data in which a tuple is as good as a list: JSON has lists only."""
    if dataclasses.is_dataclass(value):
        return {f.name: _as_lists(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
