"""What a server of cards knows: which cards a run has, and how a card stands that is looked at.

Each is asked as often as one likes, by any number of threads; the store is looked at no more often than
every ``poll`` seconds, and where that is slow, for no more than a tenth of the time.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from flow_cards.finding import Found, Target, find_cards, follow
from flow_cards.live import View
from flow_cards.storage import (
    Added,
    Place,
    StoredCard,
    cards_folder,
    cards_of,
    read_added,
    run_cards,
)
from flow_core.api import OK_STATES, AttemptState, NotFound, RunState, seen_state

if TYPE_CHECKING:
    from flow_cards.live_link import LiveLink
    from flow_core.api import AttemptRecord, RunRecord, Session

T = TypeVar("T")

_SHARE = 10.0
_PAGE = 1000
_FRESH = 3.0
_LOGS_EVERY = 2.0
_OPEN = (AttemptState.QUEUED, AttemptState.RUNNING)
_MAKING = 120.0
_UNKNOWN = "?"
_TIMEOUT = 45.0
_LONGEST = 3600.0


class Looked(Generic[T]):
    """A look that is taken at most every so many seconds; between them everybody gets the last one.

    Args:
        look: takes it.
        poll: seconds.
    """

    def __init__(self, look: Callable[[], T], poll: float) -> None:
        self._look = look
        self._poll = poll
        self._lock = threading.Lock()
        self._next = 0.0
        self._last: T

    def __call__(self) -> T:
        """Return the last look, or take another one."""
        with self._lock:
            began = time.monotonic()
            if began >= self._next:
                self._last = self._look()
                now = time.monotonic()
                self._next = now + max(self._poll, _SHARE * (now - began))
            return self._last

    def soon(self) -> None:
        """Take the next look when somebody asks, whenever the last one was."""
        self._next = 0.0


# --- the cards of a run -------------------------------------------------------------------------


class Entry(NamedTuple):
    """A card of a run, made or yet to be made.

    Attributes:
        step, task, attempt, number: which one.
        indices: of the surrounding foreaches.
        type: its type; ``"?"`` while that is not known.
        id: ``""`` when it has none.
        state: of the task.
        live: whether the task runs.
        seconds: how long the task took; None while that is not known.
    """

    step: str
    task: int
    attempt: int
    number: int
    indices: tuple[int, ...]
    type: str
    id: str
    state: str
    live: bool
    seconds: float | None

    @property
    def path(self) -> str:
        """``step/task/number``."""
        return f"{self.step}/{self.task}/{self.number}"


class StepCards(NamedTuple):
    """The cards of a step, those of running tasks first, then by task."""

    step: str
    states: dict[str, int]
    entries: list[Entry]


class Overview(NamedTuple):
    """A run and its cards: those of its steps, and those of the run as a whole.

    ``run`` is None while there is none.
    """

    run: RunRecord | None = None
    state: str = ""
    steps: tuple[StepCards, ...] = ()
    whole: tuple[StoredCard, ...] = ()


class MadeCards:
    """The cards that the tasks of a run have left. Only at the first look all are listed; later ones
    ask for the tasks that have ended since, or whose cards were not made yet.

    Args:
        session: where they lie.
        run: the run.
    """

    def __init__(self, session: Session, run: RunRecord) -> None:
        self._session = session
        self._target = Target(run.flow, run.run)
        self._of: dict[int, tuple[Any, list[Found]]] | None = None
        graph = session.run_document(run.flow, run.run).graph
        self.steps = {n for n, step in graph["steps"].items() if "card" in step["decorators"]}

    def look(self, records: Mapping[int, AttemptRecord], *, run_over: bool) -> list[Found]:
        """Return them by task.

        Args:
            records: the last attempt of each task.
            run_over: whether the run has ended.
        """
        if self._of is None:
            self._of = self._all(records)
        for task, record in records.items():
            if record.state not in _OPEN and self._may_have_new(record, run_over):
                target = Target(*self._target[:2], record.step, task)
                self._of[task] = (record[4:6], self._find(target))
        return [one for task in sorted(self._of) for one in self._of[task][1]]

    def _all(self, records: Mapping[int, AttemptRecord]) -> dict[int, tuple[Any, list[Found]]]:
        found: dict[int, tuple[Any, list[Found]]] = {}
        for one in self._find(self._target):
            if one.card.step:
                task = int(one.pathspec.rpartition("/")[2])
                stamp = records[task][4:6] if task in records else None
                found.setdefault(task, (stamp, []))[1].append(one)
        return found

    def _find(self, target: Target) -> list[Found]:
        return find_cards(self._session.metadata, self._session.store, target)

    def _may_have_new(self, record: AttemptRecord, run_over: bool) -> bool:
        assert self._of is not None
        if record.step not in self.steps and record.state is not AttemptState.REUSED:
            return False
        stamp, found = self._of.get(record.task, (None, []))
        if stamp == record[4:6] and (found or record.state is AttemptState.REUSED):
            return False
        return stamp != record[4:6] or not run_over or _is_recent(record)


class RunWatch:
    """Watches the cards of a run.

    Args:
        session: where it lies.
        flow, run: the run. Without ``run`` the latest one, without both that of any flow.
        poll: seconds between two looks, at least.
    """

    def __init__(self, session: Session, flow: str | None, run: str | None, poll: float) -> None:
        self._session = session
        self.flow, self.run = flow, run
        self._known: dict[tuple[Place, int], tuple[str, str]] = {}
        self._made: tuple[str, MadeCards] | None = None
        self.look = Looked(self._look, poll)

    def _look(self) -> Overview:
        run = self._record()
        if run is None:
            return Overview()
        if self._made is None or self._made[0] != run.pathspec:
            self._made = (run.pathspec, MadeCards(self._session, run))
            self._known.clear()
        state = seen_state(run)
        whole = tuple(run_cards(self._session.store, run.flow, run.run))
        return Overview(run, state, self._steps(run, state, self._made[1]), whole)

    def _record(self) -> RunRecord | None:
        metadata = self._session.metadata
        if self.flow is not None and self.run is not None:
            return metadata.run(self.flow, self.run)
        flows = [self.flow] if self.flow is not None else metadata.flows()
        latest = [run for flow in flows for run in metadata.runs(flow, limit=1)]
        return max(latest, key=lambda run: run.created_at, default=None)

    def _steps(self, run: RunRecord, state: str, made: MadeCards) -> tuple[StepCards, ...]:
        records = {record.task: record for record in self._attempts(run)}
        run_over = state != RunState.RUNNING.value
        found = made.look(records, run_over=run_over)
        entries: dict[str, list[Entry]] = {}
        running = [] if run_over else [*self._running(records, made.steps)]
        being_made = _being_made(found, records, made.steps)
        for entry in [*running, *being_made, *_made(found, records)]:
            entries.setdefault(entry.step, []).append(entry)
        steps = self._session.metadata.steps(run.flow, run.run)
        return tuple(
            StepCards(s.step, dict(s.states), entries[s.step]) for s in steps if s.step in entries
        )

    def _attempts(self, run: RunRecord) -> Iterator[AttemptRecord]:
        after = -1
        while True:
            page = self._session.metadata.attempts(run.flow, run.run, after=after, limit=_PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1].task

    def _running(
        self, records: Mapping[int, AttemptRecord], steps: Collection[str]
    ) -> Iterator[Entry]:
        for record in records.values():
            if record.state is AttemptState.RUNNING and record.step in steps:
                yield from self._cards_of_running(record)

    def _cards_of_running(self, record: AttemptRecord) -> Iterator[Entry]:
        place: Place = record[:5]
        names = self._session.store.folders(cards_folder(place))
        numbers = sorted(int(n[:-5]) for n in names if n.endswith(".json") and n[:-5].isdigit())
        for number in numbers or [0]:
            kind, identity = self._kind(place, number) if numbers else (_UNKNOWN, "")
            yield _entry(record, number, kind, identity)

    def _kind(self, place: Place, number: int) -> tuple[str, str]:
        """Return type and id of a card that was refreshed; they do not change."""
        if (place, number) not in self._known:
            (added,) = read_added(self._session.store, place, [number])
            kind = str(added.card.get("type") or _UNKNOWN), str(added.card.get("id") or "")
            self._known[place, number] = kind
        return self._known[place, number]


def _being_made(
    found: Sequence[Found], records: Mapping[int, AttemptRecord], steps: Collection[str]
) -> Iterator[Entry]:
    """Yield an entry for each task that has ended a moment ago, and whose card will soon be there."""
    have = {int(one.pathspec.rpartition("/")[2]) for one in found}
    for record in records.values():
        ended = record.state not in (*_OPEN, AttemptState.REUSED)
        if ended and record.step in steps and record.task not in have and _is_recent(record):
            yield _entry(record, 0, _UNKNOWN, "")


def _is_recent(record: AttemptRecord) -> bool:
    return time.time() - (record.finished_at or 0.0) < _MAKING


def _entry(record: AttemptRecord, number: int, kind: str, identity: str) -> Entry:
    known = record.started_at and record.finished_at
    return Entry(
        record.step,
        record.task,
        record.attempt,
        number,
        record.indices,
        kind,
        identity,
        record.state.value,
        record.state is AttemptState.RUNNING,
        record.finished_at - record.started_at if known else None,  # type: ignore[operator]
    )


def _made(found: Sequence[Found], records: Mapping[int, AttemptRecord]) -> Iterator[Entry]:
    for one in found:
        record, card = records.get(int(one.pathspec.rpartition("/")[2])), one.card
        if record is None or record.state is AttemptState.RUNNING:
            continue  # it was tried before: what runs now is listed
        yield _entry(record, card.number, card.type, card.id)


# --- a card -------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """How a card stands.

    Attributes:
        attempt: the last attempt of the task.
        state: of that attempt.
        before: how the attempt before it ended; ``""`` when it is the first one.
        card: the stored card; None while there is none.
        view: what the card shows while its task runs; None until it is drawn.
        over: whether nothing will change any more.
    """

    attempt: int
    state: str
    before: str
    card: StoredCard | None
    view: View | None
    over: bool


class CardWatch:
    """Watches a card of a task: its last attempt, whichever that is.

    Args:
        session: where it lies.
        link: what draws it while its task runs.
        place: flow, run, step and task.
        number: which card.
        poll: seconds between two looks, at least.
    """

    def __init__(
        self,
        session: Session,
        link: LiveLink,
        place: tuple[str, str, str, int],
        number: int,
        poll: float,
    ) -> None:
        self._session = session
        self._link = link
        self.place = place
        self.number = number
        self._changed = threading.Condition()
        self._drawn: tuple[Place, View] | None = None
        self._asked: Any = None
        self._drawing = False
        self._logs: tuple[float, Any] = (0.0, None)
        self._content: tuple[Any, Added, str] = (None, Added(), "")
        self._look_at = Looked(self._take_look, poll)

    def look(self) -> Seen:
        """Return how it stands.

        Raises:
            NotFound: there is no such task.
        """
        return self._look_at()

    def wait(self, seconds: float) -> None:
        """Wait until something was drawn, but not longer than so many seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def first_view(self, patience: float) -> Seen:
        """Return how it stands, when it has been drawn once, or after so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            seen = self.look()
            left = deadline - time.monotonic()
            if seen.card is not None or seen.view is not None or left <= 0:
                return seen
            self.wait(min(left, 0.1))

    def _take_look(self) -> Seen:
        flow, run, step, task = self.place
        metadata = self._session.metadata
        records = metadata.attempts(flow, run, step=step, task=task, all_attempts=True, limit=1)
        run_record = metadata.run(flow, run)
        if not records or run_record is None:
            raise NotFound(f"There is no task {flow}/{run}/{step}/{task}", where=metadata.url)
        record = records[-1]
        before = records[-2].message or records[-2].state.value if len(records) > 1 else ""
        run_over = seen_state(run_record) != RunState.RUNNING.value
        place: Place = record[:5]
        card = self._stored(record)
        if card is None:
            self._draw(record)
        over = run_over or (card is not None and record.state in OK_STATES)
        drawn = self._drawn
        view = drawn[1] if drawn is not None and drawn[0] == place else None
        return Seen(record.attempt, record.state.value, before, card, view, over)

    def _stored(self, record: AttemptRecord) -> StoredCard | None:
        place: Place = record[:5]
        if record.state is AttemptState.REUSED:
            found = [one.card for one in follow(self._session.store, place)]
        else:
            found = cards_of(self._session.store, place)
        return next((card for card in found if card.number == self.number), None)

    # --- drawing ---

    def _draw(self, record: AttemptRecord) -> None:
        """Have it drawn anew, if what it is drawn from has changed and nobody draws it."""
        if self._drawing:
            return
        place: Place = record[:5]
        added, digest = self._added(place)
        wanted = (place, record.state, digest, self._size_of_logs(place))
        if wanted == self._asked:
            return
        self._asked, self._drawing = wanted, True
        facts = {
            "state": record.state.value,
            "started": record.started_at,
            "type": str(added.card.get("type", "default")),
            "timeout": _timeout(added.card.get("timeout")),
        }
        self._link.draw(place, self.number, facts, lambda view: self._has_drawn(place, view))

    def _has_drawn(self, place: Place, view: View | str) -> None:
        from markupsafe import escape

        if isinstance(view, str):
            text = f'<p class="note">This card cannot be drawn: {escape(view)}</p>'
            view = View("/".join(map(str, place[:4])), "", (text,))
        with self._changed:
            self._drawn = (place, view)
            self._drawing = False
            self._changed.notify_all()
        self._look_at.soon()

    def _added(self, place: Place) -> tuple[Added, str]:
        """Return what the step added, and a digest of that."""
        key = f"{cards_folder(place)}{self.number}.json"
        entry = next((e for e in self._session.store.list(key) if e.key == key), None)
        stamp = (place, entry and (entry.size, entry.modified))
        fresh = entry is not None and time.time() - entry.modified < _FRESH
        if fresh or stamp != self._content[0]:  # a clock may be too coarse for two writes
            (added,) = read_added(self._session.store, place, [self.number])
            digest = hashlib.sha256(repr(added).encode("utf-8", "replace")).hexdigest()
            self._content = (stamp, added, digest)
        return self._content[1:]

    def _size_of_logs(self, place: Place) -> Any:
        """Return how long the logs are; looked at now and then, since they grow all the time."""
        at, sizes = self._logs
        if time.monotonic() - at > _LOGS_EVERY:
            folder = cards_folder(place).removesuffix("cards/")
            sizes = [self._session.store.size(folder + name) for name in ("stdout", "stderr")]
            self._logs = (time.monotonic(), sizes)
        return tuple(sizes)

    def data(self) -> Any:
        """Return what the step gave to ``current.card.refresh`` last."""
        seen = self.look()
        place: Place = (*self.place, seen.attempt)
        place = seen.card.place if seen.card is not None else place
        return read_added(self._session.store, place, [self.number])[0].data


def _timeout(given: Any) -> float:
    """Return for how long a card may be drawn, whatever stands in the store."""
    sane = isinstance(given, (int, float)) and 0 < given <= _LONGEST
    return float(given) if sane else _TIMEOUT
