"""Whether an object does what a Protocol of `flow_core.interfaces` asks for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

_ANYTHING = object()


def misfits(given: type, protocol: type) -> Iterator[str]:
    """Yield what a class lacks of a Protocol, or does in another way; nothing when all is well.

    Only what can be seen without making an instance is checked: whether methods and attributes are
    there, and whether methods take what they are given.
    """
    for name, expected in _members(protocol):
        found = inspect.getattr_static(given, name, None)
        if found is None:
            if not _made_later(given, name):
                what = "the method" if inspect.isfunction(expected) else "the attribute"
                yield f"{what} {name} is missing"
        elif inspect.isfunction(expected):
            yield from _method(given, name, expected)


def makes(given: Any, *arguments: object) -> str:
    """Return why a class or function cannot be called with arguments; ``""`` when it can."""
    try:
        inspect.signature(given).bind(*arguments)
    except TypeError as error:
        used = "made" if isinstance(given, type) else "called"
        count = f"{len(arguments)} argument{'s' * (len(arguments) != 1)}"
        return f"it cannot be {used} with {count}: {error}"
    except ValueError:
        return ""  # written in C: nothing is known
    return ""


def _members(protocol: type) -> Iterator[tuple[str, Any]]:
    """Yield the methods, properties and attributes that a Protocol declares."""
    found: dict[str, Any] = {}
    for part in reversed(protocol.__mro__):
        if part is not object and getattr(part, "_is_protocol", False):
            found.update(dict.fromkeys(vars(part).get("__annotations__", ())))
            found.update(vars(part))
    yield from ((name, value) for name, value in found.items() if not name.startswith("_"))


def _made_later(given: type, name: str) -> bool:
    """Whether a class declares an attribute, or sets it in one of its methods."""
    for part in given.__mro__:
        if name in vars(part).get("__annotations__", ()) or "__getattr__" in vars(part):
            return True
        functions = (value for value in vars(part).values() if inspect.isfunction(value))
        if any(name in function.__code__.co_names for function in functions):
            return True
    return False


def _method(given: type, name: str, expected: Any) -> Iterator[str]:
    found = inspect.getattr_static(given, name)
    method = getattr(given, name)
    if not callable(method):
        yield f"{name} is no method"
        return
    try:
        own = inspect.signature(method)
    except ValueError:
        return  # written in C
    bound = isinstance(found, (staticmethod, classmethod))
    try:
        _call_all_ways(expected, own, () if bound else (_ANYTHING,))
    except TypeError as error:
        yield f"{name}{_shown(expected)} cannot be called like that: {error}"


def _call_all_ways(expected: Any, own: inspect.Signature, first: tuple[object, ...]) -> None:
    """Bind the arguments with which the kernel may call a method; TypeError where that fails."""
    parameters = list(inspect.signature(expected).parameters.values())[1:]
    by_name = {p.name: _ANYTHING for p in parameters if p.kind is p.KEYWORD_ONLY}
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    needed = [p for p in positional if p.default is p.empty]
    optional = {p.name: _ANYTHING for p in positional if p.default is not p.empty}
    own.bind(*first, *(_ANYTHING for _ in needed))
    own.bind(*first, *(_ANYTHING for _ in positional), **by_name)
    own.bind(*first, *(_ANYTHING for _ in needed), **optional)


def _shown(expected: Any) -> str:
    parameters = list(inspect.signature(expected).parameters.values())[1:]
    return str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))
