"""The part of a flow's past that a command is about: a run, a step of it, or a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    AttemptRecord,
    CommandContext,
    Manifest,
    ManifestReader,
    NotFound,
    UsageError,
    did_you_mean,
    unknown_run,
)

if TYPE_CHECKING:
    from flow_core.api import Session

_PAGE = 1000
_SHOWN = 5


class Place(NamedTuple):
    """A run (``step`` is None), a step of it (``task`` is None), or a task."""

    flow: str
    run: str
    step: str | None = None
    task: int | None = None


def read_place(context: CommandContext, pathspec: str) -> Place:
    """Return what ``pathspec`` means: ``Flow/run[/step[/task]]``, without ``Flow/`` in a flow file.

    Raises:
        UsageError: it has another form.
    """
    parts = pathspec.split("/")
    # Names of flows are identifiers, run ids never are.
    if not parts[0].isidentifier() and context.flow is not None:
        parts.insert(0, context.flow.__name__)
    named = parts[0].isidentifier() and 2 <= len(parts) <= 4 and all(parts)
    if not named or (len(parts) == 4 and not (parts[3].isascii() and parts[3].isdigit())):
        raise _wrong(context, pathspec)
    flow, run, *rest = parts
    return Place(flow, run, rest[0] if rest else None, int(rest[1]) if rest[1:] else None)


def _wrong(context: CommandContext, pathspec: str) -> UsageError:
    prefix = "" if context.flow is not None else "MyFlow/"
    forms = (f"{prefix}3", f"{prefix}3/start", f"{prefix}3/start/1")
    return UsageError(
        f"'{pathspec}' names no run, step or task",
        where=f"the argument of '{context.name}'",
        why="a pathspec is Flow/run, Flow/run/step or Flow/run/step/task"
        + (", in a flow file also without the flow" if prefix == "" else ""),
        hint=f"{context.name} " + f"   {context.name} ".join(forms),
    )


def check_exists(session: Session, place: Place) -> None:
    """Raise `NotFound`, saying what there is, when there is no such run, step or task."""
    metadata, (flow, run, step, task) = session.metadata, place
    if metadata.run(flow, run) is None:
        raise unknown_run(session, flow, run)
    if step is not None and not metadata.attempts(flow, run, step=step, limit=1):
        steps = [s.step for s in metadata.steps(flow, run)]
        raise NotFound(
            f"No task of step '{step}' has started in run {flow}/{run}",
            where=metadata.url,
            why="the index has no task of it",
            hint=did_you_mean(step, steps) or "the run has not started a task yet",
        )
    if task is not None and not metadata.attempts(flow, run, step=step, task=task, limit=1):
        some = metadata.attempts(flow, run, step=step, limit=_SHOWN)
        raise NotFound(
            f"Step {flow}/{run}/{step} has no task {task}",
            where=metadata.url,
            why="the index has no task of this number",
            hint="its first tasks: " + ", ".join(str(r.task) for r in some),
        )


def attempts(session: Session, place: Place, number: int | None = None) -> Iterator[AttemptRecord]:
    """Yield the last attempt of each task of ``place``, or attempt ``number``, by task id."""
    flow, run, step, task = place
    after = -1
    while True:
        page = session.metadata.attempts(
            flow,
            run,
            step=step,
            task=task,
            all_attempts=number is not None,
            after=after,
            limit=_PAGE,
        )
        yield from (r for r in page if number is None or r.attempt == number)
        if not page:
            return
        after = page[-1].task


def read_manifest(session: Session, record: AttemptRecord) -> Manifest | None:
    """Return what an attempt committed, or None while it has not."""
    return ManifestReader(session.store).one(*record[:5])
