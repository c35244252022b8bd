"""What a task on another machine is told: its specification in the store, and the job that starts it.

A specification is what `flow_core.api.describe_task` returns, and besides, for the bootstrap and the
supervisor:

* ``url``: what ``python -m flow_core.task`` is started with;
* ``runtime``: the archives that hold flow-core and the plugins, for machines that lack them;
* ``installed``: distribution → version: who has all of these needs no archive;
* ``start``: the module whose ``main`` goes on from there;
* ``interpreter``: ``{"path", "runtime"}`` of a Python that this machine shares with the launcher's, or
  None;
* ``lock``: ``{"provider", "hash", "name"}`` of the environment to build there, or None;
* ``timed``: whether to tell when the body of the step begins;
* ``grace``: seconds between the wish to end and the end by force;
* ``log_limit``: megabytes that are kept of each log.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_core.api import (
    EnvironmentLock,
    Runtime,
    Store,
    TaskCommand,
    TaskSpec,
    describe_task,
    run_key,
    task_spec_key,
    task_url,
)

SUPERVISOR = "flow_remote.supervisor"
GRACE = 10.0
"""Seconds for a task that a cluster, and not its launcher, wants to end."""
_LONGEST = 40
_HASH = 6
_LOG_LIMIT = 10.0


class Written(NamedTuple):
    """A specification, ready to be written.

    Attributes:
        key: where it lies.
        content: its bytes.
        sha256: their hash, in hexadecimal.
    """

    key: str
    content: bytes
    sha256: str


class Specifications:
    """Writes the specifications of a run's attempts.

    Args:
        runtime: the session.
        store: the store of the run.
        travel: ``runtime`` and ``installed``: what is said above.
        folder: working directory of tasks whose command names none; None = where their code is.
        settings: those that count where nobody has chosen them: `flow_core.api.Bootstrap`.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        travel: Mapping[str, Any],
        folder: str | None,
        settings: Mapping[str, str],
    ) -> None:
        self._runtime = runtime
        self._store = store
        self._folder = folder
        self._common = {
            **travel,
            "start": [SUPERVISOR],
            "grace": GRACE,
            "log_limit": float(runtime.setting("max_log_size") or _LOG_LIMIT),
        }
        self._settings = settings
        self._shared: str | None = None

    def write(self, task: TaskSpec, command: TaskCommand) -> Written:
        """Return the specification of an attempt."""
        interpreter = None
        if command.interpreter is not None:
            interpreter = {"path": command.interpreter, "runtime": command.runtime}
        own = {
            "task": task.to_json(),
            "url": task_url(self._store, task),
            "folder": command.folder or self._folder,
            "variables": command.variables,
            "interpreter": interpreter,
            "lock": _lock(command.lock),
            "timed": command.timed,
        }
        # Most of it is the same for all: it is made into text once.
        if self._shared is None:
            described = describe_task(self._runtime, task)
            same = {name: value for name, value in described.items() if name not in own}
            same["settings"] = {**self._settings, **described["settings"]}
            run = next(iter(self._store.read([run_key(task.flow, task.run)])))
            if run is not None:  # none in conformance tests
                same["run_sha256"] = hashlib.sha256(run).hexdigest()
            self._shared = json.dumps({**same, **self._common})[:-1]
        content = f"{self._shared}, {json.dumps(own)[1:]}".encode()
        return Written(task_spec_key(task), content, hashlib.sha256(content).hexdigest())


def _lock(lock: EnvironmentLock | None) -> dict[str, str] | None:
    if lock is None:
        return None
    return {"provider": lock.provider, "hash": lock.hash, "name": lock.name}


def job_name(store_url: str, task: TaskSpec) -> str:
    """Return the name of an attempt's job: see `Job.name`.

    It ends in a hash of all that tells it from others: the store too, since each counts its runs for
    itself, and the case of letters.
    """
    exact = f"{task.flow}/{task.run}/{task.step}/{task.task}/{task.attempt}"
    digest = hashlib.sha256(f"{store_url}\n{exact}".encode()).hexdigest()[:_HASH]
    plain = re.sub(r"[^a-z0-9]+", "-", exact.lower()).strip("-")
    return f"{plain[: _LONGEST - _HASH - 1].strip('-')}-{digest}"


def main_member(task: TaskSpec) -> TaskSpec:
    """Return the attempt after which the job of this one is named: of a gang, that of its main member."""
    return task if task.gang is None else task._replace(task=task.gang.control)
