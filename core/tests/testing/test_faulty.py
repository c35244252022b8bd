"""`FaultyStore`: each fault does what it says, and nothing else goes wrong."""

from __future__ import annotations

import time

import pytest

from flow_core.errors import StoreError, UsageError
from flow_core.records import RunState
from flow_core.testing import FaultyStore, FlowTester, MemoryStore
from flow_core.testing.faulty import OPERATIONS

USES = {
    "delete": lambda store: store.delete(["a"]),
    "describe": lambda store: list(store.describe(["a"])),
    "exists": lambda store: store.exists(["a"]),
    "folders": lambda store: store.folders("a/"),
    "list": lambda store: list(store.list("a")),
    "read": lambda store: list(store.read(["a"])),
    "read_range": lambda store: store.read_range("a", 0, 10),
    "refresh": lambda store: store.refresh("a"),
    "size": lambda store: store.size("a"),
    "stream": lambda store: b"".join(store.stream("a")),
    "write": lambda store: store.write([("a", b"new")]),
    "write_content": lambda store: store.write_content([b"new"], lambda: "a"),
    "write_stream": lambda store: store.write_stream("a", [b"new"]),
}


@pytest.fixture
def store() -> FaultyStore:
    store = FaultyStore(MemoryStore())
    store.behind.write([("a", b"0123456789"), ("b", b"b"), ("c/d", b"")])
    return store


def test_all_operations_are_tried() -> None:
    assert tuple(sorted(USES)) == OPERATIONS


@pytest.mark.parametrize("operation", OPERATIONS)
def test_fail(store: FaultyStore, operation: str) -> None:
    before = [*store.behind.list()]
    store.fail(operation, "a*")
    with pytest.raises(StoreError, match="does not answer") as caught:
        USES[operation](store)
    assert caught.value.where == f"FaultyStore, {operation}"
    assert [*store.behind.list()] == before, "nothing was done"
    USES[operation](store)  # once, by default


def test_fail_with_an_error_of_ones_own(store: FaultyStore) -> None:
    store.fail("*", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        store.size("b")


def test_only_keys_that_fit(store: FaultyStore) -> None:
    store.fail("*", "c/*", times=None)
    assert store.size("a") == 10
    for _ in range(3):
        with pytest.raises(StoreError):
            store.size("c/d")
    store.heal()
    assert store.size("c/d") == 0


def test_after_and_times(store: FaultyStore) -> None:
    store.fail("size", after=2, times=2)
    seen = []
    for _ in range(6):
        try:
            seen.append(store.size("a"))
        except StoreError:
            seen.append(None)
    assert seen == [10, 10, None, None, 10, 10]


def test_in_the_midst_of_many(store: FaultyStore) -> None:
    store.fail("write", after=1)
    with pytest.raises(StoreError):
        store.write([("x", b"1"), ("y", b"2"), ("z", b"3")])
    assert store.exists(["x", "y", "z"]) == [True, False, False]


@pytest.mark.parametrize("operation", ["write", "write_content", "delete", "refresh"])
def test_lose(store: FaultyStore, operation: str) -> None:
    store.behind.delete(["a"])
    if operation == "delete":
        store.behind.write([("a", b"old")])
    store.lose(operation)
    with pytest.raises(StoreError):
        USES[operation](store)
    expected = {"write": b"new", "write_content": b"new"}.get(operation)
    assert list(store.read(["a"])) == [expected], "it was done all the same"


@pytest.mark.parametrize("operation", ["write", "write_content"])
def test_tear_a_write(store: FaultyStore, operation: str) -> None:
    store.behind.delete(["a"])
    store.tear(operation, keep=0.4)
    with pytest.raises(StoreError):
        USES[operation](store)
    assert list(store.read(["a"])) == [b"n"]
    assert USES[operation](store) in ([True], False), "a content that is there is kept"


def test_tear_a_reading(store: FaultyStore) -> None:
    store.tear("read")
    store.tear("read_range", keep=0)
    assert list(store.read(["a", "a", "missing"])) == [b"01234", b"0123456789", None]
    assert store.read_range("a", 0, 4) == b""
    assert store.read_range("a", 0, 4) == b"0123"


def test_tear_a_list(store: FaultyStore) -> None:
    store.tear("list", keep=0.7)
    seen = []
    with pytest.raises(StoreError):
        seen += [o.key for o in store.list()]
    listing = store.list()
    assert [o.key for o in listing] == ["a", "b", "c/d"]
    store.tear("list", keep=0.7)
    listing = store.list()
    assert (next(listing).key, next(listing).key) == ("a", "b")
    with pytest.raises(StoreError):
        next(listing)


def test_delay(store: FaultyStore) -> None:
    store.delay("size", seconds=0.05)
    begun = time.monotonic()
    assert store.size("a") == 10
    assert time.monotonic() - begun >= 0.05


def test_somebody_else_comes_in_between(store: FaultyStore) -> None:
    store.during("write", lambda: store.write([("new", b"theirs")]), "new")
    assert store.write([("new", b"mine")], create_only=True) == [False]
    assert list(store.read(["new"])) == [b"theirs"]


def test_calls_are_counted(store: FaultyStore) -> None:
    list(store.read(["a", "b"]))
    store.fail("write")
    with pytest.raises(StoreError):
        store.write([("x/1", b"")])
    assert store.calls == [("read", "a"), ("read", "b"), ("write", "x/1")]
    assert (store.count("read"), store.count("write", "x/*"), store.count("list")) == (2, 1, 0)


def test_misspelt_operations(store: FaultyStore) -> None:
    with pytest.raises(UsageError, match="no operation 'wriet'") as caught:
        store.fail("wriet")
    assert caught.value.hint == "did you mean 'write'?"
    with pytest.raises(UsageError, match="'delete' cannot be torn"):
        store.tear("delete")


FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.x = "1" * 100_000
            self.next(self.end)

        @step
        def end(self):
            print("x is", len(self.x))
"""


def test_a_run_tells_that_its_store_failed(flowtester: FlowTester) -> None:
    store = FaultyStore(MemoryStore())
    store.fail("write", "runs/F/*/end/*", times=None)
    outcome = flowtester.run(FLOW, providers={("store", "local"): store})
    assert outcome.state is not RunState.SUCCEEDED
    assert outcome.error is not None
    assert "does not answer" in str(outcome.error)


def test_a_run_does_not_take_a_part_for_the_whole(flowtester: FlowTester) -> None:
    store = FaultyStore(MemoryStore())
    store.tear("read", "blobs/*", times=None)
    store.tear("read_range", "blobs/*", times=None)
    outcome = flowtester.run(FLOW, providers={("store", "local"): store})
    assert outcome.state is not RunState.SUCCEEDED
    assert "x is" not in outcome.output("end")
