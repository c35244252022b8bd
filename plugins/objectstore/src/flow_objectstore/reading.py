"""Objects in pieces: each reading is of one version of the object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flow_core.api import changed_meanwhile
from flow_objectstore.answers import First, fetch
from flow_objectstore.pieces import PIECE
from flow_objectstore.process import PIECES

if TYPE_CHECKING:
    from flow_core.api import Buffer
    from flow_objectstore.store import ObjectStore


class Reading:
    """Reads objects of a store.

    Args:
        store: makes the requests.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def first(self, key: str, length: int) -> First | None:
        """Return the first bytes of an object, up to ``length``; None where there is none."""
        return self.fetch_first(key, self._store.path(key), 0, length)

    def fetch_first(self, key: str, path: str, offset: int, length: int) -> First | None:
        """Return the bytes from ``offset`` on; None where there is no object."""
        answers: dict[str, First | None] = {"missing": None, "empty": First(b"", 0, None)}
        return self._store.ask(
            f"Cannot read '{key}' from the store",
            key,
            lambda client: fetch(client, path, offset, offset + length, None),
            answers=answers,
        )

    def whole(self, key: str, first: First | None) -> bytes | None:
        """Return an object whose beginning was read; of what changes meanwhile, the newer version."""
        for _ in range(3):
            if first is None or first.size <= len(first.content):
                return None if first is None else bytes(first.content)
            try:
                rest = self.pieces(key, first, len(first.content), first.size)
                return b"".join((first.content, *rest))
            except Changed:
                first = self.first(key, PIECE)
        raise changed_meanwhile(key, self._store.url)

    def stream(self, key: str, first: First) -> Iterator[Buffer]:
        """Yield the pieces of an object whose beginning was read."""
        size, begin = first.size, len(first.content)
        rest = self.pieces(key, first, begin, size) if begin < size else iter(())
        piece = memoryview(first.content)
        del first
        if size:
            yield piece
        del piece
        try:
            for content in rest:
                yield memoryview(content)
        except Changed:
            raise changed_meanwhile(key, self._store.url) from None

    def pieces(self, key: str, first: First, begin: int, end: int) -> Iterator[Any]:
        """Yield the bytes from ``begin`` to ``end`` of one version of an object, in pieces."""
        path, etag = self._store.path(key), first.etag
        what = f"Cannot read '{key}' from the store"

        def piece(at: int) -> Any:
            until = min(at + PIECE, end)
            found = self._store.ask(
                what,
                key,
                lambda client: fetch(client, path, at, until, etag),
                answers={"missing": None, "changed": None, "empty": None},
            )
            if found is None or len(found.content) != until - at:
                raise Changed
            return found.content

        return self._store.own.ahead(piece, range(begin, end, PIECE), PIECES)


class Changed(Exception):
    """The object is not the one any more whose beginning was read."""
