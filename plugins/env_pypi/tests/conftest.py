"""Wheels made here, and no index: these tests need no network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow_core.testing import core_wheels, write_wheel


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
