"""A thread that carries out orders, for a scheduler's thread that must not wait."""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Result = Callable[[], None]
"""What is to be done in the scheduler's thread when an order was carried out."""


def nothing() -> None:
    """Be the result of an order after which nothing is to be done."""


class Clerk:
    """One thread that carries out orders one at a time: those that are due, in the order given.

    Args:
        name: the thread's.
        wake: called, by that thread, when there are results.
    """

    def __init__(self, name: str, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._orders: list[tuple[float, int, Callable[[], Result]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def add(self, order: Callable[[], Result], seconds: float = 0.0) -> None:
        """Have an order carried out, not before ``seconds`` have passed."""
        with self._changed:
            if self._stopped:
                return
            if not self._thread.is_alive():
                self._thread.start()
            due = time.monotonic() + seconds
            heapq.heappush(self._orders, (due, next(self._numbers), order))
            self._changed.notify()

    def results(self) -> list[Result]:
        """Return what is to be done now, without waiting."""
        found = []
        while not self._results.empty():
            found.append(self._results.get_nowait())
        return found

    def stop(self, patience: float) -> None:
        """Carry out nothing more; wait up to ``patience`` seconds for the end of the present order."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(patience)

    def _run(self) -> None:
        while (order := self._next()) is not None:
            try:
                result = order()
            except Exception as error:  # it belongs to who gave the order
                result = _raiser(error)
            if result is not nothing:
                self._results.put(result)
                self._wake()

    def _next(self) -> Callable[[], Result] | None:
        """Wait for an order that is due; None = there will be none."""
        with self._changed:
            while not self._stopped:
                if not self._orders:
                    self._changed.wait()
                    continue
                wait = self._orders[0][0] - time.monotonic()
                if wait <= 0:
                    return heapq.heappop(self._orders)[2]
                self._changed.wait(wait)
        return None


def _raiser(error: Exception) -> Result:
    def throw() -> None:
        raise error

    return throw


class Batch:
    """What is collected until a clerk takes all of it at once."""

    def __init__(self, clerk: Clerk, order: Callable[[Sequence[Any]], Result]) -> None:
        self._clerk = clerk
        self._order = order
        self._items: list[Any] = []
        self._lock = threading.Lock()

    def add(self, items: Sequence[Any]) -> None:
        """Have the order carried out with these items, and those that come until then."""
        with self._lock:
            is_first = not self._items
            self._items.extend(items)
        if is_first:
            self._clerk.add(self._carry_out)

    def _carry_out(self) -> Result:
        with self._lock:
            items, self._items = self._items, []
        return self._order(items)
