"""``output-dot``."""

from __future__ import annotations

from typing import Any

from flow_inspect.output_dot import command


def test_each_kind_of_step_looks_different(here: Any, good: Any) -> None:
    out = here.call(command, flow=good).out
    assert out[0] == 'digraph "GoodFlow" {'
    assert out[-1] == "}"
    assert '  "start" [label="start", shape=trapezium];' in out
    assert '  "fast" [label="fast", shape=trapezium, peripheries=2];' in out
    assert '  "item" [label="item"];' in out
    assert '  "join" [label="join", shape=invtrapezium];' in out
    assert '  "end" [label="end", shape=ellipse];' in out


def test_every_edge_is_there_and_a_foreach_says_over_what(here: Any, good: Any) -> None:
    out = here.call(command, flow=good).out
    assert '  "start" -> "fast";' in out
    assert '  "start" -> "slow";' in out
    (foreach,) = [line for line in out if '"fast" -> "item"' in line]
    assert 'label="for each of items"' in foreach
    assert sum("->" in line for line in out) == 7


def test_a_switch_names_its_cases_on_the_edges(here: Any, switch: Any) -> None:
    out = here.call(command, flow=switch).out
    assert '  "begin" [label="begin", shape=diamond];' in out
    assert '  "finish" [label="finish", shape=ellipse];' in out
    assert '  "begin" -> "train" [label="kind is \'big\'", style=dashed];' in out
    assert '  "begin" -> "finish" [label="kind is \'none\' or 0", style=dashed];' in out
    assert '  "train" -> "train" [label="more is True", style=dashed];' in out


def test_a_gang_says_how_many(here: Any, flowtester: Any) -> None:
    source = """
        from flow_core import FlowSpec, step

        class GangFlow(FlowSpec):
            @step
            def start(self):
                self.next(self.train, num_parallel=4)

            @step
            def train(self):
                self.next(self.join)

            @step
            def join(self, inputs):
                self.next(self.end)

            @step
            def end(self):
                pass
    """
    out = here.call(command, flow=flowtester.load(source)).out
    assert '  "start" [label="start", shape=trapezium, peripheries=3];' in out
    assert '  "start" -> "train" [label="gang of 4", color="black:black:black"];' in out
