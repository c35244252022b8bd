"""`S3Store` on a real S3 server."""

from __future__ import annotations

import pytest

from flow_core.testing import StoreSuite
from flow_s3.store import S3Store


# What is read ahead of a reader who meets an error ends a moment after the test.
@pytest.mark.may_leak("threads", "files")
class TestS3Store(StoreSuite):
    """The suite, on SeaweedFS."""

    racers = 4
    refresh_is_safe = False  # S3 deletes without a look at the time
    time_step = 1.1

    @pytest.fixture
    def store(self, bucket, monkeypatch) -> S3Store:
        for name, value in bucket.environment().items():
            monkeypatch.setenv(name, value)
        return S3Store(bucket.root)

    @pytest.mark.skip("SeaweedFS lists folders that had an object; S3 has none")
    def test_emptied_folder_disappears(self, store: S3Store) -> None: ...
