"""Makes the cards of an attempt out of what lies in the store, and stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_cards.contract import GROUP, RUN_GROUP
from flow_cards.decorator import CardOptions, in_order
from flow_cards.reading import read_task
from flow_cards.storage import (
    ERROR,
    Added,
    Place,
    StoredCard,
    cards_of,
    known_numbers,
    read_added,
    write_card,
    write_run_card,
)
from flow_core.api import AttemptState, ManifestReader, NotFound, did_you_mean

if TYPE_CHECKING:
    from flow_cards.children import Outcome
    from flow_cards.contract import CardRun, CardTask, CardType, RunCardType
    from flow_core.api import Manifest, PluginIndex, Session


def cards_of_step(session: Session, step: str) -> tuple[CardOptions, ...]:
    """Return the ``@card`` of a step, in order."""
    return in_order(session.definition.steps[step].all_options("card"))


def make_card(session: Session, place: Place, number: int) -> None:
    """Make one card of an attempt, and store it.

    Raises:
        NotFound: no plugin offers its type.
        Exception: whatever its type raises.
    """
    from flow_cards.drawing import render

    options = cards_of_step(session, place[2])[number]
    make = load_type(session.index, options.type)
    html = render(make, _task(session, place, number, options))
    write_card(session.store, place, number, options, html)


def load_type(index: PluginIndex, name: str) -> CardType:
    """Return the type of cards of this name.

    Raises:
        NotFound: no plugin offers it.
        PluginError: it cannot be loaded.
    """
    loaded: CardType = _load(index, GROUP, name, "card type")
    return loaded


def load_run_type(index: PluginIndex, name: str) -> RunCardType:
    """Return the type of cards of runs of this name. Errors as `load_type`."""
    loaded: RunCardType = _load(index, RUN_GROUP, name, "type of cards of runs")
    return loaded


def _load(index: PluginIndex, group: str, name: str, what: str) -> Any:
    known = index.names(group)
    if name not in known:
        raise NotFound(
            f"No plugin offers the {what} '{name}'",
            why=f"installed are {', '.join(sorted(known))}",
            hint=did_you_mean(name, known) or f"pip install flow-{name}",
        )
    return index.load(group, name)


def make_error_card(session: Session, place: Place, number: int, error: str, text: str) -> None:
    """Store a card that says why another one could not be made."""
    from dataclasses import replace

    from flow_cards.drawing import render
    from flow_cards.types import error as error_type

    options = cards_of_step(session, place[2])[number]
    title = f"The card '{options.id or options.type}' could not be made: {error}"
    shown = replace(options, type="error", options={"title": title, "text": text})
    html = render(error_type, _task(session, place, number, shown))
    write_card(session.store, place, number, shown, html)


def create_card(session: Session, place: Place, options: CardOptions) -> str:
    """Make one more card of an attempt, or anew the one with the id of ``options``, or with its type
    where both have no id; return its key.

    What the step added to a card is shown, too: to the one that is made anew; else to the only one to
    which it added anything.

    Raises:
        NotFound: no plugin offers its type; the attempt left no record.
        Exception: whatever its type raises.
    """
    from flow_cards.drawing import render

    make = load_type(session.index, options.type)
    number, added = _number_of(session, place, options)
    html = render(make, _task(session, place, number, options, added))
    return write_card(session.store, place, number, options, html)


def _number_of(session: Session, place: Place, options: CardOptions) -> tuple[int, Added]:
    """Return the number of a card that is to be made, and what is to be shown in it."""
    numbers = known_numbers(session.store, place)
    given = dict(zip(numbers, read_added(session.store, place, numbers), strict=True))
    meant = _meant(options.id or "", options.type)
    stored = cards_of(session.store, place)
    same = [card.number for card in stored if _meant(card.id, card.type) == meant]
    if same:  # of several without an id the last one: that is not in the place of a @card
        return same[-1], given[same[-1]]
    some = [added for added in given.values() if added.components]
    own = 0
    if session.flow is not None and place[2] in session.definition.steps:
        own = len(cards_of_step(session, place[2]))  # these have their numbers, even if not made
    return max(own, *(n + 1 for n in numbers), 0), some[0] if len(some) == 1 else Added()


def _meant(identity: str, kind: str) -> tuple[str, str]:
    """Return by what a card is told from the others of its attempt."""
    return (identity, "") if identity else ("", kind)


def failure_text(place: Place, options: CardOptions, outcome: Outcome) -> str:
    """Return a sentence on a card that could not be made."""
    name, where = options.id or options.type, "/".join(map(str, place[:4]))
    return f"The card '{name}' of {where} could not be made: {outcome.error}"


def _task(
    session: Session, place: Place, number: int, options: CardOptions, added: Added | None = None
) -> CardTask:
    manifest = ManifestReader(session.store).one(*place)
    if manifest is None:
        raise NotFound(
            f"The attempt {'/'.join(map(str, place))} has left no record",
            where=session.store.url,
            why="it was lost, or its run was removed",
        )
    document = session.run_document(*place[:2])
    if added is None:
        added = _added(session, manifest, number)
    return read_task(session, document, manifest, options, added)


def _added(session: Session, manifest: Manifest, number: int) -> Added:
    place = (*manifest[:4], manifest.attempt)
    (added,) = read_added(session.store, place, [number])
    if added == Added() and manifest.state is AttemptState.CAUGHT and manifest.attempt:
        # It ran none of the step's code, but stands for the attempt before, whose process died.
        (added,) = read_added(session.store, (*place[:4], place[4] - 1), [number])
    return added


# --- cards of runs ------------------------------------------------------------------------------


def make_run_card(session: Session, flow: str, run: str, kind: str = "run") -> StoredCard:
    """Make a card of a whole run, and store it.

    Raises:
        NotFound: there is no such run, or no plugin offers the type.
        Exception: whatever the type raises.
    """
    from flow_cards.drawing import render

    make = load_run_type(session.index, kind)
    html = render(make, _run(session, flow, run))
    return write_run_card(session.store, flow, run, kind, html)


def make_run_error_card(
    session: Session, flow: str, run: str, kind: str, error: str, text: str
) -> None:
    """Store a card that says why one of a run could not be made."""
    from flow_cards.components import Error
    from flow_cards.drawing import render

    title = f"The card '{kind}' of the run could not be made: {error}"
    html = render(lambda run: [Error(text, title)], _run(session, flow, run))
    write_run_card(session.store, flow, run, ERROR, html)


def run_failure_text(flow: str, run: str, kind: str, outcome: Outcome) -> str:
    """Return a sentence on a card of a run that could not be made."""
    return f"The card '{kind}' of the run {flow}/{run} could not be made: {outcome.error}"


def _run(session: Session, flow: str, run: str) -> CardRun:
    from flow_cards.reading_runs import read_run

    record = session.metadata.run(flow, run)
    if record is None:
        raise NotFound(
            f"There is no run {flow}/{run}",
            where=session.metadata.url,
            why="the index does not know it",
            hint="flow runs",
        )
    return read_run(session, record)
