"""Which runs are meant."""

from __future__ import annotations

import time

import pytest

from flow_core.api import NotFound, RunDocument, Session, UsageError, heartbeat_key, run_key
from flow_core.testing import MemoryMetadata, MemoryStore
from flow_stores.selection import Wanted, parse_run, select


def chosen(session: Session, wanted: Wanted) -> list[str]:
    return [run.pathspec for run in select(session.store, session.metadata, wanted).runs]


def test_all_or_some(local: Session) -> None:
    assert chosen(local, Wanted()) == ["F/1", "F/2", "F/3"]
    assert chosen(local, Wanted(flows=("F",))) == ["F/1", "F/2", "F/3"]
    assert chosen(local, Wanted(runs=(("F", "2"),))) == ["F/2"]
    assert chosen(local, Wanted(tags=("third",))) == ["F/3"]
    assert chosen(local, Wanted(tags=("third", "good", "user:tester"))) == ["F/3"]
    assert chosen(local, Wanted(tags=("third", "bad"))) == []
    assert chosen(local, Wanted(since=time.time())) == []
    assert len(chosen(local, Wanted(since=time.time() - 3600))) == 3


def test_what_is_not_there_is_named(local: Session) -> None:
    with pytest.raises(NotFound, match="There is no run of a flow 'f'"):
        chosen(local, Wanted(flows=("f",)))
    with pytest.raises(NotFound, match="There is no run F/9"):
        chosen(local, Wanted(runs=(("F", "9"),)))
    with pytest.raises(UsageError, match="'F' names no run"):
        parse_run("F")
    assert parse_run("F/12") == ("F", "12")


def test_a_run_that_goes_on_is_left_out_and_one_that_died_is_not() -> None:
    store, index = MemoryStore(), MemoryMetadata()
    for number, age in (("1", 3600.0), ("2", 0.0)):
        document = RunDocument("F", number, time.time() - age, {}, {}, None, {}, {})
        store.write([(run_key("F", number), document.encode())])
    found = select(store, index, Wanted())
    assert [run.run for run in found.runs] == ["1"]
    assert [run.run for run in found.going] == ["2"]
    assert heartbeat_key("F", "1") == "runs/F/1/heartbeat.json"


def test_a_damaged_record_is_a_problem_of_its_own(local: Session) -> None:
    store = MemoryStore()
    store.write([(run_key("F", "1"), b"rubbish")])
    found = select(store, MemoryMetadata(), Wanted())
    assert found.runs == ()
    assert found.problems == ("F/1: The run record is damaged",)
