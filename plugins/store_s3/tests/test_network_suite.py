"""`S3Store` on bad days: between it and a real S3 server stands a proxy that spoils requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_core.testing import FaultyProxy, NetworkStoreSuite
from flow_s3.store import S3Store


@pytest.mark.slow
class TestS3OnBadDays(NetworkStoreSuite):
    """The suite, on SeaweedFS."""

    patience = 12.0

    @pytest.fixture
    def proxy(self, s3_server) -> Iterator[FaultyProxy]:
        with FaultyProxy(s3_server.endpoint) as proxy:
            yield proxy

    @pytest.fixture
    def store(self, proxy, bucket, monkeypatch, request) -> S3Store:
        for name, value in bucket.through(proxy.url).environment().items():
            monkeypatch.setenv(name, value)
        # What lasts is waited for in vain.
        lasts = any(word in request.node.name for word in ("lasting", "not_there"))
        return S3Store(bucket.root, settings={"s3_retry_time": 1.0 if lasts else 10.0})
