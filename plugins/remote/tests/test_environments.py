"""Environments of steps, built where the tasks run: from the lock, and from nothing of the launcher's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow_core.testing import FlowTester, core_wheels, write_wheel

FLOW = """
    import os
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

PROVIDER = """
    from cluster import Elsewhere

    __flow__ = {{"flow.computes": {{"elsewhere": "Builds"}}}}

    class Builds(Elsewhere):
        capabilities = Elsewhere.capabilities._replace(environments=True, needs_shared_store=False)

        def make_backend(self):
            made = super().make_backend()
            made.variables.update(HOME="{home}", XDG_CACHE_HOME="", {more})
            return made
"""

WORDS = ("-p", "builds", "--compute", "elsewhere", "run")


@pytest.fixture
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    core_wheels(folder)
    return folder


def _without_index(wheels: Path) -> dict[str, str]:
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_PYTHON_DOWNLOADS": "never",
    }


@pytest.mark.slow
def test_a_step_runs_elsewhere_in_the_environment_that_its_lock_names(
    lab: FlowTester, wheels: Path, tmp_path: Path
) -> None:
    lab.more_plugins += ["pypi"]
    file = lab.write(FLOW)
    machine = tmp_path / "machine"
    lab.write(PROVIDER.format(home=machine, more=""), "builds.py")
    done = lab.python(file, *WORDS, variables=_without_index(wheels)).check()
    assert "with 2.0" in done.stdout
    python = str(lab.left().artifact("start", "python"))
    assert python.startswith(str(machine / ".cache" / "flow" / "environments" / "pypi"))
    logs = lab.flow("logs", "F/1/start", "--stderr").check().stdout
    assert "environment pypi " in logs  # what building told


@pytest.mark.slow
def test_an_environment_that_cannot_be_built_there_says_why(
    lab: FlowTester, wheels: Path, tmp_path: Path
) -> None:
    lab.more_plugins += ["pypi"]
    file = lab.write(FLOW)
    lab.write(
        PROVIDER.format(home=str(tmp_path / "machine"), more="PIP_FIND_LINKS='/nowhere'"),
        "builds.py",
    )
    done = lab.python(file, *WORDS, variables=_without_index(wheels))
    assert done.returncode == 1
    assert "1/start/1" in done.stderr
    assert "whl' is not on" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
