"""Several transfers at the same time, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 16
"""Threads of one call: as many as keep a network busy; more only wait for Python's lock."""


def in_order(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    many: bool = True,
    ahead: int = 4 * WORKERS,
) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in order.

    Few items are taken ahead of the one that is waited for, so that ``items`` may be without end.
    The first error ends it; what has begun comes to its end first.

    Args:
        function: called in threads.
        items: what it is called with.
        many: whether threads are worth it; otherwise it is called here.
        ahead: how many results there are at a time, at most: begun, or waiting for their turn.
    """
    if not many:
        yield from map(function, items)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(WORKERS, "flow-files")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
