"""What a store of a service must do on bad days. Subclass `NetworkStoreSuite`, with a proxy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from flow_core.errors import StoreError
from flow_core.interfaces import Store
from flow_core.testing.faulty_proxy import FaultyProxy

PASSING = ("reset", "lose", "error", "slow-down", "truncate", "flip")
"""Faults that a store outlives, if they pass."""

_LARGE = (9 << 20) + 7


def _read(store: Store, key: str) -> bytes | None:
    (content,) = store.read([key])
    return content


def _write(store: Store) -> None:
    assert store.write([("new", b"content")]) == [True]
    assert _read(store, "new") == b"content"


def _create(store: Store) -> None:
    # Also where the answer is lost: that what is there is one's own can be seen.
    assert store.write([("new", b"content")], create_only=True) == [True], "it is one's own"
    assert store.write([("old", b"content")], create_only=True) == [False]
    assert [_read(store, "new"), _read(store, "old")] == [b"content", b"old"]


def _write_content(store: Store) -> None:
    store.write_content([b"con", b"tent"], lambda: "blobs/new")
    assert _read(store, "blobs/new") == b"content"


def _write_stream(store: Store) -> None:
    pieces = [os.urandom(1 << 20) for _ in range(12)]
    assert store.write_stream("new", pieces)
    assert _read(store, "new") == b"".join(pieces)


def _read_one(store: Store) -> None:
    assert [*store.read(["old", "missing", "old"])] == [b"old", None, b"old"]


def _read_range(store: Store) -> None:
    assert store.read_range("large", 1 << 20, 100) == bytes(100)


def _stream(store: Store) -> None:
    pieces = store.stream("large")
    assert pieces is not None
    assert sum(memoryview(piece).nbytes for piece in pieces) == _LARGE


def _list(store: Store) -> None:
    assert [(o.key, o.size) for o in store.list()] == [
        ("folder/a", 1),
        ("large", _LARGE),
        ("old", 3),
    ]
    assert store.folders() == ["folder", "large", "old"]


def _look(store: Store) -> None:
    assert store.exists(["old", "missing"]) == [True, False]
    assert store.size("old") == 3


def _delete(store: Store) -> None:
    store.delete(["old", "missing"])
    assert _read(store, "old") is None


def _refresh(store: Store) -> None:
    assert [store.refresh("old", 0), store.refresh("missing", 0)] == [True, False]
    assert _read(store, "old") == b"old"


_OPERATIONS: dict[str, Callable[[Store], None]] = {
    "write": _write,
    "create": _create,
    "write_content": _write_content,
    "write_stream": _write_stream,
    "read": _read_one,
    "read_range": _read_range,
    "stream": _stream,
    "list": _list,
    "look": _look,
    "delete": _delete,
    "refresh": _refresh,
}
_WRITING = {"write", "create", "write_content", "write_stream"}

_BRIEFLY: dict[str, Callable[[Store], object]] = {
    "write": lambda store: store.write([("new", b"x")]),
    "write_stream": lambda store: store.write_stream("new", [b"x"]),
    "read": lambda store: [*store.read(["old"])],
    "list": lambda store: [*store.list()],
    "look": lambda store: store.exists(["old"]),
    "delete": lambda store: store.delete(["old"]),
}


class NetworkStoreSuite:
    """Inherit it with fixtures ``proxy`` and ``store``, an empty store of which all goes through the proxy.

    Nothing is lost and nothing wrong is read, whatever passes; what stays is told within a bound.

    Attributes:
        patience: seconds within which the store gives up what fails again and again: its own setting
            for that, made short for the tests, and some more.
        at_once: seconds within which it tells what no patience mends.
        told: pairs of operation and fault which it does not mend, but tells as an error.

    Since 0.1.
    """

    patience = 15.0
    at_once = 15.0
    told: frozenset[tuple[str, str]] = frozenset()

    @pytest.fixture
    def proxy(self) -> Iterator[FaultyProxy]:
        """Give the proxy in front of the service. Override this."""
        raise NotImplementedError("the subclass of NetworkStoreSuite must define 'proxy'")

    @pytest.fixture
    def store(self, proxy: FaultyProxy) -> Store:
        """Give an empty store behind the proxy. Override this."""
        raise NotImplementedError("the subclass of NetworkStoreSuite must define 'store'")

    @pytest.fixture
    def filled(self, store: Store, proxy: FaultyProxy) -> Store:
        """Give the store with some objects in it, before anything goes wrong."""
        store.write([("old", b"old"), ("folder/a", b"a"), ("large", bytes(_LARGE))])
        proxy.seen.clear()
        return store

    @pytest.mark.parametrize("kind", PASSING)
    @pytest.mark.parametrize("operation", _OPERATIONS)
    def test_passing_fault(
        self, filled: Store, proxy: FaultyProxy, operation: str, kind: str
    ) -> None:
        if kind == "flip" and operation not in _WRITING:
            pytest.skip("only what is sent has a checksum that the service looks at")
        proxy.fail(kind, method="PUT" if kind == "flip" else "*", times=2)
        if (operation, kind) in self.told:
            self._check_told(lambda: _OPERATIONS[operation](filled), self.patience)
            assert filled.exists(["new", "old"]) == [False, True], "nothing wrong was written"
            return
        _OPERATIONS[operation](filled)
        done = [request.fault for request in proxy.seen if request.fault]
        assert done == [kind] * 2, "the operation went through the proxy, and met its faults"

    @pytest.mark.parametrize("operation", _BRIEFLY)
    @pytest.mark.parametrize("kind", ["reset", "error", "slow-down"])
    def test_lasting_fault_is_told(
        self, filled: Store, proxy: FaultyProxy, operation: str, kind: str
    ) -> None:
        proxy.fail(kind, times=None)
        self._check_told(lambda: _BRIEFLY[operation](filled), self.patience)
        assert len(proxy.seen) > 1, "it tried again before it gave up"
        proxy.heal()
        assert _read(filled, "old") == b"old", "it works on when the service does"

    @pytest.mark.parametrize("operation", _BRIEFLY)
    @pytest.mark.parametrize("kind", ["expired", "forbidden"])
    def test_what_no_patience_mends_is_told_at_once(
        self, filled: Store, proxy: FaultyProxy, operation: str, kind: str
    ) -> None:
        proxy.fail(kind, times=None)
        told = self._check_told(lambda: _BRIEFLY[operation](filled), self.at_once)
        assert len(proxy.seen) <= 3, "it was not tried again and again"
        if kind == "expired":
            assert "expired" in told.lower()

    def test_service_that_is_not_there(self, filled: Store, proxy: FaultyProxy) -> None:
        proxy.close()
        self._check_told(lambda: _read(filled, "old"), self.at_once + self.patience)
        self._check_told(lambda: filled.write([("new", b"x")]), self.at_once + self.patience)

    def test_many_operations_with_faults_among_them(
        self, filled: Store, proxy: FaultyProxy
    ) -> None:
        for kind in PASSING:
            if kind != "flip":
                proxy.fail(kind, times=None, probability=0.03)
        items = [(f"k/{number}", b"%d" % number) for number in range(100)]
        assert filled.write(items, create_only=True) == [True] * 100
        assert [*filled.read([key for key, _ in items])] == [content for _, content in items]
        assert len([*filled.list("k/")]) == 100
        filled.delete([key for key, _ in items[:50]])
        assert filled.exists([key for key, _ in items]) == [False] * 50 + [True] * 50
        assert any(request.fault for request in proxy.seen), "something went wrong indeed"

    def _check_told(self, use: Callable[[], object], seconds: float) -> str:
        begin = time.monotonic()
        with pytest.raises(StoreError) as caught:
            use()
        took = time.monotonic() - begin
        error = caught.value
        assert took < seconds, f"told after {took:.1f} s"
        assert error.what, "the error says what failed"
        assert error.where, "the error says where"
        assert error.why, "the error says why"
        assert error.hint, "the error says what a person can do"
        return f"{error.what} {error.why} {error.hint}"
