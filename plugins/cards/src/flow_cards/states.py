"""How a page of the server stands: as server-sent events tell it, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_cards import pages

if TYPE_CHECKING:
    from flow_cards.live import View
    from flow_cards.watching import CardWatch, Overview, Seen


class State(NamedTuple):
    """How a page stands.

    Attributes:
        id: another one whenever something changes; ``""`` while nothing is known.
        event: the event that tells it.
        told: returns its data, for a browser that knows parts with these hashes.
        hashes: of its parts.
        sign: how it stands, in a few words.
        over: whether nothing will change any more.
    """

    id: str
    event: str
    told: Callable[[set[str]], dict[str, Any]]
    hashes: tuple[str, ...]
    sign: str
    over: bool


def card_state(watch: CardWatch) -> State:
    """Return how the page of a card stands."""
    seen = watch.look()
    sign = pages.card_sign(seen)
    if seen.card is not None:
        told = {"hash": seen.card.hash, "over": seen.over, "sign": sign}
        made = f"made-{seen.card.hash}{'' if seen.over else '-again'}"
        return State(made, "made", lambda known: told, (), sign, seen.over)
    if seen.view is None:  # who has seen more keeps it until there is something new
        return State("", "same", lambda known: {}, (), sign, False)
    return _view_state(seen.view, sign)


def run_state(view: View) -> State:
    """Return how the list of the cards of a run stands."""
    return _view_state(view, "live")


def _view_state(view: View, sign: str) -> State:
    def told(known: set[str]) -> dict[str, Any]:
        return pages.changes(view, sign, known)

    return State(view.digest, "parts", told, view.hashes, sign, False)


def card_facts(watch: CardWatch) -> dict[str, Any]:
    """Return what is known of a card, as JSON data."""
    seen: Seen = watch.look()
    card = seen.card
    return {
        "pathspec": "/".join(map(str, watch.place)),
        "number": watch.number,
        "attempt": seen.attempt,
        "state": seen.state,
        "live": card is None and not seen.over,
        "type": card.type if card is not None else None,
        "id": (card.id or None) if card is not None else None,
        "hash": card.hash if card is not None else None,
        "file": f"/{card.key}" if card is not None else None,
        "data": watch.data(),
    }


def run_facts(overview: Overview) -> dict[str, Any]:
    """Return what is known of a run and its cards, as JSON data."""
    run = overview.run
    return {
        "run": None if run is None else run.pathspec,
        "state": overview.state or None,
        "created_at": None if run is None else run.created_at,
        "finished_at": None if run is None else run.finished_at,
        "cards": [
            {"type": card.type, "hash": card.hash, "url": f"/{card.key}"} for card in overview.whole
        ],
        "steps": [
            {"step": one.step, "states": one.states, "cards": [*_entries(run, one.entries)]}
            for one in overview.steps
        ],
    }


def _entries(run: Any, entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries:
        facts = entry._asdict()
        facts["type"] = None if entry.type == "?" else entry.type
        facts["id"] = entry.id or None
        yield {**facts, "url": f"/card/{run.pathspec}/{entry.path}"}
