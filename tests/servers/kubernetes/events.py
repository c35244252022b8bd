"""The events that the parts of a cluster write about objects, for people."""

from __future__ import annotations

import random
from collections import OrderedDict

from servers.kubernetes.clock import timestamp
from servers.kubernetes.kinds import EVENT, NAMESPACE
from servers.kubernetes.registry import Registry
from servers.kubernetes.store import Entry, Object

_KEPT = 10_000
"""Events that are kept; a real cluster keeps them for an hour."""


class Recorder:
    """Writes events, and counts those that are the same as one before.

    Args:
        registry: where.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._written: OrderedDict[tuple[str, str, str], tuple[str, str]] = OrderedDict()

    def record(
        self, about: Entry, source: str, reason: str, message: str, *, warns: bool = False
    ) -> None:
        """Write an event.

        Args:
            about: the object.
            source: who writes it, such as ``kubelet``.
            reason: a word, such as ``FailedScheduling``.
            message: a sentence.
            warns: whether it is a ``Warning``.
        """
        store = self._registry.store
        namespace = about.namespace or "default"
        place = store.find(NAMESPACE, "", namespace)
        if place is None or "deletionTimestamp" in place.object["metadata"]:
            return
        key = (about.uid, reason, message)
        same = store.find(EVENT, *self._written[key]) if key in self._written else None
        if same is not None:
            count = same.object["count"] + 1
            store.replace(same, {**same.object, "count": count, "lastTimestamp": timestamp()})
            return
        content = _event(about, namespace, source, reason, message, warns)
        self._written[key] = (namespace, store.add(EVENT, content).name)
        if len(self._written) > _KEPT:
            _, oldest = self._written.popitem(last=False)
            if (found := store.find(EVENT, *oldest)) is not None:
                store.remove(found)


def _event(
    about: Entry, namespace: str, source: str, reason: str, message: str, warns: bool
) -> Object:
    now = timestamp()
    return {
        "metadata": {
            "name": f"{about.name[:200]}.{random.getrandbits(64):016x}",
            "namespace": namespace,
        },
        "involvedObject": {
            "kind": about.kind.name,
            **({"namespace": about.namespace} if about.namespace else {}),
            "name": about.name,
            "uid": about.uid,
            "apiVersion": about.kind.api_version,
            "resourceVersion": about.object["metadata"]["resourceVersion"],
        },
        "reason": reason,
        "message": message,
        "source": {"component": source},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": "Warning" if warns else "Normal",
        "eventTime": None,
        "reportingComponent": source,
        "reportingInstance": "",
    }
