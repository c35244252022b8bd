"""The fakes pass the suites that real providers pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_core.interfaces import Metadata, Store
from flow_core.testing import FaultyStore, MemoryMetadata, MemoryStore, MetadataSuite, StoreSuite


class TestMemoryStore(StoreSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def reopen(self, store: Store) -> Store:
        return store


class TestFaultyStore(StoreSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore())

    def reopen(self, store: Store) -> Store:
        return store

    def unwritable(self, tmp_path: Path) -> FaultyStore:
        store = FaultyStore(MemoryStore())
        store.fail("*", times=None)
        return store


class TestMemoryMetadata(MetadataSuite):
    in_process = True

    @pytest.fixture
    def metadata(self) -> MemoryMetadata:
        return MemoryMetadata()

    def reopen(self, metadata: Metadata) -> Metadata:
        return metadata
