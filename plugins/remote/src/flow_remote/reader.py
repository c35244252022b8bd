"""The launcher's eyes in the store: what tasks write while they run, and what they leave in the end.

One thread reads for all attempts of a run, many with one call. How often it looks for the output of one
grows while there is none, so that thousands of quiet tasks cost few requests.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from flow_core.api import (
    AttemptLogs,
    Begun,
    FlowError,
    Manifest,
    Output,
    Store,
    StoreError,
    Update,
    decode_piece,
    manifest_key,
    piece_key,
    together,
)
from flow_remote.attempts import Attempt, exited
from flow_remote.backend import Ended
from flow_remote.boot import FAILED
from flow_remote.ending import Ending, ending_key
from flow_remote.output import MORE

_STREAMS = ("stdout", "stderr")
_FIRST_LOOK = 0.5  # seconds until one looks for output, at first
_LONGEST_LOOK = 10.0
_LOOK_GROWTH = 1.5
_LOOKS_AT_ONCE = 64  # attempts whose output is looked for by one call
_LOOKS_PER_SECOND = 50.0  # requests that looking may cost, about
_ENDS_AT_ONCE = 256
_LATE = 2.0  # seconds that what a task wrote last may take to be seen
_LATE_SHARED = 6.0  # the same on a file system that machines share, each with a cache of its own
_STORE_AWAY = 90.0  # seconds for which a store that does not answer is asked again
_REST = 1.0


class _Over(NamedTuple):
    """An attempt that has ended, and of which the rest is to be read."""

    attempt: Attempt
    news: Ended
    since: float


class Reader:
    """Reads the store for the attempts of one run.

    Args:
        store: the store of the run.
        interactive: whether somebody watches: only then output is read.
        shares_files: whether the store is a file system that machines share.
        wake: called, by the reader's thread, when there are updates.
    """

    def __init__(
        self, store: Store, interactive: bool, shares_files: bool, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._interactive = interactive
        self._late = _LATE_SHARED if shares_files else _LATE
        self._wake = wake
        self._updates: queue.SimpleQueue[Update | Exception] = queue.SimpleQueue()
        self._looks: list[tuple[float, int, Attempt]] = []  # by when they are due
        self._numbers = itertools.count()
        self._ends: list[tuple[float, int, _Over]] = []
        self._changed = threading.Condition(threading.RLock())
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="flow-reader", daemon=True)

    def follow(self, attempt: Attempt) -> None:
        """Look for what the attempt tells while it runs."""
        if self._interactive or attempt.command.timed:
            attempt.pause = _FIRST_LOOK
            self._look_later(attempt)

    def finish(self, attempt: Attempt, news: Ended) -> None:
        """Read what the attempt has left; its `Exited` will be among the results."""
        with self._changed:
            attempt.over = True
            self._finish_later(_Over(attempt, news, time.monotonic()), 0.0)
            self._start()

    def results(self) -> Iterator[Update]:
        """Yield what there is now, without waiting; raise what went wrong."""
        while not self._updates.empty():
            found = self._updates.get_nowait()
            if isinstance(found, Exception):
                raise found
            yield found

    def stop(self, patience: float) -> None:
        """Read nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _start(self) -> None:
        if not self._thread.is_alive() and not self._stopped:
            self._thread.start()
        self._changed.notify()

    def _look_later(self, attempt: Attempt) -> None:
        with self._changed:
            pause = max(attempt.pause, len(self._looks) / _LOOKS_PER_SECOND)
            heapq.heappush(self._looks, (time.monotonic() + pause, next(self._numbers), attempt))
            self._start()

    def _finish_later(self, over: _Over, seconds: float) -> None:
        with self._changed:
            due = time.monotonic() + seconds
            heapq.heappush(self._ends, (due, next(self._numbers), over))

    # --- in the reader's thread -------------------------------------------------------------------

    def _run(self) -> None:
        while (work := self._next()) is not None:
            ends, looks = work
            try:
                if ends:
                    self._read_ends(ends)
                if looks:
                    self._read_pieces(looks)
            except Exception as error:  # the scheduler's thread is to raise it
                self._tell([error])

    def _next(self) -> tuple[list[_Over], list[Attempt]] | None:
        """Wait for something to do."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                ends = list(_due(self._ends, now, _ENDS_AT_ONCE))
                looks = [a for a in _due(self._looks, now, _LOOKS_AT_ONCE) if not a.over]
                if ends or looks:
                    return ends, looks
                first = [heap[0][0] for heap in (self._ends, self._looks) if heap]
                self._changed.wait(max(0.0, min(first) - now) if first else None)
        return None

    def _tell(self, found: Sequence[Update | Exception]) -> None:
        for one in found:
            self._updates.put(one)
        if found:
            self._wake()

    def _read_pieces(self, attempts: Sequence[Attempt]) -> None:
        """Read the next piece of each attempt, if it is there."""
        keys = [piece_key(attempt.prefix, attempt.piece) for attempt in attempts]
        try:
            contents = list(self._store.read(keys))
        except StoreError:  # it is looked for again; at the end it counts
            contents = [None] * len(keys)
        for attempt, key, content in zip(attempts, keys, contents, strict=True):
            if content is None:
                attempt.pause = min(attempt.pause * _LOOK_GROWTH, _LONGEST_LOOK)
            else:
                attempt.piece += 1
                attempt.pause = _FIRST_LOOK
                self._tell(list(self._told(attempt, key, content)))
            self._look_later(attempt)

    def _told(self, attempt: Attempt, key: str, content: bytes) -> Iterator[Update]:
        for record in decode_piece(content, key):
            if record.kind == "begin":
                yield Begun(attempt.handle, time.time())
            elif self._interactive:
                attempt.shown[_STREAMS.index(record.kind)] += len(record.data)
                yield Output(attempt.handle, record.kind, record.data, time.time())

    def _read_ends(self, ends: Sequence[_Over]) -> None:
        """Read how attempts ended: all of them with one call."""
        keys = []
        for over in ends:
            task = over.attempt.task
            place = (task.flow, task.run, task.step, task.task, task.attempt)
            keys += [ending_key(task), manifest_key(*place)]
        try:
            contents = iter(list(self._store.read(keys)))
        except StoreError:
            if any(time.monotonic() - over.since > _STORE_AWAY for over in ends):
                raise
            for over in ends:
                self._finish_later(over, _REST)
            return
        ended = [
            (over, *_decoded(key, ending, manifest))
            for over, key, ending, manifest in zip(ends, keys[::2], contents, contents, strict=True)
            if not self._comes_later(over, ending)
        ]
        for one in ended:
            if not self._has_rest(*one):
                self._tell_end(one)
        # Logs that are still to be shown take requests of their own: many tasks that end together
        # would wait for each other.
        together(self._store, self._tell_end, [one for one in ended if self._has_rest(*one)])

    def _comes_later(self, over: _Over, ending: bytes | None) -> bool:
        """Whether what is missing may still come: then it is looked for again."""
        may_come = over.news.code not in (None, FAILED)  # else nobody was there to write it
        waited = time.monotonic() - over.since
        if ending is None and may_come and waited < self._late:
            self._finish_later(over, _REST / 2)
            return True
        return False

    def _has_rest(self, over: _Over, ending: Ending | None, _: Manifest | None) -> bool:
        """Whether people are to see more of the logs."""
        return self._interactive and (ending is None or list(ending.written) != over.attempt.shown)

    def _tell_end(self, ended: tuple[_Over, Ending | None, Manifest | None]) -> None:
        """Tell what was not shown yet of the logs, and how the attempt ended."""
        over, ending, manifest = ended
        output = list(self._rest(over.attempt, ending)) if self._has_rest(*ended) else []
        self._tell([*output, exited(over.attempt, over.news, ending, manifest, time.time())])

    def _rest(self, attempt: Attempt, ending: Ending | None) -> Iterator[Output]:
        """Yield what was not shown yet of the logs; of one that was cut its first half at most."""
        logs = AttemptLogs(self._store, attempt.prefix)
        for number, stream in enumerate(_STREAMS):
            shown = attempt.shown[number]
            if ending is not None and ending.written[number] == shown:
                continue
            content = logs.read(stream)
            is_cut = ending is not None and len(content) != ending.written[number]
            end = len(content) // 2 if is_cut else len(content)
            if shown < end:
                yield Output(attempt.handle, stream, content[shown:end], time.time())
                if is_cut:
                    yield Output(attempt.handle, "stderr", MORE, time.time())


def _decoded(
    key: str, ending: bytes | None, manifest: bytes | None
) -> tuple[Ending | None, Manifest | None]:
    """Return what a task and its supervisor have left; a damaged manifest counts as none."""
    found = None
    if manifest is not None:
        with suppress(FlowError):  # who reads it next says so
            found = Manifest.decode(manifest, key)
    return Ending.decode(ending, key) if ending is not None else None, found


_Item = TypeVar("_Item")


def _due(heap: list[tuple[float, int, _Item]], now: float, most: int) -> Iterator[_Item]:
    """Take from a heap what is due, as much as one call should read."""
    for _ in range(most):
        if not heap or heap[0][0] > now:
            return
        yield heapq.heappop(heap)[2]
