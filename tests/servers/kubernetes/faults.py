"""What goes wrong on purpose in the API server, and how often each request came.

A fault is about the requests of one namespace, so that tests beside each other do not meet those of
others; with ``namespace=""`` it is about all requests.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from servers.kubernetes.errors import Refusal, expired, internal, too_many_requests
from servers.kubernetes.http import Answer, Reply


class Fault(NamedTuple):
    """Something that happens to requests.

    Attributes:
        id: of the fault.
        namespace: whose requests meet it; ``""`` = all.
        verbs: which verbs; empty = all.
        resources: which resources, such as ``pods`` or ``pods/log``; empty = all.
        delay: seconds that the request waits first.
        code: 429, 500 or any other status to answer instead of what was asked; 0 = do it.
        after: whether it is done all the same, and only its answer lost.
        retry_after: seconds for the client to wait, with 429.
    """

    id: int
    namespace: str = ""
    verbs: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    delay: float = 0
    code: int = 0
    after: bool = False
    retry_after: int = 1

    def meets(self, verb: str, resource: str, namespace: str) -> bool:
        """Say whether a request meets it."""
        return (
            self.namespace in ("", namespace)
            and (not self.verbs or verb in self.verbs)
            and (not self.resources or resource in self.resources)
        )


class Faults:
    """All faults, and the counters."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._left: dict[int, int] = {}
        self._next = 0
        self._gone_watches: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {}

    def add(self, times: int | None = None, **told: Any) -> int:
        """Let something go wrong, for a number of requests or until it is removed."""
        self._next += 1
        for name in ("verbs", "resources"):
            told[name] = tuple(told.get(name, ()))
        self._faults[self._next] = Fault(self._next, **told)
        if times is not None:
            self._left[self._next] = times
        return self._next

    def remove(self, id: int | None = None, namespace: str = "") -> None:
        """End one fault, or all of a namespace."""
        for fault in list(self._faults.values()):
            if fault.id == id or (id is None and fault.namespace == namespace):
                del self._faults[fault.id]
                self._left.pop(fault.id, None)
        if id is None:
            self._gone_watches.pop(namespace, None)

    def refuse_watches(self, namespace: str, times: int) -> None:
        """Answer the next watches with 410 Gone."""
        self._gone_watches[namespace] += times

    def refuses_watch(self, namespace: str) -> Refusal | None:
        """Return the 410 that a new watch is answered, if it is."""
        if not self._gone_watches.get(namespace):
            return None
        self._gone_watches[namespace] -= 1
        return expired("too old resource version: 1 (2)")

    def meets(self, verb: str, resource: str, namespace: str) -> Fault | None:
        """Count a request; return what goes wrong with it."""
        self._counts.setdefault(namespace, Counter())[f"{verb} {resource}"] += 1
        if not self._faults:
            return None
        for fault in self._faults.values():
            if fault.meets(verb, resource, namespace):
                if fault.id in self._left:
                    self._left[fault.id] -= 1
                    if not self._left[fault.id]:
                        self.remove(fault.id)
                return fault
        return None

    async def apply(self, fault: Fault, do: Callable[[], Reply]) -> Reply:
        """Do what was asked, with the fault."""
        if fault.delay:
            await asyncio.sleep(fault.delay)
        if not fault.code:
            return do()
        if fault.after:
            do()
        if fault.code == 429:
            refusal = too_many_requests(fault.retry_after)
        elif fault.code == 500:
            refusal = internal("etcdserver: request timed out")
        else:
            refusal = Refusal(fault.code, "", f"the test answers {fault.code}")
        return Answer.of(refusal.status, refusal.code, refusal.headers)

    def counts(self, namespace: str) -> dict[str, int]:
        """Return how often each request came: ``{"create pods": 3, "watch pods": 1}``."""
        return dict(self._counts.get(namespace, {}))

    def reset_counts(self, namespace: str) -> None:
        """Count from nought."""
        self._counts.pop(namespace, None)
