"""Interpreters: those of this machine, and those that uv downloads."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import NamedTuple

from flow_core.api import CommandFailed, EnvironmentWork, NoEnvironment
from flow_pypi.sources import hide
from flow_pypi.uv import run_uv

_ASK = (
    "import json, sys; print(json.dumps(["
    "'.'.join(map(str, sys.version_info[:3])), getattr(sys, '_base_executable', sys.executable)]))"
)
_PATIENCE = 20.0  # seconds for an interpreter to say its version


class Python(NamedTuple):
    """An interpreter: its path, and its version, ``3.12.4``."""

    path: str
    version: str


def find_python(version: str, work: EnvironmentWork) -> Python:
    """Return a Python of this version: the launcher's, one of the ``PATH``, of pyenv or of uv, or one
    that uv downloads, where it may.

    Args:
        version: ``3.12``, or ``3.12.4``.
        work: see `EnvironmentWork`.

    Raises:
        NoEnvironment: there is none.
    """
    for path in _candidates(version):
        found = _ask(path)
        if found and _fits(found.version, version):
            return found
    found = _of_uv(version, work)
    if found is None:
        raise _missing(version, work)
    return found


def _candidates(version: str) -> Iterator[str]:
    if _fits(".".join(map(str, sys.version_info[:3])), version):
        yield sys.executable
    minor = ".".join(version.split(".")[:2])
    on_path = shutil.which(f"python{minor}")
    if on_path:
        yield on_path
    yield from _of_pyenv(version)


def _of_pyenv(version: str) -> list[str]:
    """Return the Pythons of pyenv, the newest first: its own programs give only the active ones."""
    root = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    found = glob.glob(os.path.join(glob.escape(root), "versions", f"{version}*", "bin", "python"))

    def number(path: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", path.split(os.sep)[-3])]

    return sorted(found, key=number, reverse=True)


def _ask(path: str) -> Python | None:
    """Return what a Python says of itself; None where it does not run, as the programs of pyenv."""
    if path == sys.executable:
        base = getattr(sys, "_base_executable", None) or sys.executable
        return Python(os.path.realpath(base), ".".join(map(str, sys.version_info[:3])))
    variables = {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            [path, "-I", "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
            env=variables,
        )
        version, base = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Python(os.path.realpath(base), version)


def _fits(found: str, wanted: str) -> bool:
    parts = wanted.split(".")
    return found.split(".")[: len(parts)] == parts


def _of_uv(version: str, work: EnvironmentWork) -> Python | None:
    """Return a Python that uv finds, or fetches."""
    if may_download(work):
        work.tell(f"fetching Python {version}")
    never = [] if may_download(work) else ["--no-python-downloads"]
    try:
        if not never:
            run_uv(work, ["python", "install", version], quiet=False)
        path = run_uv(work, ["python", "find", "--no-project", *never, version]).strip()
    except CommandFailed as error:
        if may_download(work) and "No download found" not in error.output:
            raise NoEnvironment(
                f"Python {version} is not on this machine, and cannot be downloaded",
                where="environment provider 'pypi'",
                why=hide("\n".join((error.why or error.what).splitlines()[-3:])),
                hint=f"here are: {', '.join(there_are()) or 'none'}; leave 'python' out: then it is "
                f"{sys.version_info[0]}.{sys.version_info[1]}",
            ) from None
        return None
    return _ask(path)


def may_download(work: EnvironmentWork) -> bool:
    """Whether uv may download interpreters."""
    forbidden = os.environ.get("UV_PYTHON_DOWNLOADS", "").lower() in ("never", "false", "0")
    return bool(work.setting("pypi_python_downloads")) and not work.offline and not forbidden


def there_are() -> list[str]:
    """Return the versions of Python on this machine that tasks can run in."""
    found = {".".join(map(str, sys.version_info[:3]))}
    for minor in range(10, 16):
        path = shutil.which(f"python3.{minor}")
        told = _ask(path) if path else None
        if told:
            found.add(told.version)
    for path in _of_pyenv("3."):
        version = path.split(os.sep)[-3]
        if re.fullmatch(r"3\.\d+\.\d+", version) and int(version.split(".")[1]) >= 10:
            found.add(version)
    return sorted(found, key=lambda v: [int(n) for n in v.split(".")])


def _missing(version: str, work: EnvironmentWork) -> NoEnvironment:
    if work.offline:
        why = "no network may be used (the setting 'offline')"
    elif not may_download(work):
        why = "none may be downloaded (pypi_python_downloads, or UV_PYTHON_DOWNLOADS)"
    else:
        why = "uv has none of this version to download"
    return NoEnvironment(
        f"There is no Python {version} on this machine",
        where="@pypi(python=…)",
        why=f"{why}; here are: {', '.join(there_are())}",
        hint=f"install it, or leave 'python' out: then it is {sys.version_info[0]}."
        f"{sys.version_info[1]}",
    )
