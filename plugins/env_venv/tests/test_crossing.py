"""Two versions of one package in two steps: what one has made, the other one cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow_core.testing import FlowTester, core_wheels, write_wheel

FLOW = """
import json
from flow_core import FlowSpec, step, venv

class F(FlowSpec):
    @venv(packages=["shapes==1.0"])
    @step
    def start(self):
        import shapes
        self.one = shapes.Square()
        self.next(self.end)

    @venv(packages=["shapes==2.0"])
    @step
    def end(self):
        try:
            self.one
        except Exception as error:
            with open("told.json", "w") as file:
                json.dump(str(error), file)
"""


@pytest.mark.slow
def test_both_versions_and_what_to_add_are_told(flowtester: FlowTester, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "shapes", "1.0", {"shapes.py": "class Square: pass\n"})
    write_wheel(wheels, "shapes", "2.0", {"shapes.py": "class Circle: pass\n"})
    core_wheels(wheels)
    variables = {"FLOW_VENV_WHEELS": str(wheels), "FLOW_ENVIRONMENTS": str(tmp_path / "made")}
    flowtester.more_plugins.append("venv")
    file = flowtester.write(FLOW)
    done = flowtester.flow("run", str(file), variables=variables)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((flowtester.path / "told.json").read_text())
    assert told.startswith(
        "Artifact 'one' of step 'start' (F/1/start/1) cannot be read in step 'end' (F/1/end/2)\n"
    )
    assert "Can't get attribute 'Square' on <module 'shapes'" in told
    first, second = (line for line in told.splitlines() if ": venv " in line)
    assert first.endswith(", shapes 1.0")
    assert second.endswith(", shapes 2.0")
    assert told.endswith(
        "try:   let both have the same shapes: add shapes==1.0 to the packages of @venv of step "
        "'end'; or store plain values in step 'start': numbers, texts, lists, dicts"
    )
