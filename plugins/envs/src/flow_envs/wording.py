"""How sizes, times and tables are written for people."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from flow_core.api import harmless

if TYPE_CHECKING:
    from flow_envs.packages import Package


def size(count: float) -> str:
    """Return ``12 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )


def moment(seconds: float) -> str:
    """Return ``2026-11-28 14:30:05``."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def plural(number: int, word: str) -> str:
    """Return ``1 package``, ``3 packages``."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: str = "") -> Iterator[str]:
    """Yield a head and a line for each row, aligned; columns without a word are left out.

    Args:
        heads: names of the columns.
        rows: their cells.
        right: names of the columns that are aligned on the right.
    """
    cells = [[harmless(cell) for cell in row] for row in rows]
    shown = [n for n in range(len(heads)) if any(row[n] for row in cells)]
    widths = {n: max(len(heads[n]), *(len(row[n]) for row in cells)) for n in shown}
    aligned = {n for n in shown if heads[n] in right.split()}
    for number, row in enumerate([list(heads), *cells]):
        texts = [
            row[n].rjust(widths[n]) if n in aligned else row[n].ljust(widths[n]) for n in shown
        ]
        line = "  ".join(texts).rstrip()
        yield line if number else click.style(line, dim=True)


def packages_table(packages: Sequence[Package]) -> Iterator[str]:
    """Yield the table of one package or more; on a terminal no wider than that."""
    heads = ("PACKAGE", "VERSION", "FROM")
    taken = sum(2 + max(len(heads[n]), *(len(p[n]) for p in packages)) for n in (0, 1))
    room = shutil.get_terminal_size().columns - taken if sys.stdout.isatty() else None
    yield from table(heads, [(p.name, p.version, within(p.source, room)) for p in packages])


def within(source: str, room: int | None) -> str:
    """Return a URL without the middle of its path, and of its file's name what has room.

    Args:
        source: a URL, or something else, which stays as it is.
        room: columns that there are; None = any number.
    """
    scheme, mark, rest = source.partition("://")
    if room is None or len(source) <= room or not mark or rest.count("/") < 2:
        return source
    place = f"{scheme}://{rest.partition('/')[0]}/…"
    short = f"{place}/{rest.rpartition('/')[2]}"
    return short if len(short) <= room else short[: max(room - 1, len(place))].rstrip("…") + "…"


def facts(pairs: Sequence[tuple[str, str]], indent: str = "  ") -> Iterator[str]:
    """Yield ``name  text`` of each pair, aligned; those without a text are left out."""
    known = [(name, harmless(text)) for name, text in pairs if text]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        yield f"{indent}{name.ljust(width)}  {text}"
