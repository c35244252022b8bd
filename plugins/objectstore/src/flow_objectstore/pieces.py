"""Content on its way to a store: cut into parts, or waiting until its key is known."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.api import Buffer

PIECE = 8 << 20
"""Bytes of a piece of a large object, and most of an object that is sent or fetched as a whole."""
_SAME = 1000
"""Parts after which they become twice as large: services take 10,000, and objects of 5 TiB."""


def part_size(number: int) -> int:
    """Return how many bytes part ``number`` (from 0) of an upload has, but for the last one."""
    return PIECE << (number // _SAME)


def flat(content: Buffer) -> bytes | bytearray | memoryview:
    """Return ``content`` as something whose ``len`` is its number of bytes."""
    if not isinstance(content, memoryview):
        return content
    return content.cast("B") if content.c_contiguous else content.tobytes()


def taken(content: Buffer) -> bytes:
    """Return ``content`` as bytes that nobody changes; a copy only if it must."""
    return content if type(content) is bytes else bytes(flat(content))


def parts_of(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    """Cut ``chunks`` into parts of the sizes of `part_size`; at least one, which may be empty."""
    number, gathered = 0, bytearray()
    for chunk in chunks:
        rest = memoryview(flat(chunk))
        while len(gathered) + len(rest) >= (size := part_size(number)):
            wanted = size - len(gathered)
            yield bytes(gathered + rest[:wanted]) if gathered else bytes(rest[:wanted])
            gathered.clear()
            rest = rest[wanted:]
            number += 1
        gathered += rest
    if gathered or not number:
        yield bytes(gathered)


class Spool:
    """Content whose key is not known yet: in memory while it is small, then in a temporary file."""

    def __init__(self) -> None:
        self.size = 0
        self._content = bytearray()
        self._file: int | None = None

    def add(self, chunk: Buffer) -> None:
        """Append ``chunk``."""
        piece = flat(chunk)
        self.size += len(piece)
        self._content += piece
        if len(self._content) > PIECE:
            self._flush()

    def parts(self) -> Iterator[bytes]:
        """Yield all of it, cut as `parts_of` does."""
        if self._file is None:
            return parts_of([self._content])
        self._flush()
        return parts_of(self._read(self._file))

    def close(self) -> None:
        """Remove the file, if there is one."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _flush(self) -> None:
        if self._file is None:
            self._file, path = tempfile.mkstemp(prefix="flow-")
            os.unlink(path)  # what is open stays, and goes with this process
        rest = memoryview(self._content)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        rest.release()
        self._content = bytearray()

    def _read(self, file: int) -> Iterator[bytes]:
        os.lseek(file, 0, os.SEEK_SET)
        while piece := os.read(file, PIECE):
            yield piece
