"""What ``flow doctor`` says of Slurm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from servers.slurm import need_slurm

from flow_core.api import Diagnosis
from flow_slurm import programs
from flow_slurm.diagnosis import diagnose

from .conftest import controller_away
from .test_commands import flow

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox


def _told() -> list[Diagnosis]:
    session: Any = SimpleNamespace()
    return list(diagnose(session))


def test_a_controller_that_answers(slurm: Sandbox, tmp_path: Path) -> None:
    (told,) = _told()
    assert (told.subject, told.status) == ("slurm", "ok")
    assert told.text.startswith("Slurm takes jobs: Slurmctld(primary) at ")
    assert told.text.endswith(" is UP")
    assert told.text in flow(tmp_path, "doctor")


def test_a_controller_that_does_not_answer(new_slurm: Callable[..., Sandbox]) -> None:
    with controller_away(new_slurm(1)):
        (told,) = _told()
    assert (told.status, told.text) == ("warn", "Slurm does not answer")
    assert "is DOWN" in told.why
    assert told.hint == "see whether its controller is there: scontrol ping"


def test_a_configuration_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_slurm()
    monkeypatch.setenv("SLURM_CONF", f"{tmp_path}/none.conf")
    (told,) = _told()
    assert (told.status, told.text) == ("warn", "The configuration of Slurm is not there")
    assert told.why.startswith(f"SLURM_CONF={tmp_path}/none.conf: ")


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_FOLDERS", ())
    assert _told() == []
