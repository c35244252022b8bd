"""``check``."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_core.api import LintError
from flow_inspect.check import command


def test_a_good_flow_is_called_good(here: Any, good: Any) -> None:
    assert here.call(command, flow=good).out == ["The graph of GoodFlow looks good: 7 steps."]


def test_all_problems_come_at_once(here: Any, bad: Any) -> None:
    with pytest.raises(LintError) as caught:
        here.call(command, flow=bad)
    assert caught.value.exit_code == 1
    assert [p.step for p in caught.value.problems] == ["start", "middle"]
    assert "Step 'start' goes to 'nowhere', which is no step" in str(caught.value)
    assert "Step 'middle' does not say what follows" in str(caught.value)


def test_json_lists_the_problems_and_the_exit_status_is_1(here: Any, bad: Any) -> None:
    context = here.call(command, "--json", flow=bad)
    data = json.loads("\n".join(context.out))
    assert context.status == 1
    assert (data["flow"], data["steps"]) == ("BadFlow", 3)
    assert [p["step"] for p in data["problems"]] == ["start", "middle"]
    assert data["problems"][0]["line"] == 8
    assert set(data["problems"][0]) == {"message", "hint", "file", "line", "step"}


def test_json_of_a_good_flow(here: Any, good: Any) -> None:
    context = here.call(command, "--json", flow=good)
    assert json.loads("\n".join(context.out)) == {"flow": "GoodFlow", "steps": 7, "problems": []}
    assert not context.status
