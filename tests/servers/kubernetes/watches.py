"""Watches: changes as they happen, from any version that is still known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from servers.kubernetes.errors import expired
from servers.kubernetes.http import Out
from servers.kubernetes.kinds import Kind
from servers.kubernetes.selectors import Test
from servers.kubernetes.store import Entry, Event, Store

Shaper = Callable[[Entry], bytes]
"""Makes the JSON of an object for a client: whole, or as a table."""


class Watch:
    """One client that is told changes.

    Args:
        store: where they happen.
        kind: of the objects.
        namespace: theirs; ``""`` = all.
        chosen: which objects; None = all.
        version: after which changes are told; None = all objects that there are come first.
        seconds: after which the watch ends.
        bookmarks: seconds between bookmarks; None = the client does not want them.
        known: all watches that last; this one is there while it does.
        initial_end: tell by a bookmark when the objects that there were have all been told.
        shape: makes the JSON of objects.
    """

    type = "application/json"

    def __init__(
        self,
        store: Store,
        kind: Kind,
        namespace: str,
        chosen: Test | None,
        version: int | None,
        seconds: float,
        bookmarks: float | None,
        *,
        known: set[Watch],
        initial_end: bool = False,
        shape: Shaper = lambda entry: entry.whole,
    ) -> None:
        self._store, self._kind, self.namespace = store, kind, namespace
        self._chosen, self._version, self._seconds = chosen, version, seconds
        self._bookmarks, self._initial_end, self._shape = bookmarks, initial_end, shape
        self._known = known
        self._ends: list[Callable[[], None]] = []
        self._next_bookmark: asyncio.TimerHandle | None = None

    def start(self, out: Out) -> None:
        self._out = out
        self._known.add(self)
        loop = asyncio.get_running_loop()
        missed: list[Event] | None
        if self._version is None:
            present = self._store.entries(self._kind, self.namespace)
            missed = [Event("ADDED", entry, None) for entry in present]
        else:
            missed = self._store.since(self._kind, self._version, self.namespace)
            if missed is None:
                self.expire()
                return
        out.write(b"".join(self._line(event) for event in missed))
        if self._initial_end:
            self._bookmark({"annotations": {"k8s.io/initial-events-end": "true"}})
        self._ends.append(self._store.listen(self._kind, self._tell))
        self._ends.append(loop.call_later(self._seconds, out.end).cancel)
        if self._bookmarks is not None:
            self._next_bookmark = loop.call_later(self._bookmarks, self._bookmark_again)

    def stop(self) -> None:
        self._known.discard(self)
        for each in self._ends:
            each()
        self._ends.clear()
        if self._next_bookmark is not None:
            self._next_bookmark.cancel()

    def cut(self) -> None:
        """Break the connection, as a network does."""
        self._out.cut()

    def expire(self) -> None:
        """End the watch by an error in it, since what it would need is not known any more."""
        why = f"too old resource version: {self._version or 1} ({self._store.version})"
        self._out.write(_event("ERROR", json.dumps(expired(why).status).encode()))
        self._out.end()

    def _tell(self, event: Event) -> None:
        line = self._line(event)
        if line:
            self._out.write(line)

    def _line(self, event: Event) -> bytes:
        """Return what the client is told of a change: one that leaves the choice is gone for it."""
        entry, before, type_ = event.entry, event.before, event.type
        if self.namespace and entry.namespace != self.namespace:
            return b""
        if self._chosen is not None:
            now = type_ != "DELETED" and self._chosen(entry.object)
            was = before is not None and self._chosen(before.object)
            if not (now or was):
                return b""
            type_ = "MODIFIED" if now and was else "ADDED" if now else "DELETED"
        return _event(type_, self._shape(entry))

    def _bookmark_again(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._bookmarks is not None
        self._bookmark({})
        self._next_bookmark = loop.call_later(self._bookmarks, self._bookmark_again)

    def _bookmark(self, metadata: dict[str, Any]) -> None:
        content = {
            "kind": self._kind.name,
            "apiVersion": self._kind.api_version,
            "metadata": {
                "resourceVersion": str(self._store.version),
                "creationTimestamp": None,
                **metadata,
            },
        }
        self._out.write(_event("BOOKMARK", json.dumps(content).encode()))


def _event(type_: str, content: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type_.encode(), content)
