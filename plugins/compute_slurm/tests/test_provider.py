"""The conformance suite of compute providers, on a real Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_core.testing import ComputeSuite
from flow_core.testing.compute_steps import StepsRuntime
from flow_slurm.provider import SlurmCompute
from flow_store_local.store import LocalStore

from .conftest import SETTINGS

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox


class TestSlurmCompute(ComputeSuite):
    """Tasks as jobs, with a store that all nodes see."""

    many = 24  # two for each processor of the cluster

    @pytest.fixture
    def compute(self, slurm: Sandbox) -> SlurmCompute:
        return SlurmCompute()

    @pytest.fixture
    def another(self, slurm: Sandbox) -> SlurmCompute:
        return SlurmCompute()

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"))

    @pytest.fixture
    def runtime(self) -> StepsRuntime:
        return StepsRuntime(settings={**SETTINGS, "slurm_memory": 200.0})
