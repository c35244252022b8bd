"""What a task on another machine has written so far: pieces of its logs in the store, while it runs.

A task that writes where its launcher cannot look puts a *piece* into the store now and then: object
``live/0``, ``live/1``, … below its `attempt_prefix`. A piece is a list of records: a head of 13 bytes
(big-endian: what it is, 1 byte; when, seconds since the epoch, 8 bytes; length, 4 bytes) and so many
bytes. When the task has ended, its whole logs are written, and the pieces are deleted; of one that was
killed they are all there is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flow_core.errors import IntegrityError

_HEAD = struct.Struct(">BdI")
_KINDS = ("begin", "stdout", "stderr")


class LogRecord(NamedTuple):
    """A part of a piece.

    Attributes:
        kind: ``stdout`` or ``stderr``: the task has written ``data``; ``begin``: the body of the step
            begins.
        at: seconds since the epoch, by the clock of the task's machine.
        data: what was written.

    Since 0.1.
    """

    kind: str
    at: float
    data: bytes = b""


def pieces_prefix(prefix: str) -> str:
    """Return below what all pieces lie. Since 0.1."""
    return f"{prefix}live/"


def piece_key(prefix: str, number: int) -> str:
    """Return the key of a piece, from 0; ``prefix`` is an `attempt_prefix`. Since 0.1."""
    return f"{pieces_prefix(prefix)}{number}"


def encode_piece(records: Iterable[LogRecord]) -> bytes:
    """Return the stored form of records. Since 0.1."""
    parts: list[bytes] = []
    for kind, at, data in records:
        parts += [_HEAD.pack(_KINDS.index(kind), at, len(data)), data]
    return b"".join(parts)


def decode_piece(content: bytes, key: str) -> Iterator[LogRecord]:
    """Undo `encode_piece`; ``key`` names the place in errors.

    Raises:
        IntegrityError: it is no piece.

    Since 0.1.
    """
    position = 0
    while position < len(content):
        try:
            kind, at, length = _HEAD.unpack_from(content, position)
            name = _KINDS[kind]
        except (struct.error, IndexError):
            raise _damaged(key) from None
        position += _HEAD.size
        data = content[position : position + length]
        if len(data) < length:
            raise _damaged(key)
        position += length
        yield LogRecord(name, at, data)


def _damaged(key: str) -> IntegrityError:
    return IntegrityError("A piece of a log in the store is damaged", where=key)
