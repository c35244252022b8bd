"""Where cards lie: beside the logs of the attempt that left them.

    runs/F/3/train/7/0/cards/1-blank-loss-0123456789abcdef0123.html     a card
    runs/F/3/train/7/0/cards/1.json                                     what the step added to it
    runs/F/3/run-cards/run-0123456789abcdef0123.html                    a card of the whole run

The parts of a card's name: which ``@card`` of the step (from 0, from above), type, id, and the first
20 digits of the SHA-256 of the page. So a listing tells all that is known of a card but its content.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import FORMAT, FormatError, attempt_prefix, run_prefix

if TYPE_CHECKING:
    from flow_cards.decorator import CardOptions
    from flow_core.api import Store

_NAME = re.compile(r"(\d+)-(.+)-([A-Za-z0-9_]*)-([0-9a-f]{20})\.html")
_RUN_NAME = re.compile(r"(.+)-([0-9a-f]{20})\.html")
_KEY = re.compile(
    r"runs/[A-Za-z_]\w*/[A-Za-z0-9][\w.-]*/[A-Za-z_]\w*/\d+/\d+/cards/[^/]+\Z", re.ASCII
)
_RUN_KEY = re.compile(
    r"runs/([A-Za-z_]\w*)/([A-Za-z0-9][\w.-]*)/run-cards/([A-Za-z0-9_][\w.-]*)-([0-9a-f]{20})\.html\Z",
    re.ASCII,
)
_FOLDER = "cards/"
_RUN_FOLDER = "run-cards/"
ERROR = "error"
"""Type of a card that says why another one could not be made."""

Place = tuple[str, str, str, int, int]
"""Flow, run, step, task and attempt."""


class StoredCard(NamedTuple):
    """A card in a store.

    Attributes:
        flow, run, step, task, attempt: which attempt it is of; of a card of a run the step is
            ``""``.
        number: which ``@card`` of the step, from 0.
        type, id: as in ``@card``; ``id`` is ``""`` when it has none.
        hash: the first 20 digits of the SHA-256 of the page.
        key: its key in the store.
        size: bytes.
        modified: seconds since the epoch.
    """

    flow: str
    run: str
    step: str
    task: int
    attempt: int
    number: int
    type: str
    id: str
    hash: str
    key: str
    size: int
    modified: float

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``; of a card of a run ``Flow/run``."""
        run = f"{self.flow}/{self.run}"
        return f"{run}/{self.step}/{self.task}" if self.step else run

    @property
    def place(self) -> Place:
        """Of which attempt it is."""
        return self[:5]


def write_card(store: Store, place: Place, number: int, options: CardOptions, html: str) -> str:
    """Store a card, in the place of an earlier one of the same ``@card``; return its key."""
    content = html.encode("utf-8")
    prefix = attempt_prefix(*place) + _FOLDER
    digest = hashlib.sha256(content).hexdigest()[:20]
    key = f"{prefix}{number}-{options.type}-{options.id or ''}-{digest}.html"
    earlier = [
        name
        for name in store.folders(prefix)
        if (m := _NAME.fullmatch(name)) and m[1] == str(number)
    ]
    store.write([(key, content)])
    store.delete([prefix + name for name in earlier if prefix + name != key])
    return key


def cards_below(
    store: Store, flow: str, run: str, step: str | None = None, task: int | None = None
) -> Iterator[StoredCard]:
    """Yield the cards of a run, a step or a task, sorted by key, with those of all attempts."""
    prefix = run_prefix(flow, run)
    if step is not None:
        prefix += f"{step}/" + (f"{task}/" if task is not None else "")
    for entry in store.list(prefix):
        if (card := _parse(entry.key, entry.size, entry.modified)) is not None:
            yield card


def cards_of(store: Store, place: Place) -> list[StoredCard]:
    """Return the cards of one attempt, by number."""
    prefix = attempt_prefix(*place) + _FOLDER
    entries = store.list(prefix)
    found = (_parse(entry.key, entry.size, entry.modified) for entry in entries)
    return sorted((card for card in found if card is not None), key=lambda card: card.number)


def cards_folder(place: Place) -> str:
    """Return below what the cards of an attempt lie, and what its step added to them."""
    return attempt_prefix(*place) + _FOLDER


def parse_key(key: str) -> StoredCard | None:
    """Return the card that lies, or would lie, under a key; None when that is none of a card."""
    if whole := _RUN_KEY.match(key):
        flow, run, kind, digest = whole.groups()
        return StoredCard(flow, run, "", 0, 0, 0, kind, "", digest, key, 0, 0.0)
    return _parse(key, 0, 0.0) if _KEY.match(key) else None


def _parse(key: str, size: int, modified: float) -> StoredCard | None:
    parts = key.split("/")
    if len(parts) != 8 or parts[6] + "/" != _FOLDER or not (parts[4] + parts[5]).isdigit():
        return None
    name = _NAME.fullmatch(parts[7])
    if name is None:
        return None
    number, kind, identity, digest = name.groups()
    _, flow, run, step, task, attempt, _, _ = parts
    return StoredCard(
        flow,
        run,
        step,
        int(task),
        int(attempt),
        int(number),
        kind,
        identity,
        digest,
        key,
        size,
        modified,
    )


def known_numbers(store: Store, place: Place) -> list[int]:
    """Return the numbers of an attempt's cards, also of those that were not made yet, sorted."""
    names = store.folders(attempt_prefix(*place) + _FOLDER)
    return sorted({int(m[0]) for name in names if (m := re.match(r"\d+(?=-|\.json$)", name))})


# --- cards of runs ------------------------------------------------------------------------------


def run_cards_prefix(flow: str, run: str) -> str:
    """The cards of a run lie below this. No step can have a name with a hyphen."""
    return run_prefix(flow, run) + _RUN_FOLDER


def write_run_card(store: Store, flow: str, run: str, kind: str, html: str) -> StoredCard:
    """Store a card of a run in the place of an earlier one of its type, or of an error."""
    content = html.encode("utf-8")
    digest = hashlib.sha256(content).hexdigest()[:20]
    key = f"{run_cards_prefix(flow, run)}{kind}-{digest}.html"
    earlier = [one.key for one in run_cards(store, flow, run) if one.type in (kind, ERROR)]
    store.write([(key, content)])
    store.delete([one for one in earlier if one != key])
    return StoredCard(flow, run, "", 0, 0, 0, kind, "", digest, key, len(content), time.time())


def run_cards(store: Store, flow: str, run: str) -> list[StoredCard]:
    """Return the cards of a run as a whole, by type."""
    prefix = run_cards_prefix(flow, run)
    found = []
    for entry in store.list(prefix):
        if name := _RUN_NAME.fullmatch(entry.key[len(prefix) :]):
            place = (flow, run, "", 0, 0, 0, name[1], "", name[2])
            found.append(StoredCard(*place, entry.key, entry.size, entry.modified))
    return sorted(found, key=lambda card: (card.type, card.key))


def read_html(store: Store, card: StoredCard) -> str | None:
    """Return the page; None when it is gone."""
    content = next(iter(store.read([card.key])))
    return None if content is None else bytes(content).decode("utf-8")


# --- what steps add -----------------------------------------------------------------------------


class Added(NamedTuple):
    """What a step has added to one of its cards.

    Attributes:
        components: as from `flow_cards.codec.encode`.
        data: what it gave to ``refresh``, as JSON data; None = nothing.
        card: which card it is: ``type``, ``id``, ``options``, ``timeout``, and ``task``, some facts
            of the task. Empty where an early release wrote it.
    """

    components: Sequence[Any] = ()
    data: Any = None
    card: Mapping[str, Any] = {}


def write_added(store: Store, place: Place, added: Iterable[tuple[int, Added]]) -> None:
    """Store what a step added to its cards, by number."""
    prefix = attempt_prefix(*place) + _FOLDER
    store.write((f"{prefix}{number}.json", _encoded(one)) for number, one in added)


def _encoded(added: Added) -> bytes:
    document = {
        "format": FORMAT,
        "components": list(added.components),
        "data": added.data,
        "card": dict(added.card),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_added(store: Store, place: Place, numbers: Sequence[int]) -> list[Added]:
    """Return what a step added to each of these cards.

    Raises:
        FormatError: a later release has written it.
    """
    keys = [f"{attempt_prefix(*place)}{_FOLDER}{number}.json" for number in numbers]
    found = zip(keys, store.read(keys), strict=True)
    return [Added() if raw is None else _decoded(key, raw) for key, raw in found]


def _decoded(key: str, raw: bytes) -> Added:
    document = json.loads(raw)
    if document["format"] > FORMAT:
        raise FormatError(
            f"What a step added to its card has format {document['format']}",
            where=key,
            why=f"this release reads formats up to {FORMAT}",
            hint="pip install --upgrade flow-cards",
        )
    return Added(document["components"], document["data"], document.get("card", {}))
