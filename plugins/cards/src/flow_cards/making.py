"""Makes the cards of an attempt out of what lies in the store, and stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_cards.contract import GROUP
from flow_cards.decorator import CardOptions, in_order
from flow_cards.reading import read_task
from flow_cards.storage import Added, Place, read_added, write_card
from flow_core.api import AttemptState, ManifestReader, NotFound, did_you_mean

if TYPE_CHECKING:
    from flow_cards.children import Outcome
    from flow_cards.contract import CardTask, CardType
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
    known = index.names(GROUP)
    if name not in known:
        raise NotFound(
            f"No plugin offers the card type '{name}'",
            why=f"installed are {', '.join(sorted(known))}",
            hint=did_you_mean(name, known) or f"pip install flow-{name}",
        )
    loaded: CardType = index.load(GROUP, name)
    return loaded


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


def failure_text(place: Place, options: CardOptions, outcome: Outcome) -> str:
    """Return a sentence on a card that could not be made."""
    name, where = options.id or options.type, "/".join(map(str, place[:4]))
    return f"The card '{name}' of {where} could not be made: {outcome.error}"


def _task(session: Session, place: Place, number: int, options: CardOptions) -> CardTask:
    manifest = ManifestReader(session.store).one(*place)
    if manifest is None:
        raise NotFound(
            f"The attempt {'/'.join(map(str, place))} has left no record",
            where=session.store.url,
            why="it was lost, or its run was removed",
        )
    document = session.run_document(*place[:2])
    return read_task(session, document, manifest, options, _added(session, manifest, number))


def _added(session: Session, manifest: Manifest, number: int) -> Added:
    place = (*manifest[:4], manifest.attempt)
    (added,) = read_added(session.store, place, [number])
    if added == Added() and manifest.state is AttemptState.CAUGHT and manifest.attempt:
        # It ran none of the step's code, but stands for the attempt before, whose process died.
        (added,) = read_added(session.store, (*place[:4], place[4] - 1), [number])
    return added
