"""Containers pass the suite that every compute provider passes: with nothing of flow-core in the image."""

from __future__ import annotations

from pathlib import Path

import pytest
from servers.podman import Podman

from flow_container.provider import ContainerCompute, platform_of_containers
from flow_core.testing import ComputeSuite
from flow_core.testing.compute_steps import StepsRuntime
from flow_store_local.store import LocalStore


@pytest.mark.slow
class TestContainerCompute(ComputeSuite):
    patience = 200.0  # many containers on a busy machine
    many = 20

    @pytest.fixture
    def compute(self, here: Podman) -> ContainerCompute:
        return ContainerCompute()

    @pytest.fixture
    def another(self, here: Podman) -> ContainerCompute:
        return ContainerCompute()

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"))

    @pytest.fixture
    def runtime(self, here: Podman) -> StepsRuntime:
        settings = {"container_image": here.python_image, "container_pull": "never"}
        return StepsRuntime(settings=settings)


@pytest.mark.parametrize(
    ("launcher", "containers"),
    [
        ("macos-arm64", "linux-aarch64"),
        ("macos-x86_64", "linux-x86_64"),
        ("windows-amd64", "linux-x86_64"),
        ("linux-x86_64", "linux-x86_64"),
        ("linux-aarch64", "linux-aarch64"),
    ],
)
def test_environments_are_made_for_linux_whatever_starts_them(
    launcher: str, containers: str
) -> None:
    assert platform_of_containers(launcher) == containers
    assert str(ContainerCompute.capabilities.platform).startswith("linux-")
