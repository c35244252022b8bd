"""What plugins keep goes along with the runs that it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flow_core.api import Store, StoredObject
from flow_core.testing import MemoryStore
from flow_stores.others import along


def finder(store: Store, gone: Callable[[str, str], bool]) -> Iterator[StoredObject]:
    """What a plugin offers that keeps ``mine/Flow/run``."""
    for found in store.list("mine/"):
        if gone(*found.key.split("/")[1:3]):
            yield found


def test_what_belongs_to_some_runs_and_what_belongs_to_all() -> None:
    store = MemoryStore()
    keys = ["mine/F/1", "mine/F/2", "mine/G/1", "notes", "spin/runs/F/1/run.json", "blobs/ab/abc"]
    keys += ["runs/F/1/run.json", "gc/1", "numbers/F/3", "tags/F/1/1-a", "files/F/1/x", "yours/x"]
    store.write([(key, b"x") for key in keys])
    some = along(store, [finder], {("F", "1")}, everything=False)
    assert some == [("mine/F/1", 1)]
    whole = along(store, [finder], {("F", "1"), ("G", "1")}, everything=True)
    assert [key for key, _ in whole] == ["mine/F/1", "mine/G/1", "notes", "yours/x"]
