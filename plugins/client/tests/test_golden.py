"""A run that was started from Python, or found by the client, against a golden file."""

import pytest

from flow_client import Run
from flow_core.testing import assert_same_run
from flow_core.testing.golden import Update

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        x = Parameter("x", default=1)

        @step
        def start(self):
            self.y = self.x + 1
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_runs_of_the_client(flowtester, monkeypatch):
    file = flowtester.write(FLOW)
    flowtester.python(file, "run").check()
    flowtester.python(file, "run", "--x", "5").check()
    monkeypatch.chdir(flowtester.path)
    monkeypatch.setenv("FLOW_USER", "tester")
    first, second = Run("F/1"), Run("F/2")
    assert first.store.url.endswith(".flow")
    with monkeypatch.context() as patch:
        patch.setattr(Update, "wanted", True)
        assert_same_run(first, flowtester.path)
    assert_same_run(first, flowtester.path)
    with pytest.raises(AssertionError, match=r"start\.y: 2 → 6"):
        assert_same_run(second, flowtester.path)
