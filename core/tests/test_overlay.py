"""A store over another one."""

from __future__ import annotations

import pytest

from flow_core.api import OverlayStore, Store
from flow_core.testing import MemoryStore, StoreSuite


def nothing(key: str) -> str | None:
    return None


class TestAlone(StoreSuite):
    """Over an empty store it is a store like any other."""

    in_process = True

    @pytest.fixture
    def store(self) -> Store:
        return OverlayStore(MemoryStore(), MemoryStore(), nothing)

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, OverlayStore)
        return OverlayStore(store.own, store.base, nothing)


@pytest.fixture
def base() -> MemoryStore:
    store = MemoryStore()
    store.write([("blobs/ab/abc", b"blob"), ("runs/F/1/a", b"one"), ("runs/F/1/b", b"two")])
    return store


@pytest.fixture
def overlay(base: MemoryStore) -> OverlayStore:
    """Run 7 stands on run 1, but for its ``b``."""

    def below(key: str) -> str | None:
        return None if key == "runs/F/7/b" else key.replace("runs/F/7/", "runs/F/1/")

    return OverlayStore(MemoryStore(), base, below, "over://here")


def test_what_is_not_there_is_read_from_below(overlay: OverlayStore) -> None:
    keys = ["runs/F/7/a", "blobs/ab/abc", "runs/F/7/b", "runs/F/7/c"]
    assert list(overlay.read(keys)) == [b"one", b"blob", None, None]
    assert overlay.exists(keys) == [True, True, False, False]
    assert [overlay.size(key) for key in keys] == [3, 4, None, None]
    assert overlay.read_range("runs/F/7/a", 1, 5) == b"ne"


def test_what_is_written_stays_apart_and_counts_first(
    overlay: OverlayStore, base: MemoryStore
) -> None:
    assert overlay.write([("runs/F/7/a", b"mine")], create_only=True) == [True]
    assert overlay.write([("runs/F/7/a", b"late")], create_only=True) == [False]
    overlay.write_content([b"new"], lambda: "blobs/cd/cde")
    assert list(overlay.read(["runs/F/7/a", "runs/F/1/a"])) == [b"mine", b"one"]
    assert overlay.read_range("runs/F/7/a", 0, 9) == b"mine"
    assert [e.key for e in base.list()] == ["blobs/ab/abc", "runs/F/1/a", "runs/F/1/b"]


def test_listings_show_what_was_written_here(overlay: OverlayStore) -> None:
    overlay.write([("runs/F/7/a", b"mine")])
    assert [e.key for e in overlay.list()] == ["runs/F/7/a"]
    assert overlay.folders("runs/F/") == ["7"]


def test_a_deletion_reaches_nothing_below(overlay: OverlayStore, base: MemoryStore) -> None:
    overlay.write([("runs/F/7/a", b"mine")])
    overlay.delete(["runs/F/7/a", "blobs/ab/abc"])
    assert list(overlay.read(["runs/F/7/a", "blobs/ab/abc"])) == [b"one", b"blob"]
    assert base.exists(["blobs/ab/abc"]) == [True]


def test_it_says_where_and_what_it_is(overlay: OverlayStore) -> None:
    assert overlay.url == "over://here"
    assert "over://here over memory://" in repr(overlay)
    assert overlay.capabilities.create_only
    assert not overlay.capabilities.mappable
    assert overlay.local_path("runs/F/7/a") is None


def test_what_lies_below_is_not_relied_on_by_something_new(overlay: OverlayStore) -> None:
    assert overlay.size("blobs/ab/abc") == 4
    assert overlay.refresh("blobs/ab/abc") is False
    overlay.write([("blobs/ab/abc", b"blob")])
    assert overlay.refresh("blobs/ab/abc") is True
