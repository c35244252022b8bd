"""``runs``: what is listed, and how."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from flow_core.api import NotFound, UsageError
from flow_inspect.runs import command

ADA = ("user:ada",)


@pytest.fixture
def past(here: Any) -> Any:
    """Four runs of ada, one of bob."""
    alpha = (("alpha", "3"), ("mode", '"fast"'))
    here.run("1", finished_at=1003.5, user="ada", system_tags=ADA)
    for run, state in (("2", "failed"), ("3", "succeeded"), ("4", "running")):
        here.run(run, state, user="ada", system_tags=ADA, tags=("t",) if run == "3" else ())
    here.run("5", user="bob", system_tags=("user:bob",))
    record = here.session.metadata.run("F", "3")
    here.session.metadata.remove_run("F", "3")
    here.session.metadata.register_run(record._replace(parameters=alpha))
    return here


def listed(past: Any, *arguments: str, **options: Any) -> list[str]:
    """Return the numbers of the runs in the first column."""
    return [
        line.split()[0].rpartition("/")[2]
        for line in past.call(command, *arguments, **options).out[1:]
    ]


def test_aligned_and_newest_first(past: Any) -> None:
    started = [time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1000 + n)) for n in range(5)]
    assert past.call(command).out == [
        "RUN  STATE      STARTED              TOOK   USER  TAGS  PARAMETERS",
        f"F/4  lost       {started[4]}         ada",
        f'F/3  succeeded  {started[3]}         ada   t     alpha=3 mode="fast"',
        f"F/2  failed     {started[2]}         ada",
        f"F/1  succeeded  {started[1]}  2.5 s  ada",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["F", "--state", "failed", "--state", "lost"], "42"),
        (["--tag", "t"], "3"),
        (["--param", "alpha=3"], "3"),
        (["--param", "alpha=3", "--param", "mode=fast"], "3"),
        (["--param", "alpha=4"], ""),
        (["--since", "1d"], ""),
        (["--until", "1d", "--limit", "2"], "43"),
        (["--user", "bob"], "5"),
        (["--namespace", ""], "54321"),
        (["--namespace", "user:bob"], "5"),
        (["--before", "F/3"], "21"),
        (["--limit", "0"], "4321"),
    ],
)
def test_filters(past: Any, arguments: list[str], expected: str) -> None:
    assert "".join(listed(past, *arguments)) == expected


def test_the_next_page(past: Any) -> None:
    first = past.call(command, "--limit", "2")
    assert first.err == ["There are more: --before F/3, or --limit 0."]
    assert listed(past, "--limit", "2", "--before", "F/3") == ["2", "1"]
    assert past.call(command, "--limit", "4").err == []


def test_several_flows_are_merged_by_time(past: Any) -> None:
    record = past.session.metadata.run("F", "2")
    past.session.metadata.register_run(record._replace(flow="G", created_at=1002.5))
    assert [line.split()[0] for line in past.call(command).out[1:4]] == ["F/4", "F/3", "G/2"]
    assert listed(past, "G") == ["2"]


def test_json(past: Any) -> None:
    (found,) = json.loads("\n".join(past.call(command, "--json", "--tag", "t").out))
    assert found["run"] == "F/3"
    assert found["parameters"] == {"alpha": 3, "mode": "fast"}
    assert (found["state"], found["tags"], found["system_tags"]) == ("succeeded", ["t"], [*ADA])
    assert json.loads("\n".join(past.call(command, "--json", "--tag", "x").out)) == []


def test_nothing_is_as_described(past: Any, here: Any) -> None:
    assert past.call(command, "--tag", "x").err == [
        "No run is as described. Only runs of ada were looked at: --namespace '' shows all."
    ]
    assert past.call(command, "--tag", "x", "--namespace", "").err == ["No run is as described."]


def test_where_nothing_ran(here: Any) -> None:
    assert here.call(command).err == [
        f"There is no run yet in {here.session.store.url}: python my_flow.py run"
    ]
    here.session.store.write([("runs/F/1/run.json", b"{}")])
    assert here.call(command).err == ["The index has no run, but the store has some: flow reindex"]


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (["Fx"], "There is no run of a flow 'Fx'", "did you mean 'F'?"),
        (["--since", "soon"], "'soon' is no time", "2026-11-28, '2026-11-28 14:30', 12h, 7d"),
        (["--param", "alpha"], "'alpha' names no value of a parameter", "--param alpha=3"),
        (["--before", "F/9"], "There is no run F/9", "latest runs: 5, 4, 3, 2, 1"),
    ],
)
def test_what_is_refused(past: Any, arguments: list[str], what: str, hint: str) -> None:
    with pytest.raises((NotFound, UsageError)) as caught:
        past.call(command, *arguments)
    assert (caught.value.what, caught.value.hint) == (what, hint)
