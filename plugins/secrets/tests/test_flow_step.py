"""A step that needs a secret, in a test: from the test, or fetched."""

import os

from flow_core import FlowSpec, secrets, step
from flow_core.testing import flow_step


class F(FlowSpec):
    @secrets(sources=[{"type": "inline", "options": {"env_vars": {"TOKEN": "hunter22"}}}])
    @step
    def start(self):
        self.length = len(os.environ["TOKEN"])
        print(os.environ["TOKEN"])
        self.next(self.end)

    @step
    def end(self):
        pass


def test_the_test_gives_it(monkeypatch):
    monkeypatch.setenv("TOKEN", "abc")
    outcome = flow_step(F.start)
    assert (outcome["length"], outcome.stdout) == (3, "abc\n")


def test_it_is_fetched_and_masked(monkeypatch):
    monkeypatch.delenv("TOKEN", raising=False)
    outcome = flow_step(F.start, hooks=["secrets"])
    assert (outcome["length"], outcome.stdout) == (8, "***\n")
    assert "TOKEN" not in os.environ
