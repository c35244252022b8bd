"""``logs scrub``: remove what tasks wrote, for example a secret that got into a log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import (
    AttemptLogs,
    AttemptState,
    CommandContext,
    ManifestReader,
    UsageError,
    home_of_logs,
)
from flow_inspect.logs import chosen_streams, stream_options
from flow_inspect.place import attempts, check_exists, read_place

if TYPE_CHECKING:
    from flow_core.api import AttemptRecord, Session
    from flow_inspect.place import Place

_OPEN = frozenset({AttemptState.QUEUED, AttemptState.RUNNING})
_PAGE = 1000


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def scrub(
        pathspec: str,
        streams: str,
        attempt: int | None,
        every: bool,
        include_not_done: bool,
        as_json: bool,
    ) -> None:
        if every and attempt is not None:
            raise UsageError("--all and --attempt exclude each other", hint="leave one of them out")
        place = read_place(context, pathspec)
        session = context.session()
        check_exists(session, place)
        records = list(_all(session, place) if every else attempts(session, place, attempt))
        if not include_not_done:
            _check_done(records)
        removed = _scrub(session, records, chosen_streams(streams))
        if as_json:
            context.echo(json.dumps({"removed": removed}, indent=2))
        else:
            _tell(context, removed)

    return click.Command(
        "scrub",
        callback=scrub,
        params=[
            click.Argument(["pathspec"]),
            *stream_options(),
            click.Option(
                ["--attempt"],
                type=click.IntRange(min=0),
                metavar="N",
                help="Attempt N, from 0, instead of the last one.",
            ),
            click.Option(["--all/--latest", "every"], help="All attempts, or the last one."),
            click.Option(
                ["--include-not-done"],
                is_flag=True,
                help="Also of tasks that have not ended, which may write more.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="Remove what the tasks of a run, a step, or one task wrote: Flow/run[/step[/task]]. "
        "A line that says so stays in its place. Artifacts are left alone.",
    )


def _all(session: Session, place: Place) -> Iterator[AttemptRecord]:
    after = -1
    while True:
        page = session.metadata.attempts(
            place.flow,
            place.run,
            step=place.step,
            task=place.task,
            all_attempts=True,
            after=after,
            limit=_PAGE,
        )
        yield from page
        if not page:
            return
        after = page[-1].task


def _check_done(records: list[AttemptRecord]) -> None:
    still = [r for r in records if r.state in _OPEN]
    if still:
        raise UsageError(
            f"Task {still[0].pathspec} has not ended",
            why=f"{len(still)} of the tasks may write more after their logs are removed",
            hint="wait for the end of the run, or add --include-not-done",
        )


def _scrub(
    session: Session, records: list[AttemptRecord], streams: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Replace the logs; return which: those of a reused task lie where it really ran."""
    moment = time.strftime("%Y-%m-%d %H:%M:%S")
    note = f"[flow: removed by {session.settings.user()}, {moment}]\n".encode()
    removed: list[dict[str, Any]] = []
    manifests = ManifestReader(session.store)
    for record in records:
        prefix, _ = home_of_logs(session.store, manifests, record)
        home = prefix.removeprefix("runs/").removesuffix("/")
        logs = AttemptLogs(session.store, prefix)
        for stream in streams:
            size = logs.size(stream)
            if size:
                logs.replace(stream, note)
                removed.append({"attempt": home, "stream": stream, "bytes": size})
    return removed


def _tell(context: CommandContext, removed: list[dict[str, Any]]) -> None:
    for row in removed:
        context.echo(f"removed {row['bytes']:,} B of {row['stream']} of {row['attempt']}")
    if not removed:
        context.echo("There was nothing to remove.")
