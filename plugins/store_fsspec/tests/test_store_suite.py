"""The suite for stores, in memory, on a local disk, and on a real SFTP server."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from flow_core.api import Store
from flow_core.testing import StoreSuite
from flow_fsspec.store import UrlStore, open_url


class UrlSuite(StoreSuite):
    def reopen(self, store: Store) -> Store:
        return open_url(store.url)


class TestMemory(UrlSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> UrlStore:
        return open_url(f"memory://{uuid.uuid4().hex}")


class TestFile(UrlSuite):
    refresh_is_safe = False  # it looks, and deletes then

    @pytest.fixture
    def store(self, tmp_path: Path) -> UrlStore:
        return open_url(f"file://{tmp_path}/store")

    def unwritable(self, tmp_path: Path) -> UrlStore:
        (tmp_path / "file").touch()
        return open_url(f"file://{tmp_path}/file/store")


@pytest.mark.may_leak("threads", "files", "logging")  # the connection
class TestSFTP(UrlSuite):
    racers = 4
    refresh_is_safe = False  # it looks, and deletes then
    time_step = 1.1  # the protocol counts seconds
    test_more_than_a_page = None  # it lists folder by folder, and has no pages
    test_many_keys_with_missing_ones_among_them = None  # one by one, as few of them are

    @pytest.fixture
    def store(self, sftp_place, monkeypatch) -> UrlStore:
        for name, value in sftp_place.environment().items():
            monkeypatch.setenv(name, value)
        return open_url(f"{sftp_place.url}/store")
