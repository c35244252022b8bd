"""Jobs in child processes, each with a limit of time: they can neither hang nor crash their parent."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, NamedTuple, NoReturn

from flow_core.api import FlowError

_CHUNK = 1 << 20
_SAID = 4000
_OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        error: why it failed, in one line; ``""`` = it did not.
        text: the traceback, or what its process wrote before it died; the text that a job returned.
    """

    error: str = ""
    text: str = ""


class _Child(NamedTuple):
    pid: int
    end: int  # where its outcome is read
    said: IO[bytes]
    result: bytearray
    timeout: float
    deadline: float
    then: Callable[[Outcome], None]


class Children:
    """Child processes, each of which does one job.

    Args:
        selector: where to wait for them. The data of their keys is this object; when one is
            readable, call `readable`.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._children: dict[int, _Child] = {}

    def __len__(self) -> int:
        return len(self._children)

    def start(
        self,
        job: Callable[[], object] | tuple[Sequence[str], bytes],
        timeout: float,
        then: Callable[[Outcome], None],
    ) -> None:
        """Start a job.

        Args:
            job: a function, which is called in a fork of this process; or a command and its standard
                input, whose program ends by `finish`.
            timeout: seconds; the child is killed after that.
            then: is given the outcome, in this process.
        """
        end, of_child = os.pipe()
        said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child has ended
        try:
            if callable(job):
                pid = _fork(job, of_child, said.fileno())
            else:
                pid = _spawn(*job, of_child, said.fileno())
        finally:
            os.close(of_child)
        os.set_blocking(end, False)
        deadline = time.monotonic() + timeout
        self._children[end] = _Child(pid, end, said, bytearray(), timeout, deadline, then)
        self._selector.register(end, selectors.EVENT_READ, self)

    def wait_time(self) -> float | None:
        """Return the seconds until a child is overdue; None without children."""
        if not self._children:
            return None
        return max(0.0, min(c.deadline for c in self._children.values()) - time.monotonic())

    def readable(self, end: int) -> None:
        """Read what a child has written."""
        child = self._children[end]
        try:
            while chunk := os.read(end, _CHUNK):
                child.result.extend(chunk)
        except BlockingIOError:
            return
        self._ended(child, overdue=False)

    def end_overdue(self) -> None:
        """Kill the children whose time is over."""
        now = time.monotonic()
        for child in [c for c in self._children.values() if c.deadline <= now]:
            self._ended(child, overdue=True)

    def kill(self) -> None:
        """Kill all children; nobody is told."""
        for child in list(self._children.values()):
            self._remove(child)
            child.said.close()

    def _ended(self, child: _Child, *, overdue: bool) -> None:
        status = self._remove(child)
        child.said.seek(max(0, child.said.seek(0, os.SEEK_END) - _SAID))
        said = child.said.read().decode("utf-8", "replace").strip()
        child.said.close()
        child.then(_outcome(child, status, said, overdue))

    def _remove(self, child: _Child) -> int:
        """Forget a child, with all that it started; return its status."""
        self._selector.unregister(child.end)
        os.close(child.end)
        del self._children[child.end]
        for kill in (os.killpg, os.kill):  # one that has just begun has no group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(child.pid, signal.SIGKILL)
        return os.waitpid(child.pid, 0)[1]


def _outcome(child: _Child, status: int, said: str, overdue: bool) -> Outcome:
    if overdue:
        return Outcome(f"it took longer than {child.timeout:g} s, and was ended", said)
    with contextlib.suppress(ValueError, TypeError):
        return Outcome(*json.loads(bytes(child.result)))
    code = os.waitstatus_to_exitcode(status)
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    return Outcome(f"its process {how}", said)


def _fork(job: Callable[[], object], end: int, said: int) -> int:
    pid = os.fork()
    if pid == 0:
        _be_child(job, end, said)
    return pid


def _be_child(job: Callable[[], object], end: int, said: int) -> NoReturn:
    try:
        os.setsid()
        for number in (1, 2):
            os.dup2(said, number)
        finish(job, end)
    finally:
        os._exit(1)  # never back into what the parent was doing


def _spawn(command: Sequence[str], given: bytes, end: int, said: int) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(given)
        file.seek(0)
        process = subprocess.Popen(
            command, stdin=file, stdout=end, stderr=said, start_new_session=True
        )
    process.returncode = 0  # it is waited for by its id
    return process.pid


def finish(job: Callable[[], object], end: int) -> NoReturn:
    """Do a job, write its outcome to a descriptor, and end the process."""
    outcome = Outcome()
    try:
        returned = job()
        if isinstance(returned, str):
            outcome = Outcome(text=returned)
    except BaseException as error:  # whatever the code of others may raise, SystemExit too
        outcome = outcome_of(error)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    view = memoryview(json.dumps(outcome).encode())
    while view:
        view = view[os.write(end, view) :]
    os._exit(0)


def outcome_of(error: BaseException) -> Outcome:
    """Return the outcome of a job that raised."""
    if isinstance(error, FlowError):  # which says where, why, and what to do
        return Outcome(line_of(error), str(error))
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    if frames is not None:  # else the mistake is ours
        error = error.with_traceback(frames)
    return Outcome(line_of(error), "".join(traceback.format_exception(error)))


def _is_ours(frames: TracebackType) -> bool:
    return frames.tb_frame.f_code.co_filename.startswith(_OURS)


def line_of(error: BaseException) -> str:
    """Return an exception in one line."""
    if isinstance(error, FlowError):
        return f"{error.what} ({error.why})" if error.why else error.what
    return traceback.format_exception_only(error)[-1].strip()


def can_fork() -> bool:
    """Whether forks of this process are safe: it has no further threads, as far as Python knows."""
    return hasattr(os, "fork") and sys.platform != "darwin" and threading.active_count() == 1
