"""Attempts turned into jobs: their specifications are written, and what a cluster starts is put together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from flow_core.api import Runtime, Store, TaskCommand, TaskSpec
from flow_remote.backend import Job
from flow_remote.specification import Specifications, job_name

Member = tuple[TaskSpec, TaskCommand]

_KILL_LATER = 60.0  # seconds that a cluster's own limit comes after flow-core's


class JobMaker:
    """Makes the jobs of one run.

    Args:
        name: of the compute provider, under which steps have their options.
        runtime: the session.
        store: the store of the run.
        folder: working directory of tasks whose command names none; None = where their code is.
    """

    def __init__(self, name: str, runtime: Runtime, store: Store, folder: str | None) -> None:
        self._name = name
        self._runtime = runtime
        self._store = store
        self._folder = folder
        self._specifications = Specifications(runtime, store, {}, folder)

    def make(self, groups: Sequence[Sequence[Member]]) -> list[Job]:
        """Write the specifications of attempts, with one call of the store; return their jobs.

        Args:
            groups: for each job its attempts: one, or the members of a gang.

        Raises:
            StoreError: they cannot be written.
        """
        written = [[self._specifications.write(*member) for member in group] for group in groups]
        self._store.write([(one.key, one.content) for group in written for one in group])
        return [self._job(group) for group in groups]

    def _job(self, group: Sequence[Member]) -> Job:
        first, command = group[0]
        plan = self._runtime.plan(first.step)
        timeout = None
        if plan.timeout is not None:
            timeout = plan.timeout + plan.timeout_grace + _KILL_LATER
        return Job(
            job_name(self._store.url, first),
            tuple(task for task, _ in group),
            tuple(self._words(task) for task, _ in group),
            tuple({**command.variables} for _, command in group),
            options=plan.options.get(self._name, {}),
            resources=plan.resources,
            timeout=timeout,
            folder=command.folder or self._folder,
        )

    def _words(self, task: TaskSpec) -> tuple[str, ...]:
        from flow_core.api import task_url

        return (sys.executable, "-m", "flow_remote", task_url(self._store, task))
