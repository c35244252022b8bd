"""In which order the implementations of a hook are called, and why.

They are called sorted by the names of their plugins, except where one says ``before=`` or ``after=``.
Each hook is ordered by itself: a plugin may come first in one and last in another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pluggy

from flow_core import hookspecs


class Wish(NamedTuple):
    """Whom an implementation asks to come before, and after. Names that are absent do not matter."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Ring(Exception):
    """Wishes that contradict each other. Not an error of its own: see `Plugins.broken`.

    Attributes:
        names: each wants to come before the next one, and the last before the first.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(" before ".join([*names, names[0]]))
        self.names = tuple(names)


def wish_of(function: object) -> Wish:
    """Return what ``@hookimpl(before=…, after=…)`` says of a function."""
    return Wish(*getattr(function, hookspecs.ORDER_ATTRIBUTE, ()))


def budget_of(function: object) -> float | None:
    """Return what ``@hookimpl(budget=…)`` says of a function."""
    budget: float | None = getattr(function, hookspecs.BUDGET_ATTRIBUTE, hookspecs.USUAL)
    return budget


def _where(function: object) -> str:
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def call_order(wishes: Mapping[str, Wish]) -> list[str]:
    """Sort names so that all wishes come true; of those that are free, the first by name comes first.

    Raises:
        Ring: that cannot be.
    """
    waiting = sorted(wishes)
    earlier = _earlier(wishes)
    if not any(earlier.values()):
        return waiting
    order: list[str] = []
    called: set[str] = set()
    while waiting:
        free = next((name for name in waiting if earlier[name] <= called), None)
        if free is None:
            raise Ring(_ring(waiting, earlier))
        waiting.remove(free)
        order.append(free)
        called.add(free)
    return order


def _earlier(wishes: Mapping[str, Wish]) -> dict[str, set[str]]:
    """Return for each name those that must come before it."""
    earlier: dict[str, set[str]] = {name: set() for name in wishes}
    for name, wish in wishes.items():
        earlier[name].update(other for other in wish.after if other in wishes and other != name)
        for other in wish.before:
            if other in wishes and other != name:
                earlier[other].add(name)
    return earlier


def _ring(waiting: Iterable[str], earlier: Mapping[str, set[str]]) -> list[str]:
    """Go back from one that waits to one that it waits for, until a name comes again."""
    stuck = set(waiting)
    way = [min(stuck)]
    while way.count(way[-1]) < 2:
        way.append(min(earlier[way[-1]] & stuck))
    ring = way[way.index(way[-1]) : -1][::-1]
    start = ring.index(min(ring))
    return ring[start:] + ring[:start]


def arrange(methods: Sequence[pluggy.HookImpl]) -> list[pluggy.HookImpl]:
    """Sort the implementations of a hook as pluggy calls them: the last of the list first.

    Wrappers stay outside of all others, and the kernel's own stay last of all.

    Raises:
        Ring: their wishes contradict each other.
    """
    parts: dict[tuple[bool, int], list[pluggy.HookImpl]] = {}
    for method in methods:
        place = (method.wrapper or method.hookwrapper, method.tryfirst - method.trylast)
        parts.setdefault(place, []).append(method)
    arranged: list[pluggy.HookImpl] = []
    for place in sorted(parts):
        by_name = {method.plugin_name: method for method in parts[place]}
        names = call_order({name: wish_of(m.function) for name, m in by_name.items()})
        arranged.extend(by_name[name] for name in reversed(names))
    return arranged


class Place(NamedTuple):
    """Where an implementation stands among those of its hook.

    Attributes:
        plugin: its name.
        wrapper: whether it wraps those that come later.
        reason: why it stands here, for people.
        where: file and line of the function, ``""`` when they are not known.
        budget: seconds that it may take in the launcher; None = any time; `hookspecs.USUAL` = what
            the settings say.

    Since 0.1.
    """

    plugin: str
    wrapper: bool
    reason: str
    where: str = ""
    budget: float | None = hookspecs.USUAL


def explain(methods: Sequence[pluggy.HookImpl]) -> list[Place]:
    """Return the implementations in call order, with the reason for each place.

    Args:
        methods: as `arrange` returns them.
    """
    called = list(reversed(methods))
    names = [method.plugin_name for method in called]
    return [
        Place(
            m.plugin_name,
            bool(m.wrapper or m.hookwrapper),
            _reason(m, called, names),
            _where(m.function),
            budget_of(m.function),
        )
        for m in called
    ]


def _reason(
    method: pluggy.HookImpl, all_of_them: Sequence[pluggy.HookImpl], names: Sequence[str]
) -> str:
    before, after = wish_of(method.function)
    reasons = [f"before {name}: its own wish" for name in before if name in names]
    reasons += [f"after {name}: its own wish" for name in after if name in names]
    for other in all_of_them:
        wish = wish_of(other.function)
        if method.plugin_name in wish.before:
            reasons.append(f"after {other.plugin_name}: the wish of {other.plugin_name}")
        if method.plugin_name in wish.after:
            reasons.append(f"before {other.plugin_name}: the wish of {other.plugin_name}")
    if method.trylast:
        reasons.append("the kernel's own come last")
    if method.wrapper or method.hookwrapper:
        reasons.append("wraps those below")
    return "; ".join(reasons) or "by name"
