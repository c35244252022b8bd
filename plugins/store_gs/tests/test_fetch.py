"""What a bare Python asks of Google Cloud Storage, with which credentials, and what it makes of answers.

There is no emulator that checks them: the services are small ones of our own; signatures are checked
by another library.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from booting import START, Place, Service, check_program, closing_connections, pythons
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from flow_core.testing.store_suite import BARE_READER, ODD_KEYS
from flow_gs import fetch
from flow_gs.store import GoogleStore
from flow_objectstore.keys import escape
from flow_objectstore.roots import fetch_source
from flow_remote.script import lean


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let nothing of the person count; close what readers keep open."""
    for name in list(os.environ):
        if (
            name.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_", "STORAGE_"))
            or "_proxy" in name.lower()
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with closing_connections(fetch.Web, monkeypatch):
        yield


@pytest.fixture
def small() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def content(small: Service) -> Service:
    """The service with an object for who has the token."""

    def answer(headers: dict[str, str], _: str) -> tuple[int, dict[str, str], str]:
        right = headers.get("authorization") == "Bearer the-token"
        return (200, {}, "content") if right else (401, {}, "")

    small.answers["GET /data/p%2Fkey"] = answer
    return small


def fake(service: Service, **more: Any) -> dict[str, Any]:
    found = {"bucket": "data", "prefix": "p/", "endpoint": service.url, "patience": 2.0}
    return {**found, "anonymous": False, **more}


def token(seconds: int = 3600) -> tuple[int, dict[str, str], str]:
    return 200, {}, json.dumps({"access_token": "the-token", "expires_in": seconds})


def refused(config: dict[str, Any]) -> fetch.Failed:
    with pytest.raises(fetch.Failed) as caught:
        fetch.open(config)("key")
    assert "\n" not in str(caught.value)
    return caught.value


# --- objects --------------------------------------------------------------------------------------


def test_an_emulator(small: Service) -> None:
    small.answers["GET /data/p%2Fkey"] = (200, {}, "content")
    missing = "<Error><Code>NoSuchKey</Code></Error>"
    small.answers["GET /data/p%2Fmissing"] = (404, {}, missing)
    read = fetch.open(fake(small, anonymous=True))
    assert [read("key"), read("missing")] == [b"content", None]
    assert "authorization" not in small.asked[0][2]


def test_keys_are_those_of_the_store(small: Service) -> None:
    read = fetch.open(fake(small, anonymous=True))
    for key in ODD_KEYS:
        read(key)
    from urllib.parse import unquote

    asked = [unquote(path) for _, path, *_ in small.asked]
    assert asked == [f"/data/p/{escape(key)}" for key in ODD_KEYS]


def test_a_missing_bucket(small: Service) -> None:
    small.answers["GET /data/p%2Fkey"] = (404, {}, "<Error><Code>NoSuchBucket</Code></Error>")
    error = refused(fake(small, anonymous=True))
    assert str(error) == f"there is no bucket 'data' at {small.url}"
    assert "gcloud storage buckets create gs://data" in error.hint


def test_what_passes_is_tried_again(small: Service) -> None:
    answers = iter([503, 429, 500, 200])
    small.answers["GET /data/p%2Fkey"] = lambda *_: (next(answers), {}, "content")
    assert fetch.open(fake(small, anonymous=True, patience=20.0))("key") == b"content"


def test_who_pays(small: Service) -> None:
    small.answers["GET /data/p%2Fkey"] = (200, {}, "")
    fetch.open(fake(small, anonymous=True, payer="project"))("key")
    assert small.asked[0][2]["x-goog-user-project"] == "project"


# --- credentials ----------------------------------------------------------------------------------


METADATA = "GET /computeMetadata/v1/instance/service-accounts/default/token"


def test_the_identity_of_the_pod(content: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", content.url.partition("://")[2])
    content.answers[METADATA] = token()
    read = fetch.open(fake(content))
    assert read("key") == read("key") == b"content"
    assert content.asked[0][2]["metadata-flavor"] == "Google"
    assert len(content.asked) == 3, "the token is kept"


def test_a_pod_that_is_not_known_yet(content: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", content.url.partition("://")[2])
    answers = iter([(503, {}, ""), (500, {}, ""), token()])
    content.answers[METADATA] = lambda *_: next(answers)
    assert fetch.open(fake(content, patience=20.0))("key") == b"content"


def test_a_token_that_ends_too_early(content: Service, monkeypatch: Any) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", content.url.partition("://")[2])
    answers = iter([(200, {}, '{"access_token": "old", "expires_in": 3600}'), token()])
    content.answers[METADATA] = lambda *_: next(answers)
    assert fetch.open(fake(content))("key") == b"content"


def test_no_credentials(small: Service, monkeypatch: Any) -> None:
    def nowhere(*_: object) -> None:
        raise fetch.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(fetch.socket, "getaddrinfo", nowhere)
    error = refused(fake(small))
    assert str(error).startswith("there are no credentials here: no file, and this machine is none")
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.hint


def test_a_login_of_a_person(content: Service, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "home" / ".config" / "gcloud"
    folder.mkdir(parents=True)
    login = {"type": "authorized_user", "client_id": "c", "client_secret": "s"}
    login |= {"refresh_token": "r", "token_uri": f"{content.url}/token"}
    (folder / "application_default_credentials.json").write_text(json.dumps(login))
    content.answers["POST /token"] = token()
    assert fetch.open(fake(content))("key") == b"content"
    assert parse_qs(content.asked[0][3]) == {
        "grant_type": ["refresh_token"],
        "client_id": ["c"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }
    said = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
    content.answers["POST /token"] = (400, {}, json.dumps(said))
    error = refused(fake(content))
    assert str(error).endswith("answers 400 invalid_grant: Token has been expired or revoked.")
    assert error.hint == "get new ones: gcloud auth application-default login"


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_key_of_a_service_account(
    content: Service,
    tmp_path: Path,
    monkeypatch: Any,
    private_key: rsa.RSAPrivateKey,
    form: str,
) -> None:
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.NoEncryption(),
    ).decode()
    file = tmp_path / "key.json"
    account = {"type": "service_account", "client_email": "job@project", "private_key": pem}
    account |= {"private_key_id": "7", "token_uri": f"{content.url}/token"}
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    content.answers["POST /token"] = token()
    assert fetch.open(fake(content))("key") == b"content"
    sent = parse_qs(content.asked[0][3])
    assert sent["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = (
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        for part in sent["assertion"][0].split(".")
    )
    assert json.loads(head) == {"alg": "RS256", "typ": "JWT", "kid": "7"}
    told = json.loads(claims)
    assert told["iss"] == "job@project"
    assert told["aud"] == f"{content.url}/token"
    assert abs(told["iat"] - time.time()) < 60
    assert told["exp"] == told["iat"] + 3600
    signed = sent["assertion"][0].rpartition(".")[0].encode()
    private_key.public_key().verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def test_a_wrong_clock(
    content: Service, tmp_path: Path, monkeypatch: Any, private_key: rsa.RSAPrivateKey
) -> None:
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    file = tmp_path / "key.json"
    account = {"type": "service_account", "client_email": "job@project", "private_key": pem}
    file.write_text(json.dumps({**account, "token_uri": f"{content.url}/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    real = time.time

    def answer(_: dict[str, str], body: str) -> tuple[int, dict[str, str], str]:
        claims = parse_qs(body)["assertion"][0].split(".")[1]
        begins = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["iat"]
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(real()))
        said = {"error": "invalid_grant", "error_description": "Token must be short-lived"}
        late = abs(begins - real()) > 300
        return (400, {"Date": date}, json.dumps(said)) if late else token()

    content.answers["POST /token"] = answer
    monkeypatch.setattr(fetch.time, "time", lambda: real() - 3600)
    assert fetch.open(fake(content))("key") == b"content"
    assert len(content.asked) == 3


def test_a_key_that_cannot_be_read(content: Service, tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "key.json"
    pem = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    account = {"type": "service_account", "client_email": "job@project", "private_key": pem}
    file.write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert str(refused(fake(content))) == f"the private key in {file} cannot be read"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "is no file with credentials of Google's"),
        (
            '{"type": "external_account"}',
            "of the kind 'external_account', which needs Google's own",
        ),
        ('{"type": "authorized_user"}', "lack 'client_id'"),
    ],
)
def test_other_files(
    small: Service, tmp_path: Path, monkeypatch: Any, text: str, said: str
) -> None:
    file = tmp_path / "key.json"
    file.write_text(text)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    assert said in str(refused(fake(small)))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none"))
    assert "No such file" in str(refused(fake(small)))


# --- as text --------------------------------------------------------------------------------------


def test_config_holds_no_secrets(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:4443")
    settings = {"gs_billing_project": "project", "gs_credentials": "/keys/key.json"}
    assert dict(GoogleStore("data/p", settings=settings).bootstrap().config) == {
        "prefix": "p/",
        "bucket": "data",
        "endpoint": "http://127.0.0.1:4443",
        "anonymous": True,
        "payer": "project",
        "credentials": "/keys/key.json",
        "patience": 60.0,
    }


def test_it_needs_no_syntax_newer_than_3_8_and_nothing_of_ours() -> None:
    check_program(fetch_source("flow_gs"), 25_000)


PYTHONS = [Path(sys.executable), *pythons("3.8", "3.9")]


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: path.parts[-3])
def test_a_bare_python_reads(small: Service, python: Path) -> None:
    large = "x" * 3_000_000
    small.answers["GET /data/p%2Fkey"] = (200, {}, large)
    asked = {"source": lean(fetch_source("flow_gs")), "config": fake(small, anonymous=True)}
    done = subprocess.run(
        [str(python), "-I", "-S", "-c", BARE_READER],
        input=json.dumps({**asked, "keys": ["key", "missing"]}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["found"]
    assert found == {
        "key": [3_000_000, hashlib.sha256(large.encode()).hexdigest()],
        "missing": None,
    }


def test_a_task_begins(small: Service, tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.source, place.config = fetch_source("flow_gs"), fake(small, anonymous=True, prefix="")

    def write(key: str, content: bytes) -> None:
        small.answers[f"GET /data/{key.replace('/', '%2F')}"] = (200, {}, content)

    place.write = write  # type: ignore[method-assign]
    place.add_part({"started_here.py": START})
    assert place.run().told["folders"]
