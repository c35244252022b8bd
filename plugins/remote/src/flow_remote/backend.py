"""What a cluster must do for `RemoteCompute`: start jobs, tell their states, end them.

A backend knows its cluster and nothing of flow-core's store, logs or manifests: `RemoteCompute` turns
attempts into jobs and states into updates. A job is one attempt, or one gang.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from flow_core.api import RunRecord, Runtime, TaskSpec


class Job(NamedTuple):
    """What a backend starts.

    Attributes:
        name: unique among all jobs of a run, and the same whenever the attempt is launched anew by
            another launcher: lower-case letters, digits and ``-``, 40 characters at most, such as
            ``moviesflow-12-train-7-0``; where names are longer, their end is a hash.
        tasks: the attempts: one, or the members of a gang, by their index.
        commands: for each of the tasks the words to execute, which need only ``sh`` and a Python:
            ``("/bin/sh", "-c", script, "flow-task", …)``. They hold no secrets.
        variables: for each of the tasks environment variables to set. They hold no secrets.
        options: what the step asks of this provider (`TaskPlan.options` under the provider's name).
        resources: amounts by name (`TaskPlan.resources`): ``cpu``, ``memory`` MB, ``gpu``, ``disk`` MB.
        timeout: seconds after which flow-core itself ends an attempt, with all grace; None = no limit.
            A backend may give it to its cluster as a limit that comes later.
        folder: working directory; None = the backend's own choice.
    """

    name: str
    tasks: tuple[TaskSpec, ...]
    commands: tuple[tuple[str, ...], ...]
    variables: tuple[Mapping[str, str], ...]
    options: Mapping[str, Any] = {}
    resources: Mapping[str, float] = {}
    timeout: float | None = None
    folder: str | None = None

    @property
    def is_gang(self) -> bool:
        """Whether the tasks are the members of a gang, which start together or not at all."""
        return self.tasks[0].gang is not None


class Waiting(NamedTuple):
    """News: a job waits in its cluster.

    Attributes:
        id: the job's, as `Backend.submit` returned it.
        why: one line in the cluster's own words: ``0/3 nodes are available: 3 Insufficient cpu``,
            ``QOSMaxCpuPerUserLimit``, ``ErrImagePull: …``. It is shown to people when it changes.
    """

    id: str
    why: str


class Running(NamedTuple):
    """News: a task of a job runs.

    Attributes:
        id: the job's.
        node: the machine, for people; ``""`` = not known.
        member: which of the job's tasks: the index in its gang, or 0.
    """

    id: str
    node: str = ""
    member: int = 0


class Ended(NamedTuple):
    """News: a task of a job has ended, however; nothing of it runs any more.

    Where the task itself has written how it ended (nearly always), that counts; ``cause`` and
    ``message`` count where it could not, or where they say more: why a cluster ended it.

    Attributes:
        id: the job's.
        member: which of the job's tasks.
        code: exit status of the container or batch script; None = not known, or a signal ended it.
        signal: number of the signal that ended it, or None.
        cause: a `Failure.cause`: ``exit``, ``killed``, ``out-of-memory``, ``timeout``, ``launch`` (it
            never started), ``cancelled`` (somebody ended it), ``evicted``, ``preempted``, ``lost``
            (its machine is gone); ``""`` = the cluster says nothing more than code and signal.
        message: one sentence for people, in the cluster's own words; ``""`` = derived from the above.
        hint: what to type next, ``""`` = nothing special.
        log: the end of what the job's own log in the cluster holds, for an attempt that could not
            write its own; at most some kilobytes.
    """

    id: str
    member: int = 0
    code: int | None = None
    signal: int | None = None
    cause: str = ""
    message: str = ""
    hint: str = ""
    log: str = ""


News = Waiting | Running | Ended


class Refused(NamedTuple):
    """The answer of a cluster that does not take a job.

    Attributes:
        message: one sentence in its own words.
        hint: what to type next; ``""`` = nothing special.
        transient: whether it may take it later (quota used up, service busy): the launcher then
            submits it again after a while, and tells people why it waits.
    """

    message: str
    hint: str = ""
    transient: bool = False


class Backend(Protocol):
    """One kind of cluster, for one run.

    `submit`, `find` and `cancel` may block for as long as requests take: `RemoteCompute` calls them
    in a thread of its own, one at a time. `news` is called in the launcher's thread and must return
    at once: a backend that watches its cluster does that in threads of its own and collects there.
    Errors that people can mend are a `FlowError` with its four parts.
    """

    def open(self, run: RunRecord, runtime: Runtime, wake: Any) -> None:
        """Begin to serve a run. ``wake()`` may be called by any thread when there is `news`."""

    def submit(self, jobs: Sequence[Job]) -> Sequence[str | Refused]:
        """Start jobs; return an id for each, in order, or why it was refused. Jobs that come
        together may be one thing in the cluster: an array. A job of the same `Job.name` that runs
        already, since an answer was lost, is not started twice."""

    def news(self) -> Sequence[News]:
        """Return what has become of jobs since the last call; without blocking. Each task of a job
        gets one `Ended`, whatever happens: a job that the cluster has forgotten is ``lost``."""

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by these `Job.name`s that wait or run, also of another launcher; from
        now on `news` tells of them. This is how a resumed run adopts what still runs."""

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """End jobs: ask them (SIGTERM), and end them by force after ``grace`` seconds. Their `Ended`
        follow, with the cause ``cancelled``."""

    def close(self) -> None:
        """End all jobs that still wait or run, and release everything. Safe to call twice."""
