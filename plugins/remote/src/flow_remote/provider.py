"""`RemoteCompute`: the launcher's side of tasks on other machines, whatever the cluster.

A task talks to the store only. So this writes specifications there, has the cluster start jobs that
read them, and reads what the tasks leave: pieces of logs while they run, how they ended, manifests.

Three parts work beside each other. The *caller* is the scheduler's thread: it never waits for a
network. The *clerk* is a thread that talks to the cluster: jobs that come together are submitted
together. The *reader* is a thread that reads the store, for many attempts with one call.
"""

from __future__ import annotations

import os
import selectors
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from flow_core.api import (
    AttemptLogs,
    ComputeCapabilities,
    Exited,
    FlowError,
    RunRecord,
    Runtime,
    Started,
    Store,
    TaskCommand,
    TaskSpec,
    Update,
)
from flow_core.api import Waiting as TaskWaiting
from flow_remote.attempts import Attempt
from flow_remote.backend import Backend, Ended, News, Refused, Running, Waiting
from flow_remote.ending import prefix_of
from flow_remote.jobs import JobMaker
from flow_remote.reader import Reader
from flow_remote.specification import job_name, main_member
from flow_remote.threads import Batch, Clerk, Result, nothing

_TELL_AGAIN = 60.0  # seconds after which people hear once more why jobs wait
_SUBMIT_AGAIN = 2.0  # seconds until a cluster is asked again to take a job, at first
_SUBMIT_AT_LAST = 30.0
_FAREWELL = 30.0  # seconds that threads get to finish when the run is over


class RemoteCompute:
    """A compute provider over a `Backend`; a subclass says which one.

    Attributes:
        name: the provider's name, under which steps have their options.
        capabilities: what it can do.
        shares_files: whether tasks see the files of the launcher's machine under the same paths: then
            they work in its folder, and may use its interpreters.
        notice: see `Compute`.

    Since 0.1.
    """

    name = ""
    capabilities = ComputeCapabilities(
        needs_shared_store=True, resources=True, gang=True, image=True, tells_begin=True
    )
    shares_files = False

    def __init__(self) -> None:
        self.notice: str | None = None
        self._owner = os.getpid()
        self._attempts: dict[int, Attempt] = {}
        self._jobs: dict[tuple[str, int], Attempt] = {}  # by id and member
        self._last = 0
        self._submitting = 0  # attempts whose job has no id yet
        self._early: dict[str, list[News]] = {}  # news of jobs whose id nobody has told yet
        self._news: deque[Update] = deque()
        self._why: dict[str, float] = {}  # what people were told → when
        self._wake_ends = os.pipe()
        os.set_blocking(self._wake_ends[0], False)
        os.set_blocking(self._wake_ends[1], False)
        self._backend: Backend | None = None
        self._runtime: Runtime | None = None
        self._store: Store | None = None
        self._clerk = Clerk("flow-clerk", self.wake)
        self._submissions = Batch(self._clerk, self._submit)
        self._reader: Reader | None = None
        self._maker: JobMaker | None = None
        self._closed = False

    def make_backend(self) -> Backend:
        """Return the cluster's own part; called once, by `prepare`."""
        raise NotImplementedError

    # --- the contract of a compute provider -------------------------------------------------------

    def prepare(self, runtime: Runtime) -> None:
        """Make the backend; nothing is started yet."""
        self._runtime = runtime
        self._backend = self.make_backend()

    def open(self, run: RunRecord, store: Store) -> None:
        """Begin to serve a run: the cluster is asked whether it would."""
        assert self._runtime is not None
        self._store = store
        self.backend.open(run, self._runtime, self.wake)
        folder = os.getcwd() if self.shares_files else None
        self._maker = JobMaker(self.name, self._runtime, store, folder, self.shares_files)
        self._reader = Reader(store, self._runtime.interactive, self.shares_files, self.wake)

    @property
    def backend(self) -> Backend:
        """The cluster's own part, after `prepare`."""
        assert self._backend is not None, "prepare comes first"
        return self._backend

    @property
    def store(self) -> Store:
        """The store of the run, after `open`."""
        assert self._store is not None, "open comes first"
        return self._store

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        """Have a job started for the attempt; return its number."""
        return self._launch([(task, command)])[0]

    def launch_gang(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[int]:
        """Have one job started for all members."""
        return self._launch(members)

    def _launch(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[int]:
        name = job_name(self.store.url, members[0][0])
        attempts = []
        for member, (task, command) in enumerate(members):
            self._last += 1
            attempt = Attempt(self._last, task, command, name)
            attempt.member = member
            self._attempts[attempt.handle] = attempt
            attempts.append(attempt)
        self._submitting += len(attempts)
        self._submissions.add(attempts)
        return [attempt.handle for attempt in attempts]

    def adopt(self, tasks: Sequence[TaskSpec]) -> list[int | None]:
        """Return a number for each attempt of an earlier run whose job still waits or runs."""
        names = [job_name(self.store.url, main_member(task)) for task in tasks]
        found = self.backend.find(list(dict.fromkeys(names)))
        return [
            self._adopt(task, name, found[name]) if name in found else None
            for task, name in zip(tasks, names, strict=True)
        ]

    def _adopt(self, task: TaskSpec, name: str, job: str) -> int:
        assert self._runtime is not None
        command = TaskCommand()
        command.timed = self._runtime.plan(task.step).timeout is not None
        self._last += 1
        attempt = Attempt(self._last, task, command, name)
        attempt.member = task.gang.index if task.gang is not None else 0
        attempt.id = job
        self._attempts[attempt.handle] = attempt
        self._jobs[job, attempt.member] = attempt
        return attempt.handle

    def poll(self, timeout: float) -> Sequence[Update]:
        """Return what happened; wait up to ``timeout`` seconds for it."""
        updates = self._gather()
        if not updates and timeout > 0:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake_ends[0], selectors.EVENT_READ)
                selector.select(timeout)
            updates = self._gather()
        return updates

    def _gather(self) -> list[Update]:
        with suppress(BlockingIOError):
            while os.read(self._wake_ends[0], 4096):
                pass
        for result in self._clerk.results():
            result()
        for news in self.backend.news():
            self._hear(news)
        if self._reader is not None:
            self._news.extend(self._reader.results())
        updates = list(self._news)
        self._news.clear()
        return updates

    def fileno(self) -> int | None:
        """Return a descriptor that is readable when there is news."""
        return self._wake_ends[0]

    def wake(self) -> None:
        """Let the scheduler's thread look; any thread may call it."""
        with suppress(BlockingIOError, OSError):  # full is as good; closed: nobody waits any more
            os.write(self._wake_ends[1], b".")

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """Have jobs ended: by force after ``grace`` seconds."""
        ids = []
        for handle in handles:
            attempt = self._attempts.get(handle)
            if attempt is None:
                continue
            attempt.cancelled = True
            if attempt.id is not None:
                ids.append(attempt.id)
            elif attempt.pause:
                # Its cluster has not taken it yet: nobody need wait for the next try.
                self._submissions.add([attempt])
        if ids:
            self._cancel(list(dict.fromkeys(ids)), grace)

    def _cancel(self, ids: Sequence[str], grace: float) -> None:
        def order() -> Result:
            self.backend.cancel(ids, grace)
            return nothing

        self._clerk.add(order)

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        """Return what an attempt wrote to ``stream`` so far, as far as it has told it."""
        return AttemptLogs(self.store, prefix_of(task)).read(stream, offset)

    def close(self) -> None:
        """End what still runs, and release everything."""
        if self._closed or os.getpid() != self._owner:
            return  # a forked task that inherited this object must not end its siblings
        self._closed = True
        self._clerk.stop(_FAREWELL)
        try:
            if self._backend is not None:
                self._backend.close()
        finally:
            if self._reader is not None:
                self._reader.stop(_FAREWELL)
            for end in self._wake_ends:
                os.close(end)

    # --- submitting -------------------------------------------------------------------------------

    def _submit(self, attempts: Sequence[Attempt]) -> Result:
        """Submit the jobs of attempts that were launched together. In the clerk's thread."""
        assert self._maker is not None
        jobs: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            jobs.setdefault(attempt.name, []).append(attempt)
        groups = [group for group in jobs.values() if not group[0].cancelled]
        unwanted = [group for group in jobs.values() if group[0].cancelled]
        try:
            made = self._maker.make([[(a.task, a.command) for a in group] for group in groups])
            answers = list(self.backend.submit(made)) if made else []
        except FlowError as error:
            answers = [refusal(error)] * len(groups)

        def result() -> None:
            for group in unwanted:
                self._end_unsubmitted(group, "cancelled")
            for group, answer in zip(groups, answers, strict=True):
                self._answered(group, answer)
            if not self._submitting:
                self._early.clear()

        return result

    def _answered(self, group: Sequence[Attempt], answer: str | Refused) -> None:
        """Take the cluster's answer to a job."""
        if isinstance(answer, str):
            self._submitting -= len(group)
            for attempt in group:
                attempt.id = answer
                self._jobs[answer, attempt.member] = attempt
            if any(attempt.cancelled for attempt in group):
                self._cancel([answer], 0.0)
            for news in self._early.pop(answer, ()):
                self._hear(news)
        elif any(attempt.cancelled for attempt in group):
            self._end_unsubmitted(group, "cancelled")
        elif answer.transient:
            self._tell_why(group[0], answer.message)
            rest = group[0].pause = min(max(group[0].pause * 2, _SUBMIT_AGAIN), _SUBMIT_AT_LAST)
            self._clerk.add(lambda: self._submit(group), rest)
        else:
            self._end_unsubmitted(group, "launch", answer.message, answer.hint)

    def _end_unsubmitted(
        self, group: Sequence[Attempt], cause: str, message: str = "", hint: str = ""
    ) -> None:
        """Tell that attempts have ended without ever having a job."""
        for attempt in group:
            if attempt.id is None and self._attempts.pop(attempt.handle, None) is not None:
                self._submitting -= 1
                end = Exited(attempt.handle, None, None, cause, message, time.time(), hint=hint)
                self._news.append(end)

    # --- news of jobs -----------------------------------------------------------------------------

    def _hear(self, news: News) -> None:
        """Take news of the cluster."""
        member = 0 if isinstance(news, Waiting) else news.member
        attempt = self._jobs.get((news.id, member))
        if attempt is None:
            if self._submitting:  # a job may begin before the answer to its submission is here
                self._early.setdefault(news.id, []).append(news)
        elif isinstance(news, Waiting):
            self._tell_why(attempt, news.why)
        elif isinstance(news, Running):
            self._begin(attempt, news.node)
        else:
            self._end(attempt, news)

    def _begin(self, attempt: Attempt, node: str) -> None:
        if attempt.running:
            return
        attempt.running = True
        assert self._reader is not None
        names = [] if attempt.id == attempt.name else [str(attempt.id)]  # the name says nothing new
        where = " on ".join([*names, *([node] if node else [])]) or attempt.name
        self._news.append(Started(attempt.handle, where, time.time()))
        self._reader.follow(attempt)

    def _end(self, attempt: Attempt, news: Ended) -> None:
        assert self._reader is not None
        del self._jobs[news.id, news.member]
        self._attempts.pop(attempt.handle, None)
        if not attempt.running and news.cause != "launch":
            self._begin(attempt, "")
        self._reader.finish(attempt, news)

    def _tell_why(self, attempt: Attempt, why: str) -> None:
        """Tell people why a job waits; once where many wait for the same reason."""
        now = time.time()
        if now - self._why.get(why, 0.0) > _TELL_AGAIN:
            self._why[why] = now
            self._news.append(TaskWaiting(attempt.handle, why, now))


def refusal(error: FlowError) -> Refused:
    """Return an error as the answer of a cluster that does not take a job."""
    parts = [
        error.what,
        *([error.where] if error.where else []),
        *([error.why] if error.why else []),
    ]
    return Refused(": ".join(parts), error.hint or "")
