"""What a task writes, on its machine: passed on, kept within bounds, and put into the store.

While the task runs, pieces go into the store now and then, so that people elsewhere can watch it; at
its end the whole logs do, as for any task (`flow_core.live_logs`, `flow_core.logs`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from flow_core.api import (
    LogRecord,
    Store,
    StoreError,
    encode_piece,
    encode_times,
    joined_logs,
    piece_key,
    times_key,
)

STREAMS = ("stdout", "stderr")
CHUNK = 1 << 16
MEGABYTE = 1_000_000
_JOINED = MEGABYTE  # bytes of both logs up to which they go into one object
_MOST_TIMES = 2000
_FIRST_PIECE = 0.3  # seconds between the first output and the first piece
_LONGEST = 10.0  # seconds between pieces, in the end
_SHORTEST = 1.0
_GROWTH = 1.3
MORE = b"\n[flow: this task writes more than is shown; --max-log-size raises the limit]\n"
"""What is shown instead of the rest."""


class KeptLog:
    """One stream of a task: its first and last bytes, up to a limit, and when they came.

    Args:
        limit: bytes that are kept.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._times: list[tuple[int, float]] = []
        self.size = 0

    def add(self, data: bytes, at: float) -> None:
        """Keep what the task wrote."""
        self.size += len(data)
        self._times.append((self.size, at))
        if len(self._times) > _MOST_TIMES:
            del self._times[-2::-2]  # every other one, never the last
        room = 2 * self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._half + CHUNK:
            del self._tail[: -self._half]

    @property
    def is_cut(self) -> bool:
        """Whether something is left out."""
        return self.size > 2 * self._half

    @property
    def times(self) -> list[tuple[int, float]]:
        """When the log had how many bytes; nothing where it is cut, since they would mislead."""
        return [] if self.is_cut else self._times

    def content(self) -> bytes:
        """Return what is kept; a line says what is left out."""
        if not self.is_cut:
            return bytes(self._head)
        left_out = (self.size - 2 * self._half) / MEGABYTE
        note = f"[flow: {left_out:.1f} MB of output left out here; --max-log-size raises the limit]"
        last = (self._head[self._half :] + self._tail)[-self._half :]
        return b"\n".join((bytes(self._head[: self._half]), note.encode(), bytes(last)))


class Output:
    """Both streams of a task.

    Args:
        store: where they go.
        prefix: the `attempt_prefix`.
        limit: bytes that are kept of each, and shown of both while the task runs.
        patiently: calls a function that writes to the store, again and again for a while where the
            store does not answer.
    """

    def __init__(
        self,
        store: Store,
        prefix: str,
        limit: int,
        patiently: Callable[[Callable[[], object]], object],
    ) -> None:
        self.store = store
        self._prefix = prefix
        self._patiently = patiently
        self._logs = {stream: KeptLog(limit) for stream in STREAMS}
        self._fresh: list[LogRecord] = []
        self._left = limit  # bytes that may still go into pieces
        self._pieces = 0
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._readers: list[threading.Thread] = []
        self._writer = threading.Thread(target=self._write_pieces, name="flow-pieces", daemon=True)

    def follow(self, descriptors: Sequence[int], begin: int | None = None) -> None:
        """Read the streams of the task until they end, and pass them on to those of this process.

        Args:
            descriptors: where stdout and stderr of the task are read.
            begin: where the begin of the body is told (`flow_core.api.tell_begin`); None = nowhere.
        """
        for number, (stream, descriptor) in enumerate(zip(STREAMS, descriptors, strict=True), 1):
            self._start(self._read, stream, descriptor, number)
        if begin is not None:
            self._start(self._await_begin, begin)
        self._writer.start()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._readers.append(thread)
        thread.start()

    def _read(self, stream: str, descriptor: int, own: int) -> None:
        while data := os.read(descriptor, CHUNK):
            self.write(stream, data)
            _pass_on(own, data)
        os.close(descriptor)

    def _await_begin(self, descriptor: int) -> None:
        if os.read(descriptor, 1):
            with self._lock:
                self._fresh.append(LogRecord("begin", time.time()))
            self._news.set()
        os.close(descriptor)

    def write(self, stream: str, data: bytes) -> None:
        """Take what the task wrote, or what is to be said to its people."""
        at = time.time()
        with self._lock:
            self._logs[stream].add(data, at)
            if self._left > 0:
                self._fresh.append(LogRecord(stream, at, data[: self._left]))
                self._left -= len(data)
                if self._left <= 0:
                    self._fresh.append(LogRecord("stderr", at, MORE))
        self._news.set()

    @property
    def written(self) -> tuple[int, int]:
        """How many bytes came from stdout and from stderr."""
        return self._logs["stdout"].size, self._logs["stderr"].size

    # --- pieces -----------------------------------------------------------------------------------

    def _write_pieces(self) -> None:
        pause = _SHORTEST
        wait = _FIRST_PIECE
        while not self._ended.is_set():
            self._news.wait()
            if self._ended.wait(wait):
                return
            self._news.clear()
            try:
                self._write_piece()
            except StoreError:  # what is not shown now comes with the next piece, or at the end
                pause = _LONGEST
            wait = pause
            pause = min(pause * _GROWTH, _LONGEST)

    def _write_piece(self) -> None:
        with self._lock:
            records = _merged(self._fresh)
            count = len(self._fresh)
        if records:
            key = piece_key(self._prefix, self._pieces)
            self.store.write([(key, encode_piece(records))])
            self._pieces += 1
            with self._lock:
                del self._fresh[:count]

    # --- the end ----------------------------------------------------------------------------------

    def finish(self, patience: float) -> None:
        """Write the whole logs, once the task has ended.

        Args:
            patience: seconds that processes which it left behind, and which still hold its streams,
                may keep them open.
        """
        deadline = time.monotonic() + patience
        for reader in self._readers:
            reader.join(max(0.0, deadline - time.monotonic()))
        self._ended.set()
        self._news.set()
        if self._writer.is_alive():
            self._writer.join()
        with self._lock:
            objects = list(self._objects())
        if objects:
            self._patiently(lambda: self.store.write(objects))

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        size = sum(log.size for log in self._logs.values())
        if not size:
            return
        if size <= _JOINED and not any(log.is_cut for log in self._logs.values()):
            logs = {stream: (log.content(), log.times) for stream, log in self._logs.items()}
            yield joined_logs(self._prefix, logs)
            return
        for stream, log in self._logs.items():
            if log.size:
                yield self._prefix + stream, log.content()
            if log.times:
                yield times_key(self._prefix + stream), encode_times(log.times)

    def clear_pieces(self) -> None:
        """Delete the pieces: the whole logs are in the store."""
        if self._pieces:
            keys = [piece_key(self._prefix, number) for number in range(self._pieces)]
            self.store.delete(keys)


def _merged(records: Sequence[LogRecord]) -> list[LogRecord]:
    """Put together what follows each other in one stream: few records are quick to read."""
    found: list[tuple[str, float, list[bytes]]] = []
    for kind, at, data in records:
        if found and found[-1][0] == kind:
            found[-1][2].append(data)
        else:
            found.append((kind, at, [data]))
    return [LogRecord(kind, at, b"".join(parts)) for kind, at, parts in found]


def _pass_on(own: int, data: bytes) -> None:
    """Write to a stream of this process, for those who look at the job's own log."""
    with suppress(OSError):  # nobody listens any more, or its disk is full: the store has it
        while data:
            data = data[os.write(own, data) :]
