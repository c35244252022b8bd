"""Which runs a command is about: by their ids, or by what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import (
    NotFound,
    RunRecord,
    RunState,
    UsageError,
    did_you_mean,
    unknown_run,
)

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session

_PAGE = 500


class Selection(NamedTuple):
    """What is asked for.

    Attributes:
        ids: pathspecs or, in a flow file, run ids.
        flow: name of the flow; None = that of the flow file, or all.
        latest: only the latest run of those that the rest describes.
        tagged: tags that the runs carry.
        states: states that they are in; empty = any.
        namespace: a tag that they carry, ``""`` = whatever; None = ``user:`` and the name.
        limit: at most so many of each flow; None = all.
    """

    ids: tuple[str, ...] = ()
    flow: str | None = None
    latest: bool = False
    tagged: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    namespace: str | None = None
    limit: int | None = None

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Selection:
        """Return what the options of `selection_options` say."""
        return cls(**chosen)

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return self == Selection()

    def widened(self, everybody: bool, mine: bool) -> Selection:
        """Return the selection with what ``--all`` and ``--my-runs`` say."""
        if everybody + mine + (self.namespace is not None) + bool(self.ids) > 1:
            raise UsageError(
                "The runs are described in ways that contradict each other",
                where="tag list",
                hint="give one of --run-id, --namespace, --all and --my-runs",
            )
        return self._replace(namespace="") if everybody else self


def selection_options() -> list[click.Parameter]:
    """Return the options that say which runs are meant."""
    states = [s.value for s in RunState]
    return [
        click.Option(
            ["--run-id", "ids"],
            multiple=True,
            metavar="RUN",
            help="Flow/run, or in a flow file the run alone; whosever it is. Repeatable.",
        ),
        click.Option(["--latest"], is_flag=True, help="The latest of the runs described."),
        click.Option(["--flow"], metavar="NAME", help="Runs of this flow."),
        click.Option(
            ["--tagged"], multiple=True, metavar="TAG", help="Runs with this tag. Repeatable."
        ),
        click.Option(
            ["--state", "states"],
            multiple=True,
            type=click.Choice(states),
            help="Runs in this state. Repeatable.",
        ),
        click.Option(
            ["--namespace"],
            metavar="TAG",
            help="Runs with this tag, instead of your own; '' for the runs of everybody.",
        ),
        click.Option(
            ["--limit"], type=click.IntRange(min=1), metavar="N", help="At most N of each flow."
        ),
    ]


def find_runs(context: CommandContext, session: Session, selection: Selection) -> list[RunRecord]:
    """Return the runs that are meant, newest first; where nothing says which, all of the user's.

    Raises:
        UsageError: the options contradict each other.
        NotFound: there is no run, or no flow, of a name that is given.
    """
    if selection.ids:
        if selection != Selection(ids=selection.ids):
            raise UsageError(
                "A run is named, and runs are described",
                where=context.name,
                hint="give either --run-id, or the other options",
            )
        return [_by_id(context, session, text) for text in selection.ids]
    found = [
        run
        for flow in _flows(context, session, selection)
        for run in _runs(session, flow, selection)
    ]
    found.sort(key=lambda run: run.created_at, reverse=True)
    if selection.latest:
        del found[1:]
    return found


def runs_to_change(
    context: CommandContext, session: Session, selection: Selection
) -> list[RunRecord]:
    """As `find_runs`, but `UsageError` where nothing says which, `NotFound` where there is none."""
    if selection.empty:
        raise _nothing_said(context, session)
    found = find_runs(context, session, selection)
    if not found:
        raise _none(session, selection)
    return found


def _by_id(context: CommandContext, session: Session, text: str) -> RunRecord:
    flow, _, run = text.rpartition("/")
    if not flow and context.flow is not None:
        flow = context.flow.__name__
    if not flow.isidentifier() or not run:
        raise UsageError(
            f"'{text}' names no run",
            where="--run-id",
            why="a run is named Flow/run, in a flow file also without the flow",
            hint="--run-id MyFlow/3",
        )
    found = session.metadata.run(flow, run)
    if found is None:
        raise unknown_run(session, flow, run)
    return found


def _flows(context: CommandContext, session: Session, selection: Selection) -> list[str]:
    known = session.metadata.flows()
    name = selection.flow or (context.flow.__name__ if context.flow is not None else None)
    if name is None:
        return known
    if name not in known:
        raise NotFound(
            f"There is no run of the flow '{name}'",
            where=session.metadata.url,
            hint=did_you_mean(name, known) or "flow run my_flow.py",
        )
    return [name]


def _runs(session: Session, flow: str, selection: Selection) -> Iterator[RunRecord]:
    namespace = _namespace(session, selection)
    tags = [*selection.tagged, *filter(None, [namespace])]
    states = [RunState(s) for s in selection.states]
    left = 1 if selection.latest else selection.limit or -1
    before = None
    while left:
        size = min(left, _PAGE) if left > 0 else _PAGE
        page = session.metadata.runs(flow, states=states, tags=tags, before=before, limit=size)
        yield from page
        if len(page) < size:
            return
        left, before = left - len(page) if left > 0 else left, page[-1]


def _namespace(session: Session, selection: Selection) -> str:
    if selection.namespace is not None:
        return selection.namespace
    return f"user:{session.settings.user()}"


def _nothing_said(context: CommandContext, session: Session) -> UsageError:
    flows = [context.flow.__name__] if context.flow is not None else session.metadata.flows()
    newest = [run for flow in flows for run in session.metadata.runs(flow, limit=1)]
    newest.sort(key=lambda run: run.created_at)
    return UsageError(
        "It is not said which run is meant",
        where=context.name,
        why=f"the latest is {newest[-1].pathspec}" if newest else "there is no run yet",
        hint=f"--run-id {newest[-1].pathspec}, or --latest" if newest else "flow run my_flow.py",
    )


def _none(session: Session, selection: Selection) -> NotFound:
    namespace = _namespace(session, selection)
    return NotFound(
        "No run is as described",
        where=session.metadata.url,
        why=f"only runs with the tag '{namespace}' are looked at" if namespace else None,
        hint="--namespace '' looks at the runs of everybody"
        if namespace
        else "flow tag list --all",
    )
