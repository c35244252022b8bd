"""The compute provider ``in-process``: a task is a call in the process that runs the flow."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flow_core.api import (
    ComputeCapabilities,
    Exited,
    Runtime,
    Started,
    TaskCommand,
    TaskSpec,
    Update,
)
from flow_core.testing import InProcessCompute
from flow_inprocess.streams import Both

_TURN = threading.RLock()
"""Tasks of flows that run in several threads take turns: working folder, variables, standard
streams and `current` are there once. A step may run a flow of its own in between."""


class ForegroundCompute(InProcessCompute):
    """Runs one attempt at a time, in the thread that runs the flow.

    Output goes to the launcher's own streams while the step runs, and to the logs. Python's, that
    is: what C code and child processes write is shown, but not kept.
    """

    capabilities = ComputeCapabilities(gang=True, foreground=True)

    def __init__(self) -> None:
        super().__init__()
        self._interactive = True
        self._next: tuple[int, TaskSpec, TaskCommand] | None = None

    def prepare(self, runtime: Runtime) -> None:
        """Remember the session, and whether output is wanted."""
        super().prepare(runtime)
        self._interactive = runtime.interactive

    def poll(self, timeout: float) -> Sequence[Update]:
        """Tell that the next attempt starts; when called again, run it."""
        if self._next is not None:
            ready, self._next = self._next, None
            return list(self._run(*ready))
        if self._waiting and not self._cancelled:
            self._next = self._waiting.popleft()
            return [Started(self._next[0], str(os.getpid()), time.time())]
        return super().poll(timeout)

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """Take attempts out of the queue; there is never one that runs meanwhile."""
        if self._next is not None and self._next[0] in handles:
            self._cancelled.append(self._next[0])
            self._next = None
        super().cancel(handles, grace)

    def close(self) -> None:
        """Forget what still waits."""
        self._next = None
        super().close()

    def _run(self, number: int, task: TaskSpec, command: TaskCommand) -> Iterator[Update]:
        if command.interpreter not in (None, sys.executable):
            message = f"it needs another Python ({command.interpreter}), which this process is not"
            yield Exited(number, None, None, "launch", message, time.time())
            return
        out, err = Both(sys.stdout, self._interactive), Both(sys.stderr, self._interactive)
        begun = time.process_time()
        with _TURN, _own_streams(out, err), _own_state(command), _own_interrupts():
            code = self._call(task)
        written = {"stdout": out.kept, "stderr": err.kept}
        yield from self._outputs(number, task, written)
        message = f"the attempt ended with status {code} without a result"
        cpu = time.process_time() - begun
        yield Exited(number, code, None, "exit", message, time.time(), cpu)

    def _call(self, task: TaskSpec) -> int:
        try:
            return super()._call(task)
        except KeyboardInterrupt:  # while the result was being stored
            return 128 + signal.SIGINT


@contextmanager
def _own_streams(out: Both, err: Both) -> Iterator[None]:
    """Keep what is written; and where nothing is shown, let it be from `breakpoint` on."""
    earlier = sys.stdout, sys.stderr, sys.breakpointhook

    def stop_here(*arguments: Any, **options: Any) -> Any:
        out.shown = err.shown = True
        if earlier[2] is not sys.__breakpointhook__ or "PYTHONBREAKPOINT" in os.environ:
            return earlier[2](*arguments, **options)
        import pdb

        # `pdb.set_trace` would stop here, and not where it was called for.
        return pdb.Pdb().set_trace(sys._getframe(1))

    sys.stdout, sys.stderr = out, err
    if not out.shown:
        sys.breakpointhook = stop_here
    try:
        yield
    finally:
        sys.stdout, sys.stderr, sys.breakpointhook = earlier


@contextmanager
def _own_state(command: TaskCommand) -> Iterator[None]:
    """Give the task the variables and the folder of its own, and put back what a step changes and
    the next task would find: these, and where modules are searched."""
    folder, variables, path, arguments = os.getcwd(), dict(os.environ), [*sys.path], [*sys.argv]
    try:
        os.environ.update(command.variables)
        os.chdir(command.folder or folder)
        yield
    finally:
        os.chdir(folder)
        if dict(os.environ) != variables:
            os.environ.clear()
            os.environ.update(variables)
        sys.path[:], sys.argv[:] = path, arguments


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the step, as it ends any Python code, and then be told to the run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    of_run = signal.signal(signal.SIGINT, signal.default_int_handler)
    # A handler in Python that noted the signal would stand in the traceback of the step.
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    earlier = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(earlier)
        signal.signal(signal.SIGINT, of_run)
        with contextlib.suppress(BlockingIOError):
            if signal.SIGINT in os.read(reader, 4096) and callable(of_run):
                of_run(signal.SIGINT, None)
        os.close(reader)
        os.close(writer)
