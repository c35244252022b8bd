"""What removes objects when others go: owners, namespaces, nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from servers.kubernetes.clock import timestamp
from servers.kubernetes.kinds import EVENT, KINDS, NAMESPACE, NODE, POD, QUOTA
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
        self._going: WorkQueue[tuple[int, str, str]] = WorkQueue(self._owner_goes)
        registry.store.listen(None, self._changed)

    def _changed(self, event: Event) -> None:
        entry, metadata = event.entry, event.entry.object["metadata"]
        if event.type == "DELETED":
            if self._registry.store.owned(entry.uid):
                self._gone.add(entry.uid)
            for owner in metadata.get("ownerReferences", ()):
                self._look_at_owner(entry.namespace, owner)
        elif "deletionTimestamp" in metadata and _MARKS & {*metadata.get("finalizers", ())}:
            self._going.add((KINDS.index(entry.kind), entry.namespace, entry.name))

    def _look_at_owner(self, namespace: str, owner: dict[str, str]) -> None:
        for index, kind in enumerate(KINDS):
            if (kind.api_version, kind.name) == (owner["apiVersion"], owner["kind"]):
                self._going.add((index, namespace if kind.namespaced else "", owner["name"]))

    def _owner_gone(self, uid: str) -> None:
        for entry in self._registry.store.owned(uid):
            others = _owners_but(entry, uid)
            if any(self._is_there(entry.namespace, other) for other in others):
                self._free(entry, uid)
            elif "deletionTimestamp" not in entry.object["metadata"]:
                self._registry.delete(entry, propagation="Background")

    def _owner_goes(self, key: tuple[int, str, str]) -> None:
        """Bring an object on that waits for what it owns."""
        index, namespace, name = key
        owner = self._registry.store.find(KINDS[index], namespace, name)
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
        owner = self._registry.store.find(KINDS[index], namespace, name)
        if owner is not None:
            left = [each for each in finalizers if each not in _MARKS]
            metadata = {**owner.object["metadata"], "finalizers": left}
            self._registry.put(owner, {**owner.object, "metadata": metadata})

    def _free(self, entry: Entry, uid: str) -> None:
        owners = _owners_but(entry, uid) or None
        self._registry.put(entry, changed(entry.object, owners, "metadata", "ownerReferences"))

    def _is_there(self, namespace: str, owner: dict[str, str]) -> bool:
        for kind in KINDS:
            if (kind.api_version, kind.name) == (owner["apiVersion"], owner["kind"]):
                place = namespace if kind.namespaced else ""
                found = self._registry.store.find(kind, place, owner["name"])
                return found is not None and found.uid == owner["uid"]
        return False


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
        usage: returns what a quota's namespace uses.
    """

    def __init__(self, registry: Registry, usage: Callable[[Entry], dict[str, str]]) -> None:
        self._registry, self._usage = registry, usage
        self._queue: WorkQueue[str] = WorkQueue(self._look)
        registry.store.listen(None, self._changed)

    def _changed(self, event: Event) -> None:
        namespace = event.entry.namespace
        if not namespace or not self._registry.store.entries(QUOTA, namespace):
            return
        if event.entry.kind is EVENT:
            return
        self._queue.add(namespace)

    def _look(self, namespace: str) -> None:
        for quota in self._registry.store.entries(QUOTA, namespace):
            hard = quota.object.get("spec", {}).get("hard", {})
            self._registry.put_status(quota, hard=hard, used=self._usage(quota))


def _owners_but(entry: Entry, uid: str) -> list[dict[str, str]]:
    owners = entry.object["metadata"].get("ownerReferences", ())
    return [owner for owner in owners if owner["uid"] != uid]
