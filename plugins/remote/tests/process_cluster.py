"""A cluster of this machine: each task of a job is a process of its own. For tests of flow-remote."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flow_core.api import ComputeCapabilities, RunRecord, Runtime
from flow_remote.backend import Ended, Job, News, Refused, Running
from flow_remote.provider import RemoteCompute


class ProcessBackend:
    """See the module.

    Args:
        folder: where the logs of jobs lie.
        refusals: what the next submissions are answered.
    """

    def __init__(self, folder: Path, refusals: Sequence[Refused] = ()) -> None:
        self.folder = folder
        self.refusals = list(refusals)
        self.submitted: list[list[Job]] = []
        self.variables: dict[str, str] = {}
        self.before: list[str] = []  # words before each command
        self.survivors: dict[str, str] = {}
        self.before_submit: Callable[[], object] = lambda: None
        self.spoil = ""  # a variable that does not arrive
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._told: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._begun: list[News] = []

    def open(self, run: RunRecord, runtime: Runtime, wake: Any) -> None:
        """Remember whom to tell."""
        self._wake = wake

    def submit(self, jobs: Sequence[Job]) -> list[str | Refused]:
        """Start all processes."""
        self.before_submit()
        self.submitted.append(list(jobs))
        return [self.refusals.pop(0) if self.refusals else self._start(job) for job in jobs]

    def _start(self, job: Job) -> str:
        for member, (words, variables) in enumerate(zip(job.commands, job.variables, strict=True)):
            place = {}
            if job.is_gang:
                place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400", "NODE_RANK": "0"}
                place |= {"LOCAL_RANK": str(member), "LOCAL_WORLD_SIZE": str(len(job.tasks))}
            all_variables = {**os.environ, **self.variables, **place, **variables}
            with open(self._log(job.name, member), "wb") as log:
                process = subprocess.Popen(
                    [*self.before, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={n: v for n, v in all_variables.items() if n != self.spoil},
                    cwd=job.folder,
                    start_new_session=True,
                )
            with self._lock:
                self._processes[job.name, member] = process
                self._begun.append(Running(job.name, "here", member))
            threading.Thread(target=self._watch, args=(process,), daemon=True).start()
        return job.name

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        self._wake()
        with suppress(ChildProcessError):  # another thread was first
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._wake()

    def _log(self, name: str, member: int) -> Path:
        return self.folder / f"{name}-{member}.log"

    def news(self) -> list[News]:
        """Look at all processes."""
        with self._lock:
            found, self._begun = self._begun, []
            for (name, member), process in self._processes.items():
                code = process.poll()
                if code is not None and (name, member) not in self._told:
                    self._told.add((name, member))
                    log = self._log(name, member).read_text(errors="replace")
                    number = -code if code < 0 else None
                    status = code if code >= 0 else None
                    found.append(Ended(name, member, status, number, log=log[-4000:]))
        return found

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return those that a test wants to have outlived their launcher."""
        return {name: self.survivors[name] for name in names if name in self.survivors}

    def tell(self, *news: News) -> None:
        """Tell what a test says."""
        with self._lock:
            self._begun.extend(news)
        self._wake()

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """Signal all processes of the jobs."""
        _end([p for (name, _), p in self._processes.items() if name in ids], grace)

    def pid(self, name: str) -> int:
        """Return the process of a job."""
        return self._processes[name, 0].pid

    def kill(self, name: str) -> None:
        """End the processes of a job at once, the supervisors first."""
        for (of, _), process in self._processes.items():
            if of == name:
                process.kill()

    def close(self) -> None:
        """End all."""
        _end(list(self._processes.values()), 2.0)


def _end(processes: Sequence[subprocess.Popen[bytes]], grace: float) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        process.kill()
        process.wait()


class ProcessCompute(RemoteCompute):
    """A provider over `ProcessBackend`."""

    name = "process"
    shares_files = True
    capabilities = ComputeCapabilities(
        resources=True, gang=True, tells_begin=True, interpreters=True
    )

    def __init__(self, backend: ProcessBackend) -> None:
        super().__init__()
        self._made = backend

    def make_backend(self) -> ProcessBackend:
        """Return the backend that was given."""
        return self._made
