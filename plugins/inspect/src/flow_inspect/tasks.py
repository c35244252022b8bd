"""``tasks``: the tasks of a run, or of one of its steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    Command,
    CommandContext,
    ManifestReader,
    RunState,
    check_states,
    manifest_key,
    seems_lost,
)
from flow_inspect.place import Place, check_exists, read_place
from flow_inspect.table import duration, lines, moment, size

if TYPE_CHECKING:
    from flow_core.api import Session

_HEADS = ("TASK", "ATTEMPT", "STATE", "INDEX", "STARTED", "TOOK", "CPU", "MEMORY", "MESSAGE")
_LOST = "lost"
_STATES = (*(state.value for state in AttemptState), _LOST)
_OPEN = (AttemptState.QUEUED, AttemptState.RUNNING)
_PAGE = 1000


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def tasks(
        pathspec: str,
        states: tuple[str, ...],
        every: bool,
        after: int,
        limit: int,
        as_json: bool,
    ) -> None:
        session = context.session()
        place = read_place(context, pathspec)
        check_exists(session, place)
        check_states(states, _STATES, "a task")
        found, more = _find(session, place, states, every, after, limit)
        asked = _asked(session, [r for r, _ in found]) if place.task is not None else None
        if as_json:
            rows = [_data(record, state, asked) for record, state in found]
            context.echo(json.dumps(rows, indent=2))
            return
        if found:
            for line in lines(_HEADS, [_row(record, state, asked) for record, state in found]):
                context.echo(line)
        if more:
            note = f"There are more: --after {found[-1][0].task}, or --limit 0."
            context.echo(click.style(note, dim=True), error=True)
        elif not found:
            context.echo(click.style("No task is as described.", dim=True), error=True)

    return click.Command(
        "tasks",
        callback=tasks,
        params=[
            click.Argument(["pathspec"]),
            click.Option(
                ["--state", "states"],
                multiple=True,
                type=click.Choice(_STATES),
                help="Tasks in this state. Repeatable.",
            ),
            click.Option(
                ["--all-attempts", "every"], is_flag=True, help="Every attempt, not only the last."
            ),
            click.Option(
                ["--after"],
                type=int,
                default=-1,
                metavar="TASK",
                help="After the task of this number: the next page.",
            ),
            click.Option(
                ["--limit"],
                type=click.IntRange(min=0),
                default=100,
                show_default=True,
                metavar="N",
                help="At most N tasks; 0 for all.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="List the tasks of a run, or of one step, in the order of their numbers: "
        "Flow/run[/step[/task]]. In a flow file the flow may be left out. Of one task, also the "
        "memory that it asked for is shown.",
    )


def _find(
    session: Session, place: Place, states: Sequence[str], every: bool, after: int, limit: int
) -> tuple[list[tuple[AttemptRecord, str]], bool]:
    """Return attempts, each with its state as people see it, and whether there are more."""
    found: list[tuple[AttemptRecord, str]] = []
    numbers: set[int] = set()
    for record, state in _records(session, place, states, every, after):
        if limit and record.task not in numbers and len(numbers) == limit:
            return found, True
        numbers.add(record.task)
        found.append((record, state))
    return found, False


def _records(
    session: Session, place: Place, states: Sequence[str], every: bool, after: int
) -> Iterator[tuple[AttemptRecord, str]]:
    flow, run, step, task = place
    # What a launcher that died left behind runs for the index; in truth it is lost.
    stored = [s for s in AttemptState if s.value in states or (_LOST in states and s in _OPEN)]
    owner = session.metadata.run(flow, run)
    over = owner is not None and (
        owner.state not in (RunState.CREATED, RunState.RUNNING) or seems_lost(owner)
    )
    while True:
        page = session.metadata.attempts(
            flow,
            run,
            step=step,
            task=task,
            states=stored,
            all_attempts=every,
            after=after,
            limit=_PAGE,
        )
        for record in page:
            state = _LOST if over and record.state in _OPEN else record.state.value
            if not states or state in states:
                yield record, state
        if not page:
            return
        after = page[-1].task


_Asked = dict[int, Mapping[str, float]]
"""Attempt of one task → amounts of resources that it asked for."""


def _asked(session: Session, records: Sequence[AttemptRecord]) -> _Asked:
    """Return what attempts of one task asked for; that of many tasks would take long to read."""
    manifests = ManifestReader(session.store).read([manifest_key(*r[:5]) for r in records])
    return {m.attempt: m.notes.get("resources", {}) for m in manifests if m is not None}


def _memory(record: AttemptRecord, asked: _Asked | None) -> str:
    """Return ``3.1 GB of 4.0 GB``; without what it asked for, where that is not known."""
    limit = (asked or {}).get(record.attempt, {}).get("memory")
    used = size(record.peak_memory)
    return f"{used or '?'} of {size(limit * 1e6)}" if limit else used


def _row(record: AttemptRecord, state: str, asked: _Asked | None) -> tuple[str, ...]:
    took = None
    if record.started_at and record.finished_at:
        took = record.finished_at - record.started_at
    return (
        f"{record.step}/{record.task}",
        str(record.attempt) if record.attempt else "",
        state,
        ",".join(map(str, record.indices)),
        moment(record.started_at),
        duration(took),
        duration(record.cpu_seconds or None),
        _memory(record, asked),
        record.message or (f"from {record.origin}" if record.origin else ""),
    )


def _data(record: AttemptRecord, state: str, asked: _Asked | None) -> dict[str, Any]:
    resources = {"resources": asked.get(record.attempt, {})} if asked is not None else {}
    return {
        "task": record.pathspec,
        "attempt": record.attempt,
        "state": state,
        "foreach_indices": list(record.indices),
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "cpu_seconds": record.cpu_seconds,
        "peak_memory": record.peak_memory,
        "origin": record.origin,
        "cause": record.cause,
        "message": record.message,
        **resources,
    }


command = Command("List the tasks of a run: state, times, memory.", False, build)
