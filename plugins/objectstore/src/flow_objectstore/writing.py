"""Content on its way to the service: many small objects, or the chunks of a large one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flow_core.api import StoreError
from flow_objectstore.process import REQUESTS

if TYPE_CHECKING:
    from concurrent.futures import Future

    from flow_core.api import Buffer
    from flow_objectstore.pieces import Spool
    from flow_objectstore.store import ObjectStore

_WAITING = 64 << 20
"""Bytes of small objects that are on their way to the service at the same time."""


class Writing:
    """Many small objects on their way: few of them wait, and those of one key in order."""

    def __init__(self, store: ObjectStore, create_only: bool) -> None:
        self._store = store
        self._create_only = create_only
        self._pool = store.own.requests
        self._done: list[Future[bool]] = []
        self._waiting: deque[tuple[Future[bool], int]] = deque()
        self._bytes = 0
        self._last: dict[str, Future[bool]] = {}

    def add(self, key: str, content: bytes) -> None:
        self._store.path(key)
        if key in self._last:
            self._last[key].exception()  # the later one wins, so the earlier one comes first
        future = self._pool.submit(self._store.write_one, key, content, self._create_only)
        self._done.append(future)
        self._last[key] = future
        self._waiting.append((future, len(content)))
        self._bytes += len(content)
        while self._bytes > _WAITING or len(self._waiting) > 2 * REQUESTS:
            self._wait()

    def finish(self) -> None:
        while self._waiting:
            self._wait()

    def results(self) -> list[bool]:
        return [future.result() for future in self._done]

    def _wait(self) -> None:
        future, size = self._waiting.popleft()
        future.exception()
        self._bytes -= size


class ChunksFailed(Exception):
    """What the caller's chunks raised, on its way through obstore."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Watched:
    """Chunks for obstore, which remember what they raised."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self.error: BaseException | None = None
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def chained(first: bytes, second: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    waiting = [second, first]
    del first, second
    while waiting:
        yield waiting.pop()
    yield from rest


def add_chunk(spool: Spool, chunk: Buffer, url: str) -> None:
    try:
        spool.add(chunk)
    except OSError as error:
        raise StoreError(
            "Cannot keep an object on its way to the store",
            where=f"a temporary file, for {url}",
            why=error.strerror or str(error),
            hint="free space there, or choose another folder: export TMPDIR=/other/folder",
        ) from error
