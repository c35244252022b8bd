"""The list of all plugins: a table for people, JSON for programs."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from flow_core.api import PluginError
from flow_plugins.reports import BLOCKED, HOOK_MODULES, Report, Reports
from flow_plugins.texts import error_lines, kind, plural, status_style

_HEAD = ("name", "distribution", "version", "status", "provides", "hooks")
_GAP = "  "
_NARROWEST = 12  # columns of a cell that is wrapped


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
    told: list[PluginError] = []
    for report in reports.all:
        # Both sides of a clash carry the same error.
        if report.error is not None and str(report.error) not in map(str, told):
            told.append(report.error)
    for error in told:
        yield ""
        yield from error_lines(error)
    if reports.stop_runs:
        yield ""
        yield "No run starts before this is mended; 'flow plugins NAME' tells more."


def _terminal_columns() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _table(reports: Sequence[Report], columns: int) -> Iterator[str]:
    rows = [_HEAD, *map(_cells, reports)]
    widths = _widths(rows)
    if columns and sum(widths) + len(_GAP) * (len(widths) - 1) > columns:
        rows = [_compact(row) for row in rows]
        widths = _widths(rows)
        widths[-1] = max(_NARROWEST, columns - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1))
    yield click.style(_join(rows[0], widths), dim=True)
    status = rows[0].index("status")
    for report, row in zip(reports, rows[1:], strict=True):
        yield from _row(row, widths, status, status_style(report.status))


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _compact(cells: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out the distribution, and put the hooks to what is provided."""
    name, _, version, status, provided, hooks = cells
    if cells == _HEAD:
        return name, version, status, provided
    both = [provided] if provided else []
    return name, version, status, "; ".join([*both, f"hooks {hooks}"] if hooks else both)


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


def _cells(report: Report) -> tuple[str, ...]:
    hooks = ", ".join(dict.fromkeys(h.name.removeprefix("flow_") for h in report.hooks))
    status = "blocked by -p" if report.status == BLOCKED else report.status
    distribution = report.distribution or "-p"
    return report.name, distribution, report.version, status, provides(report), hooks


def provides(report: Report) -> str:
    """Return ``commands resume, run; decorator retry``."""
    groups: dict[str, list[str]] = {}
    for entry in report.entry_points:
        if entry.group not in HOOK_MODULES:
            groups.setdefault(kind(entry.group), []).append(entry.name)
    return "; ".join(
        f"{what if len(names) == 1 else plural(what)} {', '.join(names)}"
        for what, names in groups.items()
    )
