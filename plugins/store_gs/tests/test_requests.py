"""What is asked of the service, and what is made of its answers."""

from __future__ import annotations

import base64
import json

import pytest

from flow_core.api import AccessDenied, Attributes, StoreError
from flow_gs.store import GoogleStore

ABOUT = {"Last-Modified": "Sun, 29 Nov 2026 10:00:00 GMT", "ETag": '"e1"'}
LIST = b"""<?xml version="1.0"?><ListBucketResult xmlns="http://doc.s3.amazonaws.com/2006-03-01">
<Name>team</Name><Prefix>ada/runs/</Prefix><KeyCount>2</KeyCount><IsTruncated>false</IsTruncated>
<Contents><Key>ada/runs/F/1/run.json</Key><Size>5</Size><ETag>"1"</ETag>
<LastModified>2026-11-29T10:00:00.000Z</LastModified></Contents>
<Contents><Key>ada/runs/F/2/run.json</Key><Size>6</Size><ETag>"2"</ETag>
<LastModified>2026-11-29T10:00:01.000Z</LastModified></Contents></ListBucketResult>"""
PART = {"ETag": '"part"'}
# The parts of an upload go on in threads of the library for a moment.
pytestmark = pytest.mark.may_leak("threads", "files")


def fault(code: str, message: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.fixture
def store(service) -> GoogleStore:
    return GoogleStore("team/ada", settings={"gs_retry_time": 5.0})


def test_an_object_is_written(store, service):
    service.say((200, b"", PART))
    assert store.write([("runs/a b", b"content")]) == [True]
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("PUT", "/team/ada%2Fruns%2Fa%20b")
    assert asked.content == b"content"
    assert "x-goog-if-generation-match" not in asked.headers
    assert asked.headers.get("authorization", "Bearer").strip() == "Bearer", "by nobody"


def test_it_is_created_only(store, service):
    service.say((200, b"", PART), (412, fault("PreconditionFailed", "At least one did not hold.")))
    assert store.write([("a", b"1")], create_only=True) == [True]
    assert store.write([("a", b"2")], create_only=True) == [False]
    assert [a.headers["x-goog-if-generation-match"] for a in service.asked] == ["0", "0"]


def test_attributes(store, service):
    service.say((200, b"", PART))
    store.write_stream("a", [b"1"], attributes=Attributes("text/csv", {"made-by": "ada"}))
    headers = service.asked[0].headers
    assert (headers["content-type"], headers["x-goog-meta-made-by"]) == ("text/csv", "ada")


def test_an_object_is_read(store, service):
    service.say((206, b"12345", {**ABOUT, "Content-Range": "bytes 0-4/5"}))
    assert [*store.read(["a"])] == [b"12345"]
    (asked,) = service.asked
    assert (asked.method, asked.path) == ("GET", "/team/ada%2Fa")
    assert asked.headers["range"].startswith("bytes=0-")


def test_what_is_missing_is_none(store, service):
    service.say((404, fault("NoSuchKey", "The specified key does not exist.")))
    assert [*store.read(["a"])] == [None]


def test_a_listing(store, service):
    service.say((200, LIST, {"Content-Type": "application/xml"}))
    assert [(o.key, o.size) for o in store.list("runs/")] == [
        ("runs/F/1/run.json", 5),
        ("runs/F/2/run.json", 6),
    ]
    assert service.asked[0].path.startswith("/team?")
    assert "prefix=ada%2Fruns%2F" in service.asked[0].path


def test_deletions_are_one_by_one(store, service):
    service.say((204, b""), (404, fault("NoSuchKey", "gone")))
    store.delete(["a", "b"])
    assert sorted(a.path for a in service.asked) == ["/team/ada%2Fa", "/team/ada%2Fb"]
    assert {a.method for a in service.asked} == {"DELETE"}


def test_a_large_object_goes_up_in_parts(store, service):
    begun = (
        b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
    )
    done = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"
    service.say((200, begun), *[(200, b"", PART)] * 3, (200, done, PART))
    assert store.write_stream("large", (bytes(1 << 20) for _ in range(20)))
    first, *parts, last = service.asked
    assert (first.method, first.path) == ("POST", "/team/ada%2Flarge?uploads=")
    assert sorted(len(a.content) for a in parts) == [4 << 20, 8 << 20, 8 << 20]
    assert all("uploadId=u1" in a.path for a in [*parts, last])
    assert b"<PartNumber>3</PartNumber>" in last.content


def test_what_passes_is_tried_again(store, service):
    busy = (503, fault("ServiceUnavailable", "Please retry."))
    service.say(busy, (429, fault("SlowDown", "Rate limit")), (200, b"", PART))
    assert store.write([("a", b"1")]) == [True]
    assert len(service.asked) == 3


@pytest.mark.parametrize(
    ("status", "code", "kind", "hint"),
    [
        (403, "AccessDenied", AccessDenied, "role 'Storage Object User'"),
        (401, "AuthenticationRequired", AccessDenied, "role 'Storage Object User'"),
        (404, "NoSuchBucket", StoreError, "gcloud storage buckets create gs://team"),
        (403, "SignatureDoesNotMatch", AccessDenied, "gcloud auth application-default login"),
    ],
)
def test_refusals(store, service, status, code, kind, hint):
    service.say((status, fault(code, "Said by the service.")))
    with pytest.raises(kind) as caught:
        store.write([("a", b"1")])
    assert caught.value.what == "Cannot write 'a' to the store"
    assert caught.value.where == "gs://team/ada/a"
    assert "Said by the service." in caught.value.why
    assert hint in caught.value.hint
    assert len(service.asked) == 1, "it is not tried again"


def test_nothing_listens(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:1")
    with pytest.raises(StoreError) as caught:
        GoogleStore("team", settings={"gs_retry_time": 0.0}).write([("a", b"1")])
    assert "nothing listens there" in caught.value.why
    assert "STORAGE_EMULATOR_HOST" in caught.value.hint


def test_a_service_account_signs_and_somebody_pays(service, monkeypatch, tmp_path):
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "flows@team.example",
        "private_key_id": "k1",
        "private_key": pem.decode(),
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    settings = {"gs_endpoint_url": service.url, "gs_billing_project": "team-pays"}
    service.say((200, b"", PART))
    GoogleStore("team", settings=settings).write([("a", b"1")])
    headers = service.asked[0].headers
    assert headers["x-goog-user-project"] == "team-pays"
    token = headers["authorization"].removeprefix("Bearer ")
    signed, _, signature = token.rpartition(".")
    key.public_key().verify(
        _decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(_decoded(signed.partition(".")[2]))["iss"] == "flows@team.example"


def test_a_machine_without_credentials(service, monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("NO_PROXY", "*")
    settings = {"gs_endpoint_url": service.url, "gs_retry_time": 0.0}
    with pytest.raises(AccessDenied) as caught:
        GoogleStore("team", settings=settings).write([("a", b"1")])
    assert "gcloud auth application-default login" in caught.value.hint
    assert service.asked == []


def test_its_index_is_that_of_its_service(service):
    assert GoogleStore("team").identity == f"gs://team {service.url}"


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
