"""An HTTP server that notes what it is asked, and answers what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from flow_core.api import StoreError
from flow_gs.store import GoogleStore


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


class Answer(NamedTuple):
    """One answer."""

    status: int = 200
    content: bytes = b""
    headers: dict[str, str] = {}


class Service:
    """The server.

    Attributes:
        url: its address.
        asked: all requests so far.
        answers: what is answered next; the last one again and again.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answers: list[Answer] = [Answer()]
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): text for name, text in self.headers.items()}
                service.asked.append(Asked(self.command, self.path, headers, content))
                answers = service.answers
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                self.send_response(answer.status)
                for name, text in answer.headers.items():
                    self.send_header(name, text)
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def say(self, *answers: tuple[object, ...]) -> None:
        """Choose what is answered next: status, content, headers."""
        self.answers = [Answer(*answer) for answer in answers]  # type: ignore[arg-type]

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def _service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def service(_service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Service:
    """The server, which knows nothing of other tests, as the emulator that the variable names."""
    _service.asked.clear()
    _service.answers = [Answer()]
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", _service.url)
    return _service


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    """Make one request of all, with which the library opens its files for the whole process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
        store = GoogleStore("none", settings={"gs_retry_time": 0.0})
        with pytest.raises(StoreError):
            store.size("none")
