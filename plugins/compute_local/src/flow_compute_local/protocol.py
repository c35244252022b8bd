"""Messages between the launcher and a server of tasks: JSON lists, each behind its length.

Launcher to server:

* ``["hello", document, interactive, fork]``: first message to a server that was spawned.
* ``["run", document]``: the text of the ``run.json`` of the run that all attempts belong to.
* ``["launch", number, order]``: start an attempt; see `Order`.
* ``["cancel", [number, …], grace]``

Server to launcher:

* ``["ready", notice]``: a spawned server has rebuilt the session.
* ``["broken", what, text]``: it could not; the text of the error, and its first sentence.
* ``["started", number, pid, at]``
* ``["begun", number, at]``: the body begins; only of attempts that are timed.
* ``["grown", [number, …]]``: these attempts wrote something; only sent when output is watched.
* ``["exited", number, ending]``: ``ending`` are the fields of `Ending`, in order.

JSON and not pickle, since the two sides may be different versions of Python.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict

_LENGTH = struct.Struct(">I")
_JSON = json.JSONEncoder(separators=(",", ":"))  # made once: `json.dumps` would make one each time


class Order(TypedDict):
    """What a server must be told of one attempt.

    ``task`` is the JSON form of the `TaskSpec`, ``name`` its pathspec with the attempt, ``mark``
    what its processes are known by, ``stdout`` and ``stderr`` the files for its output,
    ``runtime`` as in the `TaskCommand`, ``fresh`` whether it needs an interpreter of its own, ``timed`` whether it is told when its body begins,
    ``manifest`` the file that gets a copy of what it has committed, or None.
    """

    task: dict[str, Any]
    name: str
    mark: str
    variables: dict[str, str]
    folder: str | None
    stdout: str
    stderr: str
    runtime: str | None
    fresh: bool
    timed: bool
    manifest: str | None


class Ending(NamedTuple):
    """How the process of an attempt ended; ``written`` are the sizes of its two logs."""

    code: int | None
    signal: int | None
    cause: str
    message: str
    at: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    notes: list[str] = []  # noqa: RUF012 - a default that nobody changes
    written: list[int] = [0, 0]  # noqa: RUF012


def encode(message: list[Any]) -> bytes:
    """Return the bytes of one message."""
    body = _JSON.encode(message).encode()
    return _LENGTH.pack(len(body)) + body


def receive_one(connection: socket.socket) -> list[Any]:
    """Wait for one message and read not a byte more; `EOFError` when the other side is gone."""
    (length,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size))
    message: list[Any] = json.loads(_receive_exactly(connection, length))
    return message


def _receive_exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError("the other side of the connection is gone")
        data += part
    return data


class Decoder:
    """Puts messages together from the bytes of a stream."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """Add ``data``; yield the messages that are complete now."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            yield json.loads(buffer[start + _LENGTH.size : end])
            start = end
        del buffer[:start]
