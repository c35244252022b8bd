"""Finds cards: by what a person types, and behind tasks that were reused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_cards.storage import Place, StoredCard, cards_below, cards_of, run_cards
from flow_core.api import (
    AttemptRecord,
    AttemptState,
    ManifestReader,
    NotFound,
    UsageError,
    did_you_mean,
)

if TYPE_CHECKING:
    from flow_core.api import Metadata, Session, Store

_PAGE = 1000
_SHOWN = 5


class Target(NamedTuple):
    """A run, a step of it, a task, or one attempt of it."""

    flow: str
    run: str
    step: str | None = None
    task: int | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        return "/".join(str(part) for part in self if part is not None)


class Found(NamedTuple):
    """A card, and of which task it is.

    Attributes:
        pathspec: the task that was asked about; of a card of a run, the run.
        card: the card.
        origin: ``Flow/run/step/task`` of the task that left it, when that one was reused; else None.
    """

    pathspec: str
    card: StoredCard
    origin: str | None = None


# --- what a person means ------------------------------------------------------------------------


def find_target(session: Session, pathspec: str | None, flow: str | None) -> Target:
    """Return what a pathspec means.

    Args:
        session: the session of the command.
        pathspec: ``run``, ``step``, ``run/step``, ``run/step/task`` or ``run/step/task/attempt``,
            with ``Flow/`` in front where no flow is given. Without a run, the latest one that has started the step; None = the
            latest run.
        flow: name of the flow whose file was given, or None.

    Raises:
        UsageError: it has another form.
        NotFound: there is no such run, step, task or attempt.
    """
    metadata = session.metadata
    name, run, step, task, attempt = _parts(pathspec, flow)
    if run is None:
        run = _latest_run(metadata, name, step)
    elif metadata.run(name, run) is None:
        from flow_core.api import unknown_run  # brings the start of runs with it

        raise unknown_run(session, name, run)
    target = Target(name, run, step, task, attempt)
    _check_started(metadata, target)
    return target


def _parts(
    text: str | None, flow: str | None
) -> tuple[str, str | None, str | None, int | None, int | None]:
    given = flow
    parts = text.strip("/").split("/") if text else []
    # Names of flows are identifiers, as those of steps; ids of runs begin with a digit.
    named = bool(parts) and parts[0].isidentifier()
    if flow is None or (named and parts[0] == flow):
        if not named:
            raise _wrong_form(text, given)
        flow = parts.pop(0)
    run = parts.pop(0) if parts and parts[0][:1].isdigit() else None
    step = parts.pop(0) if parts and parts[0].isidentifier() else None
    task = _number(parts) if run and step else None
    attempt = _number(parts) if task is not None else None
    if parts:
        raise _wrong_form(text, given)
    return flow, run, step, task, attempt


def _number(parts: list[str]) -> int | None:
    """Take a number from the front, if one stands there."""
    return int(parts.pop(0)) if parts and parts[0].isascii() and parts[0].isdigit() else None


def _wrong_form(text: str | None, flow: str | None) -> UsageError:
    prefix = "" if flow is not None else "MyFlow/"
    return UsageError(
        f"'{text}' names no task" if text else "It is not said which task",
        why="a task is Flow/run/step/task, or Flow/step of the latest run; "
        "with the file of the flow also without Flow/",
        hint=f"{prefix}train   {prefix}3/train   {prefix}3/train/7",
    )


def _latest_run(metadata: Metadata, flow: str, step: str | None) -> str:
    runs = metadata.runs(flow, limit=50)
    for run in runs:
        if step is None or metadata.attempts(flow, run.run, step=step, limit=1):
            return run.run
    if not runs:
        hint = did_you_mean(flow, metadata.flows())
        raise NotFound(
            f"There is no run of a flow '{flow}'",
            where=metadata.url,
            why="the index knows none",
            hint=hint or "run it first: python my_flow.py run --with card",
        )
    steps = [s.step for s in metadata.steps(flow, runs[0].run)]
    raise NotFound(
        f"No run of {flow} has started a step '{step}'",
        where=metadata.url,
        why=f"the latest, {runs[0].pathspec}, has the steps {', '.join(steps) or '(none yet)'}",
        hint=did_you_mean(step or "", steps) or f"{flow}/{runs[0].run}",
    )


def _check_started(metadata: Metadata, target: Target) -> None:
    flow, run, step, task, attempt = target
    if step is None:
        return
    if last := metadata.attempts(flow, run, step=step, task=task, limit=1):
        if attempt is not None and attempt > last[0].attempt:
            raise NotFound(
                f"Task {last[0].pathspec} has no attempt {attempt}",
                where=metadata.url,
                why=f"its last one is {last[0].attempt}",
                hint=f"{last[0].pathspec}/{last[0].attempt}",
            )
        return
    steps = [s.step for s in metadata.steps(flow, run)]
    if step not in steps:
        raise NotFound(
            f"No task of step '{step}' has started in run {flow}/{run}",
            where=metadata.url,
            why=f"the run has started {', '.join(steps) or 'no step yet'}",
            hint=did_you_mean(step, steps) or f"{flow}/{run}",
        )
    some = metadata.attempts(flow, run, step=step, limit=_SHOWN)
    raise NotFound(
        f"Step {flow}/{run}/{step} has no task {task}",
        where=metadata.url,
        why="the index has no task of this number",
        hint="its first tasks: " + ", ".join(str(r.task) for r in some),
    )


# --- cards --------------------------------------------------------------------------------------


def find_cards(
    metadata: Metadata, store: Store, target: Target, *, follow_resumed: bool = True
) -> list[Found]:
    """Return the cards of a run, a step or a task: those of the run as a whole, then of each task
    those of its last attempt that left any, by task and number. Of an attempt: its own.

    Args:
        metadata: the index.
        store: the store.
        target: which run, step or task.
        follow_resumed: whether the cards of the tasks that were reused count as theirs.
    """
    if target.step is not None and target.task is not None and target.attempt is not None:
        place = (target.flow, target.run, target.step, target.task, target.attempt)
        return follow(store, place, follow_resumed=follow_resumed)
    found = [Found(card.pathspec, card) for card in _last(cards_below(store, *target[:4]))]
    if follow_resumed:
        have = {one.card.task for one in found}
        found += _of_reused(metadata, store, target, have)
    found.sort(key=lambda one: (_task_of(one), one.card.number))
    if target.step is None:
        whole = run_cards(store, target.flow, target.run)
        found = [*(Found(card.pathspec, card) for card in whole), *found]
    return found


def _task_of(found: Found) -> int:
    return int(found.pathspec.rpartition("/")[2])


def _last(cards: Iterator[StoredCard]) -> Iterator[StoredCard]:
    by_task: dict[int, list[StoredCard]] = {}
    for card in cards:
        by_task.setdefault(card.task, []).append(card)
    for some in by_task.values():
        last = max(card.attempt for card in some)
        yield from (card for card in some if card.attempt == last)


def _of_reused(metadata: Metadata, store: Store, target: Target, have: set[int]) -> Iterator[Found]:
    manifests = ManifestReader(store)
    runs: dict[tuple[str, str], dict[Place, list[StoredCard]]] = {}
    for record in _reused(metadata, target):
        if record.task in have:
            continue  # by now they are its own: the run where it ran was removed
        origin = record.origin
        while origin:
            place = place_of(origin)
            cards = runs.get(place[:2])
            if cards is None:
                cards = runs[place[:2]] = _by_place(store, *place[:2])
            if place in cards:
                yield from (Found(record.pathspec, card, card.pathspec) for card in cards[place])
                break
            manifest = manifests.one(*place)
            origin = manifest.origin if manifest is not None else None


def _by_place(store: Store, flow: str, run: str) -> dict[Place, list[StoredCard]]:
    found: dict[Place, list[StoredCard]] = {}
    for card in cards_below(store, flow, run):
        found.setdefault(card.place, []).append(card)
    return found


def _reused(metadata: Metadata, target: Target) -> Iterator[AttemptRecord]:
    flow, run, step, task, _ = target
    after = -1
    while True:
        page = metadata.attempts(
            flow,
            run,
            step=step,
            task=task,
            states=[AttemptState.REUSED],
            after=after,
            limit=_PAGE,
        )
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].task


def follow(store: Store, place: Place, *, follow_resumed: bool = True) -> list[Found]:
    """Return the cards of one attempt; of one that was reused, those of the attempt that ran."""
    pathspec = "/".join(map(str, place[:4]))
    cards = cards_of(store, place)
    if cards or not follow_resumed:
        return [Found(pathspec, card) for card in cards]
    manifests = ManifestReader(store)
    manifest = manifests.one(*place)
    while manifest is not None and manifest.origin:
        origin = place_of(manifest.origin)
        cards = cards_of(store, origin)
        if cards:
            return [Found(pathspec, card, card.pathspec) for card in cards]
        manifest = manifests.one(*origin)
    return []


def place_of(text: str) -> Place:
    """Return the attempt that ``Flow/run/step/task/attempt`` names."""
    flow, run, step, task, attempt = text.split("/")
    return flow, run, step, int(task), int(attempt)


def select(
    found: Sequence[Found],
    *,
    id: str | None = None,
    type: str | None = None,
    hash: str | None = None,
) -> list[Found]:
    """Return those with this id, this type, and a hash that begins so."""
    return [
        one
        for one in found
        if (id is None or one.card.id == id)
        and (type is None or one.card.type == type)
        and (hash is None or one.card.hash.startswith(hash))
    ]
