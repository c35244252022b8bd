"""``tasks``: what is listed, and how."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from flow_core.api import AttemptRecord, AttemptState, Manifest, NotFound, UsageError
from flow_inspect.tasks import command


@pytest.fixture
def past(here: Any) -> Any:
    """A failed run with a retried task, one that was reused, and one whose end nobody saw."""
    here.run("1", "failed")
    records = [
        AttemptRecord(
            "F", "1", "start", 1, 0, AttemptState.REUSED, (), 1001.0, 1002.5, origin="F/0/start/1/0"
        ),
        AttemptRecord("F", "1", "work", 2, 0, AttemptState.FAILED, (0,), message="one"),
        AttemptRecord(
            "F", "1", "work", 2, 1, AttemptState.FAILED, (0,), 1001.0, 1391.0, 0.25, 12_345_678,
            message="it broke",
        ),
        AttemptRecord("F", "1", "work", 3, 0, AttemptState.RUNNING, (1,), 1001.0),
    ]  # fmt: skip
    here.session.metadata.write_attempts(records)
    return here


def test_aligned_in_the_order_of_their_numbers(past: Any) -> None:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1001))
    assert past.call(command, "F/1").out == [
        "TASK     ATTEMPT  STATE   INDEX  STARTED              TOOK        CPU    MEMORY  MESSAGE",
        f"start/1           reused         {at}  1.5 s                      from F/0/start/1/0",
        f"work/2   1        failed  0      {at}  6 min 30 s  0.2 s  12 MB   it broke",
        f"work/3            lost    1      {at}",
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["F/1/work"], ["work/2", "work/3"]),
        (["F/1/work/3"], ["work/3"]),
        (["F/1", "--state", "failed"], ["work/2"]),
        (["F/1", "--state", "lost", "--state", "reused"], ["start/1", "work/3"]),
        (["F/1", "--state", "running"], []),
        (["F/1", "--all-attempts", "--state", "failed"], ["work/2", "work/2"]),
        (["F/1", "--after", "1", "--limit", "1"], ["work/2"]),
        (["F/1", "--limit", "0"], ["start/1", "work/2", "work/3"]),
    ],
)
def test_filters(past: Any, arguments: list[str], expected: list[str]) -> None:
    assert [line.split()[0] for line in past.call(command, *arguments).out[1:]] == expected


def test_the_next_page(past: Any) -> None:
    assert past.call(command, "F/1", "--limit", "2").err == [
        "There are more: --after 2, or --limit 0."
    ]
    assert past.call(command, "F/1", "--limit", "3").err == []
    assert past.call(command, "F/1", "--state", "running").err == ["No task is as described."]


def test_json(past: Any) -> None:
    found = json.loads("\n".join(past.call(command, "F/1", "--json").out))
    assert [f["task"] for f in found] == ["F/1/start/1", "F/1/work/2", "F/1/work/3"]
    assert [f["state"] for f in found] == ["reused", "failed", "lost"]
    assert found[0]["origin"] == "F/0/start/1/0"
    assert (found[1]["attempt"], found[1]["foreach_indices"]) == (1, [0])


def test_what_the_attempts_of_one_task_asked_for(past: Any) -> None:
    notes = {"resources": {"memory": 4000, "cpu": 2}}
    last = Manifest("F", "1", "work", 2, 1, AttemptState.FAILED, notes=notes)
    past.session.store.write([(last.key, last.encode())])
    assert " 12 MB of 4.0 GB  it broke" in past.call(command, "F/1/work/2").out[1]
    assert " of 4.0 GB" not in past.call(command, "F/1/work").out[1]
    first, second = json.loads(
        "".join(past.call(command, "F/1/work/2", "--all-attempts", "--json").out)
    )
    assert (first["resources"], second["resources"]) == ({}, {"memory": 4000, "cpu": 2})


def test_what_is_refused(past: Any) -> None:
    with pytest.raises(NotFound, match="There is no run F/9"):
        past.call(command, "F/9")
    with pytest.raises(NotFound, match="No task of step 'wrok' has started") as caught:
        past.call(command, "F/1/wrok")
    assert caught.value.hint == "did you mean 'work'?"
    with pytest.raises(UsageError, match="'F' names no run, step or task"):
        past.call(command, "F")
