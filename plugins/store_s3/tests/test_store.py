"""What `S3Store` does beyond the suite."""

from __future__ import annotations

import os
import time

import pytest

from flow_core.api import Attributes, StoreError
from flow_objectstore import patience
from flow_s3.store import S3Store

MIB = 1 << 20


@pytest.fixture
def store(bucket, monkeypatch) -> S3Store:
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    return S3Store(bucket.root)


def test_large_object_that_is_created_keeps_its_attributes(store):
    wanted = Attributes("text/csv", {"made-by": "ada"})
    chunks = [os.urandom(MIB) for _ in range(20)]
    assert store.write_stream("large", chunks, create_only=True, attributes=wanted) is True
    (info,) = store.describe(["large"])
    assert (info.attributes, info.size) == (wanted, 20 * MIB)
    assert list(store.read(["large"])) == [b"".join(chunks)]
    assert [one.key for one in store.list()] == ["large"]
    assert store.write_stream("large", chunks, create_only=True) is False


def test_large_object_in_the_middle_of_many(store):
    contents = [b"a", os.urandom(30 * MIB), b"", b"b"]
    keys = ["a", "large", "empty", "b"]
    assert store.write(zip(keys, contents, strict=True)) == [True] * 4
    assert list(store.read([*keys, "missing"])) == [*contents, None]
    assert store.read_range("large", MIB, 20 * MIB) == contents[1][MIB : 21 * MIB]


def test_what_is_refreshed_keeps_content_and_attributes(store):
    wanted = Attributes("text/plain", {"made-by": "ada"})
    content = os.urandom(20 * MIB)
    store.write_stream("old", [content], attributes=wanted)
    (before,) = store.describe(["old"])
    time.sleep(1.1)
    assert store.refresh("old", 0) is True
    (after,) = store.describe(["old"])
    assert after.modified > before.modified
    assert after.attributes == wanted
    assert list(store.read(["old"])) == [content]
    assert [one.key for one in store.list()] == ["old"]


def test_large_content_that_is_there_is_not_sent_again(store):
    content = os.urandom(12 * MIB)
    assert store.write_content([content], lambda: "blobs/x") is True
    assert store.write_content([content], lambda: "blobs/x") is False
    assert list(store.read(["blobs/x"])) == [content]


def test_content_that_is_damaged_is_replaced(store):
    for size in (100, MIB):
        content = os.urandom(size)
        store.write([(f"blobs/{size}", content[:-1])])
        assert store.write_content([content], lambda size=size: f"blobs/{size}") is True
        assert list(store.read([f"blobs/{size}"])) == [content]


def test_who_knows_that_the_service_is_there_is_patient(monkeypatch):
    monkeypatch.setattr(patience, "UNREACHED", 0.0)
    settings = {"s3_endpoint_url": "http://127.0.0.1:1", "s3_anonymous": True, "s3_retry_time": 2.0}
    took = []
    for knows in (False, True):
        store = S3Store("none", settings=settings)
        if knows:
            store.expect_answers()
        began = time.monotonic()
        with pytest.raises(StoreError, match="nothing listens"):
            store.size("none")
        took.append(time.monotonic() - began)
    assert took[0] < 1.5 < took[1]
