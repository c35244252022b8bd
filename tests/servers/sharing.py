"""One server for a whole run of pytest, with all its workers; killed whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

_FOLDER = "TEST_SERVERS_FOLDER"
"""Variable with the folder that all workers share; they inherit it from the process they came from."""

_GUARD = """
folder=$1; owner=$2; shift 2
"$@" >"$folder/log" 2>&1 &
server=$!
echo $server >"$folder/pid.new" && mv "$folder/pid.new" "$folder/pid"
while kill -0 $owner && kill -0 $server; do sleep 1; done 2>/dev/null
kill -9 $server 2>/dev/null
kill -0 $owner 2>/dev/null || rm -rf "${folder%/*}"
"""
"""Runs a server as long as the run of pytest lives: also one that is killed takes it along."""

_CLEANER = """
while kill -0 $2 && [ -e "$1/clean" ]; do sleep 1; done 2>/dev/null
[ -e "$1/clean" ] && { sh "$1/clean"; rm -rf "${1%/*}"; }
"""
"""Waits for the end of pytest, for what must be cleaned up though it was killed."""


def begin() -> None:
    """Make the shared folder, unless this process is a worker of one that has done so."""
    if _FOLDER not in os.environ:
        folder = tempfile.mkdtemp(prefix="test-servers-")
        Path(folder, "owner").write_text(str(os.getpid()))
        os.environ[_FOLDER] = folder


def end() -> None:
    """Kill all servers and remove their files, unless this process is a worker."""
    folder = Path(os.environ.get(_FOLDER, os.devnull))
    if not folder.is_dir() or owner() != os.getpid():
        return
    for file in folder.glob("*/pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)
    for script in folder.glob("*/clean"):
        subprocess.run(["/bin/sh", str(script)], capture_output=True, check=False, timeout=120)
    del os.environ[_FOLDER]
    shutil.rmtree(folder, ignore_errors=True)  # a dying server may still write there


def owner() -> int:
    """Return the process with whose end all servers end."""
    return int(Path(os.environ[_FOLDER], "owner").read_text())


def absent(reason: str) -> Any:
    """Skip the test, for want of something; in CI all must be there, and the test fails."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def shared(name: str, start: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what ``start`` told of a server; it is called once for all workers.

    Args:
        name: of the kind of server.
        start: starts one whose files are in the folder that it is given (see `serve`), and returns
            what who uses it must know, as values of JSON.
    """
    common = Path(os.environ[_FOLDER])
    told = common / f"{name}.json"
    with _locked(common / f"{name}.lock"):
        if not told.exists():
            known = start(common / name)
            told.write_text(json.dumps(known))
        known = json.loads(told.read_text())
    assert isinstance(known, dict)
    return known


def own_folder(name: str) -> Path:
    """Return a folder for a server that is not shared, which lives no longer than all others."""
    return Path(os.environ[_FOLDER]) / f"{name}-{uuid.uuid4().hex[:12]}"


def clean_at_end(folder: Path, script: str) -> None:
    """Have a script of the shell run at the end of the run of pytest, also when that is killed.

    Args:
        folder: as from `shared`; what the script must know of it stands in its text.
        script: removes what is more than files.
    """
    (folder / "clean").write_text(script)
    _run_beside(_CLEANER, str(folder), str(owner()))


def serve(
    folder: Path,
    command: Callable[[list[int]], Sequence[str]],
    ports: int,
    ready: Callable[[int], bool],
) -> list[int]:
    """Start a server on free ports; return them when it answers.

    Args:
        folder: of the server's files, made anew.
        command: the command line for some ports.
        ports: how many it needs.
        ready: says of the first port whether the server answers there.
    """
    for _ in range(3):  # somebody else may take a port meanwhile
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        chosen = free_ports(ports)
        line = command(chosen)
        _run_beside(_GUARD, str(folder), str(owner()), *line)
        if _comes_up(folder, chosen[0], ready):
            return chosen
    said = (folder / "log").read_text(errors="replace")[-2000:]
    raise AssertionError(f"{line[0]} does not come up; its log ends so:\n{said}")


def _run_beside(script: str, *words: str) -> None:
    """Run a script of the shell that outlives this process."""
    subprocess.run(
        ["/bin/sh", "-c", 'sh -c "$0" guard "$@" &', script, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for pytest
        check=True,
    )


def _comes_up(folder: Path, port: int, ready: Callable[[int], bool]) -> bool:
    deadline = time.monotonic() + 60
    pid = folder / "pid"
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready(port):
                return True
        if pid.exists() and not _lives(int(pid.read_text())):
            return False
        time.sleep(0.05)
    return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Choose ports below those that the system gives to clients, which come and go."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in chosen:
                chosen.append(port)
    return chosen


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
