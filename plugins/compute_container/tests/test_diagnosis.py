"""What ``flow doctor`` says of containers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from servers.podman import Podman

from flow_container.diagnosis import diagnose


def _told(**settings: str) -> Any:
    session = SimpleNamespace(settings=settings, load_hooks=lambda decorators: False)
    (found,) = diagnose(session)  # type: ignore[arg-type]
    return found


def test_podman_and_an_image(here: Podman) -> None:
    told = _told(container_runtime="", container_image=here.shell_image)
    assert (told.status, told.text) == (
        "ok",
        f"podman runs them, and has the image {here.shell_image}",
    )
    told = _told(container_runtime="podman", container_image="localhost/none:1")
    assert told.text == "podman runs them; the image localhost/none:1 is fetched by the first run"


def test_neither_podman_nor_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = _told(container_runtime="", container_image="")
    assert (told.status, told.text) == ("warn", "There is no podman or docker here")
    assert "apt-get install podman" in told.hint


def test_doctor_tells_it(lab: Any) -> None:
    said = lab.flow("doctor").stdout
    assert "podman runs them, and has the image" in said
