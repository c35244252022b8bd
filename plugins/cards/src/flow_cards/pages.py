"""The pages of the server of cards, and what a browser is told when they change."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from flow_cards.live import View

if TYPE_CHECKING:
    from flow_cards.watching import Entry, Overview, Seen, StepCards
    from flow_core.api import FlowError

_DRAWING = Markup('<p class="note">The card is being drawn …</p>')


def card_view(seen: Seen, pathspec: str) -> View:
    """Return what is shown of a card that is no file yet."""
    if seen.view is not None:
        return seen.view
    header = Markup('<h1>{}</h1>\n<p class="meta"><span class="state open">{}</span></p>')
    return View(pathspec, header.format(pathspec, seen.state), (_DRAWING,))


def card_sign(seen: Seen) -> str:
    """Return the few words that say how a card stands."""
    if seen.card is not None:
        return "ended" if seen.over else f"attempt {seen.attempt} {seen.state}"
    if seen.over:
        return "ended without a card"
    if seen.before:
        return f"live: attempt {seen.attempt}, after {seen.before:.80}"
    return "live" if seen.state in ("running", "queued") else "the card is being made"


def run_view(
    overview: Overview, flow: str | None, most: int, step: str, page: int, *, follows: bool = True
) -> View:
    """Return the index of the cards of a run.

    Args:
        overview: the run.
        flow: the flow that is followed, or None.
        most: how many cards of a step are listed at a time.
        step: only this one; ``""`` = all.
        page: which page of its cards, from 1.
        follows: whether the next run will be shown in its place.
    """
    macros = _macros()
    run = overview.run
    if run is None:
        title = f"{flow or 'Cards'}: no run yet"
        return View(title, str(Markup("<h1>{}</h1>").format(title)), (macros.nothing(None, flow),))
    steps = [one for one in overview.steps if step in ("", one.step)]
    parts = [_step(macros, run, one, most, page if step else 1, bool(step)) for one in steps]
    if overview.whole and not step:
        parts.insert(0, str(macros.whole(overview.whole)))
    header = macros.header(run, overview.state, follows)
    return View(
        f"Cards of {run.pathspec}", str(header), tuple(parts or [macros.nothing(run, flow)])
    )


def _step(macros: Any, run: Any, cards: StepCards, most: int, page: int, one: bool) -> str:
    pages = max(1, -(-len(cards.entries) // most))
    page = min(max(page, 1), pages)
    first = (page - 1) * most
    shown: Sequence[Entry] = cards.entries[first : first + most]
    return str(macros.step(run, cards, shown, first, pages, page, one))


def error_view(error: FlowError) -> View:
    """Return a page that says what went wrong."""
    lines = [text for text in (error.why, error.hint) if text]
    header = Markup("<h1>{}</h1>").format("Not found")
    return View("Not found", str(header), (str(_macros().problem(error.what, lines)),))


def _macros() -> Any:
    from flow_cards.drawing import macros

    return macros("server/index.html")


def page_of(view: View, events: str) -> str:
    """Return a page that follows the events at this address."""
    from flow_cards.drawing import page

    live = {"events": events, "state": view.digest, "scripts": ["base", *view.scripts]}
    return page(
        view.title,
        view.header,
        view.parts,
        view.scripts,
        view.frame,
        live=json.dumps(live),
        hashes=view.hashes,
    )


def changes(view: View, sign: str, known: Collection[str]) -> dict[str, Any]:
    """Return what a browser is told of a page: the HTML only of parts that it does not know.

    Args:
        view: the page.
        sign: how it stands, in a few words.
        known: hashes of the parts that the browser has.
    """
    return {
        "title": view.title,
        "header": view.header,
        "parts": [
            [digest, None if digest in known else part]
            for digest, part in zip(view.hashes, view.parts, strict=True)
        ],
        "scripts": ["base", *view.scripts],
        "framed": view.frame is not None,
        "sign": sign,
    }
