"""What runs: `ExecutingRun` and its kin, with state, output and client objects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from flow_core.api import FlowError, UsageError, did_you_mean
from flow_runner.closing import Closing
from flow_runner.process import PAUSE, STREAMS, FlowProcess


class NotStarted(FlowError, RuntimeError):
    """A command ended before it had announced its run.

    Attributes:
        returncode: its exit status.
        stdout, stderr: what it had written.
    """

    def __init__(self, command: str, process: FlowProcess) -> None:
        self.returncode = process.returncode
        self.stdout = process.output("stdout")
        self.stderr = process.output("stderr")
        super().__init__(
            f"The command '{command}' ended before it had a run",
            where=f"exit status {self.returncode}",
            why=(self.stderr or self.stdout).strip() or "it has written nothing",
        )


class ExecutingProcess(Closing):
    """A command that runs, or has ended.

    It is a context manager, also with ``async with``: at its end the process ends, if it still
    runs, and its output is forgotten. Since 0.1.
    """

    def __init__(self, command: str, process: FlowProcess) -> None:
        self.command = command
        self._process = process

    @property
    def returncode(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.returncode

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return self._process.output("stdout")

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far."""
        return self._process.output("stderr")

    @property
    def status(self) -> str:
        """``running``, ``successful`` or ``failed``; ``timeout`` after a `wait` that ended so."""
        code = self.returncode
        if code is None:
            return "timeout" if self._timed_out else "running"
        return "successful" if code == 0 else "failed"

    _timed_out = False

    async def wait(self, timeout: float | None = None, stream: str | None = None) -> Any:
        """Wait for the end, without blocking others in the event loop; return ``self``.

        Args:
            timeout: seconds, after which it goes on all the same, with the status ``timeout``.
            stream: ``"stdout"`` or ``"stderr"``: print what is written there meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._timed_out = False
        if stream is not None:
            await self._print(stream, deadline)
        while self.returncode is None and not _over(deadline):
            await asyncio.sleep(PAUSE)
        self._timed_out = self.returncode is None
        return self

    async def stream_log(
        self, stream: str, position: int | None = None
    ) -> AsyncIterator[tuple[int, str]]:
        """Yield ``(position, line)`` for each line of a stream, as they come, until the end.

        Args:
            stream: ``"stdout"`` or ``"stderr"``.
            position: where to go on: the position that came with the last line that is known.
                None = from the start.
        """
        if stream not in STREAMS:
            raise UsageError(f"There is no stream '{stream}'", hint=did_you_mean(stream, STREAMS))
        with open(self._process.path(stream), "rb") as file:
            file.seek(position or 0)
            rest = b""
            while True:
                ended = self.returncode is not None  # then what comes now is the rest
                rest += file.read()
                *lines, rest = rest.split(b"\n")
                place = file.tell() - len(rest) - sum(len(line) + 1 for line in lines)
                for line in lines:
                    place += len(line) + 1
                    yield place, line.decode("utf-8", "replace")
                if ended:
                    break
                await asyncio.sleep(PAUSE)
            if rest:
                yield file.tell(), rest.decode("utf-8", "replace")

    async def _print(self, stream: str, deadline: float | None) -> None:
        async for _, _line in self.stream_log(stream):
            if _over(deadline):
                return

    # --- its end --------------------------------------------------------------------------------

    def interrupt(self, grace: float = 2.0) -> None:
        """End it, as Ctrl-C does, and by force after ``grace`` seconds."""
        self._process.interrupt(grace)

    def cleanup(self) -> None:
        """End it, if it still runs, and forget its output."""
        self._process.remove()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.command}: {self.status}>"


class ExecutingRun(ExecutingProcess):
    """A run that a `Runner` has started.

    Attributes:
        run: the client's `Run`, from the moment on when this object is there.
    """

    def __init__(self, command: str, process: FlowProcess, read: Callable[[str], Any]) -> None:
        super().__init__(command, process)
        run_id = process.run_id()
        assert run_id is not None, "it was announced"
        self.run = read(run_id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.run.pathspec}: {self.status}>"


class ExecutingTask(ExecutingRun):
    """A step that is run again by itself. Its ``run`` is where the result is kept."""

    @property
    def task(self) -> Any:
        """The client's `Task`; None before it has started."""
        steps = list(self.run)
        return steps[0].task if steps else None


def _over(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
