"""Wheels made here, and no index: these tests need no network."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import importlib_metadata
import pytest

from flow_core.api import core_requirements, this_platform
from flow_core.index import normalise


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheels: two versions of `tiny`, `clash`, and what flow-core needs."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    write_wheel(folder, "clash", "1.0", {"clash.py": ""}, requires=["tiny<2"])
    waiting = [text.partition(";") for text in core_requirements()]
    names = [head for head, _, marker in waiting if not marker]
    done: set[str] = set()
    while names:
        name = normalise(names.pop().split(">")[0].split("=")[0].split("~")[0].strip())
        if name not in done:
            done.add(name)
            found = importlib_metadata.distribution(name)
            repack(found, folder)
            required = [text.partition(";") for text in found.requires or ()]
            names += [h for h, _, marker in required if "extra" not in marker and is_here(h)]
    return folder


def is_here(requirement: str) -> bool:
    name = normalise(requirement.split(">")[0].split("=")[0].split("~")[0].strip())
    try:
        importlib_metadata.distribution(name)
    except importlib_metadata.PackageNotFoundError:
        return False
    return True


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], requires: list[str] | None = None
) -> Path:
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires or [])
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    wheel = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    path = folder / f"{name}-{version}-py3-none-any.whl"
    pack(path, info, {n: text.encode() for n, text in content.items()})
    return path


def repack(found: importlib_metadata.Distribution, folder: Path) -> None:
    """Make the wheel again that a distribution was installed from."""
    wheel = found.read_text("WHEEL") or ""
    (tag, *_) = (line[5:] for line in wheel.splitlines() if line.startswith("Tag: "))
    info = next(str(f.parent) for f in found.files or () if f.name == "WHEEL")
    names = [f for f in found.files or () if ".." not in f.parts and "__pycache__" not in f.parts]
    left = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
    content = {str(f): f.locate().read_bytes() for f in names if f.name not in left}
    stem = info.removesuffix(".dist-info")
    pack(folder / f"{stem}-{tag}.whl", info, content)


def pack(path: Path, info: str, content: dict[str, bytes]) -> None:
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}")
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")


@pytest.fixture(autouse=True)
def _no_index(monkeypatch: pytest.MonkeyPatch, wheels: Path) -> None:
    assert this_platform()
    for name in [n for n in os.environ if n.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("FLOW_VENV_WHEELS", str(wheels))
