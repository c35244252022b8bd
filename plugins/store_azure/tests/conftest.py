"""What the tests of the store share."""

from __future__ import annotations

import pytest

from flow_azure.store import AzureStore
from flow_core.api import StoreError


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    """Make one request of all, with which the library opens its files for the whole process."""
    settings = {
        "azure_endpoint_url": "http://127.0.0.1:1/x",
        "azure_account": "none",
        "azure_retry_time": 0.0,
    }
    with pytest.raises(StoreError):
        AzureStore("none", settings=settings).size("none")
