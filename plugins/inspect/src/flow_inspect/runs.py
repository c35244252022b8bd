"""``runs``: the runs of a flow, or of all, that are as described."""

from __future__ import annotations

import heapq
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import (
    RUN_STATES,
    Command,
    CommandContext,
    NotFound,
    RunQuery,
    RunRecord,
    UsageError,
    command_line,
    did_you_mean,
    find_runs,
    index_lacks,
    seen_state,
    texts_of_word,
    time_of,
)
from flow_inspect.place import check_exists, read_place
from flow_inspect.table import duration, lines, moment

if TYPE_CHECKING:
    from flow_core.api import Session

_HEADS = ("RUN", "STATE", "STARTED", "TOOK", "USER", "TAGS", "PARAMETERS")


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def runs(flow: str | None, limit: int, as_json: bool, **chosen: Any) -> None:
        session = context.session()
        query = _query(session, chosen)
        names = _flows(context, session, flow)
        before = _before(context, session, chosen["before"])
        page = min(limit + 1, 500) if limit else 500
        streams = [find_runs(session.metadata, n, query, before=before, page=page) for n in names]
        every = heapq.merge(*streams, key=lambda r: (r.created_at, r.run), reverse=True)
        found = list(itertools.islice(every, limit + 1 if limit else None))
        more = bool(limit) and len(found) > limit
        found = found[:limit] if limit else found
        if as_json:
            context.echo(json.dumps([_data(run) for run in found], indent=2))
        elif found:
            for line in lines(_HEADS, [_row(run) for run in found]):
                context.echo(line)
        if not as_json:
            for note in _notes(session, names, chosen["namespace"], found, more):
                context.echo(click.style(note, dim=True), error=True)

    return click.Command(
        "runs",
        callback=runs,
        params=[
            click.Argument(["flow"], required=False),
            click.Option(
                ["--state", "states"],
                multiple=True,
                type=click.Choice(RUN_STATES),
                help="Runs in this state. Repeatable.",
            ),
            click.Option(
                ["--tag", "tags"], multiple=True, metavar="TAG", help="With this tag. Repeatable."
            ),
            click.Option(
                ["--param", "parameters"],
                multiple=True,
                metavar="NAME=VALUE",
                help="With this value of a parameter. Repeatable.",
            ),
            click.Option(
                ["--since"], metavar="TIME", help="Started then or later: 7d (ago), 2026-11-28."
            ),
            click.Option(["--until"], metavar="TIME", help="Started before then."),
            click.Option(["--user"], metavar="NAME", help="Started by this user."),
            click.Option(
                ["--namespace"],
                metavar="TAG",
                help="With this tag, instead of your own runs; '' for the runs of everybody.",
            ),
            click.Option(["--before"], metavar="RUN", help="Older than this run: the next page."),
            click.Option(
                ["--limit"],
                type=click.IntRange(min=0),
                default=20,
                show_default=True,
                metavar="N",
                help="At most N; 0 for all.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="List runs, newest first: of FLOW, of the flow file, or of all flows; your own, "
        "unless --user or --namespace says otherwise. What several options say must all be so.",
    )


def _query(session: Session, chosen: dict[str, Any]) -> RunQuery:
    namespace = chosen["namespace"]
    if namespace is None:
        namespace = "" if chosen["user"] else f"user:{session.settings.user()}"
    return RunQuery(
        tags=(*chosen["tags"], *([namespace] if namespace else [])),
        states=chosen["states"],
        since=_time("--since", chosen["since"]),
        until=_time("--until", chosen["until"]),
        user=chosen["user"],
        parameters=dict(map(_parameter, chosen["parameters"])),
    )


def _time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return time_of(text)
    except UsageError as error:
        raise UsageError(error.what, where=option, why=error.why, hint=error.hint) from None


def _parameter(text: str) -> tuple[str, Sequence[str]]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(
            f"'{text}' names no value of a parameter",
            where="--param",
            why="a value is named NAME=VALUE",
            hint="--param alpha=3",
        )
    return name, texts_of_word(value)


def _flows(context: CommandContext, session: Session, flow: str | None) -> list[str]:
    known = session.metadata.flows()
    name = flow or (context.flow.__name__ if context.flow is not None else None)
    if name is None:
        return known
    if name not in known:
        if index_lacks(session.metadata, session.store, name):
            raise NotFound(
                f"The index does not know the flow '{name}'",
                where=session.metadata.url,
                why=f"the store {session.store.url} has runs that the index lacks",
                hint=command_line(session, "reindex"),
            )
        raise NotFound(
            f"There is no run of a flow '{name}'",
            where=session.metadata.url,
            hint=did_you_mean(name, known) or "run one first: python my_flow.py run",
        )
    return [name]


def _before(context: CommandContext, session: Session, pathspec: str | None) -> RunRecord | None:
    if pathspec is None:
        return None
    place = read_place(context, pathspec)
    check_exists(session, place)
    return session.metadata.run(place.flow, place.run)


def _row(run: RunRecord) -> tuple[str, ...]:
    given = " ".join(f"{name}={text}" for name, text in run.parameters)
    return (
        run.pathspec,
        seen_state(run),
        moment(run.created_at),
        duration(_seconds(run)),
        run.user,
        ",".join(run.tags),
        given,
    )


def _seconds(run: RunRecord) -> float | None:
    if run.finished_at is not None:
        return run.finished_at - run.created_at
    return time.time() - run.created_at if seen_state(run) == "running" else None


def _data(run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.pathspec,
        "state": seen_state(run),
        "created_at": run.created_at,
        "finished_at": run.finished_at,
        "user": run.user,
        "tags": list(run.tags),
        "system_tags": list(run.system_tags),
        "parameters": {name: json.loads(text) for name, text in run.parameters},
        "origin": run.origin,
        "message": run.message,
    }


def _notes(
    session: Session,
    names: Sequence[str],
    namespace: str | None,
    found: Sequence[RunRecord],
    more: bool,
) -> Iterator[str]:
    if more:
        yield f"There are more: --before {found[-1].pathspec}, or --limit 0."
    if found or not names:
        if not names:
            lost = index_lacks(session.metadata, session.store, "")
            yield (
                f"The index has no run, but the store has some: {command_line(session, 'reindex')}"
                if lost
                else f"There is no run yet in {session.store.url}: python my_flow.py run"
            )
        return
    others = namespace is None and any(session.metadata.runs(name, limit=1) for name in names)
    yield "No run is as described." + (
        f" Only runs of {session.settings.user()} were looked at: --namespace '' shows all."
        if others
        else ""
    )


command = Command("List runs: by state, time, tag, parameter.", False, build)
