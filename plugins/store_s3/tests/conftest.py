"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_core.api import StoreError
from flow_s3.store import S3Store


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    """Make one request of all, with which the library opens its files for the whole process."""
    settings = {"s3_endpoint_url": "http://127.0.0.1:1", "s3_anonymous": True, "s3_retry_time": 0.0}
    with pytest.raises(StoreError):
        S3Store("none", settings=settings).size("none")


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """A server that gives roles to anybody."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
