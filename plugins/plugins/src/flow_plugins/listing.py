"""The list of all plugins: a table for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from flow_core.api import PluginError
from flow_plugins.inventory import BLOCKED, HOOK_MODULES, Inventory, Item
from flow_plugins.texts import error_lines, kind, plural, status_style

_HEAD = ("name", "distribution", "version", "status", "provides")
_GAP = "  "
_NARROWEST = 12  # columns of a cell that is wrapped


def json_text(inventory: Inventory) -> str:
    """Return what is known of all, as JSON."""
    return json.dumps([item.to_json() for item in inventory.all], indent=2)


def lines(inventory: Inventory, columns: int | None = None) -> Iterator[str]:
    """Yield the table, then what is wrong with the plugins that cannot be used.

    Args:
        columns: width of the terminal; None = ask it, and do not wrap in a pipe.
    """
    yield from _table(inventory.all, _terminal_columns() if columns is None else columns)
    told: list[PluginError] = []
    for item in inventory.all:
        # Both sides of a clash carry the same error.
        if item.error is not None and str(item.error) not in map(str, told):
            told.append(item.error)
    for error in told:
        yield ""
        yield from error_lines(error)


def _terminal_columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _table(items: Sequence[Item], columns: int) -> Iterator[str]:
    rows = [_HEAD, *map(_cells, items)]
    widths = _widths(rows)
    if columns and sum(widths) + len(_GAP) * (len(widths) - 1) > columns:
        rows = [(row[0], *row[2:]) for row in rows]  # the distribution's name says least
        widths = _widths(rows)
        widths[-1] = max(_NARROWEST, columns - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))
    yield click.style(_join(rows[0], widths), dim=True)
    status = rows[0].index("status")
    for item, row in zip(items, rows[1:], strict=True):
        yield from _row(row, widths, status, status_style(item.status))


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _row(row: tuple[str, ...], widths: list[int], status: int, colour: str) -> Iterator[str]:
    *cells, last = row
    wrapper = textwrap.TextWrapper(widths[-1], break_long_words=False, break_on_hyphens=False)
    first, *more = wrapper.wrap(last) or [""]
    padded = [text.ljust(width) for text, width in zip(cells, widths, strict=False)]
    padded[0] = click.style(padded[0], bold=True)
    padded[status] = click.style(padded[status], fg=colour)
    yield _GAP.join([*padded, first]).rstrip()
    indent = " " * (sum(widths[:-1]) + len(_GAP) * len(cells))
    yield from (indent + line for line in more)


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _cells(item: Item) -> tuple[str, ...]:
    status = "blocked by -p" if item.status == BLOCKED else item.status
    return item.name, item.distribution or "-p", item.version, status, provides(item)


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
