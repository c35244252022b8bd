"""The suite for bad days passes for a client that is patient, and finds what others do wrong."""

from __future__ import annotations

import http.client
import http.server
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from flow_core.errors import StoreError
from flow_core.interfaces import Attributes, Buffer, ObjectInfo, StoredObject
from flow_core.testing import FaultyProxy, MemoryStore, NetworkStoreSuite, failures


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"some content"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_DELETE = _answer


class Remote(MemoryStore):
    """Sends a request before each use of its memory, and does nothing unless it is answered."""

    tries_for = 0.2
    tries = 5
    transient = (500, 503)
    hint = "look at the service"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.host = url.removeprefix("http://")

    def ask(self, method: str = "GET", body: bytes = b"some content") -> None:
        begin = time.monotonic()
        for tries in itertools.count(1):
            status, why = self.once(method, body)
            if status == 200:
                return
            if status not in (0, *self.transient) or (
                tries >= self.tries and time.monotonic() > begin + self.tries_for
            ):
                raise StoreError("It failed", where=self.host, why=why, hint=self.hint)
            time.sleep(0.01)

    def once(self, method: str, body: bytes) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, timeout=2)
        try:
            connection.request(method, "/", body if method == "PUT" else None)
            answer = connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()
        if answer.status == 200 and found != body:
            return 0, "the content was damaged"
        return answer.status, found.decode()

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for key in keys:
            self.ask()
            yield from super().read([key])

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        self.ask()
        return super().read_range(key, offset, length)

    def stream(self, key: str) -> Iterator[Buffer] | None:
        self.ask()
        return super().stream(key)

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for item in items:
            self.ask("PUT", bytes(item[1]))
            written += super().write([item], create_only=create_only)
        return written

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        self.ask("PUT")
        return super().write_content(chunks, key)

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        self.ask("PUT")
        return super().write_stream(key, chunks, create_only=create_only)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        self.ask()
        return super().describe(keys)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        self.ask()
        return [key in self._objects for key in keys]

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        self.ask()
        return super().folders(prefix)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        self.ask()
        return super().list(prefix)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            self.ask("DELETE")
            super().delete([key], older_than=older_than)

    def refresh(self, key: str, age: float = 300.0) -> bool:
        self.ask()
        return super().refresh(key, age)


class GivesUp(Remote):
    """Tries once."""

    tries_for = 0.0
    tries = 1


class TriesForLong(Remote):
    """Does not give up within the time that it is given."""

    tries_for = 0.5


class TriesTheRefused(Remote):
    """Repeats what was refused."""

    transient = (400, 403, 500, 503)


class SaysNothing(Remote):
    """Has no hint."""

    hint = ""


def suite(store: type[Remote], bound: float = 0.4) -> type[NetworkStoreSuite]:
    class TestIt(NetworkStoreSuite):
        patience = bound
        at_once = bound

        @pytest.fixture
        def proxy(self) -> Iterator[FaultyProxy]:
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            with FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}") as proxy:
                yield proxy
            server.shutdown()
            thread.join()
            server.server_close()

        @pytest.fixture
        def store(self, proxy: FaultyProxy) -> Remote:
            return store(proxy.url)

    return TestIt


class TestRemote(suite(Remote, 5.0)):  # type: ignore[misc]
    """A patient one passes."""


BROKEN = [
    (GivesUp, "test_passing_fault"),
    (TriesForLong, "test_lasting_fault_is_told"),
    (TriesTheRefused, "test_what_no_patience_mends_is_told_at_once"),
    (SaysNothing, "test_service_that_is_not_there"),
    (GivesUp, "test_many_operations_with_faults_among_them"),
]


@pytest.mark.parametrize(("store", "case"), BROKEN)
def test_it_finds(store: type[Remote], case: str) -> None:
    assert failures(suite(store), case, enough=1)


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(NetworkStoreSuite) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}
