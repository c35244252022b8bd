"""Environments of steps, built where the tasks run: from the lock, and from nothing of the launcher's."""

from __future__ import annotations

from pathlib import Path

import pytest
from packages import WITH_PACKAGES, from_wheels, write_wheels

from flow_core.testing import FlowTester

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


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    write_wheels(folder)
    return folder


@pytest.mark.slow
def test_a_step_runs_elsewhere_in_the_environment_that_its_lock_names(
    lab: FlowTester, wheels: Path, tmp_path: Path
) -> None:
    lab.more_plugins += ["pypi"]
    file = lab.write(WITH_PACKAGES)
    machine = tmp_path / "machine"
    lab.write(PROVIDER.format(home=machine, more=""), "builds.py")
    done = lab.python(file, *WORDS, variables=from_wheels(wheels)).check()
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
    file = lab.write(WITH_PACKAGES)
    lab.write(
        PROVIDER.format(home=str(tmp_path / "machine"), more="PIP_FIND_LINKS='/nowhere'"),
        "builds.py",
    )
    done = lab.python(file, *WORDS, variables=from_wheels(wheels))
    assert done.returncode == 1
    assert "1/start/1" in done.stderr
    assert "whl' is not on" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
