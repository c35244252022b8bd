"""Processes as the operating system shows them, and the few calls that Python has no name for.

On Linux `/proc` and ``prctl`` answer. Elsewhere the functions that look answer "nothing", so what
depends on them (names of processes left behind, ends tied together) is missing, but not wrong.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

TASK_ID = "FLOW_TASK_ID"
"""Environment variable that tells people, and programs, to which attempt a process belongs."""

MARK = "FLOW_TASK_MARK"
"""The same for this package: unlike a pathspec, a mark is of one launcher only, and another run of
the same name, in another store, has others."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
NAME_LENGTH = 15
"""How much the kernel keeps of the name of a process."""


class Process(NamedTuple):
    """One line of the process table."""

    pid: int
    name: str
    state: str
    parent: int
    group: int


# `signal.signal` and `signal.pthread_sigmask` turn numbers into enums and back. That writes to many
# objects, and in a fork each page that is written to is copied first: a twentieth of a short task.
set_handler: Callable[[int, Any], Any] = _signal.signal  # takes no enum
set_mask: Any = getattr(_signal, "pthread_sigmask", None)  # (how, signals); not on Windows


@functools.cache
def _prctl() -> Callable[..., Any] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # some milliseconds, which only a server needs to pay

    return ctypes.CDLL(None, use_errno=True).prctl


def prepare_controls() -> None:
    """Load what the functions below need, so that forked children have it at once."""
    _prctl()


def adopt_orphans() -> None:
    """Make this process the parent of all descendants whose own parent ends."""
    if control := _prctl():
        control(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Have this process killed when ``parent``, which forked it, ends."""
    control = _prctl()
    if control is None:
        return
    control(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), signal.SIGKILL)


def rename(name: str) -> None:
    """Set the name that ``top`` shows for this process and those that it forks."""
    if control := _prctl():
        control(_PR_SET_NAME, name.encode()[:NAME_LENGTH], 0, 0, 0)


def look_up(pid: int) -> Process | None:
    """Return the entry of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read().decode(errors="replace")
    except OSError:
        return None
    name, _, rest = line.partition("(")[2].rpartition(")")  # a name may contain parentheses
    state, parent, group = rest.split()[:3]
    return Process(pid, name, state, int(parent), int(group))


def everyone() -> Iterable[Process]:
    """Yield all processes that can be seen and are not zombies."""
    try:
        entries = os.listdir("/proc")
    except OSError:
        return
    for entry in entries:
        if entry.isdigit() and (process := look_up(int(entry))) and process.state not in "ZX":
            yield process


def children() -> list[int]:
    """Return the ids of this process's children; it must have one thread."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", buffering=0) as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def mark_of(pid: int) -> str | None:
    """Return the mark of the attempt to which a process belongs by its environment, if any."""
    start = MARK.encode() + b"="
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return None
    for variable in variables:
        if variable.startswith(start):
            return variable[len(start) :].decode(errors="replace")
    return None


def describe(pid: int) -> str:
    """Return ``PID (command)``, for people."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = ""
    if not command and (process := look_up(pid)):
        command = process.name
    return f"{pid} ({command[:77] + '...' if len(command) > 80 else command})"


def group_exists(group: int) -> bool:
    """Whether a process group has members, be they zombies."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def signal_group(group: int, number: int) -> None:
    """Send a signal to a process group; none there is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def signal_process(pid: int, number: int) -> None:
    """Send a signal to a process; none there is no error."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def wait_until_gone(groups: Iterable[int], timeout: float) -> None:
    """Return when the groups have no living member, or ``timeout`` seconds passed."""
    waiting = [group for group in groups if group_exists(group)]
    deadline = time.monotonic() + timeout
    while waiting and time.monotonic() < deadline:
        # Where process 1 does not reap, zombies stay; they count as gone.
        living = {process.group for process in everyone()} or set(waiting)
        waiting = [group for group in waiting if group in living and group_exists(group)]
        if waiting:
            time.sleep(0.005)


def wait_for_child(pid: int, timeout: float) -> bool:
    """Reap a child; False when it still runs after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:  # somebody else in the launcher waits for all children
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.2, 0.02)
