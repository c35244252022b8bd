"""The two logs of an attempt, seen from the launcher: shown while they grow, kept within bounds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from flow_core.api import encode_times, joined_logs, times_key

STREAMS = ("stdout", "stderr")
CHUNK = 1 << 16
MEGABYTE = 1_000_000
_MOST_TIMES = 2000
_JOINED = MEGABYTE
"""Bytes of both logs up to which they go into one object, where each costs a request."""


class Log:
    """One stream of one attempt: a file that its process appends to.

    Args:
        key: where it belongs in the store.
        path: the file.
        stored: whether the file is already the store's own.
    """

    __slots__ = ("key", "path", "shown", "stored", "times")

    def __init__(self, key: str, path: str, *, stored: bool) -> None:
        self.key = key
        self.path = path
        self.stored = stored
        self.shown = 0
        self.times: list[tuple[int, float]] = []

    def size(self) -> int:
        """Return the length of the file; 0 when it does not exist."""
        try:
            return os.stat(self.path).st_size
        except OSError:
            return 0

    def read(self, offset: int, length: int = -1) -> bytes:
        """Return a part of the file; nothing when it does not exist."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                file.seek(offset)
                return file.read(length) or b""
        except FileNotFoundError:
            return b""

    def write(self, text: str) -> None:
        """Append what the process did not live to write; the disk may refuse."""
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(self.path, "ab") as file:
                file.write(text.encode())

    def news(self, limit: int) -> Iterator[bytes]:
        """Yield what came since the last call, in chunks, ``limit`` bytes at most."""
        while limit > 0 and (data := self.read(self.shown, min(CHUNK, limit))):
            self.shown += len(data)
            limit -= len(data)
            yield data

    def note(self, at: float) -> None:
        """Remember how long the log is at a time, for people who ask when a line was written."""
        size = self.size()
        if size > (self.times[-1][0] if self.times else 0):
            self.times.append((size, at))
            if len(self.times) > _MOST_TIMES:
                del self.times[-2::-2]  # every other one, never the last

    def objects(self, limit: int) -> list[tuple[str, bytes]]:
        """Return what the store lacks of the finished log, cut to ``limit`` bytes: keys, contents."""
        size = self.size()
        found = []
        if self.times and size <= limit:
            found.append((times_key(self.key), encode_times(self.times)))
        if size > limit:
            found.append((self.key, self.cut(size, limit)))
        elif size and not self.stored:
            found.append((self.key, self.read(0)))
        return found

    def close(self) -> None:
        """Remove the file, once the store has all of it; one of the store's own stays if it is not
        empty."""
        if not (self.stored and self.size()):
            self.remove()

    def cut(self, size: int, limit: int) -> bytes:
        """Return the first and the last half of what may be kept, and say what is missing."""
        half = limit // 2
        left_out = (size - 2 * half) / MEGABYTE
        note = f"[flow: {left_out:.1f} MB of output left out here; --max-log-size raises the limit]"
        return b"\n".join((self.read(0, half), note.encode(), self.read(size - half, half)))

    def remove(self) -> None:
        """Delete the file if there is one; on a read-only disk an empty one may stay."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)


def objects_of(logs: Sequence[Log], prefix: str, limit: int) -> list[tuple[str, bytes]]:
    """Return what the store lacks of the finished logs of an attempt: keys, contents.

    Args:
        logs: as `STREAMS`.
        prefix: below what they lie.
        limit: bytes of each, at most.
    """
    size = sum(log.size() for log in logs)
    if not size or size > min(limit, _JOINED) or any(log.stored for log in logs):
        return [found for log in logs for found in log.objects(limit)]
    both = zip(STREAMS, logs, strict=True)
    return [joined_logs(prefix, {stream: (log.read(0), log.times) for stream, log in both})]


class Window:
    """How much of an attempt's output may still be shown while it runs."""

    __slots__ = ("left", "told")

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.told = False

    def take(self, logs: tuple[Log, Log]) -> Iterator[tuple[str, bytes]]:
        """Yield (stream, data) that is new; once, at the limit, a line that there is more."""
        for stream, log in zip(STREAMS, logs, strict=True):
            for data in log.news(self.left):
                self.left -= len(data)
                yield stream, data
        if self.left <= 0 and not self.told and any(log.size() > log.shown for log in logs):
            self.told = True
            yield "stderr", _MORE


_MORE = b"\n[flow: this task writes more than is shown; --max-log-size raises the limit]\n"
