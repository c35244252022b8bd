"""``reindex``, and the errors that lead to it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_core.api import NotFound, run_key
from flow_core.testing import MemoryMetadata
from flow_inspect.dump import command as dump
from flow_inspect.reindex import command


@pytest.fixture
def lost(here: Any) -> Any:
    """Two runs in the store, and an index that knows none."""
    for run in ("1", "2"):
        here.run(run)
        here.attempt(run=run, artifacts={"x": 1})
    here._providers["metadata", "memory"] = MemoryMetadata("here")
    here.session = here._session(None)
    return here


def test_the_index_is_made_anew(lost: Any) -> None:
    with pytest.raises(NotFound) as caught:
        lost.call(dump, "F/1")
    assert str(caught.value) == (
        "The index does not know the run F/1\n"
        "  where: memory://here\n"
        "  why:   the store memory://here has runs that the index lacks\n"
        "  try:   flow reindex"
    )
    assert lost.call(command).out == ["The index was made anew: 2 runs found in the store."]
    assert "F/1/start/1" in lost.call(dump, "F/1").out[0]


def test_an_index_that_knows_only_newer_runs(lost: Any) -> None:
    lost.run("3")
    with pytest.raises(NotFound) as caught:
        lost.call(dump, "F/2")
    assert caught.value.hint == "flow reindex"
    with pytest.raises(NotFound) as caught:
        lost.call(dump, "F/9")
    assert caught.value.hint == "latest runs: 3"


def test_what_cannot_be_read_is_named(lost: Any) -> None:
    lost.session.store.write([(run_key("F", "3"), b"garbage")])
    called = lost.call(command)
    assert called.out[0].startswith("The index was made anew: 2 runs")
    (line,) = called.err
    assert line.startswith("left out: runs/F/3/run.json: ")
    data = json.loads("".join(lost.call(command, "--json").out))
    assert data["runs"] == 2
    assert len(data["problems"]) == 1
