"""For tests of the bootstrap: tasks with a specification and a runtime, and small services."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flow_remote import boot
from flow_remote.script import boot_command, lean

FETCHER = """
import os
def open(config):
    import io
    def read(key):
        try:
            with io.open(os.path.join(config["root"], key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
    return read
"""
START = """
import json, os, sys
def main(spec, folders):
    print(json.dumps({
        "spec": spec, "folders": folders, "path": sys.path[:len(folders)], "argv": sys.argv,
        "left": "FLOW_TASK" in os.environ, "python": sys.version.split()[0], "pid": os.getpid(),
        "file": __file__,
    }))
    return int(os.environ.get("START_CODE", "7"))
"""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def archive(files: dict[str, str | bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return made.getvalue()


def pythons(*versions: str) -> list[Path]:
    """Return the Pythons of pyenv of these versions, ``3.8``; of all, if none is named."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [path for version in versions for path in root.glob(f"{version}.*/bin/python")]
    return sorted(found if versions else root.glob("[23].*/bin/python"))


def check_program(source: str, most: int) -> None:
    """Check that a Python 3.8 without any packages runs a program, and that it is small.

    Args:
        source: of the program, which each task carries.
        most: characters that it may have as it is carried.
    """
    tree = [*ast.walk(ast.parse(source, feature_version=(3, 8)))]
    imported = [name.name for node in tree if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in imported} <= {*sys.stdlib_module_names, "__future__"}
    assert len(lean(source)) < most, "each task carries it"


def read_by(
    python: Path,
    source: str,
    config: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
) -> str:
    """Return what a bare Python shows of the object ``key`` of a store.

    Args:
        python: the interpreter.
        source: of the program that reads the store.
        config: what that store tells of itself.
        variables: of the process; None = those of this one.
    """
    program = "import json, sys; a = json.load(sys.stdin); m = {}; exec(a[0], m)\n"
    program += "print(m['open'](a[1])('key'))"
    done = subprocess.run(
        [str(python), "-I", "-S", "-c", program],
        input=json.dumps([lean(source), dict(config)]),
        capture_output=True,
        text=True,
        env=variables,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Result(NamedTuple):
    """How a task ended, and what it told."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        assert self.code == 7, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def failure(self) -> dict[str, str]:
        assert self.code == boot.FAILED, (self.code, self.out, self.err)
        assert "Traceback" not in self.err
        (line,) = [line for line in self.err.splitlines() if line.startswith("FLOW-BOOT-FAILED ")]
        found: dict[str, str] = json.loads(line.partition(" ")[2])
        assert sorted(found) == ["hint", "what", "where", "why"]
        return found


class Place:
    """A folder that is a store, and what a task of it is started with."""

    def __init__(self, folder: Path) -> None:
        self.store = folder / "store"
        self.cache = folder / "cache"
        self.folder = folder
        self.source = FETCHER
        self.config: dict[str, Any] = {"root": str(self.store)}
        self.parts: list[dict[str, Any]] = []
        self.installed: dict[str, str] = {}
        self.start = ["started_here", "one", "two"]
        self.variables: dict[str, str] = {}

    def write(self, key: str, content: bytes) -> None:
        path = self.store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def add_part(self, files: dict[str, str | bytes] | bytes, **more: Any) -> dict[str, Any]:
        content = files if isinstance(files, bytes) else archive(files)
        key = f"runtime/{digest(content)}"
        self.write(key, content)
        part = {"key": key, "sha256": digest(content), "size": len(content), "python": None}
        part |= {"platform": None, "libc": None, **more}
        self.parts.append(part)
        return part

    def task(self, **more: Any) -> str:
        spec = {"format": 1, "url": "local://here#x", "runtime": self.parts}
        spec |= {"installed": self.installed, "start": self.start, **more}
        content = json.dumps(spec).encode()
        self.write("a/spec", content)
        task = {"format": 1, "source": lean(self.source), "config": self.config}
        return json.dumps({**task, "key": "a/spec", "sha256": digest(content), "grace": 5})

    def environment(self, task: str | None = None) -> dict[str, str]:
        found = {"PATH": os.environ["PATH"], "FLOW_CACHE": str(self.cache)}
        return {**found, "FLOW_TASK": self.task() if task is None else task, **self.variables}

    def begin(
        self, task: str | None = None, words: tuple[str, ...] | None = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            words or boot_command([sys.executable]),
            env=self.environment(task),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, task: str | None = None, words: tuple[str, ...] | None = None) -> Result:
        process = self.begin(task, words)
        out, err = process.communicate(timeout=120)
        return Result(process.returncode, out, err)


class Service:
    """A small real server: ``answer(request, body)`` gives status, headers, content."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.answers: dict[str, Any] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.command, self.path, headers, body))
                given = service.answers.get(f"{self.command} {self.path.partition('?')[0]}")
                given = given(headers, body) if callable(given) else given
                status, more, text = given or (404, {}, "")
                self.send_response_only(status)
                self.send_header("Content-Length", str(len(text)))
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text if isinstance(text, bytes) else text.encode())

            do_GET = do_PUT = do_POST = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def closing_connections(web: type, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what readers of a store keep open: their own process ends soon, and that of tests does not.

    Args:
        web: what makes the requests of the store's `fetch`.
        monkeypatch: notes which are made.
    """
    made: list[Any] = []
    begin = web.__init__  # type: ignore[misc]

    def begin_noted(self: Any, *args: Any) -> None:
        made.append(self)
        begin(self, *args)

    monkeypatch.setattr(web, "__init__", begin_noted)
    yield
    for one in made:
        one.close()
