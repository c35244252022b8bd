"""Wheels made here, and indexes of them: these tests need no network."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from flow_core.api import EnvironmentBuilder, EnvironmentRequest, EnvironmentWork, this_platform
from flow_core.testing import core_wheels, write_wheel
from flow_pypi.provider import PypiEnvironment

SETTINGS: Mapping[str, Any] = {
    "pypi_index": "",
    "pypi_extra_index": "",
    "pypi_find_links": "",
    "pypi_python_downloads": False,
    "mirror_packages": False,
}
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheels: versions of `tiny`, two that want others, and what flow-core needs."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    write_wheel(folder, "clash", "1.0", {"clash.py": ""}, requires=["tiny<2"])
    write_wheel(folder, "needy", "1.0", {"needy.py": ""}, requires=["tiny>=2"])
    core_wheels(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    for name in [n for n in os.environ if n.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[Index]]:
    """Serves a folder as an index until the block ends: ``serve(folder, login="user:password")``.
    Where it is used, there is no folder with wheels."""
    monkeypatch.delenv("PIP_FIND_LINKS")
    return serving


@pytest.fixture
def mirror() -> Mirror:
    return Mirror()


@pytest.fixture
def builder(tmp_path: Path) -> Callable[..., EnvironmentBuilder]:
    """Makes what resolves and builds: ``builder(pypi_index=url, offline=True, place="other")``."""

    def make(**given: Any) -> EnvironmentBuilder:
        options = {
            n: given.pop(n) for n in ("offline", "mirror", "tell", "cancelled") if n in given
        }
        root = str(tmp_path / given.pop("place", "environments"))
        settings = {**SETTINGS, **given}
        made = PypiEnvironment()
        return EnvironmentBuilder("pypi", made, root, setting=settings.__getitem__, **options)

    return make


@pytest.fixture
def work(tmp_path: Path) -> EnvironmentWork:
    """What a provider works with, by itself."""
    root, made = str(tmp_path / "work"), PypiEnvironment()
    return EnvironmentBuilder("pypi", made, root, setting=SETTINGS.__getitem__)._work()


@pytest.fixture
def ask() -> Callable[..., EnvironmentRequest]:
    """Makes a request: ``ask("tiny==1.0", python="3.12")``."""

    def make(*packages: str, **options: Any) -> EnvironmentRequest:
        changes = {n: options.pop(n) for n in ("files", "platform") if n in options}
        given = {"packages": sorted(packages), **options}
        request = EnvironmentRequest(given, (), {}, this_platform(), OWN)
        return request._replace(**changes)

    return make


class Mirror:
    """Packages that are kept, in memory: see `flow_core.interfaces.PackageMirror`."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.used: list[str] = []

    def fetch(self, sha256: str, path: str) -> bool:
        if sha256 in self.kept:
            self.used.append(sha256)
            Path(path).write_bytes(self.kept[sha256])
        return sha256 in self.kept

    def keep(self, sha256: str, path: str) -> None:
        content = Path(path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
        self.kept[sha256] = content


class Index:
    """What a server gives, and what it was asked.

    Attributes:
        folder: its wheels and source distributions.
        asked: the paths, in order.
        login: ``user:password`` that is needed; ``""`` = none.
        port: of the server.
    """

    def __init__(self, folder: Path, login: str = "") -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.login = login
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"

    def answer(self, path: str, login: str | None) -> tuple[int, bytes]:
        self.asked.append(path)
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and login != wanted:
            return 401, b""
        kind, _, name = unquote(path).strip("/").partition("/")
        if kind == "files" and (self.folder / name).is_file():
            return 200, (self.folder / name).read_bytes()
        files = [f for f in sorted(self.folder.iterdir()) if _project(f.name) == name]
        if kind != "simple" or not files:
            return 404, b""
        links = [f'<a href="/files/{f.name}#sha256={_sha256(f)}">{f.name}</a>' for f in files]
        return 200, "<!DOCTYPE html><html><body>{}</body></html>".format("".join(links)).encode()


@contextmanager
def serving(folder: Path, login: str = "") -> Iterator[Index]:
    """Serve a folder as an index until the block ends."""
    index = Index(folder, login)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = index.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _project(file: str) -> str:
    return file.split("-")[0].lower().replace("_", "-")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
