"""The list of all plugins: a table for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from flow_core.api import PluginError
from flow_plugins.reports import BLOCKED, HOOK_MODULES, OK, Report, Reports
from flow_plugins.texts import error_lines, kind, plural, status_style

_HEAD = ("name", "distribution", "version", "status", "provides", "hooks")
_GAP = "  "
_NARROWEST = 20  # columns of a cell that is wrapped


def json_text(reports: Reports, name: str | None = None) -> str:
    """Return all reports, or that on one plugin, as JSON."""
    chosen = [r.to_json() for r in reports.all] if name is None else reports.find(name).to_json()
    return json.dumps(chosen, indent=2)


def lines(reports: Reports, columns: int | None = None) -> Iterator[str]:
    """Yield the table, then what is wrong with the plugins that cannot be used.

    Args:
        columns: width of the terminal; None = ask it, and do not wrap in a pipe.
    """
    yield from _table(reports.all, _terminal_columns() if columns is None else columns)
    told: list[PluginError] = [reports.trouble] if reports.trouble else []
    for report in reports.all:
        # Both sides of a clash carry the same error.
        if report.error is not None and str(report.error) not in map(str, told):
            told.append(report.error)
    for error in told:
        yield ""
        yield from error_lines(error)
    if told:
        yield ""
        yield "A run stops before its first task while a plugin is broken; 'flow plugins NAME' tells more."


def _terminal_columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _table(reports: Sequence[Report], columns: int) -> Iterator[str]:
    rows = [_cells(report) for report in reports]
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    if columns:
        widths = _fit(widths, columns)
    yield click.style(_line(_HEAD, widths), dim=True)
    for report, row in zip(reports, rows, strict=True):
        yield from _row(report, row, widths)


def _fit(widths: list[int], columns: int) -> list[int]:
    """Divide what the first columns leave between the last two, which may be wrapped."""
    *fixed, provides, hooks = widths
    room = columns - sum(fixed) - len(_GAP) * len(fixed) - len(_GAP)
    for_provides = max(_NARROWEST, min(provides, max(room // 2, room - hooks)))
    return [*fixed, for_provides, max(_NARROWEST, min(hooks, room - for_provides))]


def _row(report: Report, cells: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    wrapped = [
        textwrap.wrap(c, w, break_long_words=False) for c, w in zip(cells, widths, strict=True)
    ]
    for number in range(max(1, *map(len, wrapped))):
        part = [cell[number] if number < len(cell) else "" for cell in wrapped]
        padded = [text.ljust(width) for text, width in zip(part, widths, strict=True)]
        padded[0] = click.style(padded[0], bold=True)
        padded[3] = click.style(padded[3], fg=status_style(report.status))
        yield _GAP.join(padded).rstrip()


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _cells(report: Report) -> tuple[str, ...]:
    hooks = ", ".join(dict.fromkeys(h.name.removeprefix("flow_") for h in report.hooks))
    status = report.status
    if status == BLOCKED:
        status = f"blocked by no:{report.name}"
    elif status != OK and not report.distribution:
        status += " (-p)"
    return (
        report.name,
        report.distribution or "-p",
        report.version,
        status,
        provides(report),
        hooks,
    )


def provides(report: Report) -> str:
    """Return ``commands resume, run; decorator retry``."""
    groups: dict[str, list[str]] = {}
    for entry in report.entry_points:
        if entry.group != HOOK_MODULES:
            groups.setdefault(kind(entry.group), []).append(entry.name)
    return "; ".join(
        f"{what if len(names) == 1 else plural(what)} {', '.join(names)}"
        for what, names in groups.items()
    )
