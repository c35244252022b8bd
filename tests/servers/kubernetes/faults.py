"""What goes wrong on purpose in the API server, and how often each request came.

A fault is about the requests of one namespace, so that tests beside each other do not meet those of
others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from servers.kubernetes.errors import Refusal, expired, internal, too_many_requests
from servers.kubernetes.http import Reply


@dataclass(eq=False)
class Fault:
    """Something that happens to requests.

    Attributes:
        times: how many requests will meet it; None = all, until it is healed.
        verbs: which verbs; empty = all.
        resources: which resources, such as ``pods`` or ``pods/log``; empty = all.
        delay: seconds that the request waits first.
        code: 429, 500 or any other status to answer instead of what was asked; 0 = do it.
        after: whether it is done all the same, and only its answer lost.
        retry_after: seconds for the client to wait, with 429.
    """

    times: int | None = None
    verbs: Sequence[str] = ()
    resources: Sequence[str] = ()
    delay: float = 0
    code: int = 0
    after: bool = False
    retry_after: int = 1

    def meets(self, verb: str, resource: str) -> bool:
        """Say whether a request meets it."""
        return (not self.verbs or verb in self.verbs) and (
            not self.resources or resource in self.resources
        )


class Faults:
    """All faults, and the counters."""

    def __init__(self) -> None:
        self._faults: dict[str, list[Fault]] = {}
        self._gone_watches: Counter[str] = Counter()
        self._counts: dict[str, Counter[str]] = {}

    def add(self, namespace: str, fault: Fault) -> None:
        """Let something go wrong with the requests of a namespace."""
        self._faults.setdefault(namespace, []).append(fault)

    def heal(self, namespace: str) -> None:
        """End all faults of a namespace."""
        self._faults.pop(namespace, None)
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
        for fault in self._faults.get(namespace, ()):
            if fault.meets(verb, resource):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._faults[namespace].remove(fault)
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
        return refusal.answer()

    def counts(self, namespace: str) -> dict[str, int]:
        """Return how often each request came: ``{"create pods": 3, "watch pods": 1}``."""
        return dict(self._counts.get(namespace, {}))

    def reset_counts(self, namespace: str) -> None:
        """Count from nought."""
        self._counts.pop(namespace, None)
