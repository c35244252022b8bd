"""The fakes pass the suites that real providers pass."""

from __future__ import annotations

import pytest

from flow_core.interfaces import Store
from flow_core.testing import MemoryStore, StoreSuite


class TestMemoryStore(StoreSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    def reopen(self, store: Store) -> Store:
        return store
