"""The store ``file``: what is peculiar to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flow_core.api import StoreError, UsageError, installed
from flow_store_local.folder import FileStore


def test_nothing_but_the_objects_is_left(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    store.write([("tmp/x", b"1"), ("metadata.db", b"2")])
    store.write_content([b"3"], lambda: "a/b")
    store.write_stream("c", [b"4"])
    assert [o.key for o in store.list()] == ["a/b", "c", "metadata.db", "tmp/x"]
    assert sorted(os.listdir(tmp_path)) == ["a", "c", "metadata.db", "tmp"]


def test_its_own_folder_is_hidden(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path))
    (tmp_path / ".flow-writing").mkdir()
    (tmp_path / ".flow-writing/half").write_bytes(b"of a killed writer")
    store.write([("a", b"1")])
    assert [o.key for o in store.list()] == ["a"]
    assert store.folders() == ["a"]
    with pytest.raises(StoreError, match="keeps other files"):
        store.write([(".flow-writing/x", b"")])


def test_url(tmp_path: Path) -> None:
    store = installed().open("flow.stores", f"file://{tmp_path}/x")
    assert type(store) is FileStore
    assert store.url == f"file://{tmp_path}/x"
    with pytest.raises(UsageError, match="needs a folder"):
        installed().open("flow.stores", "file")


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "store"))
    store.write([("a/1", b""), ("b/2", b""), ("c", b"")])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/3").touch()
    links = {
        "a/self": ".",
        "a/above": "../..",
        "a/disk": "/",
        "a/other": "../b",
        "b/back": "../a",
        "d": "../elsewhere",
    }
    for name, goal in links.items():
        (tmp_path / "store" / name).symlink_to(goal)
    found = [o.key for o in store.list()]
    assert found == ["a/1", "a/other/2", "b/2", "b/back/1", "c", "d/3"]
    assert [o.key for o in store.list("a/")] == ["a/1", "a/other/2"]
