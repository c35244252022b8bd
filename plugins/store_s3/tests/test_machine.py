"""Credentials of machines, containers and workloads, from small real servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flow_core.api import StoreError
from flow_s3.place import Place, find_place
from flow_s3.store import S3Store

ROLES = "/latest/meta-data/iam/security-credentials/"


class Machine:
    """What stands behind the address at which machines ask for their role.

    Attributes:
        keys: what it gives.
        version: of its protocol: 2 demands a token.
        asked: method and path of each request.
    """

    def __init__(self, key: str = "M", secret: str = "N") -> None:
        self.keys: dict[str, Any] = {
            "Code": "Success",
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": "O",
            "Expiration": "2099-01-02T03:04:05Z",
        }
        self.version = 2
        self.asked: list[str] = []
        machine = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                machine.asked.append(f"{self.command} {self.path}")
                status, text = machine.answer(self)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PUT = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> tuple[int, str]:
        if request.command == "PUT":
            lives = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
            return (200, "the token") if self.version == 2 and lives else (404, "")
        if request.path == "/container":
            right = request.headers.get("Authorization") == "Bearer t"
            return (200, json.dumps(self.keys)) if right else (403, "no")
        if self.version == 2 and request.headers.get("X-aws-ec2-metadata-token") != "the token":
            return 401, ""
        found = {ROLES: "writer", f"{ROLES}writer": json.dumps(self.keys)}
        return (200, found[request.path]) if request.path in found else (404, "")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    yield made
    made.close()


@pytest.fixture
def place(tmp_path) -> Callable[..., Place]:
    """Give a function that returns the place of a process with these variables."""

    def of(config: str = "", **variables: str) -> Place:
        (tmp_path / ".aws").mkdir(exist_ok=True)
        (tmp_path / ".aws" / "config").write_text(config)
        return find_place(None, {"HOME": str(tmp_path), **variables})

    return of


def keys(found: Place) -> tuple[str, str | None]:
    assert found.provider is not None
    given = found.provider()
    return given["access_key_id"], given["token"]


def test_role_of_an_instance(place, machine):
    found = place(AWS_EC2_METADATA_SERVICE_ENDPOINT=machine.url)
    assert keys(found) == keys(found) == ("M", "O")
    assert machine.asked == ["PUT /latest/api/token", f"GET {ROLES}", f"GET {ROLES}writer"]
    assert found.provider.source == "the role writer of this machine"
    assert found.provider()["expires_at"] == datetime(2099, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def test_old_instance_without_tokens(place, machine):
    machine.version = 1
    variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.url}
    assert keys(place(**variables)) == ("M", "O")
    with pytest.raises(StoreError):
        keys(place(AWS_EC2_METADATA_V1_DISABLED="true", **variables))


def test_credentials_that_soon_expire_are_replaced(place, machine):
    found = place(AWS_EC2_METADATA_SERVICE_ENDPOINT=machine.url)
    soon = datetime.now(timezone.utc) + timedelta(minutes=2)
    machine.keys["Expiration"] = soon.isoformat()
    assert keys(found)[0] == "M"
    machine.keys |= {"AccessKeyId": "M2", "Expiration": "2099-01-01T00:00:00Z"}
    assert keys(found)[0] == "M2"
    machine.keys["AccessKeyId"] = "M3"
    assert keys(found)[0] == "M2"


@pytest.mark.parametrize("text", ["", "[]", '{"Code": "Failed", "Message": "no"}'])
def test_machine_that_gives_none(place, machine, text):
    found = place(AWS_EC2_METADATA_SERVICE_ENDPOINT=machine.url)
    machine.keys = json.loads(text or "{}")
    with pytest.raises(StoreError, match="Cannot get the credentials of this machine") as caught:
        keys(found)
    assert "without credentials" in (caught.value.why or "")


def test_machine_without_a_role(place):
    found = place(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1")
    with pytest.raises(StoreError, match="There are no credentials") as caught:
        keys(found)
    assert caught.value.why == "neither variables, nor a profile, nor a role of this machine"
    assert "AWS_PROFILE" in (caught.value.hint or "")


def test_container(place, machine, tmp_path):
    url = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{machine.url}/container"}
    assert keys(place(AWS_CONTAINER_AUTHORIZATION_TOKEN="Bearer t", **url)) == ("M", "O")
    token = tmp_path / "token"
    token.write_text("Bearer t\n")
    named = {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token), **url}
    assert keys(place(**named)) == ("M", "O")
    token.unlink()
    with pytest.raises(StoreError, match="Cannot get the credentials of this container"):
        keys(place(**named))
    with pytest.raises(StoreError, match="without TLS"):
        keys(place(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://example.com/x"))


@pytest.mark.parametrize("source", ["Ec2InstanceMetadata", "EcsContainer"])
def test_role_that_a_machine_assumes(place, machine, moto_url, source):
    config = f"[default]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = {source}"
    variables = {"AWS_ENDPOINT_URL_STS": moto_url}
    found = place(config, AWS_EC2_METADATA_SERVICE_ENDPOINT=machine.url, **variables)
    assert keys(found)[0] not in ("M", "")
    assert len(machine.asked) == 3


def test_web_identity(place, moto_url, tmp_path):
    token = tmp_path / "token"
    role = "arn:aws:iam::123456789012:role/workload"
    variables = {
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
        "AWS_ENDPOINT_URL_STS": moto_url,
    }
    with pytest.raises(StoreError, match=f"Cannot assume the role {role}") as caught:
        keys(place(**variables))
    assert caught.value.where == str(token)
    token.write_text("e30.e30.e30\n")
    key, session = keys(place(**variables))
    assert key
    assert session
    config = f"[default]\nrole_arn = {role}\nweb_identity_token_file = {token}\n"
    assert keys(place(config, AWS_ENDPOINT_URL_STS=moto_url))[1]


def test_store_with_the_keys_of_a_machine(bucket, monkeypatch):
    """In small requests and large uploads, which have a client each."""
    machine = Machine(bucket.key, bucket.secret)
    del machine.keys["Token"]
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.url)
    try:
        store = S3Store(bucket.root)
        assert store.write_stream("large", [bytes(1 << 20)] * 20)
        assert store.size("large") == 20 << 20
        assert len(machine.asked) == 3, "they were asked for once"
    finally:
        machine.close()
