"""The suites fail for providers that do what they must not: a suite that cannot fail proves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

import flow_core.testing
from flow_core.interfaces import Buffer
from flow_core.records import AttemptRecord
from flow_core.testing import (
    MemoryMetadata,
    MemoryStore,
    MetadataSuite,
    SerializerSuite,
    StoreSuite,
)


class TestJsonSerializer(SerializerSuite):
    class JsonSerializer:
        tag = "json"
        safe = True

        def can(self, value: Any) -> bool:
            return type(value) in (dict, list)

        def dump(self, value: Any) -> Sequence[Buffer]:
            return [b"1", json.dumps(value).encode()]

        def load(self, parts: Sequence[Buffer]) -> Any:
            return json.loads(bytes(parts[1]))

    serializer = JsonSerializer()
    values = ([], {}, [1, "a", None], {"a": [1.5] * 1000})


class ForgetfulStore(MemoryStore):
    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write(items)


class UnorderedStore(MemoryStore):
    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read(sorted(keys))


class KeepingStore(MemoryStore):
    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        for chunk in chunks:
            self.write([("half", chunk)])
        return super().write_content([], key)


class FirstAttemptMetadata(MemoryMetadata):
    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        return [r for r in super().attempts(flow, run, **options) if r.attempt == 0]


@pytest.mark.parametrize(
    ("store", "test"),
    [
        (ForgetfulStore, "test_create_only_keeps_the_first"),
        (ForgetfulStore, "test_threads_race_for_a_key"),
        (UnorderedStore, "test_read_keeps_the_order"),
        (KeepingStore, "test_failure_between_chunks_leaves_nothing"),
    ],
)
def test_store_suite_finds(store: type[MemoryStore], test: str) -> None:
    with pytest.raises(AssertionError):
        getattr(StoreSuite(), test)(store())


def test_metadata_suite_finds_a_missing_last_attempt() -> None:
    with pytest.raises(AssertionError):
        MetadataSuite().test_last_attempt_stands_for_the_task(FirstAttemptMetadata())


def test_serializer_suite_finds_a_changed_type() -> None:
    class Suite(SerializerSuite):
        serializer = TestJsonSerializer.JsonSerializer()
        values = ([(1, 2)],)

    with pytest.raises(AssertionError):
        Suite().test_round_trip()


def test_names_are_loaded_on_demand() -> None:
    code = "import sys, flow_core.testing as t; t.MemoryStore; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"], "the fakes are of use without pytest"


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        flow_core.testing.Nothing
