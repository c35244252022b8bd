"""Tables for people: aligned columns, times, durations and sizes in few characters."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence

import click

from flow_core.api import duration as a_duration
from flow_core.api import harmless

_COLOURS = {
    "succeeded": "green",
    "caught": "yellow",
    "reused": "cyan",
    "running": "blue",
    "failed": "red",
    "lost": "red",
    "interrupted": "yellow",
}


def lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a head and a line for each row. On a terminal, the last column is cut at its edge."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    # A column without a word in any row says nothing.
    shown = [n for n in range(len(heads)) if any(row[n] for row in rows)] or [0]
    yield click.style(_line(heads, widths, shown), dim=True)
    for row in rows:
        yield _line(row, widths, shown, coloured=True)


def _line(
    cells: Sequence[str], widths: Sequence[int], shown: Sequence[int], *, coloured: bool = False
) -> str:
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    parts = []
    while shown and not cells[shown[-1]]:
        shown = shown[:-1]  # no blanks at the end of a line
    for number in shown:
        text = cells[number]
        if room is not None and number == shown[-1] and len(text) > room > 1:
            text = text[: room - 1] + "…"
        padded = text if number == shown[-1] else text.ljust(widths[number])
        if room is not None:
            room -= widths[number] + 2
        parts.append(click.style(padded, fg=_COLOURS.get(text)) if coloured else padded)
    return "  ".join(parts)


def moment(seconds: float | None) -> str:
    """Return ``2026-11-28 14:30:05``, or nothing."""
    if not seconds:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def duration(seconds: float | None) -> str:
    """Return ``120 ms``, ``3.4 s``, ``5 min 12 s``, ``2 h 05 min``, or nothing."""
    return "" if seconds is None or seconds < 0 else a_duration(seconds)


def size(count: float) -> str:
    """Return ``12 MB``, or nothing for 0."""
    if not count:
        return ""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )
