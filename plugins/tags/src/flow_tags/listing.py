"""The lists that ``tag list`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

import click

from flow_core.api import harmless

if TYPE_CHECKING:
    from flow_core.api import RunRecord


class Layout(Enum):
    """The form of a list."""

    BY_RUN = "by run"
    BY_TAG = "by tag"
    FLAT = "flat"


def lines(runs: Sequence[RunRecord], layout: Layout, hide_system_tags: bool) -> Iterator[str]:
    """Yield the lines of a list."""
    pairs = [(run.pathspec, _tags(run, hide_system_tags)) for run in runs]
    if layout is Layout.FLAT:
        yield from (f"{run}\t{harmless(tag)}" for run, tags in pairs for tag in tags)
    elif layout is Layout.BY_TAG:
        table: dict[str, list[str]] = {}
        for run, tags in pairs:
            for tag in tags:
                table.setdefault(tag, []).append(run)
        for tag in sorted(table):
            yield f"{click.style(harmless(tag), bold=True)}: {', '.join(table[tag])}"
    else:
        for run, tags in pairs:
            shown = ", ".join(map(harmless, tags)) or click.style("no tags", dim=True)
            yield f"{click.style(run, bold=True)}: {shown}"


def _tags(run: RunRecord, hide_system_tags: bool) -> list[str]:
    return [*run.tags, *(() if hide_system_tags else run.system_tags)]
