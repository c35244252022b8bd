"""What removes objects when others go: owners, namespaces, nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from servers.kubernetes.admission import usage_of_quota
from servers.kubernetes.clock import timestamp
from servers.kubernetes.kinds import BY_NAME, EVENT, KINDS, NAMESPACE, NODE, POD, QUOTA, Kind
from servers.kubernetes.registry import Registry
from servers.kubernetes.store import Entry, Event, changed
from servers.kubernetes.workqueue import WorkQueue

_MARKS = {"foregroundDeletion", "orphan"}


class GarbageCollector:
    """Deletes what belongs to objects that are gone, or frees it.

    Args:
        registry: the way to all objects.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._gone: WorkQueue[str] = WorkQueue(self._owner_gone)
        self._going: WorkQueue[tuple[Kind, str, str]] = WorkQueue(self._owner_goes)
        registry.store.listen(None, self._changed)

    def _changed(self, event: Event) -> None:
        entry, metadata = event.entry, event.entry.object["metadata"]
        if event.type == "DELETED":
            if self._registry.store.owned(entry.uid):
                self._gone.add(entry.uid)
            for owner in metadata.get("ownerReferences", ()):
                if (found := self._owner(entry.namespace, owner)) is not None:
                    self._going.add((found.kind, found.namespace, found.name))
        elif "deletionTimestamp" in metadata and _MARKS & {*metadata.get("finalizers", ())}:
            self._going.add((entry.kind, entry.namespace, entry.name))
        elif event.type == "ADDED":
            for owner in metadata.get("ownerReferences", ()):
                is_known = (owner["apiVersion"], owner["kind"]) in BY_NAME
                if is_known and self._owner(entry.namespace, owner) is None:  # it went before
                    self._gone.add(owner["uid"])

    def _owner_gone(self, uid: str) -> None:
        for entry in self._registry.store.owned(uid):
            others = _owners_but(entry, uid)
            if any(self._owner(entry.namespace, other) for other in others):
                self._free(entry, uid)
            elif "deletionTimestamp" not in entry.object["metadata"]:
                self._registry.delete(entry, propagation="Background")

    def _owner_goes(self, key: tuple[Kind, str, str]) -> None:
        """Bring an object on that waits for what it owns."""
        owner = self._registry.store.find(*key)
        if owner is None or "deletionTimestamp" not in owner.object["metadata"]:
            return
        finalizers = owner.object["metadata"].get("finalizers", [])
        if "orphan" in finalizers:
            for entry in self._registry.store.owned(owner.uid):
                self._free(entry, owner.uid)
        elif "foregroundDeletion" in finalizers:
            for entry in self._registry.store.owned(owner.uid):
                if "deletionTimestamp" not in entry.object["metadata"]:
                    self._registry.delete(entry, propagation="Background")
            if self._registry.store.owned(owner.uid):
                return
        else:
            return
        left = [each for each in finalizers if each not in _MARKS]
        self._registry.put(owner, changed(owner.object, left or None, "metadata", "finalizers"))

    def _free(self, entry: Entry, uid: str) -> None:
        owners = _owners_but(entry, uid) or None
        self._registry.put(entry, changed(entry.object, owners, "metadata", "ownerReferences"))

    def _owner(self, namespace: str, owner: dict[str, str]) -> Entry | None:
        """Return the object that an object in a namespace names as its owner, if it is there."""
        kind = BY_NAME.get((owner["apiVersion"], owner["kind"]))
        if kind is None:
            return None
        found = self._registry.store.find(kind, namespace if kind.namespaced else "", owner["name"])
        return found if found is not None and found.uid == owner["uid"] else None


class NamespaceController:
    """Empties namespaces that are to be deleted.

    Args:
        registry: the way to all objects.
        forgotten: is called with the name of each that is gone.
    """

    def __init__(self, registry: Registry, forgotten: Callable[[str], None]) -> None:
        self._registry, self._forgotten = registry, forgotten
        self._queue: WorkQueue[str] = WorkQueue(self._look)
        registry.store.listen(NAMESPACE, self._changed)
        registry.store.listen(None, self._something_changed)
        self._going: set[str] = set()

    def _changed(self, event: Event) -> None:
        if event.type == "DELETED":
            self._going.discard(event.entry.name)
            self._forgotten(event.entry.name)
        elif "deletionTimestamp" in event.entry.object["metadata"]:
            self._going.add(event.entry.name)
            self._queue.add(event.entry.name)

    def _something_changed(self, event: Event) -> None:
        if event.type == "DELETED" and event.entry.namespace in self._going:
            self._queue.add(event.entry.namespace)

    def _look(self, name: str) -> None:
        namespace = self._registry.store.find(NAMESPACE, "", name)
        if namespace is None:
            return
        left = 0
        for kind in KINDS:
            if kind.namespaced and kind is not EVENT:
                for entry in self._registry.store.entries(kind, name):
                    if "deletionTimestamp" not in entry.object["metadata"]:
                        self._registry.delete(entry, propagation="Background")
                left += len(self._registry.store.entries(kind, name))
        if not left:
            for entry in self._registry.store.entries(EVENT, name):
                self._registry.store.remove(entry)
            spec = {**namespace.object["spec"], "finalizers": []}
            self._registry.put(namespace, {**namespace.object, "spec": spec})


class PodCollector:
    """Removes the pods of nodes that are no more.

    Args:
        registry: the way to pods.
        wait: seconds after which it looks.
    """

    def __init__(self, registry: Registry, wait: float) -> None:
        self._registry, self._wait = registry, wait
        registry.store.listen(NODE, self._changed)

    def _changed(self, event: Event) -> None:
        if event.type == "DELETED":
            loop = asyncio.get_running_loop()
            loop.call_later(self._wait, self._collect, event.entry.name)

    def _collect(self, node: str) -> None:
        if self._registry.store.find(NODE, "", node) is not None:
            return
        for pod in self._registry.store.entries(POD):
            if pod.object["spec"].get("nodeName") != node:
                continue
            status = pod.object["status"]
            if status.get("phase") not in ("Succeeded", "Failed"):
                condition = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": "PodGC: node no longer exists",
                    "lastTransitionTime": timestamp(),
                }
                conditions = [*status.get("conditions", []), condition]
                pod = self._registry.put_status(pod, phase="Failed", conditions=conditions)
            self._registry.delete(pod, 0)


class QuotaController:
    """Writes down what the objects of each namespace use of its quotas.

    Args:
        registry: the way to quotas.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._queue: WorkQueue[str] = WorkQueue(self._look)
        registry.store.listen(None, self._changed)

    def _changed(self, event: Event) -> None:
        namespace = event.entry.namespace
        if namespace and event.entry.kind is not EVENT:
            self._queue.add(namespace)

    def _look(self, namespace: str) -> None:
        for quota in self._registry.store.entries(QUOTA, namespace):
            hard = quota.object.get("spec", {}).get("hard", {})
            used = usage_of_quota(self._registry.store, quota)
            self._registry.put_status(quota, hard=hard, used=used)


def _owners_but(entry: Entry, uid: str) -> list[dict[str, str]]:
    owners = entry.object["metadata"].get("ownerReferences", ())
    return [owner for owner in owners if owner["uid"] != uid]
