"""The whole suite of stores on `S3Store`, while the network and the service fail at random."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flow_core.testing import FaultyProxy, StoreSuite
from flow_s3.store import S3Store

SEED = os.environ.get("FLOW_CHAOS_SEED", "")
MANY = ("test_more_than_a_page", "test_many_keys_with_missing_ones_among_them")
"""Tests that send so many requests that few faults will do."""


@pytest.mark.slow
# What is read ahead of a reader who meets an error ends a moment after the test.
@pytest.mark.may_leak("threads", "files")
class TestS3ThroughRandomFaults(StoreSuite):
    """The suite, on SeaweedFS; other faults with ``FLOW_CHAOS_SEED=7``."""

    racers = 4
    refresh_is_safe = False  # S3 deletes without a look at the time
    time_step = 1.1

    @pytest.fixture
    def proxy(self, s3_server, request) -> Iterator[FaultyProxy]:
        with FaultyProxy(s3_server.endpoint, seed=f"{SEED} {request.node.name}") as proxy:
            proxy.fail_at_random(0.02 if request.node.name in MANY else 0.15)
            yield proxy

    @pytest.fixture
    def store(self, proxy, bucket, monkeypatch) -> S3Store:
        for name, value in bucket.through(proxy.url).environment().items():
            monkeypatch.setenv(name, value)
        return S3Store(bucket.root, settings={"s3_retry_time": 20.0})

    @pytest.mark.skip("SeaweedFS lists folders that had an object; S3 has none")
    def test_emptied_folder_disappears(self, store: S3Store) -> None: ...
