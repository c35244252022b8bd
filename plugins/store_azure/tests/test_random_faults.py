"""The whole suite of stores on `AzureStore`, while the network and the service fail at random."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flow_azure.store import AzureStore
from flow_core.testing import FaultyProxy, StoreSuite

SEED = os.environ.get("FLOW_CHAOS_SEED", "")
KINDS = ("reset", "lose", "error", "slow-down", "truncate", "stall")
"""The client sends no checksum to Azure: there TLS sees bits that turn, and here is none."""


@pytest.mark.slow
# What is read ahead of a reader who meets an error ends a moment after the test.
@pytest.mark.may_leak("threads", "files")
class TestAzureThroughRandomFaults(StoreSuite):
    """The suite, on Azurite; other faults with ``FLOW_CHAOS_SEED=7``."""

    racers = 4
    refresh_is_safe = False  # Azure deletes without a look at the time
    time_step = 1.1

    @pytest.fixture
    def proxy(self, container, request) -> Iterator[FaultyProxy]:
        with FaultyProxy(container.endpoint, seed=f"{SEED} {request.node.name}") as proxy:
            proxy.fail_at_random(0.15, KINDS)
            yield proxy

    @pytest.fixture
    def store(self, proxy, container, monkeypatch) -> AzureStore:
        behind = container._replace(endpoint=proxy.url)
        for name, value in behind.environment().items():
            monkeypatch.setenv(name, value)
        return AzureStore(container.root, settings={"azure_retry_time": 20.0})

    @pytest.mark.skip("Azurite takes a minute for thousands of requests; see the suite of flow-s3")
    def test_more_than_a_page(self, store: AzureStore) -> None: ...

    @pytest.mark.skip("the same")
    def test_many_keys_with_missing_ones_among_them(self, store: AzureStore) -> None: ...
