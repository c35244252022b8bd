"""Checks of hook modules: that they load, and that each function fits its hook."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import flow_core.api as api
from flow_core.api import GROUPS, HookInfo, Session, near_misses
from flow_plugins.checking.findings import FAIL, OK, WARN, Finding, of_error
from flow_plugins.inventory import Item
from flow_plugins.reports import DECORATOR_HOOKS, loaded_modules

_COLLECTIONS = ("list", "tuple", "Sequence", "Collection", "Iterable")


def hook_findings(session: Session, item: Item) -> Iterator[Finding]:
    """Check the hook modules of a plugin."""
    findings = [*_broken(session, item), *_never_loaded(session, item)]
    if not findings:
        for module in loaded_modules(session, item):
            findings += _module(session, module)
    yield from findings
    if findings:
        return
    names = _hook_names(session, item)
    if names:
        yield Finding("hooks", OK, ", ".join(names))


def _hook_names(session: Session, item: Item) -> list[str]:
    manager = session.plugins.manager
    modules = loaded_modules(session, item)
    found = {caller.name for m in modules for caller in manager.get_hookcallers(m) or ()}
    return sorted(found)


def _broken(session: Session, item: Item) -> Iterator[Finding]:
    told = set()
    for name in item.hook_modules:
        error = session.plugins.broken.get(name)
        if error is not None and str(error) not in told:
            told.add(str(error))
            yield of_error("hooks", error)


def _never_loaded(session: Session, item: Item) -> Iterator[Finding]:
    """Find hooks of decorators that do not exist."""
    decorators = session.index.names("flow.decorators")
    for entry in item.entry_points:
        if entry.group == DECORATOR_HOOKS and entry.name not in decorators:
            yield Finding(
                "hooks",
                FAIL,
                f"The hooks of '{entry.name}' are never loaded: there is no decorator of that name",
                f"{entry.group}: {entry.name} = {entry.value}",
                hint=f"the name of a decorator, or the group {'flow.plugins'}"
                f" for hooks that each session needs ({GROUPS['flow.plugins']})",
            )


def _module(session: Session, module: Any) -> Iterator[Finding]:
    infos = {info.name: info for info in session.plugins.manager.hooks()}
    for name, function in _functions(module):
        marked = getattr(function, "flow_core_impl", None)
        if marked is None:
            yield from _misspelt(name, function, infos)
        elif name in infos:
            yield from _returned(function, infos[name], bool(marked["wrapper"]))
            yield from _wishes(session, name, function)


def _functions(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions of a hook module, or of an object, whose names could be those of hooks."""
    for name in dir(module):
        if name.startswith("flow_"):
            found = getattr(module, name)
            if inspect.isroutine(found):
                yield name, found


def _misspelt(name: str, function: Any, infos: dict[str, HookInfo]) -> Iterator[Finding]:
    """Find what was meant to be a hook, and is neither marked nor called like one."""
    close = near_misses(name, infos, 1)
    if close and name not in infos:
        yield Finding(
            "hooks",
            WARN,
            f"The function {name} looks like the hook {close[0]}, and is none",
            _place(function),
            hint=f"call it {close[0]} and put @hookimpl above it, or give it a name that does "
            "not begin with 'flow_'",
        )


def _wishes(session: Session, name: str, function: Any) -> Iterator[Finding]:
    """Find names in before= and after= that are probably mistyped: absent ones do not matter."""
    index = session.index
    known = {*index.names("flow.plugins"), *index.names(DECORATOR_HOOKS)}
    known.update(registered for registered, _ in session.plugins.manager.list_name_plugin())
    for label, wished in zip(("before", "after"), _order(function), strict=True):
        for other in wished:
            close = near_misses(other, known, 1)
            if other not in known and close:
                yield Finding(
                    "hooks",
                    WARN,
                    f"{name} wants to come {label} '{other}', which is not installed",
                    _place(function),
                    hint=f"did you mean '{close[0]}'?",
                )


def _order(function: Any) -> tuple[Sequence[str], Sequence[str]]:
    before, after = getattr(function, "flow_core_order", ((), ()))
    return before, after


# --- what a function says that it returns -------------------------------------------------------


def _returned(function: Any, info: HookInfo, wrapper: bool) -> Iterator[Finding]:
    if wrapper:
        return  # a generator; what it returns is what it was given
    given = _annotation(function)
    wrong = given is not _UNKNOWN and not _fits(given, info)
    if wrong:
        expected = (
            str(info.returns) if info.returns is not None else "None: nothing is done with it"
        )
        yield Finding(
            "hooks",
            FAIL if info.returns is not None else WARN,
            f"{info.name} says that it returns {_name(given)}",
            _place(function),
            why=f"the hook returns {expected}",
            hint=f"-> {info.returns}" if info.returns is not None else "-> None",
        )


_UNKNOWN = object()


def _annotation(function: Any) -> Any:
    """Return the type that a function says it returns; `_UNKNOWN` when that cannot be told."""
    if "return" not in getattr(function, "__annotations__", {}):
        return _UNKNOWN
    offered = {name: getattr(api, name) for name in _words(function) if name in api.__all__}
    try:
        # Names that are imported for type checkers only are most likely those of the API.
        return typing.get_type_hints(function, localns=offered)["return"]
    except Exception:  # whatever evaluating an annotation may raise: a name that only mypy knows
        return _UNKNOWN


def _words(function: Any) -> set[str]:
    import re

    texts = [str(annotation) for annotation in function.__annotations__.values()]
    return {word for text in texts for word in re.findall(r"\w+", text)}


def _fits(given: Any, info: HookInfo) -> bool:
    """Whether each type that may be returned is one that the hook can use."""
    members = _members(given)
    if any(member in (Any, object, typing.NoReturn) for member in members):
        return True
    real = [member for member in members if member not in (None, type(None))]
    if info.returns is None:
        return not real or info.first_result
    return all(_usable(member, info) for member in real)


def _usable(member: Any, info: HookInfo) -> bool:
    assert info.returns is not None
    names = {kind.partition(":")[2] for kind in info.returns.kinds}
    if not info.returns.many:
        return any(_named(part) in names for part in _members(member))
    if _named(member) not in _COLLECTIONS:
        return False
    inner = [part for part in typing.get_args(member) if part is not Ellipsis]
    return all(_named(p) in names or p in (Any, object) for part in inner for p in _members(part))


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _named(annotation: Any) -> str:
    return getattr(typing.get_origin(annotation) or annotation, "__name__", str(annotation))


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""
