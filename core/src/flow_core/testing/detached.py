"""A compute provider whose attempts outlive their launcher: for tests of what finds them again.

It stands for a cluster: each attempt is a process of this machine with a *keeper*, a process of its own
session that starts it, waits for it, and writes down how it ended. All of them share a folder, by
which the next launcher finds them.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flow_core.errors import FlowError
from flow_core.interfaces import (
    ComputeCapabilities,
    Exited,
    Output,
    Runtime,
    Started,
    Store,
    TaskCommand,
    Update,
)
from flow_core.launch import launch_document, python_command
from flow_core.records import FORMAT, SPECIFICATION, RunRecord, TaskSpec, attempt_prefix

_STREAMS = ("stdout", "stderr")
_LOOK_SECONDS = 0.02
_FAREWELL = 10.0


class DetachedCompute:
    """Runs attempts as processes that go on when their launcher is killed.

    Args:
        folder: what all launchers share: one folder for each attempt, also of those that have
            ended. ``started`` in it has a line for each start.

    Since 0.1.
    """

    capabilities = ComputeCapabilities(resources=True, interpreters=True, workers=20)
    notice: str | None = None

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).absolute()
        self._jobs: dict[str, _Job] = {}
        self._runtime: Runtime | None = None
        self._store: Store | None = None
        self._news: list[Update] = []

    def prepare(self, runtime: Runtime) -> None:
        """Remember the session."""
        self._runtime = runtime

    def open(self, run: RunRecord, store: Store) -> None:
        """Remember where logs belong."""
        self._store = store
        self.folder.mkdir(parents=True, exist_ok=True)

    def launch(self, task: TaskSpec, command: TaskCommand) -> str:
        """Write the specification, then start the keeper.

        Raises:
            FlowError: this very attempt was started before.
        """
        assert self._runtime is not None
        assert self._store is not None
        described = {"format": FORMAT, "task": task.to_json()}
        self._store.write([(_prefix(task) + SPECIFICATION, json.dumps(described).encode())])
        job = _Job(self.folder, task)
        try:
            job.place.mkdir()
        except FileExistsError:
            raise FlowError(f"The attempt {job.name} was started twice") from None
        document = launch_document(self._runtime, task)
        order = {
            "command": python_command(
                command.interpreter or sys.executable, "flow_core.launch", command.runtime
            ),
            "variables": command.variables,
            "folder": command.folder or os.getcwd(),
        }
        (job.place / "document").write_text(json.dumps(document))
        (job.place / "order").write_text(json.dumps(order))
        job.start()
        with open(self.folder / "started", "a", encoding="utf-8") as file:
            file.write(f"{job.name}\n")
        self._take(job)
        return job.name

    def adopt(self, tasks: Sequence[TaskSpec]) -> list[str | None]:
        """Return handles of those whose keepers live."""
        jobs = [_Job(self.folder, task) for task in tasks]
        for job in jobs:
            if job.is_alive():
                self._take(job)
        return [job.name if job.name in self._jobs else None for job in jobs]

    def _take(self, job: _Job) -> None:
        self._jobs[job.name] = job
        self._news.append(Started(job.name, str(job.pid), time.time()))

    def poll(self, timeout: float) -> Sequence[Update]:
        """Look at all attempts, now and then, until there is news."""
        deadline = time.monotonic() + timeout
        while not (updates := self._look()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return updates

    def _look(self) -> list[Update]:
        updates, self._news = self._news, []
        for job in [*self._jobs.values()]:
            alive = job.is_alive()  # before its output is read, so that nothing is missed
            for stream in _STREAMS:
                if data := job.new_output(stream):
                    updates.append(Output(job.name, stream, data, time.time()))
            if not alive:
                del self._jobs[job.name]
                updates.append(self._end(job))
        return updates

    def _end(self, job: _Job) -> Exited:
        assert self._store is not None
        job.wait(_FAREWELL)
        logs = [(_prefix(job.task) + name, job.output(name)) for name in _STREAMS]
        self._store.write([(key, content) for key, content in logs if content])
        now = time.time()
        ended = job.ended()
        if ended is None:
            return Exited(job.name, None, None, "lost", "nobody knows how it ended", now)
        code, number = ended
        if (job.place / "cancel").exists():
            return Exited(job.name, code, number, "cancelled", "the task was cancelled", now)
        if number is not None:
            how = f"killed by {signal.Signals(number).name}"
            return Exited(job.name, None, number, "killed", f"the process was {how}", now)
        return Exited(job.name, code, None, "exit", f"the process ended with status {code}", now)

    def fileno(self) -> None:
        """There is none: call `poll`."""

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """Have keepers end attempts."""
        for handle in handles:
            if job := self._jobs.get(handle):
                job.cancel(grace)

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        """Return what is in the attempt's folder."""
        return _Job(self.folder, task).output(stream)[offset:]

    def close(self) -> None:
        """End what this launcher has started, or adopted; wait until it is gone."""
        for job in self._jobs.values():
            job.cancel(0.0)
        for job in self._jobs.values():
            job.wait(_FAREWELL)
        self._jobs.clear()


class _Job:
    """One attempt: its folder, and how much of its output was told."""

    def __init__(self, folder: Path, task: TaskSpec) -> None:
        self.task = task
        self.name = "-".join(map(str, task[:5]))
        self.place = folder / self.name
        self._told = dict.fromkeys(_STREAMS, 0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the keeper; return when it holds its lock, by which it is known to live."""
        words = [sys.executable, "-m", __name__, str(self.place)]
        with open(
            self.place / "trouble", "wb"
        ) as trouble:  # it must hold no stream of the launcher
            self._process = subprocess.Popen(
                words,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=trouble,
            )
        assert self._process.stdout is not None
        with self._process.stdout as ready:
            ready.read(1)

    @property
    def pid(self) -> int:
        """The keeper's."""
        return int((self.place / "keeper").read_text())

    def is_alive(self) -> bool:
        """Whether the keeper lives: it holds a lock as long as it does."""
        if self._process is not None:
            self._process.poll()  # else what has ended would stay in the list of processes
        try:
            with open(self.place / "keeper", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def output(self, stream: str) -> bytes:
        """Return all that was written."""
        try:
            return (self.place / stream).read_bytes()
        except FileNotFoundError:
            return b""

    def new_output(self, stream: str) -> bytes:
        """Return what was not returned before."""
        new = self.output(stream)[self._told[stream] :]
        self._told[stream] += len(new)
        return new

    def ended(self) -> tuple[int | None, int | None] | None:
        """Return exit status and signal; None where the keeper could not write them down."""
        try:
            code = int((self.place / "ended").read_text())
        except FileNotFoundError:
            return None
        return (None, -code) if code < 0 else (code, None)

    def cancel(self, grace: float) -> None:
        """Have the keeper end the attempt: by force after ``grace`` seconds."""
        (self.place / "cancel.new").write_text(str(grace))
        (self.place / "cancel.new").rename(self.place / "cancel")
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait until the keeper is gone."""
        deadline = time.monotonic() + seconds
        while self.is_alive() and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        if self._process is not None:
            self._process.wait(seconds)


def _prefix(task: TaskSpec) -> str:
    return attempt_prefix(task.flow, task.run, task.step, task.task, task.attempt)


# --- the keeper -----------------------------------------------------------------------------------


def keep(place: Path) -> None:
    """Run the attempt of a folder to its end: what a keeper does."""
    order = json.loads((place / "order").read_text())
    asked: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    with open(place / "keeper", "w", encoding="utf-8") as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        mine.write(str(os.getpid()))
        mine.flush()
        os.write(1, b".")
        os.close(1)
        # The lock must end with this process: what it starts does not inherit descriptors.
        with (
            open(place / "document", "rb") as document,
            open(place / "stdout", "wb") as out,
            open(place / "stderr", "wb") as err,
        ):
            child = subprocess.Popen(
                order["command"],
                stdin=document,
                stdout=out,
                stderr=err,
                cwd=order["folder"],
                env={**os.environ, **order["variables"]},
                start_new_session=True,
            )
        code = _wait(child, place, asked)
        (place / "ended.new").write_text(str(code))
        (place / "ended.new").rename(place / "ended")


def _wait(child: subprocess.Popen[bytes], place: Path, asked: list[bool]) -> int:
    force_at = None
    while (code := child.poll()) is None:
        if asked:
            asked.clear()
            _signal(child, signal.SIGTERM)
            force_at = time.monotonic() + float((place / "cancel").read_text())
        if force_at is not None and time.monotonic() >= force_at:
            _signal(child, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)
    _signal(child, signal.SIGKILL)  # what it has left behind
    return code


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
