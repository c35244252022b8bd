"""``current``: facts in a task, neutral values outside."""

import pytest

from flow_core.context import Current, current
from flow_core.hookspecs import hookimpl

FLOW = """
from flow_core import FlowSpec, step, Parameter, current
class F(FlowSpec):
    alpha = Parameter("alpha", default=1)
    @step
    def start(self):
        names = "flow_name run_id step_name task_id retry_count origin_run_id username namespace"
        self.facts = {n: getattr(current, n) for n in (names + " pathspec parameter_names").split()}
        self.running = current.is_running_flow
        self.steps = sorted(current.graph["steps"])
        self.tags = sorted(current.tags)
        self.extra = current.get("extra", "none")
        self.next(self.end)
    @step
    def end(self): pass
"""


def test_outside_of_a_task_everything_is_neutral():
    assert not current.is_running_flow
    assert current.run_id is None
    assert current.retry_count == 0
    assert current.tags == frozenset()
    assert current.get("card", 5) == 5
    assert "run_id" in current
    assert "card" not in current
    with pytest.raises(AttributeError, match="no plugin in this task provides it"):
        current.card


def test_inside_of_a_task(flowtester):
    outcome = flowtester.run(FLOW)
    found = outcome.artifacts("start")[0]
    assert found["facts"] == {
        "flow_name": "F",
        "run_id": "1",
        "step_name": "start",
        "task_id": "1",
        "retry_count": 0,
        "origin_run_id": None,
        "username": "tester",
        "namespace": "user:tester",
        "pathspec": "F/1/start/1",
        "parameter_names": ("alpha",),
    }
    assert found["running"] is True
    assert found["steps"] == ["end", "start"]
    assert found["extra"] == "none"
    assert not current.is_running_flow


def test_plugins_add_to_it(flowtester):
    class Cards:
        @hookimpl
        def flow_task_setup(self, task, flow):
            task.current.provide("extra", lambda: f"for {task.spec.step}")

    assert flowtester.run(FLOW, modules=[Cards()]).artifact("start", "extra") == "for start"
    assert "extra" not in current


def test_what_a_plugin_provides_is_made_once_and_only_when_read():
    made = []
    here = Current()
    here.begin({"run_id": "1"})
    here.provide("card", lambda: made.append(1) or "card")
    assert made == []
    assert here.card == here.card == "card"
    assert made == [1]
    here.end()
    assert "card" not in here


def test_a_plugin_may_add_to_what_another_provides():
    mine = Current()
    assert mine.provide("card", lambda: 1) is None
    earlier = mine.provide("card", lambda: earlier() + 1)
    assert mine.card == 2
