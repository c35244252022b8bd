"""A step with packages of its own: they are installed in its container, from the lock of the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from servers.podman import Podman

from flow_core.testing import FlowTester, core_wheels, write_wheel

FLOW = """
    import sys

    from flow_core import FlowSpec, pypi, step

    class F(FlowSpec):
        @pypi(packages={"tiny": "2.*"})
        @step
        def start(self):
            import tiny

            self.version, self.python = tiny.VERSION, sys.executable
            self.next(self.end)

        @step
        def end(self):
            print("with", self.version)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    core_wheels(folder)
    return folder


@pytest.mark.slow
def test_a_step_with_packages(lab: FlowTester, here: Podman, wheels: Path) -> None:
    lab.more_plugins += ["pypi"]
    file = lab.write(FLOW)
    index = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    variables = {
        **index,
        "FLOW_CONTAINER_VARIABLES": ",".join(index),
        "FLOW_CONTAINER_VOLUMES": f"{wheels}:{wheels}:ro",
    }
    done = lab.python(file, "run", "--with", "container", variables=variables).check()
    assert "with 2.0" in done.stdout
    assert "/environments/pypi" in lab.left().artifact("start", "python")
