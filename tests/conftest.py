"""Fixtures of the tests of the whole system: flows as real processes on the real store."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import zstandard
from blake3 import blake3
from watching import wait_for

from flow_core.api import ArtifactRef, Manifest, RunDocument, RunResult, installed
from flow_core.frames import MAGIC, decompress
from flow_core.manifests import unpack
from flow_core.testing import FlowTester, ProcessResult, RunOutcome

MARK = "FLOW_TEST_MARK"


class Lab:
    """Runs flows as processes that can be found again, and looks at what they left behind.

    Every process that comes of a run started here carries a mark in its environment.
    """

    def __init__(self, tester: FlowTester) -> None:
        self.tester = tester
        self.path = tester.path
        self.root = self.path / ".flow"
        self.mark = uuid.uuid4().hex
        self.variables: dict[str, str] = {}  # of all that is started
        self._started: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []

    def write(self, source: str, name: str = "flow.py") -> Path:
        return self.tester.write(source, name)

    def python(self, file: Path, *arguments: str, **options: Any) -> ProcessResult:
        """Run a command to its end."""
        variables = {MARK: self.mark, **self.variables, **options.pop("variables", {})}
        return self.tester.python(file, *arguments, variables=variables, **options)

    def start(self, file: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own; its output goes to a file (`said`)."""
        variables = {MARK: self.mark, **self.variables, **options.pop("variables", {})}
        output = open(self.path / f"output-{len(self._started)}.txt", "wb")  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, str(file), *arguments],
            cwd=self.path,
            env=self.tester.environment(None, variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )
        self._started.append((process, output))
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a started command has written so far."""
        (output,) = (o for p, o in self._started if p is process)
        return Path(output.name).read_text()

    def alive(self) -> list[str]:
        """Return all living processes of runs that were started here, as ``PID command``."""
        found = []
        needle = f"{MARK}={self.mark}".encode()
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
            if not entry.isdigit():
                continue
            try:
                environment = Path(f"/proc/{entry}/environ").read_bytes()
                command = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if needle in environment:
                found.append(f"{entry} {command.replace(bytes(1), b' ').decode()}")
        return found

    def assert_nothing_runs(self, seconds: float = 5) -> None:
        """Fail when a process of a run is still there after some time."""
        wait_for(lambda: not self.alive(), seconds, lambda: f"these still run: {self.alive()}")

    def left(self, run: int | str = 1, flow: str = "F") -> RunOutcome:
        """Return what a run left behind."""
        store = installed().load("flow.stores", "local")(str(self.root))
        metadata = installed().load("flow.metadata", "local")(str(self.root))
        record = metadata.run(flow, str(run))
        metadata.close()
        return RunOutcome(flow, store, metadata, state=record and record.state, run=str(run))

    def clean_up(self) -> None:
        for process, output in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            output.close()
        for line in self.alive():
            os.kill(int(line.split()[0]), signal.SIGKILL)


@pytest.fixture
def lab(flowtester: FlowTester) -> Iterator[Lab]:
    """See `Lab`."""
    laboratory = Lab(flowtester)
    yield laboratory
    laboratory.clean_up()


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a `Lab` for all tests of a module, for runs that many of them look at."""
    laboratory = Lab(FlowTester(tmp_path_factory.mktemp("module")))
    yield laboratory
    laboratory.clean_up()


@pytest.fixture(name="wait_for")
def _wait_for() -> Callable[..., Any]:
    return wait_for


@pytest.fixture
def parts() -> Callable[[str], dict[str, str]]:
    """Return the parts of the last error in a text: ``{"error": …, "where": …, "why": …}``."""

    def parse(text: str) -> dict[str, str]:
        start = text.rindex("error: ")
        assert "Traceback" not in text[start:], text
        return dict(re.findall(r"^ *(error|where|why|try): +(.*)$", text[start:], re.MULTILINE))

    return parse


@pytest.fixture
def check_store() -> Callable[[Path], int]:
    """Return a function that checks all that lies in a store, and counts the attempts in it.

    Every record decodes, every blob has the bytes that its name says, and every artifact of every
    manifest has its blob: nothing half-written can be read.
    """

    def check(root: Path) -> int:
        blobs = {file.name for file in (root / "blobs").glob("*/*")}
        for file in (root / "blobs").glob("*/*"):
            assert _hash_of(file) == file.name, f"{file} is damaged"
        attempts = 0
        for file in (root / "runs").rglob("*"):
            if file.is_file():
                key = str(file.relative_to(root))
                manifests = _manifests(file, key)
                attempts += len(manifests)
                if manifests:
                    references = [r for m in manifests for r in _of_attempt(m)]
                else:
                    references = _of_run(file, key)
                missing = [r for r in references if not r.inline and r.hash not in blobs]
                assert not missing, f"{key} refers to data that is not there: {missing}"
        return attempts

    return check


def _hash_of(blob: Path) -> str:
    """Return the hash of what a blob holds, which may be stored in a shorter form."""
    content = blob.read_bytes()
    if content.startswith(MAGIC):
        content = b"".join(decompress([content]))
    elif content.startswith(zstandard.FRAME_HEADER):
        content = zstandard.ZstdDecompressor().decompress(content)
    return blake3(content).hexdigest()


def _manifests(file: Path, key: str) -> list[Manifest]:
    """Decode the manifests in a file of a run's folder: one, or those of many reused tasks."""
    if file.name == "manifest":
        stored = {key: file.read_bytes()}
    elif file.parent.name == "reused.d":
        run = key.partition("reused.d")[0]
        packed = unpack(file.read_bytes(), key)
        stored = {f"{run}{place}/manifest": raw for place, raw in packed.items()}
    else:
        return []
    manifests = [Manifest.decode(raw, place) for place, raw in stored.items()]
    assert [m.key for m in manifests] == list(stored)
    return manifests


def _of_attempt(manifest: Manifest) -> list[ArtifactRef]:
    items = manifest.transition.items if manifest.transition else None
    return [*manifest.artifacts.values(), *([items] if items else [])]


def _of_run(file: Path, key: str) -> list[ArtifactRef]:
    """Decode any other file of a run's folder; return the references to data in it."""
    if file.name == "run.json":
        return list(RunDocument.decode(file.read_bytes(), key).parameters.values())
    if file.name == "finished.json":
        RunResult.decode(file.read_bytes(), key)
    elif file.name == "heartbeat.json":
        assert float(file.read_text()) > 0, key
    elif file.name == "logs":
        head, _, body = file.read_bytes().partition(b"\n")
        sizes = [size for size, _ in json.loads(head)["logs"].values()]
        assert sum(sizes) == len(body) > 0, key
    elif file.parent.name == "cards":
        content = file.read_text()
        assert json.loads(content) if file.suffix == ".json" else content.endswith("</html>\n"), key
    else:
        name, _, times = file.name.partition(".")
        known = name in ("stdout", "stderr") and times in ("", "times")
        assert known, f"what is {key}?"
    return []


# --- a store as a team has it ---------------------------------------------------------------------


_FAR_STORE = '''
from flow_store_local.store import LocalStore


class FarStore(LocalStore):
    """Keeps what it keeps in a folder, and tells nobody where."""

    capabilities = LocalStore.capabilities._replace(shared=True, mappable=False)

    @property
    def url(self):
        return f"far://{self.root}"

    def local_path(self, key):
        super().local_path(key)
'''


def _install_far_store(folder: Path) -> Path:
    """Write a distribution with the store ``far`` to ``folder``, for PYTHONPATH; return it."""
    info = folder / "flow_far-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: flow-far\nVersion: 1.0\nRequires-Dist: flow-core>=0.1,<1\n\n"
    )
    (info / "entry_points.txt").write_text("[flow.stores]\nfar = flow_far:FarStore\n")
    (folder / "flow_far.py").write_text(_FAR_STORE)
    return folder


@pytest.fixture
def far_site(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with the store ``far``: as a bucket, but without a server."""
    return _install_far_store(tmp_path / "site")
