"""What a bare Python reads of Azure, with which credentials, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from booting import (
    START,
    Place,
    Service,
    check_program,
    closing_connections,
    pythons,
    read_by,
)

from flow_azure import fetch
from flow_azure.store import AzureStore
from flow_core.testing import FaultyProxy
from flow_objectstore import fetching
from flow_objectstore.roots import fetch_source


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let nothing of the person count; close what readers keep open."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with closing_connections(fetch.Web, monkeypatch):
        yield


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def config(container: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a store tells of itself; ``key`` lies in it. The variables go again."""
    with monkeypatch.context() as patch:
        for name, value in container.environment().items():
            patch.setenv(name, value)
        store = AzureStore(container.root)
        store.write([("key", b"content"), ("empty", b"")])
        return {**store.bootstrap().config, "patience": 3.0}


def refused(config: dict[str, Any]) -> fetch.Failed:
    with pytest.raises(fetch.Failed) as caught:
        fetch.open(config)("key")
    assert "\n" not in str(caught.value)
    return caught.value


class TestOnAzurite:
    """It checks signatures."""

    @pytest.mark.parametrize(
        "name", ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"]
    )
    def test_the_key_of_the_account(
        self, config: dict[str, Any], container: Any, monkeypatch: Any, name: str
    ) -> None:
        monkeypatch.setenv(name, container.key)
        read = fetch.open(config)
        assert [read(key) for key in ("key", "empty", "missing")] == [b"content", b"", None]

    def test_a_connection_string(
        self, config: dict[str, Any], container: Any, monkeypatch: Any
    ) -> None:
        for name, value in container.environment().items():
            monkeypatch.setenv(name, value)
        assert fetch.open(config)("key") == b"content"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")
        assert fetch.open(config)("key") == b"content"

    def test_a_wrong_key(self, config: dict[str, Any], monkeypatch: Any) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", "YW5vdGhlcg==")
        error = refused(config)
        assert "answers 403" in str(error)
        assert "(credentials of the account's key)" in str(error)
        assert "YW5vdGhlcg" not in str(error)

    def test_what_is_no_key(self, config: dict[str, Any], monkeypatch: Any) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", "no key")
        assert str(refused(config)) == "the account's key is none: it is not base64"

    def test_a_missing_container(
        self, config: dict[str, Any], container: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", container.key)
        error = refused({**config, "container": "nothere"})
        assert str(error).startswith("there is no container 'nothere' at http://127.0.0.1")
        assert "az storage container create --name nothere" in error.hint

    def test_what_passes_is_tried_again(
        self, config: dict[str, Any], container: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("AZURE_STORAGE_KEY", container.key)
        base = urlsplit(config["endpoint"])
        with FaultyProxy(f"http://{base.netloc}") as proxy:
            read = fetch.open({**config, "endpoint": proxy.url + base.path, "patience": 20.0})
            for kind in ("reset", "error", "slow-down", "truncate"):
                proxy.fail(kind)
            assert read("key") == b"content"
            assert len(proxy.seen) == 5

    def test_a_task_begins(
        self, config: dict[str, Any], container: Any, monkeypatch: Any, tmp_path: Path
    ) -> None:
        for name, value in container.environment().items():
            monkeypatch.setenv(name, value)
        store, place = AzureStore(container.root), Place(tmp_path)
        place.source, place.config = fetch_source("flow_azure"), config
        place.variables = container.environment()
        place.write = lambda key, content: store.write([(key, content)])  # type: ignore[method-assign]
        place.add_part({"started_here.py": START})
        assert place.run().told["folders"]


# --- small services ---------------------------------------------------------------------------


def fake(service: Service) -> dict[str, Any]:
    found = {"container": "data", "account": "acc", "prefix": "p/", "patience": 2.0}
    return {**found, "endpoint": f"{service.url}/acc"}


def token(seconds: int = 3600) -> tuple[int, dict[str, str], str]:
    return 200, {}, json.dumps({"access_token": "the-token", "expires_in": seconds})


def test_a_sas_token(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "?sv=2021&sig=a%2Bb")
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    assert fetch.open(fake(service))("key") == b"content"
    ((_, path, headers, _),) = service.asked
    assert path == "/acc/data/p/key?sv=2021&sig=a%2Bb"
    assert "authorization" not in headers


def test_a_sas_token_that_is_refused_is_not_shown(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2021&sig=geheim")
    text = "<Error><Code>AuthorizationPermissionMismatch</Code><Message>No.\nRequestId:1</Message>"
    service.answers["GET /acc/data/p/key"] = (403, {}, f"{text}</Error>")
    error = refused(fake(service))
    assert "geheim" not in str(error)
    assert "(credentials of the SAS token)" in str(error)
    assert "RequestId" not in str(error)
    assert "Storage Blob Data Reader" in error.hint


def principal(monkeypatch: Any, service: Service) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", service.url + "/")


def test_a_workload_identity(service: Service, monkeypatch: Any, tmp_path: Path) -> None:
    principal(monkeypatch, service)
    (tmp_path / "token").write_text("pod.token\n")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    service.answers["POST /tenant/oauth2/v2.0/token"] = token()
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    read = fetch.open(fake(service))
    assert read("key") == read("key") == b"content"
    assert [method for method, *_ in service.asked] == ["POST", "GET", "GET"]
    assert parse_qs(service.asked[0][3]) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client"],
        "scope": ["https://storage.azure.com/.default"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": ["pod.token"],
    }
    assert service.asked[1][2]["authorization"] == "Bearer the-token"


def test_a_workload_whose_token_is_missing(service: Service, monkeypatch: Any) -> None:
    principal(monkeypatch, service)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/no/token")
    assert str(refused(fake(service))) == (
        "the token /no/token of this workload cannot be read: No such file or directory"
    )


def test_a_service_principal(service: Service, monkeypatch: Any) -> None:
    principal(monkeypatch, service)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "geheim")
    service.answers["POST /tenant/oauth2/v2.0/token"] = token()
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    assert fetch.open(fake(service))("key") == b"content"
    assert parse_qs(service.asked[0][3])["client_secret"] == ["geheim"]
    said = {"error": "invalid_client", "error_description": "Wrong secret. Trace ID: 1\r\nx"}
    service.answers["POST /tenant/oauth2/v2.0/token"] = (401, {}, json.dumps(said))
    error = refused(fake(service))
    assert str(error).endswith("answers 401 invalid_client: Wrong secret.")
    assert "geheim" not in str(error)


def test_the_identity_of_the_machine(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(fetch, "_MACHINE", service.url)
    monkeypatch.setenv("AZURE_CLIENT_ID", "one-of-several")
    service.answers["GET /metadata/identity/oauth2/token"] = token()
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    assert fetch.open(fake(service))("key") == b"content"
    _, path, headers, _ = service.asked[0]
    assert headers["metadata"] == "true"
    assert parse_qs(urlsplit(path).query) == {
        "api-version": ["2018-02-01"],
        "resource": ["https://storage.azure.com"],
        "client_id": ["one-of-several"],
    }


def test_the_identity_of_a_service_that_runs_containers(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{service.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "geheim")
    service.answers["GET /msi/token"] = token()
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    assert fetch.open(fake(service))("key") == b"content"
    assert service.asked[0][2]["x-identity-header"] == "geheim"


def test_no_credentials(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(fetch, "_MACHINE", "http://127.0.0.1:9")
    begun = time.monotonic()
    error = refused({**fake(service), "patience": 60.0})
    assert str(error).startswith("there are no credentials here: no key, no principal, no SAS")
    assert "AZURE_STORAGE_KEY" in error.hint
    assert time.monotonic() - begun < 30


def test_tokens_that_end_are_replaced(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr(fetch, "_MACHINE", service.url)
    service.answers["GET /metadata/identity/oauth2/token"] = token(100)
    service.answers["GET /acc/data/p/key"] = (200, {}, "content")
    read = fetch.open(fake(service))
    read("key"), read("key")
    assert [path.partition("?")[0] for _, path, *_ in service.asked].count(
        "/metadata/identity/oauth2/token"
    ) == 2


def test_a_wrong_clock(service: Service, monkeypatch: Any) -> None:
    real = time.time
    monkeypatch.setattr(fetching.time, "time", lambda: real() - 7200)
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5")
    text = "<Error><Code>AuthenticationFailed</Code></Error>"

    def answer(headers: dict[str, str], _: str) -> tuple[int, dict[str, str], str]:
        now = time.strftime("%a, %d %b %Y %H", time.gmtime(real()))
        right = headers["x-ms-date"].startswith(now)
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(real()))
        return (200, {}, "content") if right else (403, {"Date": date}, text)

    service.answers["GET /acc/data/p/key"] = answer
    assert fetch.open(fake(service))("key") == b"content"
    assert len(service.asked) == 2


# --- as text --------------------------------------------------------------------------------------


def test_config_holds_no_secrets(monkeypatch: Any) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "acc")
    monkeypatch.setenv("AZURE_STORAGE_KEY", "a2V5a2V5")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sig=geheim")
    found = dict(AzureStore("data/p").bootstrap().config)
    assert found == {"prefix": "p/", "container": "data", "account": "acc", "patience": 60.0}


def test_it_needs_no_syntax_newer_than_3_8_and_nothing_of_ours() -> None:
    check_program(fetch_source("flow_azure"), 25_000)


OLD = pythons("3.8", "3.9")


@pytest.mark.parametrize("python", OLD, ids=lambda path: path.parts[-3])
def test_old_pythons_read(config: dict[str, Any], container: Any, python: Path) -> None:
    key = {"AZURE_STORAGE_KEY": container.key}
    assert read_by(python, fetch_source("flow_azure"), config, key) == "b'content'\n"
