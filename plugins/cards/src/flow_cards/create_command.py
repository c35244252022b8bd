"""What ``flow card create`` does: choose the attempts, have their cards made, print where they lie."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flow_cards.contract import GROUP
from flow_cards.creating import Made, create
from flow_cards.decorator import CardOptions
from flow_cards.finding import Target, find_target, place_of
from flow_core.api import (
    AttemptState,
    DefinitionError,
    FlowError,
    ManifestReader,
    NotFound,
    UsageError,
    command_line,
    did_you_mean,
)

if TYPE_CHECKING:
    from flow_cards.storage import Place
    from flow_core.api import AttemptRecord, CommandContext, Session

_PAGE = 1000
_OPEN = (AttemptState.QUEUED, AttemptState.RUNNING)
_TOLD = 5


def create_cards(
    context: CommandContext,
    pathspec: str | None,
    *,
    as_json: bool,
    type: str,
    id: str | None,
    options: str,
    timeout: float,
) -> None:
    """Make cards of tasks that have ended, and print where they lie.

    Raises:
        UsageError: an option means nothing; no task is named; the task runs, or was reused.
        NotFound: there is no such task, or no such type of cards.
        FlowError: cards could not be made; those that could are there.
    """
    session = context.session()
    card = _card(session, type, id, options, timeout)
    flow = context.flow.__name__ if context.flow is not None else None
    target = find_target(session, pathspec, flow)
    places = _ended(context, session, target)
    session.close_index()
    made, failed = [], []
    for one in create(session, places, card):
        if one.error:
            failed.append(one)
            continue
        made.append(one)
        if not as_json:
            context.echo(session.store.local_path(one.key) or one.key)
    if as_json:
        context.echo(json.dumps([_data(session, card, one) for one in made + failed], indent=2))
    if failed:
        raise _failure(card, failed, len(places))


# --- which card ---------------------------------------------------------------------------------


def _card(
    session: Session, kind: str, identity: str | None, options: str, timeout: float
) -> CardOptions:
    known = session.index.names(GROUP)
    if kind not in known:
        raise NotFound(
            f"No plugin offers the card type '{kind}'",
            where=f"--type {kind}",
            why=f"installed are {', '.join(sorted(known))}",
            hint=did_you_mean(kind, known) or f"pip install flow-{kind}",
        )
    try:
        return CardOptions(kind, identity, _options(options), timeout)
    except DefinitionError as error:
        raise _as_typed(error, identity, timeout) from None


def _as_typed(error: DefinitionError, identity: str | None, timeout: float) -> UsageError:
    """Return what is wrong with an option of the decorator, as one of the command."""
    if "'id'" not in error.what:
        return UsageError(
            error.what, where=f"--timeout {timeout:g}", why=error.why, hint="--timeout 45"
        )
    fit = (error.hint or "").partition("'")[2].rpartition("'")[0]
    return UsageError(error.what, where=f"--id '{identity}'", why=error.why, hint=f"--id {fit}")


def _options(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        found, why = None, f"it is no JSON: {error}"
    else:
        why = "options are names and values"
    if not isinstance(found, dict):
        raise UsageError(
            f"The options of a card cannot be {text}",
            where="--options",
            why=why,
            hint="""--options '{"title": "In short"}'""",
        )
    return found


# --- of which tasks -----------------------------------------------------------------------------


def _ended(context: CommandContext, session: Session, target: Target) -> list[Place]:
    """Return the last attempt of each task that has ended, and has run in this run."""
    records = [*_records(session, target)]
    ended = [record for record in records if record.state not in _OPEN]
    if not ended:
        running = "is running" if target.task is not None else "has no task that has ended"
        raise UsageError(
            f"{target} {running}",
            where=session.metadata.url,
            why="a card is made of what a task has left",
            hint="flow card server, which shows the cards of tasks that run",
        )
    left = len(records) - len(ended)
    if left:
        context.echo(f"{left:,} of {len(records):,} tasks run: they get no card", error=True)
    return _own(context, session, target, ended)


def _own(
    context: CommandContext, session: Session, target: Target, ended: Sequence[AttemptRecord]
) -> list[Place]:
    """Leave out the tasks that were reused: a card of theirs would change another run."""
    manifests = ManifestReader(session.store)
    own: list[Place] = []
    others: list[Place] = []
    for record in ended:
        place = _that_ran(manifests, record)
        (own if place[:2] == (record.flow, record.run) else others).append(place)
    if others and not own:
        raise _all_reused(session, target, others)
    if others:
        runs = dict.fromkeys("/".join(place[:2]) for place in others)
        context.echo(
            f"{len(others):,} of {len(ended):,} tasks were reused, and get no card here: "
            f"they ran in {', '.join(runs)}",
            error=True,
        )
    return own


def _all_reused(session: Session, target: Target, others: Sequence[Place]) -> UsageError:
    flow, run, step, task, _ = others[0]
    origin = f"{flow}/{run}/{step}/{task}"
    if len(others) == 1:
        what = f"{target} was reused: it ran as {origin}"
    else:
        origin = f"{flow}/{run}/{step}" if target.step is not None else f"{flow}/{run}"
        what = f"The {len(others):,} tasks of {target} were reused: they ran in {flow}/{run}"
    return UsageError(
        what,
        why="a card of it would lie in that run, not in this one",
        hint=command_line(session, "card", f"create {origin}"),
    )


def _records(session: Session, target: Target) -> Iterator[AttemptRecord]:
    flow, run, step, task, attempt = target
    every = attempt is not None
    after = -1
    while True:
        page = session.metadata.attempts(
            flow, run, step=step, task=task, all_attempts=every, after=after, limit=_PAGE
        )
        yield from (one for one in page if attempt in (None, one.attempt))
        if len(page) < _PAGE:
            return
        after = page[-1].task


def _that_ran(manifests: ManifestReader, record: AttemptRecord) -> Place:
    """Return the attempt itself; of one that was reused, the one that ran."""
    place: Place = record[:5]
    origin = record.origin
    while origin:
        manifest = manifests.one(*place_of(origin))
        if manifest is None:  # its run was removed
            break
        place, origin = place_of(origin), manifest.origin
    return place


# --- what is told -------------------------------------------------------------------------------


def _data(session: Session, card: CardOptions, made: Made) -> dict[str, Any]:
    return {
        "pathspec": "/".join(map(str, made.place[:4])),
        "attempt": made.place[4],
        "type": card.type,
        "id": card.id,
        "key": made.key or None,
        "path": session.store.local_path(made.key) if made.key else None,
        "error": made.error or None,
    }


def _failure(card: CardOptions, failed: Sequence[Made], count: int) -> FlowError:
    first = failed[0]
    where = "/".join(map(str, first.place[:4]))
    if len(failed) > 1:
        what = f"{len(failed):,} of {count:,} cards could not be made"
    else:
        what = f"The card '{card.id or card.type}' could not be made"
    hint = "--timeout 300" if "longer than" in first.error else ""
    lines = [f"of {where}: {first.error}"] if len(failed) > 1 else [first.error]
    lines += [line for line in first.text.splitlines()[-_TOLD:] if line.strip()]
    return FlowError(what, where=where, why="\n".join(lines), hint=hint or _hint(card))


def _hint(card: CardOptions) -> str:
    if card.type == "html" and "attribute" not in card.options:
        return """--options '{"attribute": "NAME"}'"""
    return f"the type '{card.type}' says more: flow plugins show {card.type}"
