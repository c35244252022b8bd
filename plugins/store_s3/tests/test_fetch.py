"""What a bare Python reads of S3, with which credentials, and what it says where it cannot.

The program is imported here; `StoreSuite` and the last tests run it as text in a bare Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from booting import (
    START,
    Place,
    Service,
    check_program,
    closing_connections,
    digest,
    pythons,
    read_by,
)

from flow_core.testing import FaultyProxy
from flow_objectstore import fetching
from flow_objectstore.roots import fetch_source
from flow_remote.script import boot_command
from flow_s3 import fetch
from flow_s3.store import S3Store

pytestmark = pytest.mark.usefixtures("nobody")

Read = Callable[[str], "bytes | None"]


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let nothing of the person count who runs the tests."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(autouse=True)
def _connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what readers keep open: their process ends soon, and this one does not."""
    with closing_connections(fetch.Web, monkeypatch):
        yield


@pytest.fixture
def config(bucket: Any, nobody: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a store tells of itself; ``key`` lies in it. The variables go again."""
    with monkeypatch.context() as patch:
        for name, value in bucket.environment().items():
            patch.setenv(name, value)
        store = S3Store(bucket.root)
        store.write([("key", b"content"), ("empty", b"")])
        found = dict(store.bootstrap().config)
    return {**found, "patience": 3.0}


@pytest.fixture
def own_keys(bucket: Any, nobody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret)


def refused(config: dict[str, Any], key: str = "key") -> fetch.Failed:
    """Return the error of a read; it is one line, and holds no secret."""
    with pytest.raises(fetch.Failed) as caught:
        fetch.open(config)(key)
    error = caught.value
    assert "\n" not in str(error)
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
    assert not secret or secret not in str(error) + error.hint
    return error


# --- what is wrong --------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_keys")
def test_it_reads(config: dict[str, Any]) -> None:
    read = fetch.open(config)
    assert [read(key) for key in ("key", "empty", "missing")] == [b"content", b"", None]


def test_config_holds_no_secrets_and_what_is_not_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDAKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtn")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert dict(S3Store("data/some%25/prefix").bootstrap().config) == {
        "prefix": "some%2525/prefix/",
        "bucket": "data",
        "region": "eu-central-1",
        "path_style": False,
        "anonymous": False,
        "requester_pays": False,
        "patience": 60.0,
    }
    given = {"s3_endpoint_url": "https://s3.example.com", "s3_role": "arn:aws:iam::1:role/x"}
    given |= {"s3_profile": "team", "s3_verify": False}  # type: ignore[dict-item]
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    config_file = Path(os.environ["HOME"]) / ".aws"
    config_file.mkdir(parents=True)
    (config_file / "credentials").write_text(
        "[team]\naws_access_key_id = AKIDAKID\naws_secret_access_key = wJalrXUtn\n"
    )
    bootstrap = S3Store("data", settings=given).bootstrap()
    assert bootstrap.settings == {
        "s3_endpoint_url": "https://s3.example.com",
        "s3_region": "eu-central-1",
    }
    found = bootstrap.config
    assert found["endpoint"] == "https://s3.example.com"
    assert (found["profile"], found["role"], found["verify"]) == (
        "team",
        "arn:aws:iam::1:role/x",
        False,
    )
    assert "wJalrXUtn" not in json.dumps(found)


def test_a_wrong_secret(config: dict[str, Any], bucket: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    error = refused(config)
    assert "403 SignatureDoesNotMatch" in str(error)
    assert "(credentials of the variable AWS_ACCESS_KEY_ID)" in str(error)
    assert "aws sts get-caller-identity" in error.hint


def test_an_unknown_key(config: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobodys-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    assert "403 InvalidAccessKeyId" in str(refused(config))


def test_a_key_with_a_line_break(config: dict[str, Any], monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret\n")
    assert "hold a character that none have" in str(refused(config))


@pytest.mark.usefixtures("own_keys")
def test_a_missing_bucket(config: dict[str, Any]) -> None:
    error = refused({**config, "bucket": "no-such-bucket"})
    assert str(error) == f"there is no bucket 'no-such-bucket' at {config['endpoint']}"
    assert error.hint.endswith("aws s3 mb s3://no-such-bucket")


def test_no_credentials(config: dict[str, Any]) -> None:
    error = refused(config)
    assert str(error).startswith("there are no credentials here: neither variables, nor a profile")
    assert "AWS_ACCESS_KEY_ID" in error.hint


@pytest.mark.usefixtures("own_keys")
def test_no_such_host(config: dict[str, Any]) -> None:
    error = refused({**config, "endpoint": "http://no-such-host.invalid", "patience": 0.5})
    assert "there is no such host" in str(error)


# --- bad days -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_keys")
@pytest.mark.parametrize("kind", ["reset", "lose", "error", "slow-down", "truncate", "stall"])
def test_what_passes_is_tried_again(
    config: dict[str, Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultyProxy(config["endpoint"]) as proxy:
        read = fetch.open({**config, "endpoint": proxy.url, "patience": 20.0})
        proxy.fail(kind, times=3, seconds=0.1)
        assert read("key") == b"content"
        assert len(proxy.seen) >= 3


@pytest.mark.usefixtures("own_keys")
@pytest.mark.parametrize(("kind", "said"), [("error", "InternalError"), ("slow-down", "SlowDown")])
def test_what_does_not_pass_is_given_up_in_time(
    config: dict[str, Any], kind: str, said: str
) -> None:
    with FaultyProxy(config["endpoint"]) as proxy:
        proxy.fail(kind, times=None)
        begun = time.monotonic()
        error = refused({**config, "endpoint": proxy.url, "patience": 1.0})
    assert said in str(error)
    assert 0.9 < time.monotonic() - begun < 30
    assert 1 < len(proxy.seen) < 40, "it rests more and more"


@pytest.mark.usefixtures("own_keys")
def test_a_service_that_is_away_for_some_seconds(config: dict[str, Any]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    found: list[bytes | None] = []
    read = fetch.open({**config, "endpoint": f"http://127.0.0.1:{port}", "patience": 30.0})
    thread = threading.Thread(target=lambda: found.append(read("key")))
    thread.start()
    time.sleep(0.7)  # it has asked several times
    assert not found
    with FaultyProxy(config["endpoint"], port=port):
        thread.join(30)
    assert found == [b"content"]


@pytest.mark.usefixtures("own_keys")
def test_the_right_is_not_asked_for_again(config: dict[str, Any]) -> None:
    with FaultyProxy(config["endpoint"]) as proxy:
        proxy.fail("forbidden", times=None)
        assert "403 AccessDenied" in str(refused({**config, "endpoint": proxy.url}))
        assert len(proxy.seen) == 1


@pytest.mark.usefixtures("own_keys")
def test_connections_are_kept(config: dict[str, Any]) -> None:
    read = fetch.open(config)
    read("key")
    reader: fetch.S3Reader = read.__self__  # type: ignore[attr-defined]
    ((_, connection),) = reader.web._idle
    own = connection.sock
    read("empty")
    assert reader.web._idle[0][1].sock is own


@pytest.mark.usefixtures("own_keys")
@pytest.mark.parametrize("hours", [-3, 3])
def test_a_wrong_clock(config: dict[str, Any], hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server itself checks the time of signatures."""
    real = time.time
    monkeypatch.setattr(fetching.time, "time", lambda: real() + hours * 3600)
    with FaultyProxy(config["endpoint"]) as proxy:
        error = refused({**config, "endpoint": proxy.url})
        statuses = [request.status for request in proxy.seen]
    assert statuses == [403], "the store's own client could not go on there"
    assert "403 RequestTimeTooSkewed" in str(error)
    found = re.search(r"this machine's clock is (\d+) s (ahead|behind)", str(error))
    assert found is not None
    assert abs(int(found[1]) - 3 * 3600) < 60
    assert found[2] == ("ahead" if hours > 0 else "behind")
    assert error.hint == "set the clock of this machine"


# --- small services ---------------------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


KEYS = {"AccessKeyId": "testkey", "SecretAccessKey": "testsecret"}


def given(seconds: float = 3600, **more: str) -> str:
    """Return what machines and containers are told."""
    ends = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return json.dumps({**KEYS, "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}", **more})


def role_answer() -> str:
    return (
        "<AssumeRoleResponse><Credentials><AccessKeyId>testkey</AccessKeyId>"
        "<SecretAccessKey>testsecret</SecretAccessKey><SessionToken></SessionToken>"
        "<Expiration>2099-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResponse>"
    )


class TestCredentials:
    """Each ends with a read from the real server, which checks the signature."""

    def test_web_identity(
        self, config: dict[str, Any], service: Service, monkeypatch: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("the.token.of.the.pod\n")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        service.answers["POST /"] = (200, {}, role_answer())
        assert fetch.open(config)("key") == b"content"
        ((_, _, headers, body),) = service.asked
        assert parse_qs(body) == {
            "Action": ["AssumeRoleWithWebIdentity"],
            "Version": ["2011-06-15"],
            "RoleArn": ["arn:aws:iam::1:role/reader"],
            "RoleSessionName": ["flow"],
            "WebIdentityToken": ["the.token.of.the.pod"],
        }
        assert "authorization" not in headers, "the token is all that is needed"

    def test_web_identity_that_is_refused(
        self, config: dict[str, Any], service: Service, monkeypatch: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("secret.token")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        text = "<Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error>"
        service.answers["POST /"] = (403, {}, text)
        error = refused(config)
        assert str(error) == (
            "role arn:aws:iam::1:role/reader cannot be assumed: "
            f"{service.url[7:]} answers 403 AccessDenied: Not authorized"
        )
        assert "trust policy" in error.hint
        assert "secret.token" not in str(error)
        assert len(service.asked) == 1

    def test_a_token_that_is_missing(
        self, config: dict[str, Any], monkeypatch: Any, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/reader")
        assert "No such file or directory" in str(refused(config))

    def test_a_container_of_eks(
        self, config: dict[str, Any], service: Service, monkeypatch: Any, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("pod-token")
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        service.answers["GET /v1/credentials"] = (200, {}, given())
        read = fetch.open(config)
        assert read("key") == b"content"
        assert read("empty") == b""
        ((_, _, headers, _),) = service.asked
        assert headers["authorization"] == "pod-token"

    def test_a_container_of_ecs(
        self, config: dict[str, Any], service: Service, monkeypatch: Any
    ) -> None:
        """Its address is fixed, so that another one stands for it here."""
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")
        service.answers["GET /v2/credentials/1"] = (200, {}, given())
        ask = fetch.Web.ask

        def elsewhere(self: Any, method: str, url: str, *args: Any, **more: Any) -> Any:
            return ask(
                self, method, url.replace("http://169.254.170.2", service.url), *args, **more
            )

        monkeypatch.setattr(fetch.Web, "ask", elsewhere)
        assert fetch.open(config)("key") == b"content"

    def test_a_token_is_not_sent_to_other_hosts_in_the_clear(
        self, config: dict[str, Any], monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/keys")
        assert str(refused(config)) == "example.com gets no token without TLS"

    def test_credentials_that_end_are_replaced(
        self, config: dict[str, Any], service: Service, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/keys")
        service.answers["GET /keys"] = lambda *_: (200, {}, given(200))
        read = fetch.open(config)
        read("key"), read("key")
        assert len(service.asked) == 2

    @pytest.mark.parametrize("version", [2, 1])
    def test_a_machine(
        self, config: dict[str, Any], service: Service, monkeypatch: Any, version: int
    ) -> None:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        roles = "/latest/meta-data/iam/security-credentials/"
        if version == 2:
            service.answers["PUT /latest/api/token"] = (200, {}, "machine-token")

        def told(text: str) -> Callable[..., Any]:
            def answer(headers: dict[str, str], _: str) -> tuple[int, dict[str, str], str]:
                right = headers.get("x-aws-ec2-metadata-token") == "machine-token"
                return (200, {}, text) if right or version == 1 else (401, {}, "")

            return answer

        service.answers[f"GET {roles}"] = told("writer")
        service.answers[f"GET {roles}writer"] = told(given())
        assert fetch.open(config)("key") == b"content"

    def test_a_machine_without_a_role(
        self, config: dict[str, Any], service: Service, monkeypatch: Any
    ) -> None:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
        service.answers["PUT /latest/api/token"] = (200, {}, "machine-token")
        error = refused(config)
        assert "there are no credentials here" in str(error)
        assert f"({service.url} answers 404)" in str(error)

    def test_a_machine_that_does_not_answer(self, config: dict[str, Any], monkeypatch: Any) -> None:
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
        begun = time.monotonic()
        assert "Connection refused" in str(refused({**config, "patience": 60.0}))
        assert time.monotonic() - begun < 30, "it is not asked again and again"


class TestProfiles:
    @pytest.fixture
    def aws(self) -> Path:
        folder = Path(os.environ["HOME"]) / ".aws"
        folder.mkdir(parents=True)
        return folder

    KEYS = "aws_access_key_id = testkey\naws_secret_access_key = testsecret\n"

    def test_the_default_one(self, config: dict[str, Any], aws: Path) -> None:
        (aws / "credentials").write_text(f"[default]\n{self.KEYS}")
        assert fetch.open(config)("key") == b"content"

    def test_one_that_is_named(self, config: dict[str, Any], aws: Path, monkeypatch: Any) -> None:
        (aws / "credentials").write_text(
            f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n[team]\n{self.KEYS}"
        )
        assert fetch.open({**config, "profile": "team"})("key") == b"content"
        monkeypatch.setenv("AWS_PROFILE", "team")
        assert fetch.open(config)("key") == b"content"

    def test_one_that_the_launcher_has_alone(
        self, config: dict[str, Any], own_keys: None, aws: Path
    ) -> None:
        assert fetch.open({**config, "profile": "elsewhere"})("key") == b"content"

    def test_a_role_with_another_profile(
        self, config: dict[str, Any], aws: Path, service: Service, monkeypatch: Any
    ) -> None:
        (aws / "config").write_text(
            "[profile job]\nrole_arn = arn:aws:iam::1:role/job\nsource_profile = base\n"
            "external_id = 7\n"
        )
        (aws / "credentials").write_text(f"[base]\n{self.KEYS}")
        monkeypatch.setenv("AWS_PROFILE", "job")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", service.url)
        service.answers["POST /"] = (200, {}, role_answer())
        assert fetch.open(config)("key") == b"content"
        ((_, _, headers, body),) = service.asked
        assert parse_qs(body)["ExternalId"] == ["7"]
        assert "Credential=testkey/" in headers["authorization"]

    def test_a_role_of_the_settings_is_assumed_from_a_real_service(
        self, config: dict[str, Any], own_keys: None, moto_url: str, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_url)
        error = refused({**config, "role": "arn:aws:iam::123456789012:role/job"})
        assert "InvalidAccessKeyId" in str(error), "the keys of the role are none of SeaweedFS"
        assert "the role arn:aws:iam::123456789012:role/job" in str(error)

    def test_a_program(self, config: dict[str, Any], aws: Path, tmp_path: Path) -> None:
        keys = json.dumps({"Version": 1, **KEYS})
        (tmp_path / "keys.json").write_text(keys)
        (aws / "config").write_text(
            f"[default]\ncredential_process = cat {tmp_path / 'keys.json'}\n"
        )
        assert fetch.open(config)("key") == b"content"
        (aws / "config").write_text("[default]\ncredential_process = false secret-argument\n")
        error = refused(config)
        assert "gives no credentials here" in str(error)
        assert "secret-argument" not in str(error)

    def test_a_login_on_a_shared_home(
        self, config: dict[str, Any], aws: Path, service: Service, monkeypatch: Any
    ) -> None:
        (aws / "config").write_text(
            "[default]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = reader\n"
            "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.example.com\n"
        )
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSO", service.url)
        assert str(refused(config)) == "there is no login of the profile 'default' here"
        folder = aws / "sso" / "cache"
        folder.mkdir(parents=True)
        name = hashlib.sha1(b"corp", usedforsecurity=False).hexdigest()
        login = {"accessToken": "t", "expiresAt": "2099-01-02T03:04:05Z"}
        (folder / f"{name}.json").write_text(json.dumps(login))
        keys = {"accessKeyId": "testkey", "secretAccessKey": "testsecret"}
        keys |= {"sessionToken": "", "expiration": 4_000_000_000_000}  # type: ignore[dict-item]
        service.answers["GET /federation/credentials"] = (
            200,
            {},
            json.dumps({"roleCredentials": keys}),
        )
        assert fetch.open(config)("key") == b"content"
        assert service.asked[0][2]["x-amz-sso_bearer_token"] == "t"

    def test_a_file_that_cannot_be_read_is_not_shown(
        self, config: dict[str, Any], aws: Path
    ) -> None:
        (aws / "credentials").write_text("aws_secret_access_key = geheim\n")
        error = refused(config)
        assert f"{aws}/credentials, a file of the AWS tools, cannot be read" in str(error)
        assert "geheim" not in str(error)


# --- other services ---------------------------------------------------------------------------


def fake_config(service: Service, **more: Any) -> dict[str, Any]:
    found = {"bucket": "data", "region": "us-east-1", "endpoint": service.url, "prefix": "p/"}
    return {**found, "path_style": True, "patience": 2.0, **more}


def test_a_public_bucket(service: Service) -> None:
    service.answers["GET /data/p/key"] = (200, {}, "public")
    assert fetch.open(fake_config(service, anonymous=True))("key") == b"public"
    assert "authorization" not in service.asked[0][2]


def test_another_region_is_followed(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")

    def answer(headers: dict[str, str], _: str) -> tuple[int, dict[str, str], str]:
        if "/eu-west-3/s3/" in headers["authorization"]:
            return 200, {}, "there"
        return 301, {"x-amz-bucket-region": "eu-west-3"}, "<Code>PermanentRedirect</Code>"

    service.answers["GET /data/p/key"] = answer
    assert fetch.open(fake_config(service))("key") == b"there"
    assert len(service.asked) == 2


def test_a_clock_that_the_service_does_not_tell(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
    text = "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference</Message></Error>"
    service.answers["GET /data/p/key"] = (403, {}, text)
    error = refused(fake_config(service))
    assert "403 RequestTimeTooSkewed: The difference" in str(error)
    assert error.hint == "set the clock of this machine"
    assert "clock is" not in str(error)
    assert len(service.asked) == 1


def test_expired_keys_are_asked_for_again(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/keys")
    tokens = iter(["old", "new", "newer"])
    service.answers["GET /keys"] = lambda *_: (200, {}, given(Token=next(tokens)))

    def answer(headers: dict[str, str], _: str) -> tuple[int, dict[str, str], str]:
        if headers["x-amz-security-token"] == "old":
            return 400, {}, "<Error><Code>ExpiredToken</Code></Error>"
        return 200, {}, "content"

    service.answers["GET /data/p/key"] = answer
    assert fetch.open(fake_config(service))("key") == b"content"


def test_a_proxy_is_used_for_the_service_and_not_for_the_machine(
    service: Service, monkeypatch: Any
) -> None:
    monkeypatch.setenv("http_proxy", service.url)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/keys")
    config = fake_config(service, endpoint="http://s3.example.com", patience=0.0)
    assert "127.0.0.1:9" in str(refused(config))
    assert not service.asked
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/keys")
    service.answers["GET /keys"] = (200, {}, given())
    service.answers["GET http://s3.example.com/data/p/key"] = (200, {}, "through")
    assert fetch.open(config)("key") == b"through"


def test_requests_that_others_pay_for(service: Service) -> None:
    service.answers["GET /data/p/key"] = (200, {}, "paid")
    fetch.open(fake_config(service, anonymous=True, requester_pays=True))("key")
    assert service.asked[0][2]["x-amz-request-payer"] == "requester"


# --- as text, in a bare Python ------------------------------------------------------------------


def test_it_needs_no_syntax_newer_than_3_8_and_nothing_of_ours() -> None:
    check_program(fetch_source("flow_s3"), 30_000)


OLD = pythons("3.8", "3.9")


@pytest.mark.usefixtures("own_keys")
@pytest.mark.parametrize("python", OLD, ids=lambda path: path.parts[-3])
def test_old_pythons_read(config: dict[str, Any], python: Path) -> None:
    assert read_by(python, fetch_source("flow_s3"), config) == "b'content'\n"


@pytest.fixture
def place(bucket: Any, config: dict[str, Any], own_keys: None, tmp_path: Path) -> Place:
    """A task whose specification and runtime lie in the bucket."""
    made = Place(tmp_path)
    made.source = fetch_source("flow_s3")
    made.config = config
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    made.variables = {name: os.environ[name] for name in keys}
    store = S3Store(
        bucket.root, settings={"s3_endpoint_url": bucket.endpoint, "s3_region": bucket.region}
    )
    made.write = lambda key, content: store.write([(key, content)])  # type: ignore[method-assign]
    made.add_part({"started_here.py": START})
    return made


def test_a_task_begins(place: Place) -> None:
    task = place.task()
    told = place.run(task).told
    assert told["folders"] == [f"{place.cache}/runtime/{place.parts[0]['sha256']}"]


def test_a_task_whose_specification_was_changed(place: Place) -> None:
    task = place.task()
    place.write("a/spec", b"{}")
    failure = place.run(task).failure
    assert failure["what"] == "The specification of the task is not what was submitted"
    assert digest(b"{}") in failure["why"]


def test_a_task_without_rights(place: Place) -> None:
    place.variables["AWS_SECRET_ACCESS_KEY"] = "another-secret"
    failure = place.run().failure
    assert failure["what"] == "The specification of the task cannot be fetched"
    assert "403 SignatureDoesNotMatch" in failure["why"]
    assert "another-secret" not in json.dumps(failure)


def test_a_task_whose_store_is_away_for_a_moment(place: Place) -> None:
    with FaultyProxy(place.config["endpoint"]) as proxy:
        place.config = {**place.config, "endpoint": proxy.url, "patience": 30.0}
        proxy.fail("slow-down", times=4)
        proxy.fail("reset", times=2)
        assert place.run(words=boot_command([sys.executable])).told["folders"]
