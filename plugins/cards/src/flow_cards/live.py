"""What a card shows while its task runs: read from the store, and drawn by its type as later the file.

There is no manifest yet and no artifact; there are the parameters, the logs so far, and what the step
added until its last ``refresh``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_cards.decorator import CardOptions
from flow_cards.reading import read_task
from flow_cards.storage import Added, Place, read_added
from flow_core.api import AttemptState, ForeachFrame, Manifest, ManifestReader

if TYPE_CHECKING:
    from flow_cards.contract import CardTask, CardType
    from flow_core.api import Session

_WAITING = (
    "*Nothing is shown yet.* The step shows what it has added when it calls "
    "`current.card.refresh()`; the whole card is made when the task has ended."
)


class View(NamedTuple):
    """A page of the server, in the parts of which a browser is told when they change.

    Attributes:
        title: of the window.
        header: HTML of what stands above the parts.
        parts: HTML of each part.
        scripts: names of the scripts that they need, in the order in which they must run.
        frame: HTML of a person's own, which stands in a frame; or None.
    """

    title: str
    header: str
    parts: tuple[str, ...]
    scripts: tuple[str, ...] = ()
    frame: str | None = None

    @property
    def hashes(self) -> tuple[str, ...]:
        """Of each part."""
        return tuple(_hash(part) for part in self.parts)

    @property
    def digest(self) -> str:
        """Of all that is shown."""
        return _hash("\n".join([self.title, self.header, self.frame or "", *self.hashes]))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> View:
        """Undo ``_asdict``, as JSON has it."""
        lists = {name: tuple(data[name]) for name in ("parts", "scripts")}
        return cls(**{**data, **lists})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def view_card(
    session: Session, place: Place, number: int, facts: Mapping[str, Any], failed: Any = None
) -> View:
    """Draw a card whose task runs, or has just ended.

    Args:
        session: the session, with or without the flow.
        place: which attempt.
        number: which ``@card`` of the step.
        facts: what the index knows of the attempt: ``state``, ``started``.
        failed: an error and its text: then what says so is drawn.

    Raises:
        NotFound: no plugin offers its type.
        Exception: whatever its type raises.
    """
    from flow_cards.drawing import draw, header

    (added,) = read_added(session.store, place, [number])
    card, options, added = _choose(session, added, failed)
    task = _read(session, place, facts, options, added)
    drawn = draw(card, task)
    return View(task.pathspec, header(task), drawn.parts, drawn.scripts, drawn.frame)


def _choose(session: Session, added: Added, failed: Any) -> tuple[CardType, CardOptions, Added]:
    """Return the type that draws, and of what."""
    from flow_cards import types
    from flow_cards.making import load_type

    known = {n: added.card[n] for n in ("type", "id", "options", "timeout") if n in added.card}
    options = CardOptions(**known)
    if failed is not None:
        name = options.id or options.type
        title = f"The card '{name}' cannot be drawn: {failed[0]}"
        return types.error, replace(options, options={"title": title, "text": failed[1]}), added
    if added == Added():
        from flow_cards.codec import encode
        from flow_cards.components import Markdown

        return types.blank, options, Added([encode(Markdown(_WAITING))])
    return load_type(session.index, options.type), options, added


def _read(
    session: Session, place: Place, facts: Mapping[str, Any], options: CardOptions, added: Added
) -> CardTask:
    manifest = ManifestReader(session.store).one(*place) or _running(place, facts, added)
    document = session.run_document(*place[:2])
    return read_task(session, document, manifest, options, added)


def _running(place: Place, facts: Mapping[str, Any], added: Added) -> Manifest:
    """Return what will be the manifest of an attempt, as far as it is known."""
    told = added.card.get("task", {})
    frames = [ForeachFrame(step, 0, 0, "", n, count) for step, n, count in told.get("foreach", ())]
    return Manifest(
        *place,
        AttemptState(facts["state"]),
        foreach=tuple(frames),
        started=told.get("started") or facts.get("started") or 0.0,
        host=told.get("host", ""),
    )
