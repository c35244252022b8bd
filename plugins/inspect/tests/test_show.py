"""``show``."""

from __future__ import annotations

import json
from typing import Any

from flow_inspect.show import command

TEXT = """\
GoodFlow  my_flow.py:5
  Trains models.

  In two ways.

Parameters
  --rate float  How fast to learn. (default: 0.5)
                Between 0 and 1.
  --folder str  (required)
  --day str     Which day. (default: computed)

Steps
  start
    Load the data.
    → fast and slow, at the same time

  fast
    → item, once for each of self.items

  slow
    → join

  item
    @retry(times=5)
    → gather

  gather  joins item
    → join

  join  joins gather and slow
    Choose the better one.
    → end

  end
    Report."""


def test_it_tells_a_newcomer_what_the_flow_is(here: Any, good: Any) -> None:
    assert here.call(command, flow=good).out == TEXT.splitlines()


def test_decorators_from_outside_say_where_they_come_from(here: Any, good: Any) -> None:
    out = here.call(command, flow=good, decorators=["retry:times=1"]).out
    assert "    @retry(times=1)  (from --with)" in out
    assert "    @retry(times=5)" in out


def test_a_flow_with_problems_is_shown_all_the_same(here: Any, bad: Any) -> None:
    out = here.call(command, flow=bad).out
    assert "    → nowhere" in out
    assert "    → ?" in out
    assert out[-1] == "The graph has 2 problems: the command 'check' tells."


def test_json_holds_the_same(here: Any, good: Any) -> None:
    data = json.loads("\n".join(here.call(command, "--json", flow=good).out))
    assert data["name"] == "GoodFlow"
    assert data["steps"]["fast"]["kind"] == "foreach"
    (retry,) = data["steps"]["item"]["decorators"]
    assert (retry["name"], retry["options"]["times"], retry["source"]) == ("retry", 5, "code")
    assert data["parameters"][0] == {
        "name": "rate",
        "type": "float",
        "default": 0.5,
        "computed": False,
        "required": False,
        "help": "How fast to learn.\nBetween 0 and 1.",
    }
    assert (data["parameters"][2]["default"], data["parameters"][2]["computed"]) == (None, True)


def test_a_switch_shows_its_cases(here: Any, switch: Any) -> None:
    out = here.call(command, flow=switch).out
    assert out[out.index("Steps") + 1 :] == [
        "  begin",
        '    {"team": "search"}',
        "    → train, if self.kind is 'big'",
        "    → finish, if self.kind is 'none' or 0",
        "",
        "  train",
        "    → train again, if self.more is True",
        "    → pick, if self.more is False",
        "",
        "  pick",
        "    → work, once for each of self.items, which may be empty",
        "",
        "  work",
        "    → join",
        "",
        "  join  joins work",
        "    → finish",
        "",
        "  finish",
    ]


def test_a_switch_as_json(here: Any, switch: Any) -> None:
    data = json.loads("\n".join(here.call(command, "--json", flow=switch).out))
    assert (data["start"], data["end"]) == ("begin", "finish")
    begin = data["steps"]["begin"]
    assert (begin["kind"], begin["targets"]) == ("switch", ["train", "finish"])
    assert begin["condition"] == "kind"
    assert begin["cases"] == [["'big'", "train"], ["'none'", "finish"], ["0", "finish"]]
    assert begin["node_info"] == {"team": "search"}
    assert data["steps"]["pick"]["allow_empty"] is True


GANG = """
    from flow_core import FlowSpec, step

    class GangFlow(FlowSpec):
        @step
        def start(self):
            self.next(self.train, num_parallel=self.workers)

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


def test_a_gang_says_how_many(here: Any, flowtester: Any) -> None:
    out = here.call(command, flow=flowtester.load(GANG)).out
    assert "    → train, as a gang of self.workers tasks" in out
    four = GANG.replace("self.workers", "4").replace("GangFlow", "FourFlow")
    flow = flowtester.load(flowtester.write(four, "four.py"))
    assert "    → train, as a gang of 4 tasks" in here.call(command, flow=flow).out
    data = json.loads("\n".join(here.call(command, "--json", flow=flow).out))
    start = data["steps"]["start"]
    assert (start["kind"], start["num_parallel"]) == ("parallel", "4")
