"""A step with packages of its own: they are installed in its container, from the lock of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages import WITH_PACKAGES, from_wheels, write_wheels
from servers.podman import Podman

from flow_core.testing import FlowTester


@pytest.mark.slow
def test_a_step_with_packages(lab: FlowTester, here: Podman, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheels(wheels)
    lab.more_plugins += ["pypi"]
    file = lab.write(WITH_PACKAGES)
    index = from_wheels(wheels)
    variables = {
        **index,
        "FLOW_CONTAINER_VARIABLES": ",".join(index),
        "FLOW_CONTAINER_VOLUMES": f"{wheels}:{wheels}:ro",
    }
    done = lab.python(file, "run", "--with", "container", variables=variables).check()
    assert "with 2.0" in done.stdout
    assert "/environments/pypi" in lab.left().artifact("start", "python")
