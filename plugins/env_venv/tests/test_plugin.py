"""What ``@venv`` makes of the plan of a step."""

from __future__ import annotations

from flow_core.testing import FlowTester

FLOW = """
from flow_core import FlowSpec, step, venv

class F(FlowSpec):
    @venv(packages=["b", "a"], requirements="more.txt")
    @step
    def start(self):
        self.next(self.end)

    @venv(disabled=True)
    @step
    def end(self):
        pass
"""


def test_it_asks_for_an_environment_and_disabled_for_none(flowtester: FlowTester) -> None:
    session = flowtester.session(flowtester.load(FLOW), ["venv"], settings={"environment": "other"})
    start, end = session.plans["start"], session.plans["end"]
    assert (start.environment, end.environment) == ("venv", None)
    assert start.environment_options == {"packages": ["a", "b"], "python": ""}
    assert start.environment_files == ("more.txt",)
