"""Lists of objects, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flow_core.api import StoredObject
from flow_objectstore.keys import unescape

if TYPE_CHECKING:
    from flow_objectstore.store import ObjectStore

TEMPORARY = ".writing"
"""Folder, directly in the root, of objects that are on their way."""
_PAGE = 1000


def unlisted(prefix: str) -> str:
    """Return what fails when what begins so cannot be listed, one sentence."""
    return f"Cannot list '{prefix}'" if prefix else "Cannot list the store"


class Listing:
    """Lists objects of a store.

    Args:
        store: makes the requests.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def below(self, start: str) -> Iterator[StoredObject]:
        """Yield the objects of which the key in the bucket begins with ``start``."""
        folder, slash, begin = start.rpartition("/")
        for page in self._pages(folder + slash, _before(start) if begin else None):
            found = (entry for entry in page if entry["path"].startswith(start))
            stored = sorted(map(self._stored, found))
            yield from (one for one in stored if not one.key.startswith(f"{TEMPORARY}/"))
            last = page[-1]["path"]
            if last > start and not last.startswith(start):
                return

    def _pages(self, folder: str, last: str | None) -> Iterator[Sequence[Any]]:
        """Yield the objects behind ``last``; a listing that breaks off goes on where it was."""
        stream: Any = None

        def next_page(client: Any) -> Sequence[Any]:
            nonlocal stream
            try:
                stream = stream or client.list(folder or None, offset=last, chunk_size=_PAGE)
                page: Sequence[Any] = next(stream, ())
            except BaseException:
                stream = None
                raise
            return page

        answers: dict[str, Any] = {"foreign": None} if self._store.lists_by_itself else {}
        while page := self._store.ask(unlisted(folder), None, next_page, answers=answers):
            yield page
            if len(page) < _PAGE:
                return
            last = page[-1]["path"]
        if page is None:
            yield from self._store.pages(folder, last)

    def _stored(self, entry: Any) -> StoredObject:
        key = unescape(entry["path"][len(self._store.base) :])
        return StoredObject(key, entry["size"], entry["last_modified"].timestamp())


def _before(start: str) -> str:
    """Return a text behind which all texts with this beginning come, and few others."""
    return start[:-1] + chr(max(ord(start[-1]) - 1, 0x20)) + "\U0010fffd"
