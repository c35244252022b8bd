"""What this machine and this Python are: quick, and nothing of it can hang."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator

from flow_core.api import Diagnosis, satisfies

_CORE = "flow-core"
_GIGABYTE = 1_000_000_000
LITTLE, TOO_LITTLE = _GIGABYTE, _GIGABYTE // 10
"""Bytes of free disk space below which it is told, and below which a run will hardly end well."""


def interpreter() -> Iterator[Diagnosis]:
    """Yield what is known of the interpreter."""
    version = platform.python_version()
    known = supported_versions(importlib.metadata.metadata(_CORE).get_all("Classifier") or ())
    if known and ".".join(version.split(".")[:2]) not in known:
        yield Diagnosis(
            "python",
            "warn",
            f"{version} is not among those that flow-core is tested with: {', '.join(known)}",
            sys.executable,
            f"python{known[-1]} -m venv .venv",
        )
    else:
        yield Diagnosis("python", "ok", f"{version}, {sys.executable}")


def supported_versions(classifiers: list[str] | tuple[str, ...]) -> list[str]:
    """Return the versions of Python that a distribution names: ``["3.10", "3.11"]``."""
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", c) for c in classifiers]
    return [match[1] for match in found if match]


def versions() -> Iterator[Diagnosis]:
    """Yield the version of flow-core, and what it requires and does not find."""
    missing = []
    for requirement in importlib.metadata.requires(_CORE) or ():
        name, range_, marker = _parts(requirement)
        if marker:
            continue  # an extra, or what another Python needs
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if not satisfies(installed, range_):
            yield Diagnosis(
                "versions",
                "fail",
                f"{name} {installed} is installed; flow-core needs {range_}",
                hint=f"pip install '{name}{range_}'",
            )
    text = f"flow-core {importlib.metadata.version(_CORE)} on {platform.system()}"
    if missing:  # somebody may have taken it out on purpose
        text += f"; of the default plugins are not installed: {', '.join(missing)}"
    yield Diagnosis("versions", "ok", text)


def _parts(requirement: str) -> tuple[str, str, str]:
    """``click (>=8.1) ; extra == "x"`` → (click, >=8.1, extra == "x")."""
    text, _, marker = requirement.partition(";")
    found = re.match(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?\s*\(?([^)]*)\)?", text)
    assert found is not None
    return found[1], found[2].replace(" ", ""), marker.strip()


def space(folder: str, what: str) -> Diagnosis:
    """Return how much room there is where ``folder`` lies, or would come to lie.

    Args:
        folder: its path.
        what: what is kept there.
    """
    place = os.path.abspath(folder)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    try:
        free = shutil.disk_usage(place).free
    except OSError as error:
        return Diagnosis("disk", "fail", f"nothing is known of {place}", str(error))
    text = f"{size(free)} free for {what}, in {place}"
    status = "fail" if free < TOO_LITTLE else "warn" if free < LITTLE else "ok"
    hint = "flow gc --dry-run tells what old runs take" if what == "the store" else "make room"
    return Diagnosis("disk", status, text, hint="" if status == "ok" else hint)


def temporary_space() -> Diagnosis:
    """Return how much room there is for temporary files."""
    try:
        return space(tempfile.gettempdir(), "temporary files")
    except FileNotFoundError as error:
        return Diagnosis(
            "disk", "fail", "temporary files cannot be written", str(error), "TMPDIR=/a/folder"
        )


def size(count: float) -> str:
    """Return a number of bytes for people: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit is returned")
