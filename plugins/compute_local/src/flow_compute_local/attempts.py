"""The attempts that a server runs, and the verdict on how each one's process ended."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from typing import Any

from flow_compute_local.protocol import Ending
from flow_compute_local.sheets import Sheet

PATIENCE = 0.25
"""Seconds that children of a task get to end by themselves after it: helpers of `multiprocessing`
end when they notice that their task is gone."""


class ServedAttempt:
    """One attempt in the server, from its fork until nothing is left of it."""

    __slots__ = (
        "begin",
        "cancelled",
        "ended",
        "kill_at",
        "left",
        "logs",
        "mark",
        "number",
        "pid",
        "seen",
        "sheets",
        "title",
    )

    def __init__(self, number: int, mark: str, title: str, logs: tuple[str, str]) -> None:
        self.number = number
        self.mark = mark
        self.title = title
        self.logs = logs
        self.pid = 0
        self.begin: int | None = None  # where it tells that the body begins
        self.cancelled = False
        self.kill_at: float | None = None
        self.ended: Ending | None = None
        self.left: dict[int, str] = {}
        self.seen = 0
        self.sheets: list[Sheet] = []

    def show_logs(self) -> None:
        """Give the logs their names, as far as there is something in them.

        Raises:
            OSError: the file system refuses; what was written is lost with the sheets.
        """
        for sheet in self.sheets:
            sheet.show()

    def grew(self) -> bool:
        """Whether the logs are longer than at the last call."""
        with contextlib.suppress(OSError):  # it is tried again, and told of, at the end
            self.show_logs()
        size = sum(log_sizes(self.logs))
        grew, self.seen = size > self.seen, size
        return grew

    def notes(self) -> list[str]:
        """Return what a person should know: which processes had to be ended after the task."""
        if self.cancelled or not self.left:
            return []
        many = len(self.left) > 1
        count = f"{len(self.left)} child {'processes were' if many else 'process was'} left behind"
        names = ", ".join(self.left.values())
        return [f"{count} and {'were' if many else 'was'} ended: {names}"]


def log_sizes(logs: tuple[str, str]) -> list[int]:
    """Return the sizes of two files; 0 for one that is missing."""
    sizes = []
    for path in logs:
        try:
            sizes.append(os.stat(path).st_size)
        except OSError:
            sizes.append(0)
    return sizes


class OomWatch:
    """Notices that the kernel killed something for want of memory.

    The counters cover the machine or the container, so only what happened within the last seconds
    counts, and only where a process was killed at that time.
    """

    def __init__(self) -> None:
        self._older = self._newer = read_oom_count()

    def tick(self) -> None:
        """Take a new sample. Call it now and then: it moves what counts as "before"."""
        self._older, self._newer = self._newer, read_oom_count()

    def happened(self) -> bool:
        """Whether there was such a kill since the last sample but one."""
        return read_oom_count() > self._older


def read_oom_count() -> int:
    """Return how many processes the kernel killed so far for want of memory."""
    count = _field("/proc/vmstat", b"oom_kill")
    folders = _memory_folders()
    return count + sum(
        _field(f"{folder}/{name}", b"oom_kill")
        for folder in folders
        for name in ("memory.events", "memory.oom_control")
    )


def used_up(peak: int) -> bool:
    """Whether ``peak``, in bytes, is nearly all the memory that a process can have here.

    A process that is killed then was killed for it, even where no counter tells: by a daemon that
    watches the memory, or from outside of the container.
    """
    limit = memory_limit()
    return limit is not None and peak >= _NEARLY_ALL * limit


_NEARLY_ALL = 0.9


def memory_limit() -> int | None:
    """Return the bytes of memory of this machine or container; None when that is not known."""
    limits = [_field("/proc/meminfo", b"MemTotal:") * 1024]
    for folder in _memory_folders():
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError), open(f"{folder}/{name}", "rb") as file:
                limits.append(int(file.read()))  # "max" is no number
    return min(filter(None, limits), default=None)


@functools.cache
def _memory_folders() -> tuple[str, ...]:
    """Return where the kernel tells of the memory of this process's control group."""
    root = "/sys/fs/cgroup"
    folders = [root, f"{root}/memory"]
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if not controllers:
                folders.append(root + path)
            elif "memory" in controllers.split(","):
                folders.append(f"{root}/memory{path}")
    return tuple(dict.fromkeys(folder.rstrip("/") for folder in folders))


def _field(path: str, name: bytes) -> int:
    try:
        with open(path, "rb") as file:
            for line in file:
                key, _, value = line.partition(b" ")
                if key == name:
                    return int(value.split()[0])
    except OSError:
        pass
    return 0


def judge(status: int, usage: Any, *, cancelled: bool, out_of_memory: bool) -> Ending:
    """Turn what ``wait4`` tells into an `Ending`."""
    code = os.waitstatus_to_exitcode(status)
    killer = -code if code < 0 else None
    cause, message = _explain(code, cancelled=cancelled, out_of_memory=out_of_memory)
    return Ending(
        code=code if code >= 0 else None,
        signal=killer,
        cause=cause,
        message=message,
        at=time.time(),
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory=peak_memory(usage),
    )


def peak_memory(usage: Any) -> int:
    """Return the bytes of memory that a process has had at most, as ``wait4`` tells."""
    return int(usage.ru_maxrss * _MAXRSS_UNIT)


_MAXRSS_UNIT = 1 if os.uname().sysname == "Darwin" else 1024


def _explain(code: int, *, cancelled: bool, out_of_memory: bool) -> tuple[str, str]:
    if cancelled:
        return "cancelled", "the task was cancelled"
    if code >= 0:
        return "exit", (
            f"the process ended by itself with exit status {code} before the step was finished"
            " (os._exit, or a crash of the interpreter)"
        )
    if -code == signal.SIGKILL and out_of_memory:
        return "out-of-memory", "killed for want of memory (SIGKILL)"
    return "killed", f"killed by {signal_name(-code)}{_HINTS.get(-code, '')}"


_CRASH = ": the process crashed, often in C code"
_HINTS = {
    int(number): _CRASH
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT)
}


def signal_name(number: int) -> str:
    """Return ``SIGTERM`` for 15."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
