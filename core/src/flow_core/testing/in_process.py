"""A compute provider without processes: for tests of what lies above compute."""

from __future__ import annotations

import contextlib
import io
import os
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from flow_core.records import RunRecord, TaskSpec, attempt_prefix


class InProcessCompute:
    """Runs one attempt at each `poll`, in this process.

    It isolates nothing: a task can change, block or crash the launcher, and only what Python writes
    to `sys.stdout` and `sys.stderr` is captured. Interpreters are not honoured. The members of a
    gang run one after the other, so they cannot talk to each other.

    Since 0.1.
    """

    capabilities = ComputeCapabilities(gang=True)
    notice: str | None = None

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._store: Store | None = None
        self._waiting: deque[tuple[int, TaskSpec, TaskCommand]] = deque()
        self._cancelled: list[int] = []
        self._last = 0

    def prepare(self, runtime: Runtime) -> None:
        """Remember the session."""
        self._runtime = runtime

    def open(self, run: RunRecord, store: Store) -> None:
        """Remember where logs belong."""
        self._store = store

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        """Put the attempt into a queue."""
        self._last += 1
        self._waiting.append((self._last, task, command))
        return self._last

    def launch_gang(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[int]:
        """Put the attempts into the queue, one behind the other."""
        for number, (_, command) in enumerate(members):
            command.variables = {**gang_variables(number, len(members)), **command.variables}
        return [self.launch(task, command) for task, command in members]

    def poll(self, timeout: float) -> Sequence[Update]:
        """Run the next attempt to its end, or tell of those that were cancelled."""
        if self._cancelled:
            gone, self._cancelled = self._cancelled, []
            message = "cancelled before it started"
            return [Exited(h, None, None, "cancelled", message, time.time()) for h in gone]
        if not self._waiting:
            time.sleep(timeout)
            return []
        return list(self._run(*self._waiting.popleft()))

    def fileno(self) -> int | None:
        """There is none: call `poll`."""
        return None

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """Take attempts out of the queue; there is never one that runs meanwhile."""
        chosen = set(handles)
        self._cancelled += [number for number, *_ in self._waiting if number in chosen]
        self._waiting = deque(entry for entry in self._waiting if entry[0] not in chosen)

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        """Return what lies in the store."""
        assert self._store is not None
        (content,) = self._store.read([_log_key(task, stream)])
        return (content or b"")[offset:]

    def close(self) -> None:
        """Forget what still waits."""
        self._waiting.clear()

    def _run(self, number: int, task: TaskSpec, command: TaskCommand) -> Iterator[Update]:
        yield Started(number, str(os.getpid()), time.time())
        begun = time.process_time()
        written = {"stdout": io.BytesIO(), "stderr": io.BytesIO()}
        with _captured(written), surroundings(command.variables, command.folder):
            code = self._call(task)
        yield from self._outputs(number, task, written)
        message = f"the attempt ended with status {code} without a result"
        cpu = time.process_time() - begun
        yield Exited(number, code, None, "exit", message, time.time(), cpu)

    def _call(self, task: TaskSpec) -> int:
        assert self._runtime is not None
        try:
            return self._runtime.run_attempt(task)
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()  # it goes to the log of the task, as from any process
            return 1

    def _outputs(
        self, number: int, task: TaskSpec, written: dict[str, io.BytesIO]
    ) -> Iterator[Output]:
        assert self._store is not None
        for stream, content in written.items():
            if data := content.getvalue():
                self._store.write([(_log_key(task, stream), data)])
                yield Output(number, stream, data, time.time())


def gang_variables(number: int, size: int) -> dict[str, str]:
    """Return what the process of a member of a gang is told of the others, which are not there."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "NODE_RANK": "0"}
    return {**place, "LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": str(size)}


@contextlib.contextmanager
def _captured(written: dict[str, io.BytesIO]) -> Iterator[None]:
    out, err = (io.TextIOWrapper(raw, "utf-8", write_through=True) for raw in written.values())
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        out.detach()
        err.detach()


@contextlib.contextmanager
def surroundings(variables: Mapping[str, str], folder: str | None = None) -> Iterator[None]:
    """Set variables, and the folder; in the end put all of them back as they were.

    A task that has a process of its own may change them as it likes.
    """
    earlier_folder, earlier = os.getcwd(), dict(os.environ)
    try:
        os.environ.update(variables)
        os.chdir(folder or earlier_folder)
        yield
    finally:
        os.chdir(earlier_folder)
        for name in set(os.environ) - set(earlier):
            del os.environ[name]
        os.environ.update({n: v for n, v in earlier.items() if os.environ.get(n) != v})


def _log_key(task: TaskSpec, stream: str) -> str:
    return attempt_prefix(task.flow, task.run, task.step, task.task, task.attempt) + stream
