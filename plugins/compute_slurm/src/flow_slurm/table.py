"""The jobs of a run that wait or run, and what a look at the cluster tells of them. No requests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flow_remote.backend import Ended, News, Running, Waiting
from flow_slurm import endings
from flow_slurm.scripts import Folder
from flow_slurm.states import JobState, expand_nodes

_PATIENCE = 2.0  # seconds that a job may wait without a word: Slurm begins none at once
_MISSED = 2  # looks that a job must be missing from before it counts as forgotten


class Tracked:
    """One job, or one element of an array, until it has ended."""

    __slots__ = (
        "cancelled",
        "folder",
        "id",
        "index",
        "members_ended",
        "missed",
        "of_known_array",
        "running",
        "seen",
        "since",
        "why",
    )

    def __init__(self, id: str, folder: Folder, index: int) -> None:
        self.id = id
        self.folder = folder
        self.index = index
        self.since = time.monotonic()
        self.why = ""
        self.running = False
        self.cancelled = False
        self.missed = 0
        self.of_known_array = False  # whether Slurm knows others of its array when it is missing
        self.seen = 0  # tasks that have written how they ended
        self.members_ended: set[int] = set()

    @property
    def name(self) -> str:
        """The `Job.name`."""
        return self.folder.names[self.index]

    def tasks(self) -> list[tuple[int, int]]:
        """Return the tasks that have not ended, as (index in the folder, member)."""
        if self.folder.members is None:
            return [(self.index, 0)]
        left = set(range(self.folder.members)) - self.members_ended
        return [(member, member) for member in sorted(left)]

    @property
    def was_cancelled(self) -> bool:
        """Whether a job that Slurm knows no more was cancelled, by us or by somebody else.

        Slurm keeps nothing of single elements that are cancelled while they wait. Of those that
        have begun, it keeps a record as long as of others of the array.
        """
        if self.cancelled:
            return True
        return self.of_known_array and not self.running and not self.folder.has_begun(self.index)


class Hopeless(NamedTuple):
    """A job that waits for what will never come; see `flow_slurm.endings.NEVER`."""

    job: Tracked
    why: str
    hint: str


class Look(NamedTuple):
    """What one look at the cluster has given.

    Attributes:
        news: of jobs.
        forgotten: jobs that the cluster knows no more.
        hopeless: jobs to cancel.
    """

    news: list[News]
    forgotten: list[Tracked]
    hopeless: list[Hopeless]


class Table:
    """The jobs that have not ended. Not for several threads at once."""

    def __init__(self) -> None:
        self._jobs: dict[str, Tracked] = {}
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, id: str, folder: Folder, index: int) -> Tracked:
        """Track a job from now on."""
        if id not in self._jobs:
            job = self._jobs[id] = Tracked(id, folder, index)
            self._names[job.name] = id
        return self._jobs[id]

    def get(self, ids: Iterable[str]) -> list[Tracked]:
        """Return the jobs of these ids that have not ended."""
        return [self._jobs[id] for id in ids if id in self._jobs]

    def all(self) -> list[Tracked]:
        """Return all jobs that have not ended."""
        return list(self._jobs.values())

    def id_of(self, name: str) -> str | None:
        """Return the id of a job by its `Job.name`, or None."""
        return self._names.get(name)

    def folders(self) -> list[Folder]:
        """Return the folders of jobs that run."""
        return list({job.folder.path: job.folder for job in self.all() if job.running}.values())

    def look(self, states: Iterable[JobState], began: float) -> Look:
        """Take what the cluster tells of its jobs.

        Args:
            states: of all jobs.
            began: when it was asked, by the monotonic clock: who was added later may be missing.
        """
        # An id may be another's, after a cluster was set up anew.
        known: dict[str, JobState] = {}
        arrays = set()  # with their scripts
        for told in states:
            arrays.add((_array(told.id), told.command))
            tracked = self._jobs.get(told.id)
            if tracked is not None and told.command in ("", tracked.folder.script):
                known[told.id] = told
        look = Look([], [], [])
        for job in self.all():
            state = known.get(job.id)
            if state is not None:
                job.missed = 0
                self._take(job, state, look)
            elif job.since < began:
                job.missed += 1
                job.of_known_array = (_array(job.id), job.folder.script) in arrays
                if job.missed >= _MISSED:
                    look.forgotten.append(job)
        return look

    def _take(self, job: Tracked, state: JobState, look: Look) -> None:
        if state.has_ended:
            if not job.running and state.nodes:  # it was quicker than the looks
                look.news.extend(_running(job, state))
            for index, member in job.tasks():
                look.news.append(
                    endings.ended(job.id, state, job.folder, index, member, job.cancelled)
                )
            self._remove(job)
        elif state.waits:
            if job.running:
                job.running, job.seen = False, 0
                job.folder.start_anew(index for index, _ in job.tasks())
            self._wait(job, state, look)
        else:
            if not job.running:
                job.running, job.why = True, ""
                look.news.extend(_running(job, state))
            if not state.completing and job.folder.members is not None:
                self._end_members(job, state, look)

    def _wait(self, job: Tracked, state: JobState, look: Look) -> None:
        why = endings.waiting_text(state)
        held = "launch failed" in state.description.replace("_", " ")
        if time.monotonic() - job.since < _PATIENCE or job.cancelled:
            return
        if state.reason in endings.NEVER or held:
            look.hopeless.append(Hopeless(job, why, endings.NEVER.get(state.reason) or ""))
        elif why and why != job.why:
            job.why = why
            look.news.append(Waiting(job.id, why))

    def _end_members(self, job: Tracked, state: JobState, look: Look) -> None:
        """Tell of members that have ended while the others run: their gang is to hear of it."""
        ended = job.folder.ended()
        for index, member in job.tasks():
            if index in ended:
                look.news.append(
                    endings.ended(job.id, state, job.folder, index, member, job.cancelled)
                )
                job.members_ended.add(member)

    def ended_well(self) -> tuple[list[News], bool]:
        """Look into the folders of running jobs for tasks that say themselves that they have ended.

        Returns:
            news of those that ended well; and whether others have ended of which the cluster is to
            say why.
        """
        news: list[News] = []
        others = False
        ended = {folder.path: folder.ended() for folder in self.folders()}
        for job in self.all():
            indices = ended.get(job.folder.path, set())
            seen = len(indices) if job.folder.members is not None else int(job.index in indices)
            if seen <= job.seen:
                continue
            job.seen = seen
            alone = job.folder.members is None and not job.cancelled
            if alone and job.folder.status(job.index) == 0:
                news.append(Ended(job.id, code=0))
                self._remove(job)
            else:
                others = True
        return news, others

    def forget(self, job: Tracked, known: Mapping[str, JobState]) -> list[News]:
        """Return how the tasks of a job have ended that the cluster knows no more.

        Args:
            job: the job.
            known: what accounting knows, by id.
        """
        state = known.get(job.id)
        if (state is None or not state.has_ended) and job.was_cancelled:
            state = JobState(job.id, "CANCELLED")
        news: list[News] = []
        for index, member in job.tasks():
            news.append(
                endings.ended(job.id, state, job.folder, index, member, job.cancelled)
                if state is not None and state.has_ended
                else endings.forgotten(job.id, job.folder, index, member)
            )
        self._remove(job)
        return news

    def give_up(self, job: Tracked, why: str, hint: str) -> list[News]:
        """Return the end of a job that was cancelled since it would have waited for ever."""
        message = f"Slurm job {job.id} would wait for ever: {why}"
        news: list[News] = [
            Ended(job.id, member, cause="launch", message=message, hint=hint)
            for _, member in job.tasks()
        ]
        self._remove(job)
        return news

    def _remove(self, job: Tracked) -> None:
        del self._jobs[job.id]
        if self._names.get(job.name) == job.id:
            del self._names[job.name]


def _array(id: str) -> str:
    return id.partition("_")[0]


def _running(job: Tracked, state: JobState) -> list[News]:
    nodes = expand_nodes(state.nodes)
    if job.folder.members is None:
        return [Running(job.id, state.nodes)]
    # Which member is where, Slurm says only where each machine has one.
    each = nodes if len(nodes) == job.folder.members else [state.nodes] * job.folder.members
    return [Running(job.id, each[member], member) for _, member in job.tasks()]
