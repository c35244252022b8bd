"""Large objects: part by part, each repeated by itself, in both directions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from flow_core.api import Attributes, StoreError
from flow_core.testing import FaultyProxy
from flow_objectstore.pieces import PIECE
from flow_s3.store import S3Store

MIB = 1 << 20
KINDS = ("reset", "lose", "error", "slow-down", "truncate", "flip")
LARGE = os.urandom(len(KINDS) * PIECE - 3 * MIB)
CONTENT = LARGE[: 2 * PIECE + 7]
PARTS = 3


def chunks(content: bytes = CONTENT) -> Iterator[bytes]:
    for begin in range(0, len(content), MIB):
        yield content[begin : begin + MIB]


@pytest.fixture
def proxy(s3_server) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def store(proxy, bucket, monkeypatch) -> S3Store:
    for name, value in bucket.through(proxy.url).environment().items():
        monkeypatch.setenv(name, value)
    return S3Store(bucket.root, settings={"s3_retry_time": 10.0})


def left_behind(s3_server, bucket) -> bytes:
    """Return what the server tells of uploads that have not ended."""
    status, said = s3_server.request("GET", f"/{bucket.name}", query={"uploads": ""})
    assert status == 200
    return said if bucket.prefix.encode() in said else b""


def test_requests_of_an_upload(store, proxy):
    assert store.exists(["large"]) == [False]
    proxy.seen.clear()
    assert store.write_stream("large", chunks(), create_only=True)
    assert proxy.kinds() == {
        "HEAD": 1,
        "POST ?uploads": 1,
        "PUT ?partNumber&uploadId": PARTS,
        "POST ?uploadId": 1,
    }
    proxy.seen.clear()
    assert list(store.read(["large"])) == [CONTENT]
    assert proxy.counts() == {"GET": PARTS}


def test_a_part_is_repeated_by_itself_in_both_directions(store, proxy):
    for number, kind in enumerate(KINDS, 1):
        proxy.fail(kind, method="PUT", query=f"partNumber={number}&*")
    assert store.write_stream("large", chunks(LARGE))
    sent = Counter(one.query for one in proxy.seen if one.method == "PUT")
    # Of an answer that ended too soon, all that counts may have arrived.
    assert sorted(sent.values()) in ([1, *[2] * (len(KINDS) - 1)], [2] * len(KINDS))
    proxy.seen.clear()
    for number, kind in enumerate(("reset", "truncate", "stall"), 1):
        proxy.fail(kind, method="GET", after=number)
    assert b"".join(store.stream("large")) == LARGE
    assert proxy.counts() == {"GET": len(KINDS) + 3}, "only the pieces that broke were asked again"


@pytest.mark.parametrize(
    ("kind", "create_only"), [("lose", True), ("lose", False), ("truncate", True), ("reset", False)]
)
def test_end_of_an_upload_whose_answer_is_lost(store, proxy, kind, create_only):
    proxy.fail(kind, method="POST", times=1)
    proxy.fail(kind, method="POST", query="uploadId=*", times=1)
    wanted = Attributes("text/csv", {"made-by": "ada"})
    assert store.write_stream("large", chunks(), create_only=create_only, attributes=wanted)
    (info,) = store.describe(["large"])
    assert (info.size, info.attributes) == (len(CONTENT), wanted)
    assert [one.key for one in store.list()] == ["large"]


def test_the_first_of_two_that_create_wins(store, bucket, s3_server):
    """Both begin while there is none."""

    def late() -> Iterator[bytes]:
        yield from chunks()
        assert store.write_stream("large", [CONTENT[::-1]], create_only=True)

    assert store.write_stream("large", late(), create_only=True) is False
    assert list(store.read(["large"])) == [CONTENT[::-1]]
    assert not left_behind(s3_server, bucket)


def test_upload_that_cannot_go_on(store, proxy, bucket, s3_server):
    store.patience = 1.0
    proxy.fail("error", method="PUT", query="*partNumber=3&*", times=None)
    with pytest.raises(StoreError, match="Cannot write 'large' to the store") as caught:
        store.write_stream("large", chunks())
    assert (caught.value.why or "").startswith("the service fails")
    assert not left_behind(s3_server, bucket)
    assert store.exists(["large"]) == [False]


def test_what_breaks_in_the_chunks_comes_through(store, bucket, s3_server):
    def broken() -> Iterator[bytes]:
        yield from chunks()
        raise KeyError("the caller's")

    with pytest.raises(KeyError):
        store.write_stream("large", broken())
    assert not left_behind(s3_server, bucket)
    assert store.exists(["large"]) == [False]


def test_how_the_service_keeps_it(store, bucket):
    """SeaweedFS takes no encryption here: the answer shows that it was asked."""
    asking = S3Store(bucket.root, settings={"s3_encryption": "aws:kms", "s3_kms_key": "none"})
    asking.patience = 0.5  # its own key service answers with an error of the server
    with pytest.raises(StoreError):
        asking.write_stream("large", chunks())
    for checksum in ("none", "crc64nvme"):
        other = S3Store(bucket.root, settings={"s3_checksum": checksum, "s3_requester_pays": True})
        assert other.write_stream(checksum, chunks())
        assert list(other.read([checksum])) == [CONTENT]
