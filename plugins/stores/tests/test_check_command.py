"""`flow store check`, and what it finds wrong with a store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence

import pytest

from flow_core.api import Buffer, IntegrityError, ObjectInfo, StoreCapabilities
from flow_core.testing import FlowTester, MemoryStore
from flow_stores.check_command import check_store


def found(store: MemoryStore) -> dict[str, str]:
    return {finding.what: finding.status for finding in check_store(store)}


def test_a_store_that_works() -> None:
    store = MemoryStore()
    assert found(store) == dict.fromkeys(
        ("reach", "write", "read", "clock", "once", "large", "list", "delete"), "ok"
    )
    assert list(store.list("")) == []


def test_one_that_overwrites() -> None:
    class Careless(MemoryStore):
        def write(
            self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
        ) -> list[bool]:
            return super().write(items)

    assert found(Careless())["once"] == "fail"

    class Honest(MemoryStore):
        capabilities = StoreCapabilities(create_only=False)

    assert found(Honest())["once"] == "warn"


def test_one_whose_clock_is_wrong() -> None:
    class Late(MemoryStore):
        def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
            for info in super().describe(keys):
                yield None if info is None else info._replace(modified=time.time() - 60)

    (clock,) = [finding for finding in check_store(Late()) if finding.what == "clock"]
    assert (clock.status, clock.text[:20]) == ("warn", "its clock is 60 s be")


def test_one_that_damages_what_it_keeps() -> None:
    class Careless(MemoryStore):
        def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
            return (b"?" for _ in keys)

    store = Careless()
    with pytest.raises(IntegrityError):
        list(check_store(store))
    assert list(store.list("")) == []


def test_the_command(flowtester: FlowTester) -> None:
    shown = flowtester.flow("store", "check", "local://x").check().stdout.splitlines()
    assert shown[0] == f"local://{flowtester.path}/x"
    assert shown[-1] == "ok    delete  what was written is gone"
    told = json.loads(flowtester.flow("store", "check", "--json").check().stdout)
    assert {finding["status"] for finding in told["findings"]} == {"ok"}
    error = flowtester.flow("store", "check", "nowhere").error
    assert "no plugin provides the store 'nowhere'" in error["error"]


def test_what_worked_before_an_error_is_told(flowtester: FlowTester) -> None:
    (flowtester.path / "file").touch()
    done = flowtester.flow("store", "check", "local://file/x")
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [["ok", "reach"]]
    assert done.error["error"].startswith("Cannot write 'doctor/")
