"""When something that changes often is written: at once, then not before an interval is over.

What comes too early is not lost: at the end of the interval a thread writes the latest of it, also
when the step computes for a minute. The thread lives only while something waits, and never while this
process forks.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_SHARE = 10.0
"""What writing took, times this, passes before the next one: a slow store slows no task down."""
_FORK_PATIENCE = 2.0


class Pace(Generic[T]):
    """Writes the latest state of something, not too often. It may be used by several threads.

    Args:
        interval: seconds between the end of one write and the next one, at least.
        write: writes a state; it raises nothing.
    """

    def __init__(self, interval: float, write: Callable[[T], None]) -> None:
        self._interval = interval
        self._write = write
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._waiting: tuple[int, T] | None = None
        self._busy = False
        self._stopping = False
        self._earliest = 0.0  # when the next may be written, of the monotonic clock
        self._asked = self._written = 0

    def ask(self, state: T, *, force: bool = False) -> None:
        """Have a state written: now, if it is time or ``force``; else when it is, by a thread."""
        with self._changed:
            self._asked += 1
            number = self._asked
            early = self._busy or time.monotonic() < self._earliest
            if early and not force:
                self._waiting = (number, state)
                self._start_thread()
                return
            self._waiting = None
            self._changed.notify_all()  # nothing waits any more: the thread ends
        self._do(number, state)

    def end(self) -> None:
        """Let no thread write any more: what waits is dropped, since the caller writes the last state."""
        with self._changed:
            self._waiting = None
        self._stop_thread()

    def _do(self, number: int, state: T) -> None:
        with self._writing:  # in the order in which they were asked for
            if number < self._written:
                return
            began = time.monotonic()
            self._busy = True
            try:
                self._write(state)
            finally:
                now = time.monotonic()
                self._earliest = now + max(self._interval, _SHARE * (now - began))
                self._written = number
                self._busy = False

    # --- the thread ---

    def _start_thread(self) -> None:
        if self._thread is not None or self._stopping:
            return
        _watch_forks()
        thread = threading.Thread(target=self._serve, name="flow-cards-refresh", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the next refresh, or the end, writes it
            return
        self._thread = thread
        _with_threads.add(self)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while (
                    self._waiting is not None
                    and not self._stopping
                    and (left := self._earliest - time.monotonic()) > 0
                ):
                    self._changed.wait(left)
                if self._waiting is None or self._stopping:
                    self._thread = None
                    return
                (number, state), self._waiting = self._waiting, None
            self._do(number, state)

    def _stop_thread(self, patience: float | None = None) -> None:
        with self._changed:
            thread = self._thread
            self._stopping = True
            self._changed.notify_all()
        if thread is not None:
            thread.join(patience)
        self._stopping = False

    def _before_fork(self) -> None:
        if self._thread is not threading.current_thread():  # a store that forks while it writes
            self._stop_thread(_FORK_PATIENCE)

    def _after_fork(self) -> None:
        with self._changed:
            if self._waiting is not None:
                self._start_thread()


# --- forks --------------------------------------------------------------------------------------

# A fork beside a thread is unsafe, and Python warns of it. So the threads end before, and go on after.
_with_threads: weakref.WeakSet[Pace[Any]] = weakref.WeakSet()


@functools.cache  # once
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=functools.partial(_each, Pace._before_fork),
            after_in_parent=functools.partial(_each, Pace._after_fork),
            after_in_child=functools.partial(_each, Pace._reset),
        )


def _each(do: Callable[[Pace[Any]], None]) -> None:
    for one in list(_with_threads):
        do(one)
