"""`AzureStore` on Azurite."""

from __future__ import annotations

import pytest

from flow_azure.store import AzureStore
from flow_core.testing import StoreSuite


# What is read ahead of a reader who meets an error ends a moment after the test.
@pytest.mark.may_leak("threads", "files")
class TestAzureStore(StoreSuite):
    """The suite, on Azurite."""

    racers = 4
    page = (
        300  # more than Azure deletes with one request; Azurite takes half a minute for thousands
    )
    refresh_is_safe = False  # Azure deletes without a look at the time
    time_step = 1.1

    @pytest.fixture
    def store(self, container, monkeypatch) -> AzureStore:
        for name, value in container.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("flow_objectstore.listing._PAGE", self.page)
        monkeypatch.setattr("flow_objectstore.store._BATCH", self.page)
        return AzureStore(container.root)
