"""Texts that the list and the details of one plugin share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from flow_core.api import PluginError
from flow_plugins.inventory import BLOCKED, HOOK_MODULES, INSTALLED, OK, Item

_IRREGULAR = {
    "flow.current": "current",
    "flow.decorator_hooks": "hooks of",
    "flow.metadata": "metadata",
}
_TWO_WORDS = {"flow.secrets": "secrets provider"}


def kind(group: str) -> str:
    """Return what an entry of a group is: ``flow.stores`` → ``store``."""
    named = _IRREGULAR.get(group) or _TWO_WORDS.get(group)
    return named or group.removeprefix("flow.").removesuffix("s")


def plural(kind: str) -> str:
    """Return the word for more than one of a kind."""
    return kind if kind in _IRREGULAR.values() else kind + "s"


def status_style(status: str) -> str:
    """Return the colour of a status."""
    return {OK: "green", INSTALLED: "green", BLOCKED: "yellow"}.get(status, "red")


def error_lines(error: PluginError) -> Iterator[str]:
    """Yield an error in its four parts."""
    yield click.style(error.what, fg="red")
    for label, text in error.parts():
        first, *rest = text.splitlines()
        yield "  " + click.style(f"{label + ':':<7}", dim=True) + first
        yield from (" " * 9 + line for line in rest)


def columns(rows: Sequence[Sequence[str]], gap: str = "  ") -> Iterator[str]:
    """Yield rows of cells as lines, cells of a column under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield gap.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()


def provides(item: Item) -> str:
    """Return ``commands resume, run; decorator retry; hooks``."""
    groups: dict[str, list[str]] = {}
    for entry in item.entry_points:
        if entry.group not in HOOK_MODULES:
            groups.setdefault(kind(entry.group), []).append(entry.name)
    parts = [
        f"{what if len(names) == 1 else plural(what)} {', '.join(names)}"
        for what, names in groups.items()
    ]
    hooks = not item.distribution or any(e.group in HOOK_MODULES for e in item.entry_points)
    return "; ".join([*parts, "hooks"] if hooks else parts)
