"""A step that reads its variables, in a test."""

import os

from flow_core import FlowSpec, environment, step
from flow_core.testing import flow_step


def test_the_variables_are_there_while_the_step_runs(monkeypatch):
    class F(FlowSpec):
        @environment(vars={"FLOW_STEP_LEVEL": "3"})
        @step
        def start(self):
            self.level = os.environ["FLOW_STEP_LEVEL"]
            self.next(self.end)

        @step
        def end(self):
            pass

    monkeypatch.setenv("FLOW_STEP_LEVEL", "1")
    assert flow_step(F.start)["level"] == "3"
    assert os.environ["FLOW_STEP_LEVEL"] == "1"
