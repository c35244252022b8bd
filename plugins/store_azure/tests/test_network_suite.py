"""`AzureStore` on bad days: between it and Azurite stands a proxy that spoils requests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_azure.store import AzureStore
from flow_core.testing import FaultyProxy, NetworkStoreSuite


@pytest.mark.slow
class TestAzureOnBadDays(NetworkStoreSuite):
    """The suite, on Azurite."""

    patience = 12.0

    @pytest.fixture(autouse=True)
    def _no_turned_bits(self, request) -> None:
        if (
            getattr(request.node, "callspec", None)
            and "flip" in request.node.callspec.params.values()
        ):
            pytest.skip("the client sends no checksum to Azure: there TLS sees bits that turn")

    @pytest.fixture
    def proxy(self, container) -> Iterator[FaultyProxy]:
        with FaultyProxy(container.endpoint) as proxy:
            yield proxy

    @pytest.fixture
    def store(self, proxy, container, monkeypatch, request) -> AzureStore:
        behind = container._replace(endpoint=proxy.url)
        for name, value in behind.environment().items():
            monkeypatch.setenv(name, value)
        # What lasts is waited for in vain.
        lasts = any(word in request.node.name for word in ("lasting", "not_there"))
        return AzureStore(container.root, settings={"azure_retry_time": 1.0 if lasts else 10.0})
