"""The jobs that were submitted and have not ended: the few things that are kept of each."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from flow_kubernetes.pods import START, Sight
from flow_remote.backend import Ended, News, Running, Waiting

_AFTER_GRACE = 30.0  # seconds after which a deleted pod counts as ended, though its node is silent
_UNSEEN = 2.0  # seconds in which a pod is seen that was made just before its job was deleted
_AFTER_DELETION = 5.0  # the same for one that somebody else deletes
_BACK_OFF = "ImagePullBackOff"  # says less than the error before it, with which it takes turns


class Tracked:
    """A job.

    Attributes:
        id: ``namespace/name``.
        size: how many pods it has.
        gang: whether it has a service.
        left: members that have not ended.
        running: members that run, or ran.
        pods: member → name of its pod.
        since: when it was created, of a clock that only goes on; 0 = it is not known to be.
        begun: when a pod got its node, before its container runs; 0 = none waits for that.
        why: why it waits, as people were told; and ``kind`` of waiting, ``stuck`` since when.
        hopeless: whether what it waits for cannot come.
        cancelled: when it is over, whatever the cluster says; 0 = we do not end it.
        failed: whether a member failed.
        leaving: pods that somebody else deletes: what was seen, and when they must be gone.
    """

    __slots__ = (
        "begun",
        "cancelled",
        "failed",
        "gang",
        "hopeless",
        "id",
        "kind",
        "leaving",
        "left",
        "pods",
        "running",
        "since",
        "size",
        "stuck",
        "why",
    )

    def __init__(self, id: str, size: int, gang: bool) -> None:
        self.id = id
        self.size = size
        self.gang = gang
        self.left = set(range(size))
        self.running: set[int] = set()
        self.pods: dict[int, str] = {}
        self.since = 0.0
        self.begun = 0.0
        self.why = ""
        self.kind = ""
        self.stuck = 0.0
        self.hopeless = False
        self.cancelled = 0.0
        self.failed = False
        self.leaving: dict[int, tuple[Sight, float]] | None = None

    @property
    def namespace(self) -> str:
        """Where it is."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """Its name there."""
        return self.id.partition("/")[2]

    @property
    def waits(self) -> bool:
        """Whether some member does not run yet."""
        return not self.left <= self.running


class Hanging(NamedTuple):
    """Jobs of which the pods alone do not tell why they do not run.

    Attributes:
        podless: those without a pod for each member.
        slow: those whose container is being prepared for long.
    """

    podless: list[Tracked]
    slow: list[Tracked]


class Tracker:
    """All jobs of a run. Any thread may use it.

    Args:
        wake: called when there is news.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._jobs: dict[str, Tracked] = {}
        self._waiting: dict[str, Tracked] = {}  # those that the patrol looks at
        self._news: list[News] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()

    def add(self, id: str, size: int, gang: bool) -> Tracked:
        """Begin to track a job, if it is not tracked."""
        with self._lock:
            if id not in self._jobs:
                self._jobs[id] = self._waiting[id] = Tracked(id, size, gang)
            return self._jobs[id]

    def created(self, job: Tracked) -> None:
        """Take in that a job exists: from now on it should get its pods."""
        job.since = job.since or time.monotonic()

    def forget(self, id: str) -> None:
        """Track a job no more: it was refused."""
        with self._lock:
            self._jobs.pop(id, None)
            self._waiting.pop(id, None)

    def get(self, id: str) -> Tracked | None:
        """Return a job that has not ended."""
        return self._jobs.get(id)

    def all(self, namespace: str | None = None) -> list[Tracked]:
        """Return the jobs that have not ended: of a namespace, or all."""
        with self._lock:
            return [j for j in self._jobs.values() if namespace in (None, j.namespace)]

    def waiting(self) -> list[Tracked]:
        """Return the jobs that do not run yet, or were cancelled."""
        with self._lock:
            return list(self._waiting.values())

    def news(self) -> list[News]:
        """Return what has happened since the last call; raise what a thread has failed by."""
        with self._lock:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            news, self._news = self._news, []
            return news

    def fail(self, error: BaseException) -> None:
        """Pass an error of a thread, which has ended by it, to who asks for news."""
        with self._lock:
            self._error = error
        self._wake()

    # --- what is seen -------------------------------------------------------------------------

    def take(self, job: Tracked, sight: Sight) -> bool:
        """Take in what is seen of a pod; say whether the job is over by that."""
        with self._lock:
            if sight.member not in job.left:
                return False
            if job.cancelled and sight.member not in job.pods:
                job.cancelled = max(job.cancelled, time.monotonic() + _AFTER_GRACE)
            job.pods[sight.member] = sight.name
            if sight.ended is not None:
                return self._end(job, sight.ended)
            if sight.leaving is not None:
                self._leave(job, sight, sight.leaving)
                return False
            if sight.runs:
                self._run(job, sight)
            elif sight.waits:
                self._wait(job, sight.waits, sight.kind, sight.hopeless)
            elif sight.begins:
                job.begun = job.begun or time.monotonic()
                if job.kind != START:
                    job.kind, job.stuck, job.why = "", 0.0, ""
            return False

    def explain(self, job: Tracked, why: str, kind: str) -> None:
        """Take in why a job waits, as something else than its pod tells it."""
        with self._lock:
            if job.id in self._waiting:
                self._wait(job, why, kind, False)

    def tell(self, why: str) -> None:
        """Tell people of trouble that concerns all jobs."""
        with self._lock:
            first = next(iter(self._jobs), None)
            if first is not None:
                self._add(Waiting(first, why))

    def end(self, job: Tracked, cause: str, message: str = "", hint: str = "") -> None:
        """Let all members of a job have ended that have not."""
        with self._lock:
            for member in sorted(job.left):
                self._end(job, Ended(job.id, member, cause=cause, message=message, hint=hint))

    def cancel(self, job: Tracked) -> None:
        """Remember that we end a job, so that its end is told as that."""
        with self._lock:
            job.cancelled = job.cancelled or math.inf
            if job.id in self._jobs:
                self._waiting[job.id] = job

    def deleted(self, job: Tracked, grace: float) -> None:
        """Take in that a job is deleted. Without pods it is over in a moment, unless one is seen yet."""
        job.cancelled = time.monotonic() + (grace + _AFTER_GRACE if job.pods else _UNSEEN)

    def _run(self, job: Tracked, sight: Sight) -> None:
        if sight.member in job.running:
            return
        job.running.add(sight.member)
        job.why = job.kind = ""
        job.begun = job.stuck = 0.0
        if not job.waits and not job.cancelled:
            self._waiting.pop(job.id, None)
        self._add(Running(job.id, sight.node, sight.member))

    def _leave(self, job: Tracked, sight: Sight, grace: float) -> None:
        """Take in that a pod is being deleted: if its node does not answer, it stays for ever."""
        job.leaving = job.leaving or {}
        if not job.cancelled and sight.member not in job.leaving:
            job.leaving[sight.member] = (sight, time.monotonic() + grace + _AFTER_DELETION)
            self._waiting[job.id] = job
            if sight.waits:
                self._add(Waiting(job.id, sight.waits))

    def _wait(self, job: Tracked, why: str, kind: str, hopeless: bool) -> None:
        if why.startswith(_BACK_OFF) and job.kind == START:
            return
        if kind != job.kind:
            job.kind, job.stuck = kind, time.monotonic()
        job.hopeless = hopeless
        if why != job.why:
            job.why = why
            self._add(Waiting(job.id, why))

    def _end(self, job: Tracked, ended: Ended) -> bool:
        job.left.discard(ended.member)
        self._add(_corrected(job, ended))
        if ended.cause or ended.code:
            job.failed = True
        if job.left:
            return False
        self._jobs.pop(job.id, None)
        self._waiting.pop(job.id, None)
        return True

    def _add(self, news: News) -> None:
        is_first = not self._news
        self._news.append(news)
        if is_first:
            self._wake()


def _corrected(job: Tracked, ended: Ended) -> Ended:
    """Return how a pod ended, by what we know of who ended it."""
    if job.cancelled and not (ended.code == 0 and not ended.cause):
        return ended._replace(cause="cancelled", message="", hint="")
    if job.gang and job.failed and ended.cause == "cancelled":
        return ended._replace(
            message="Kubernetes ended it, since another member of the gang failed"
        )
    return ended


def names_of(jobs: Iterable[Tracked], most: int = 100) -> list[list[str]]:
    """Return the names of jobs in lists that fit into a request."""
    names = [job.name for job in jobs]
    return [names[start : start + most] for start in range(0, len(names), most)]
