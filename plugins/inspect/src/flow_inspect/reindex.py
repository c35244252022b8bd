"""``reindex``: bring the index of runs in line with the store, when it was lost or lags behind."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import Command, CommandContext, StoreIndex, harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from flow_core.api import Session

_PATIENCE = 1.0
"""Seconds after which it is told how far it is."""
_PACE = 0.1


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def reindex(anew: bool, as_json: bool) -> None:
        session = context.session()
        data = _reindex(session, anew, None if as_json else _Progress())
        problems = list(session.metadata.problems)
        if as_json:
            context.echo(json.dumps({**data, "problems": problems}, indent=2))
            return
        found = f"{data['runs']:,} run{'s' if data['runs'] != 1 else ''}"
        if "changed" in data:
            text = f"{found} found in the store, {data['changed']:,} of them new or changed."
            context.echo(f"The index is up to date: {text}")
        else:
            context.echo(f"The index was made anew: {found} found in the store.")
        for problem in problems:
            note = click.style("left out: ", fg="yellow") + harmless(problem)
            context.echo(note, error=True)

    return click.Command(
        "reindex",
        callback=reindex,
        params=[
            click.Option(["--anew"], is_flag=True, help="Read all runs, not only what is new."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="Bring the index of runs in line with the store, which holds the truth. An index that "
        "lies beside its store is made anew: after it was lost or deleted. That of another store, "
        "which this machine keeps for itself, gets what is new or has changed. Records that cannot "
        "be read are left out and named.",
    )


def _reindex(
    session: Session, anew: bool, tell: Callable[[int, int], object] | None
) -> dict[str, Any]:
    metadata = session.metadata
    if isinstance(metadata, StoreIndex) and not anew:
        return metadata.follow(tell)._asdict()
    return {"runs": metadata.rebuild(session.store)}


class _Progress:
    """Tells on a terminal how far it is, in one line that goes away."""

    def __init__(self) -> None:
        self._began = self._told = time.monotonic()
        self._shown = sys.stderr.isatty()

    def __call__(self, done: int, count: int) -> None:
        now = time.monotonic()
        if not self._shown or now - self._began < _PATIENCE:
            return
        if done == count or now - self._told >= _PACE:
            self._told = now
            text = f"{done:,} of {count:,} runs" if done < count else ""
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)


command = Command("Bring the index of runs in line with the store.", False, build)
