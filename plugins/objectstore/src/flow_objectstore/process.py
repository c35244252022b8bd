"""What a store has in each process for itself: clients, threads, and whether it was answered."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from flow_objectstore.library import is_used

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

REQUESTS = 32
"""Small requests at the same time."""
PIECES = 8
"""Pieces of large objects on their way at the same time."""

_inherited: list[InProcess] = []
"""What forked children must neither use nor take apart: its threads are in their parent only."""


class InProcess:
    """Made by the first use in a process, anew in a forked child.

    Attributes:
        process: its id.
        reached: whether the service has answered.
        found: whether it is known that the bucket is there.
    """

    def __init__(self, make_client: Callable[[bool], Any]) -> None:
        self.process = os.getpid()
        self.reached = False
        self.found = False
        self._make_client = make_client
        self._lock = threading.Lock()
        self._clients: dict[bool, Any] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def client(self, large: bool = False) -> Any:
        """Return the client for small requests, or for those that may take long."""
        found = self._clients.get(large)
        if found is None:
            with self._lock:
                if large not in self._clients:
                    self._clients[large] = self._make_client(large)
                found = self._clients[large]
        return found

    @property
    def requests(self) -> ThreadPoolExecutor:
        """Threads for small requests."""
        return self._pool("requests", REQUESTS)

    @property
    def pieces(self) -> ThreadPoolExecutor:
        """Threads for pieces; who works in one of `requests` may wait for them."""
        return self._pool("pieces", PIECES)

    def ahead(
        self, call: Callable[[Any], T], items: Iterable[Any], most: int | None = None
    ) -> Iterator[T]:
        """Yield ``call(item)`` of each item in order, with some of them done ahead.

        Args:
            call: what is done, in threads.
            items: what it is done with.
            most: how many pieces at a time; None = these are small requests.
        """
        pool = self.requests if most is None else self.pieces
        doing: deque[Future[T]] = deque()
        rest = iter(items)
        try:
            for item in rest:
                doing.append(pool.submit(call, item))
                if len(doing) >= (most or REQUESTS):
                    yield doing.popleft().result()
            while doing:
                yield doing.popleft().result()
        finally:
            for future in doing:
                future.cancel()

    def _pool(self, name: str, threads: int) -> ThreadPoolExecutor:
        with self._lock:
            if name not in self._pools:
                from concurrent.futures import ThreadPoolExecutor  # few need it in a task

                self._pools[name] = ThreadPoolExecutor(threads, f"flow-{name}")
            return self._pools[name]

    def in_child(self) -> InProcess:
        """Return what a forked child has: clients that made no request go through a fork."""
        new = InProcess(self._make_client)
        if is_used():
            _inherited.append(self)
        else:
            new._clients.update(self._clients)
        return new
