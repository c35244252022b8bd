"""What the tests of the store share."""

from __future__ import annotations

import pytest

from flow_core.api import StoreError
from flow_s3.store import S3Store


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    """Make one request of all, with which the library opens its files for the whole process."""
    settings = {"s3_endpoint_url": "http://127.0.0.1:1", "s3_anonymous": True, "s3_retry_time": 0.0}
    with pytest.raises(StoreError):
        S3Store("none", settings=settings).size("none")
