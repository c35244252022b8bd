"""HTTP/1.1 as cheap as Python can: one thread, connections that stay, answers written at once.

A handler gets a `Request` and returns an `Answer`, or a coroutine that returns one, or a `Stream`, which
writes on for as long as it likes. Requests of one connection are answered in their order.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote

_MOST_UNSENT = 64 * 2**20
"""Bytes that may wait for a reader; one that is slower loses its connection."""


class Request(NamedTuple):
    """What a client asks.

    Attributes:
        method: such as ``GET``.
        path: decoded.
        query: parameters; of those given twice the last.
        headers: by name in lower case.
        body: as it came.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def flag(self, name: str) -> bool:
        """Return a parameter that is ``true`` or ``1``."""
        return self.query.get(name, "") in ("true", "1")


class Answer(NamedTuple):
    """What it is told, at once."""

    code: int
    body: bytes
    type: str = "application/json"
    headers: dict[str, str] = {}

    @classmethod
    def of(cls, value: Any, code: int = 200, headers: dict[str, str] | None = None) -> Answer:
        """Return an answer with a value as JSON."""
        text = json.dumps(value, separators=(",", ":")).encode()
        return cls(code, text, headers=headers or {})


class Out(Protocol):
    """Where an answer in pieces goes."""

    def write(self, piece: bytes) -> None:
        """Send a piece."""

    def end(self) -> None:
        """End the answer in order."""

    def cut(self) -> None:
        """Break the connection, in the middle of the answer."""


class Stream(Protocol):
    """An answer that comes in pieces.

    Attributes:
        type: media type.
    """

    type: str

    def start(self, out: Out) -> None:
        """Begin to write."""

    def stop(self) -> None:
        """The client is gone, or the answer at its end: release what is held."""


Reply = Answer | Stream
Handler = Callable[[Request], "Reply | Awaitable[Reply]"]


class Connection(asyncio.Protocol):
    """A connection of a client.

    Args:
        handle: answers requests.
        everyone: the set of all connections, for who wants to cut them.
    """

    def __init__(self, handle: Handler, everyone: set[Connection]) -> None:
        self._handle, self._everyone = handle, everyone
        self._unread = bytearray()
        self._transport: asyncio.Transport
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._stays = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._everyone.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._everyone.discard(self)
        self._stop_stream()
        if self._task:
            self._task.cancel()

    def cut(self) -> None:
        """Break the connection in the middle of whatever it is in."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._is_busy() and (request := self._next()) is not None:
            self._answer(request)

    def _is_busy(self) -> bool:
        return self._task is not None or self._stream is not None or self._transport.is_closing()

    def _next(self) -> Request | None:
        """Take a request off what has come, if it is there as a whole."""
        end = self._unread.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._unread[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if "transfer-encoding" in headers:
            raise ValueError("a body in chunks, which no client of the tests sends")
        after = end + 4 + int(headers.get("content-length", "0"))
        if len(self._unread) < after:
            return None
        body = bytes(self._unread[end + 4 : after])
        del self._unread[:after]
        method, target, protocol = first.split(" ", 2)
        path, _, query = target.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        self._stays = headers.get("connection", "").lower() != "close" and protocol != "HTTP/1.0"
        return Request(method, unquote(path), parameters, headers, body)

    def _answer(self, request: Request) -> None:
        try:
            reply = self._handle(request)
        except Exception:
            reply = _own_fault()
        if isinstance(reply, Answer):
            self._write(reply)
        elif isinstance(reply, Awaitable):
            self._task = asyncio.get_running_loop().create_task(self._later(reply))
        else:
            self._begin(reply)

    async def _later(self, coming: Awaitable[Reply]) -> None:
        try:
            reply = await coming
        except Exception:
            reply = _own_fault()
        self._task = None
        if self._transport.is_closing():
            return
        if isinstance(reply, Answer):
            self._write(reply)
        else:
            self._begin(reply)
        self._go_on()

    def _write(self, answer: Answer) -> None:
        head = [
            f"HTTP/1.1 {answer.code} {_phrase(answer.code)}\r\n",
            f"Content-Type: {answer.type}\r\nContent-Length: {len(answer.body)}\r\n",
        ]
        head += [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
        if not self._stays:
            head.append("Connection: close\r\n")
        self._transport.write("".join([*head, "\r\n"]).encode("latin-1") + answer.body)
        if not self._stays:
            self._transport.close()

    def _begin(self, stream: Stream) -> None:
        self._transport.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: {stream.type}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        self._stream = stream
        stream.start(self)

    def write(self, piece: bytes) -> None:
        """Send a piece of an answer that comes in pieces."""
        if self._transport.is_closing() or not piece:
            return
        self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self.cut()

    def end(self) -> None:
        """End an answer that comes in pieces."""
        if self._stream is None:
            return
        self._stop_stream()
        if not self._transport.is_closing():
            self._transport.write(b"0\r\n\r\n")
            if not self._stays:
                self._transport.close()
            self._go_on()

    def _stop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()


class Listener:
    """A port, which can be closed and opened again with all its connections.

    Args:
        port: on the loopback interface.
        handle: answers requests.
    """

    def __init__(self, port: int, handle: Handler) -> None:
        self._port, self._handle = port, handle
        self.connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._handle, self.connections),
            "127.0.0.1",
            self._port,
            backlog=1024,
        )

    def close(self) -> None:
        """Listen no more, and cut all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            connection.cut()


def _own_fault() -> Answer:
    """Return what is answered when this program has a fault, and write it down."""
    traceback.print_exc(file=sys.stderr)
    return Answer(500, b"the test server has a fault; see its log", "text/plain")


def _phrase(code: int) -> str:
    return HTTPStatus(code).phrase
