"""All objects and their versions: what etcd is to a cluster.

Everything runs in one thread, so there are no locks; an object that is here is never changed, only
replaced (`changed` makes a copy that shares what stays). The JSON of a version is made once, for all
who ask for it or watch.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from servers.kubernetes.clock import timestamp
from servers.kubernetes.kinds import Kind

Object = dict[str, Any]
"""Without ``kind`` and ``apiVersion``: its entry has them."""

HISTORY = 20_000
"""Events that are kept of each kind; who watches from an older version is told 410."""


class Entry:
    """A version of an object.

    Attributes:
        kind: of the object.
        object: its content; never changed.
        version: number of the version, among all objects.
    """

    __slots__ = ("_text", "kind", "object", "version")

    def __init__(self, kind: Kind, content: Object, version: int) -> None:
        self.kind, self.object, self.version = kind, content, version
        self._text: bytes | None = None

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])

    @property
    def text(self) -> bytes:
        """JSON as in lists, where it has no kind."""
        if self._text is None:
            self._text = json.dumps(self.object, separators=(",", ":")).encode()
        return self._text

    @property
    def whole(self) -> bytes:
        """JSON with kind and apiVersion."""
        kind = f'{{"kind":"{self.kind.name}","apiVersion":"{self.kind.api_version}",'
        return kind.encode() + self.text[1:]


class Event(NamedTuple):
    """A change.

    Attributes:
        type: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        entry: the object as it is now, or was at last.
        before: as it was before; None = it was not.
    """

    type: str
    entry: Entry
    before: Entry | None


class Store:
    """All objects; see the module."""

    def __init__(self) -> None:
        self.version = 1
        self._entries: dict[Kind, dict[str, dict[str, Entry]]] = defaultdict(
            lambda: defaultdict(dict)
        )
        self._owned: dict[str, dict[tuple[Kind, str, str], None]] = defaultdict(dict)
        self._history: dict[Kind, deque[Event]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._forgotten: dict[Kind, int] = defaultdict(int)
        self._expired: dict[str, int] = {}
        self._listeners: dict[Kind | None, list[Callable[[Event], None]]] = defaultdict(list)

    def find(self, kind: Kind, namespace: str, name: str) -> Entry | None:
        """Return an object, or None."""
        return self._entries[kind][namespace].get(name)

    def entries(self, kind: Kind, namespace: str = "") -> list[Entry]:
        """Return all objects of a kind, or those of one namespace, by namespace and name."""
        places = self._entries[kind]
        if namespace:
            return [entry for _, entry in sorted(places[namespace].items())]
        return [entry for _, place in sorted(places.items()) for _, entry in sorted(place.items())]

    def each(self, kind: Kind, namespace: str = "") -> Iterable[Entry]:
        """Return the same in no order, without a copy: nothing may be written meanwhile."""
        places = self._entries[kind]
        if namespace:
            return places[namespace].values()
        return (entry for place in places.values() for entry in place.values())

    def owned(self, uid: str) -> list[Entry]:
        """Return the objects that name one as their owner."""
        found = (self.find(*key) for key in self._owned.get(uid, ()))
        return [entry for entry in found if entry is not None]

    def add(self, kind: Kind, content: Object, uid: str = "") -> Entry:
        """Store a new object: it gets a uid, unless it has one, a time and a version."""
        metadata = {
            **content["metadata"],
            "uid": uid or str(uuid.uuid4()),
            "creationTimestamp": timestamp(),
        }
        return self._write("ADDED", kind, {**content, "metadata": metadata}, None)

    def replace(self, before: Entry, content: Object) -> Entry:
        """Store a new version of an object; one that says nothing new is the old one."""
        self._must_be_present(before)
        if content == before.object:
            return before
        return self._write("MODIFIED", before.kind, content, before)

    def remove(self, before: Entry) -> Entry:
        """Remove an object; who watches is told its last content."""
        self._must_be_present(before)
        return self._write("DELETED", before.kind, before.object, before)

    def _must_be_present(self, entry: Entry) -> None:
        """Catch who writes over a version that he has not seen: a fault of this server."""
        found = self.find(entry.kind, entry.namespace, entry.name)
        assert found is entry, f"{entry.kind.name} {entry.name} has changed meanwhile"

    def listen(self, kind: Kind | None, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call a function at each change; return what ends that.

        Args:
            kind: of the objects; None = all.
            listener: must not raise, and not write: it notes what is to do.
        """
        self._listeners[kind].append(listener)
        return lambda: self._listeners[kind].remove(listener)

    def since(self, kind: Kind, version: int, namespace: str) -> list[Event] | None:
        """Return the changes after a version; None = they are not known any more.

        Args:
            kind: of the objects.
            version: after which.
            namespace: that is asked for: changes of others are returned, too.
        """
        if self.has_forgotten(kind, version, namespace):
            return None
        history = self._history[kind]
        if not history or history[-1].entry.version <= version:
            return []
        newer: list[Event] = []
        for event in reversed(history):
            if event.entry.version <= version:
                break
            newer.append(event)
        return newer[::-1]

    def has_forgotten(self, kind: Kind, version: int, namespace: str) -> bool:
        """Say whether some of the changes after a version are not known any more."""
        return version < max(self._forgotten[kind], self._expired.get(namespace, 0))

    def forget(self, namespace: str = "") -> None:
        """Forget all changes until now, as etcd does when it compacts; or those of one namespace."""
        if namespace:
            self._expired[namespace] = self.version
            return
        for kind in list(self._entries):
            self._history[kind].clear()
            self._forgotten[kind] = self.version

    def _write(self, type_: str, kind: Kind, content: Object, before: Entry | None) -> Entry:
        self.version += 1
        metadata = {**content["metadata"], "resourceVersion": str(self.version)}
        entry = Entry(kind, {**content, "metadata": metadata}, self.version)
        key = (kind, entry.namespace, entry.name)
        self._note_owners(key, before, None if type_ == "DELETED" else entry)
        if type_ == "DELETED":
            del self._entries[kind][entry.namespace][entry.name]
        else:
            self._entries[kind][entry.namespace][entry.name] = entry
        history = self._history[kind]
        if len(history) == HISTORY:
            self._forgotten[kind] = history[0].entry.version
        event = Event(type_, entry, before)
        history.append(event)
        for listener in (*self._listeners[kind], *self._listeners[None]):
            listener(event)
        return entry

    def _note_owners(
        self, key: tuple[Kind, str, str], before: Entry | None, after: Entry | None
    ) -> None:
        old = before.object["metadata"].get("ownerReferences") if before else None
        new = after.object["metadata"].get("ownerReferences") if after else None
        if old is new:
            return
        for owner in old or ():
            self._owned[owner["uid"]].pop(key, None)
            if not self._owned[owner["uid"]]:
                del self._owned[owner["uid"]]
        for owner in new or ():
            self._owned[owner["uid"]][key] = None


def changed(content: Object, value: Any, *path: str) -> Object:
    """Return a copy with a value at a path, which shares all else; None removes what is there."""
    first, *rest = path
    if rest:
        value = changed(content.get(first) or {}, value, *rest)
    copy = {**content, first: value}
    if value is None:
        del copy[first]
    return copy
