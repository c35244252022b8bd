"""The local store passes the suite for stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_core.testing import StoreSuite
from flow_store_local.folder import FileStore
from flow_store_local.store import LocalStore


class TestLocalStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"))

    def unwritable(self, tmp_path: Path) -> LocalStore:
        (tmp_path / "file").touch()
        return LocalStore(str(tmp_path / "file" / "store"))


class TestLocalStoreThatWaitsForTheDisk(StoreSuite):
    racers = 3

    @pytest.fixture
    def store(self, tmp_path: Path) -> LocalStore:
        return LocalStore(str(tmp_path / "store"), fsync=True)


class TestFileStore(StoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(str(tmp_path / "store"))
