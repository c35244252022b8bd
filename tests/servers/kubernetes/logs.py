"""What a container has written, with the time of each line; read while it still writes."""

from __future__ import annotations

import asyncio
import bisect
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from servers.kubernetes.clock import fine_timestamp, seconds_of
from servers.kubernetes.http import Out

_PIECE = 256 * 1024


class Log:
    """The log of one run of a container.

    Args:
        path: of the file that keeps it.
        clock: returns the time that is written beside what comes now.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._file: int | None = None
        self.size = 0
        self.is_complete = False
        self._starts: list[int] = []
        self._times: list[float] = []
        self._followers: list[Callable[[], None]] = []

    def write(self, data: bytes) -> None:
        """Add what the container has written."""
        if not data:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._starts.append(self.size)
        self._times.append(self._clock())
        os.write(self._file, data)
        self.size += len(data)
        self._wake()

    def complete(self) -> None:
        """Nothing comes any more."""
        self.is_complete = True
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._wake()

    def move(self, path: Path) -> None:
        """Keep it in another file from now on."""
        if self._path.exists():
            os.replace(self._path, path)
        self._path = path

    def read(self, start: int, size: int) -> bytes:
        """Return what is at a place."""
        try:
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return b""  # nothing was written, or the pod is gone
        try:
            return os.pread(file, size, start)
        finally:
            os.close(file)

    def lines(self, start: int, *, partial: bool = True) -> Iterator[tuple[int, bytes]]:
        """Return the lines from a place on, with their places; the last may have no end."""
        rest, place = b"", start
        while piece := self.read(start, _PIECE):
            start += len(piece)
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield place, line + b"\n"
                place += len(line) + 1
        if rest and partial:
            yield place, rest

    def time_of(self, place: int) -> float:
        """Return when what is at a place was written."""
        index = bisect.bisect_right(self._starts, place) - 1
        return self._times[max(index, 0)] if self._times else self._clock()

    def start_of_last(self, count: int) -> int:
        """Return the place where the last lines begin."""
        if count <= 0:
            return self.size
        end, found = self.size, -1 if self._ends_with_line() else 0
        while end > 0:
            start = max(0, end - _PIECE)
            piece = self.read(start, end - start)
            at = len(piece)
            while (at := piece.rfind(b"\n", 0, at)) >= 0:
                found += 1
                if found == count:
                    return start + at + 1
            end = start
        return 0

    def start_since(self, moment: float) -> int:
        """Return the place of what was written at a time or later."""
        index = bisect.bisect_left(self._times, moment)
        return self._starts[index] if index < len(self._starts) else self.size

    def tail(self, size: int, lines: int) -> str:
        """Return the end, as a text."""
        start = max(self.start_of_last(lines), self.size - size)
        return self.read(start, size).decode(errors="replace")

    def follow(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Call a function whenever there is more; return what ends that."""
        self._followers.append(wake)
        return lambda: self._followers.remove(wake)

    async def read_by_all(self, seconds: float) -> None:
        """Wait until all who follow it have read it to its end, but not longer than some seconds."""
        end = time.monotonic() + seconds
        while self._followers and time.monotonic() < end:
            await asyncio.sleep(0.05)

    def _ends_with_line(self) -> bool:
        return self.size > 0 and self.read(self.size - 1, 1) == b"\n"

    def _wake(self) -> None:
        for follower in list(self._followers):
            follower()


class LogStream:
    """A log on its way to a client.

    Args:
        log: what is read.
        query: of the request: ``follow``, ``tailLines``, ``sinceSeconds``, ``timestamps``, …
    """

    type = "text/plain"

    def __init__(self, log: Log, query: dict[str, str]) -> None:
        self._log = log
        self._place = _first_place(log, query)
        self._left = int(query["limitBytes"]) if query.get("limitBytes") else None
        self._with_times = query.get("timestamps") in ("true", "1")
        self._follows = query.get("follow") in ("true", "1")
        self._unfollow: Callable[[], None] = lambda: None
        self._is_waiting = self._is_stopped = False

    def start(self, out: Out) -> None:
        self._out = out
        if self._follows:
            self._unfollow = self._log.follow(self._wake)
        self._go_on()

    def stop(self) -> None:
        self._is_stopped = True
        self._unfollow()

    def read_all(self, write: Callable[[bytes], None]) -> None:
        """Write all that there is now."""
        while (self._left is None or self._left > 0) and (piece := self._limited()):
            write(piece)

    def _wake(self) -> None:
        """Write on, but not for each line that a busy container writes."""
        if not self._is_waiting:
            self._is_waiting = True
            asyncio.get_running_loop().call_later(0.02, self._go_on)

    def _go_on(self) -> None:
        self._is_waiting = False
        if self._is_stopped:  # its connection may be at the next answer already
            return
        piece = self._limited()
        if piece:
            self._out.write(piece)
        if self._left == 0 or (self._is_over() and (self._place >= self._log.size or not piece)):
            self._out.end()
        elif self._place < self._log.size and piece:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _limited(self) -> bytes:
        piece = self._next()
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece

    def _is_over(self) -> bool:
        return self._log.is_complete or not self._follows

    def _next(self) -> bytes:
        if not self._with_times:
            piece = self._log.read(self._place, _PIECE)
            self._place += len(piece)
            return piece
        told = []
        for place, line in self._log.lines(self._place, partial=self._is_over()):
            told.append(f"{fine_timestamp(self._log.time_of(place))} ".encode() + line)
            self._place = place + len(line)
        return b"".join(told)


def _first_place(log: Log, query: dict[str, str]) -> int:
    place = 0
    if query.get("tailLines"):
        place = log.start_of_last(int(query["tailLines"]))
    if query.get("sinceSeconds"):
        place = max(place, log.start_since(time.time() - float(query["sinceSeconds"])))
    if query.get("sinceTime"):
        place = max(place, log.start_since(seconds_of(query["sinceTime"])))
    return place
