"""A proxy that does to requests what networks and services do on bad days: `FaultyProxy`."""

from __future__ import annotations

import http.client
import http.server
import random
import socket
import socketserver
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flow_core.errors import UsageError, did_you_mean

_ANSWERS: Mapping[str, tuple[int, str, str]] = {
    "error": (500, "InternalError", "We encountered an internal error. Please try again."),
    "slow-down": (503, "SlowDown", "Please reduce your request rate."),
    "expired": (400, "ExpiredToken", "The provided token has expired."),
    "forbidden": (403, "AccessDenied", "Access Denied"),
}

KINDS = (
    "delay",
    *_ANSWERS,
    "flip",
    "lose",
    "reset",
    "stall",
    "truncate",
)
"""All that `FaultyProxy.fail` can do."""

_PASSING = ("reset", "lose", "error", "slow-down", "truncate", "stall", "flip")

_TIMEOUT = 60.0
_NO_BODY = ("HEAD",)


class SeenRequest(NamedTuple):
    """A request that went through a `FaultyProxy`.

    Attributes:
        method: ``GET``, …
        path: as it was sent, without the query.
        query: as it was sent.
        status: of the answer that the client got; 0 = it got none.
        fault: what was done to it; ``''`` = nothing.

    Since 0.1.
    """

    method: str
    path: str
    query: str
    status: int
    fault: str

    @property
    def kind(self) -> str:
        """The method, and the names of what it asks: ``GET ?list-type&prefix``."""
        names = sorted({part.partition("=")[0] for part in self.query.split("&") if part})
        return f"{self.method} ?{'&'.join(names)}" if names else self.method


class _Answer(NamedTuple):
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class _Fault:
    """What is to happen, to what, and how often still."""

    kind: str
    method: str
    path: str
    after: int
    times: int | None
    probability: float
    seconds: float
    query: str

    def fits(self, method: str, path: str, query: str, chance: random.Random) -> bool:
        """Whether it is meant for this request; counts it."""
        if self.method not in ("*", method) or not fnmatchcase(path, self.path):
            return False
        if not fnmatchcase(query, self.query):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times == 0 or chance.random() >= self.probability:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class FaultyProxy:
    """Stands between a client and a real HTTP server, counts requests, and spoils some.

        with FaultyProxy("http://127.0.0.1:8333") as proxy:
            store = MyStore("bucket", endpoint=proxy.url)
            proxy.fail("slow-down", times=2)
            store.write([("key", b"content")])
            assert proxy.counts()["PUT"] == 3

    A request is passed on as it came, with the ``Host`` that the client signed: to a server that
    checks signatures it is the client's own. Bodies are kept in memory while they pass.

    The kinds of faults:

    ============= ================================================================================
    ``reset``     the connection is reset, and the server never hears of the request
    ``lose``      the server does what is asked, and then the connection is reset
    ``error``     the answer is 500 InternalError, and the server never hears of the request
    ``slow-down`` the same with 503 SlowDown
    ``expired``   the same with 400 ExpiredToken
    ``forbidden`` the same with 403 AccessDenied
    ``truncate``  the answer ends in the middle of its content
    ``flip``      one bit of the content is another: of the request if it has any, else of the answer
    ``stall``     the answer stops in the middle for ``seconds``; then the connection is reset
    ``delay``     the request waits ``seconds``, and is served then
    ============= ================================================================================

    Args:
        target: URL of the server, ``http://host:port``.
        seed: of chance, for faults with a probability; any number or text.
        port: where it listens; 0 = at a free one. A service that is down for a while is a proxy that
            is closed, and another one at its port.

    Attributes:
        url: where clients find the proxy.
        seen: all requests until now, in the order in which they were answered; may be cleared.
        most_at_once: how many requests were under way at the same time, at most; may be set to 0.

    Since 0.1.
    """

    def __init__(self, target: str, *, seed: int | str = 0, port: int = 0) -> None:
        parts = urlsplit(target)
        if parts.scheme != "http" or not parts.hostname:
            raise UsageError(
                f"There is no proxy for '{target}'",
                where="FaultyProxy",
                hint="give the URL of a server on this machine: http://127.0.0.1:8333",
            )
        self.seen: list[SeenRequest] = []
        self.most_at_once = 0
        self._at_once = 0
        self._target = (parts.hostname, parts.port or 80)
        self._chance = random.Random(seed)
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self, port)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def __enter__(self) -> FaultyProxy:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the proxy, with all its connections and threads. May be called again."""
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.cut()
        self._server.server_close()

    def fail(
        self,
        kind: str,
        *,
        method: str = "*",
        path: str = "*",
        query: str = "*",
        after: int = 0,
        times: int | None = 1,
        probability: float = 1.0,
        seconds: float = 0.5,
    ) -> None:
        """Spoil requests from now on. Of several faults that fit, the one that was told first counts.

        Args:
            kind: see the class.
            method: of the requests; ``*`` = any.
            path, query: patterns as of a shell, for what the client sends.
            after: how many of those that fit go through first.
            times: how many are spoilt; None = all.
            probability: with which one that fits is spoilt, from 0 to 1.
            seconds: for ``stall`` and ``delay``.

        Raises:
            UsageError: there is no such kind.
        """
        if kind not in KINDS:
            raise UsageError(
                f"A proxy cannot '{kind}'",
                where="FaultyProxy.fail",
                hint=did_you_mean(kind, KINDS) or f"one of {', '.join(KINDS)}",
            )
        fault = _Fault(kind, method, path, after, times, probability, seconds, query)
        with self._lock:
            self._faults.append(fault)

    def fail_at_random(
        self, probability: float, kinds: Sequence[str] = _PASSING, *, seconds: float = 0.1
    ) -> None:
        """Spoil requests by chance from now on.

        Args:
            probability: that a request is spoilt, from 0 to 1.
            kinds: what is done to it, each as often as the others: by default all that a client
                outlives which asks again. ``flip`` is done only to what is sent: only that has a
                checksum.
            seconds: for ``stall`` and ``delay``.
        """
        share = probability / len(kinds)
        for number, kind in enumerate(kinds):
            chance = share / (1 - number * share)  # that it is not one of those before
            method = "PUT" if kind == "flip" else "*"
            self.fail(kind, method=method, times=None, probability=chance, seconds=seconds)

    def heal(self) -> None:
        """Spoil nothing any more."""
        with self._lock:
            self._faults.clear()

    def counts(self) -> Counter[str]:
        """Count the requests until now by method."""
        with self._lock:
            return Counter(request.method for request in self.seen)

    def kinds(self) -> Counter[str]:
        """Count the requests until now by method and names in the query: `SeenRequest.kind`."""
        with self._lock:
            return Counter(request.kind for request in self.seen)

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def _choose(self, method: str, path: str, query: str) -> _Fault | None:
        with self._lock:
            fits = (f for f in self._faults if f.fits(method, path, query, self._chance))
            return next(fits, None)

    def _note(self, request: SeenRequest) -> None:
        with self._lock:
            self.seen.append(request)

    def _bit(self, content: bytes) -> bytes:
        """Return a content with one bit changed."""
        with self._lock:
            at = self._chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


class _Server(socketserver.ThreadingTCPServer):
    """Accepts connections; each has a thread."""

    allow_reuse_address = True
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, proxy: FaultyProxy, port: int) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away in the middle is what this is for."""

    def cut(self) -> None:
        """Wake the threads that wait for what clients may ask next."""
        with self._guard:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster


class _Handler(http.server.BaseHTTPRequestHandler):
    """Serves one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    raw_requestline: bytes
    _seen: SeenRequest | None = None

    def setup(self) -> None:
        super().setup()
        self._behind: http.client.HTTPConnection | None = None

    def finish(self) -> None:
        self._leave()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        # Not self.path, which the base class tidies: the signature is of what was sent.
        target = self.raw_requestline.split()[1].decode("latin-1")
        path, _, query = target.partition("?")
        body = self._body()
        fault = self.server.proxy._choose(self.command, path, query)
        self._seen = SeenRequest(self.command, path, query, 0, fault.kind if fault else "")
        try:
            with self.server.proxy._under_way():
                self._spoilt(fault, target, body) if fault else self._pass(target, body)
        except (OSError, http.client.HTTPException):
            self._tell(0)
            self.close_connection = True

    def _tell(self, status: int) -> None:
        """Count the request, once, before the client learns of its answer."""
        if self._seen is not None:
            self.server.proxy._note(self._seen._replace(status=status))
            self._seen = None

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = _serve

    def _spoilt(self, fault: _Fault, target: str, body: bytes) -> None:
        if fault.kind in _ANSWERS:
            self._send(_refusal(fault.kind))
        elif fault.kind == "reset":
            self._reset()
        elif fault.kind == "delay":
            self.server.proxy._closing.wait(fault.seconds)
            self._pass(target, body)
        elif fault.kind == "flip" and body:
            self._pass(target, self.server.proxy._bit(body))
        else:
            self._spoil_answer(fault, self._ask(target, body))

    def _spoil_answer(self, fault: _Fault, answer: _Answer) -> None:
        if fault.kind == "lose":
            self._reset()
        elif fault.kind == "flip":
            changed = self.server.proxy._bit(answer.body) if answer.body else b""
            self._send(answer._replace(body=changed))
        else:
            self._half(answer, fault)

    def _half(self, answer: _Answer, fault: _Fault) -> None:
        """Send the first half of an answer: with its promise of the whole."""
        wire = _head(answer) + answer.body
        shown = len(wire) - (len(answer.body) + 1) // 2 if answer.body else len(wire) // 2
        self._tell(answer.status if fault.kind == "truncate" else 0)
        self.connection.sendall(wire[:shown])
        if fault.kind == "stall":
            self.server.proxy._closing.wait(fault.seconds)
            self._reset()
        self.close_connection = True

    def _pass(self, target: str, body: bytes) -> None:
        self._send(self._ask(target, body))

    def _send(self, answer: _Answer) -> None:
        self._tell(answer.status)
        self.connection.sendall(_head(answer) + (b"" if self.command in _NO_BODY else answer.body))

    def _reset(self) -> None:
        self._tell(0)
        # Seconds to linger: none, so that what was not read or sent yet is thrown away.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        content = self.rfile.read(size)
        self.rfile.readline()
        return content

    def _ask(self, target: str, body: bytes) -> _Answer:
        """Let the server answer; once more if it has closed a connection that it kept open."""
        kept = self._behind is not None
        try:
            return self._ask_once(target, body)
        except (http.client.RemoteDisconnected, ConnectionError):
            self._leave()
            if not kept:
                raise
            return self._ask_once(target, body)

    def _ask_once(self, target: str, body: bytes) -> _Answer:
        if self._behind is None:
            host, port = self.server.proxy._target
            self._behind = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
        server = self._behind
        server.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
        chunked = False
        for name, value in self.headers.items():
            if name.lower() == "transfer-encoding":
                chunked = True
            elif name.lower() not in ("connection", "expect"):
                server.putheader(name, value)
        if chunked:
            server.putheader("Content-Length", str(len(body)))
        server.endheaders(body or None)
        answer = server.getresponse()
        content = answer.read()
        if answer.will_close:
            self._leave()
        return _Answer(answer.status, answer.reason, answer.getheaders(), content)

    def _leave(self) -> None:
        if self._behind is not None:
            self._behind.close()
            self._behind = None


def _refusal(kind: str) -> _Answer:
    status, code, message = _ANSWERS[kind]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    return _Answer(status, code, headers, body.encode())


_OF_THE_HOP: Callable[[str], bool] = {"transfer-encoding", "connection", "keep-alive"}.__contains__


def _head(answer: _Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
    lines += [f"{n}: {v}" for n, v in answer.headers if not _OF_THE_HOP(n.lower())]
    if not any(
        name.lower() == "content-length" for name, _ in answer.headers
    ) and answer.status not in (204, 304):
        lines.append(f"Content-Length: {len(answer.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
