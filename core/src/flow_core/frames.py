"""The stored form of large content that shrinks: zstd frames of bounded size, one after the other.

Each frame holds up to 8 MiB of the content, and a *skippable* frame of 8 bytes stands before it:
the length of the frame, and of what it holds (u32 each). At the end stands one of 16 bytes: the
length of all before it, and of the content (u64 each). Numbers are little-endian. So several frames
are made, and read, at the same time with bounded memory; what was cut off is seen at the end; and
``zstd -d`` reads the whole as it is.

A damaged head may claim any length: nothing is allocated that is longer than a frame may be.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from flow_core.interfaces import Buffer

FRAME = 8 << 20
"""Bytes of content in one frame, at most."""
TAIL_SIZE = 24
_HEAD = struct.Struct("<IIII")
_TAIL = struct.Struct("<IIQQ")
_HEAD_MAGIC, _TAIL_MAGIC = 0x184D2A50, 0x184D2A51
MAGIC = struct.pack("<II", _HEAD_MAGIC, 8)
"""The first bytes of this form; no other content that is stored begins with them."""
_LONGEST = FRAME + (FRAME >> 8) + 1024  # what zstd makes of content that does not shrink
_MOST_THREADS = 4
_LEVEL = 1
"""Of zstd. Level 3 makes hardly less of it (of integers 17 % both, of floats 94 % both, of a table as text
32 % where level 1 makes 30 %), in two to four times the CPU time, for which the network would wait."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class DamagedFrames(Exception):
    """The bytes are no such frames, or not all of them. Never shown: who reads says what is damaged."""


def compress_frames(content: Iterable[Buffer], threads: int | None = None) -> Iterator[bytes]:
    """Yield the stored form of ``content``, in pieces.

    Args:
        content: pieces of any sizes; each is used until two further ones per thread are taken.
        threads: how many compress at the same time; None = as many as there are processors, up to 4.

    Since 0.1.
    """
    stored = total = 0
    for length, frame in _in_order(_compress, _of_frame_size(content), threads):
        head = _HEAD.pack(_HEAD_MAGIC, 8, len(frame), length)
        stored += len(head) + len(frame)
        total += length
        yield head
        yield frame
    yield _TAIL.pack(_TAIL_MAGIC, 16, stored, total)


def decompress(stored: Iterable[Buffer], threads: int | None = None) -> Iterator[bytes]:
    """Yield the content of what `compress_frames` has made; pieces may be of any sizes.

    Raises:
        DamagedFrames: it is nothing of that kind, or a part is missing. What was yielded before may
            be damaged too: only its hash tells.

    Since 0.1.
    """
    return _in_order(_decompress, _frames(_Pieces(stored)), threads)


def tail_of(stored: bytes) -> tuple[int, int] | None:
    """Return the lengths of all before the tail, and of the content, that the last `TAIL_SIZE` bytes
    of a stored form tell; None when they are no such tail. Since 0.1."""
    if len(stored) != TAIL_SIZE:
        return None
    magic, length, before, total = _TAIL.unpack(stored)
    return (before, total) if (magic, length) == (_TAIL_MAGIC, 16) else None


def _compress(content: Buffer) -> tuple[int, bytes]:
    import zstandard

    # One for each frame: a compressor must not be used by two threads at once.
    frame = zstandard.ZstdCompressor(level=_LEVEL).compress(content)
    return memoryview(content).nbytes, frame


def _decompress(item: tuple[int, bytes]) -> bytes:
    import zstandard

    length, frame = item
    try:
        if zstandard.frame_content_size(frame) != length:
            raise DamagedFrames("a frame holds something else than its head says")
        content: bytes = zstandard.ZstdDecompressor().decompress(frame, max_output_size=length)
    except zstandard.ZstdError as error:
        raise DamagedFrames(str(error)) from None
    if len(content) != length:
        raise DamagedFrames("a frame is shorter than its head says")
    return content


def _of_frame_size(content: Iterable[Buffer]) -> Iterator[Buffer]:
    """Yield pieces of at most `FRAME` bytes: large ones as they are, small ones put together."""
    waiting: list[Buffer] = []
    size = 0
    for piece in content:
        view = memoryview(piece)
        for start in range(0, view.nbytes, FRAME):
            part = view[start : start + FRAME]
            if size and size + part.nbytes > FRAME:
                yield waiting[0] if len(waiting) == 1 else b"".join(waiting)
                waiting, size = [], 0
            waiting.append(part)
            size += part.nbytes
    if waiting:
        yield waiting[0] if len(waiting) == 1 else b"".join(waiting)


def _frames(pieces: _Pieces) -> Iterator[tuple[int, bytes]]:
    """Yield the length of the content of each frame, and the frame; check the tail."""
    stored = total = 0
    while True:
        head = pieces.take(_HEAD.size)
        magic, _, first, second = _HEAD.unpack(head)
        if magic == _TAIL_MAGIC:
            tail = tail_of(head + pieces.take(TAIL_SIZE - _HEAD.size))
            if tail != (stored, total) or not pieces.at_end():
                raise DamagedFrames("the tail does not fit")
            return
        if magic != _HEAD_MAGIC or first > _LONGEST or not 0 < second <= FRAME:
            raise DamagedFrames("a head is damaged")
        yield second, pieces.take(first)
        stored += _HEAD.size + first
        total += second


class _Pieces:
    """Bytes that come in pieces, taken in other ones."""

    def __init__(self, pieces: Iterable[Buffer]) -> None:
        self._pieces = iter(pieces)
        self._left = memoryview(b"")

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, as a copy: a store may use its pieces again."""
        taken = bytearray()
        while len(taken) < size:
            if not self._left and not self._more():
                raise DamagedFrames("the end is missing")
            part = self._left[: size - len(taken)]
            taken += part
            self._left = self._left[len(part) :]
        return bytes(taken)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self._left and not self._more()

    def _more(self) -> bool:
        for piece in self._pieces:
            self._left = memoryview(piece)
            if self._left:
                return True
        return False


def _in_order(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int | None
) -> Iterator[Result]:
    """Yield ``function(item)`` in order, computed by threads; few items are on their way at a time."""
    from concurrent.futures import Future, ThreadPoolExecutor

    workers = threads or min(_MOST_THREADS, _processors())
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, "flow-frames") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
