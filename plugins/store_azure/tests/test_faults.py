"""What a person is told: which of address, container or key is wrong, and soon."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable

import pytest

from flow_azure.store import AzureStore
from flow_core.api import StoreError
from flow_core.testing import FaultyProxy

WAYS = (
    lambda store: list(store.read(["a"])),
    lambda store: store.write([("a", b"x")], create_only=True),
    lambda store: store.folders(),
)


@pytest.fixture
def told(monkeypatch) -> Callable[..., list[StoreError]]:
    """Use a place in the ways in which a run meets it first; return the errors, which come long before a
    minute's patience is over."""

    def use(place, ways: int = 3) -> list[StoreError]:
        for name, value in place.environment().items():
            monkeypatch.setenv(name, value)
        errors = []
        for way in WAYS[:ways]:
            begun = time.monotonic()
            with pytest.raises(StoreError) as caught:
                way(AzureStore(place.root))
            assert time.monotonic() - begun < 30
            error = caught.value
            assert all((error.what, error.where, error.why, error.hint))
            errors.append(error)
        return errors

    return use


def test_container_that_is_not_there(container, told):
    for error in told(container._replace(name="no-such-container")):
        assert error.why.startswith("there is no container 'no-such-container'")
        assert error.hint.startswith(
            "make it: az storage container create --name no-such-container"
        )


def test_key_that_is_wrong(container, told):
    for error in told(container._replace(key=base64.b64encode(b"wrong").decode())):
        assert error.why.startswith("the key does not belong to the account")
        assert "AZURE_STORAGE_KEY" in error.hint


def test_nothing_listens(container, told):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        for error in told(container._replace(endpoint=address), 1):
            assert error.why.startswith(f"nothing listens at {address}")


def test_something_listens_that_is_no_web_server(container, told):
    def answer() -> None:
        while True:
            try:
                client, _ = other.accept()
            except OSError:
                return
            with client:
                client.sendall(b"SSH-2.0-OpenSSH\r\n")

    with socket.create_server(("127.0.0.1", 0)) as other:
        thread = threading.Thread(target=answer)
        thread.start()
        address = f"http://127.0.0.1:{other.getsockname()[1]}"
        try:
            for error in told(container._replace(endpoint=address), 1):
                assert error.why.startswith(f"what listens at {address}")
                assert error.why.endswith("does not answer in HTTP")
                assert "AZURE_STORAGE_BLOB_ENDPOINT" in error.hint
        finally:
            other.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_host_that_does_not_exist(container, told):
    for error in told(container._replace(endpoint="http://nowhere.invalid"), 1):
        assert error.why.startswith("there is no host 'nowhere.invalid'")
        assert "AZURE_STORAGE_ACCOUNT" in error.hint


def test_credentials_that_have_expired(container, told):
    with FaultyProxy(container.endpoint) as proxy:
        proxy.fail("expired", times=None)
        for error in told(container._replace(endpoint=proxy.url)):
            assert error.why.startswith("the credentials have expired")
            assert error.hint == "get new credentials: az login, or a new SAS token"
