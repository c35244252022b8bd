"""Blobs in a store where each request counts: few requests, bounded memory, nothing damaged believed."""

import os
import time
import tracemalloc

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from flow_core import blobs as module
from flow_core.artifacts import MAGIC
from flow_core.blobs import LARGE, Blobs
from flow_core.errors import IntegrityError, StoreError
from flow_core.records import blob_key
from flow_core.testing import FaultyStore, MemoryStore

WHAT = "artifact 'x' of F/1/start/1"
MIB = 1 << 20


@pytest.fixture
def store():
    return FaultyStore(MemoryStore())


@pytest.fixture
def blobs(store):
    return Blobs(store)


def put(blobs, content):
    return blobs.put(lambda: [content], len(content))


def requests(store):
    found = [operation for operation, _ in store.calls]
    store.calls.clear()
    return found


def age(store, digest, seconds):
    key = blob_key(digest)
    kept = store.behind._objects
    kept[key] = kept[key]._replace(modified=time.time() - seconds)


class TestSmall:
    def test_a_new_one_is_one_request(self, blobs, store):
        put(blobs, b"x" * 9000)
        assert requests(store) == ["write"]

    def test_one_that_is_there_is_asked_for_once(self, blobs, store):
        put(blobs, b"x" * 9000)
        requests(store)
        put(blobs, b"x" * 9000)
        assert requests(store) == ["write", "describe"]

    def test_an_old_one_is_refreshed(self, blobs, store):
        digest = put(blobs, b"x" * 9000)
        age(store, digest, 1000)
        requests(store)
        put(blobs, b"x" * 9000)
        assert requests(store) == ["write", "describe", "refresh"]
        (info,) = store.describe([blob_key(digest)])
        assert time.time() - info.modified < 100

    def test_one_that_is_deleted_meanwhile_is_written(self, blobs, store):
        digest = put(blobs, b"x" * 9000)
        age(store, digest, 1000)
        store.during("refresh", lambda: store.behind.delete([blob_key(digest)]))
        assert put(blobs, b"x" * 9000) == digest
        assert bytes(blobs.get(digest, 9000, WHAT)) == b"x" * 9000

    def test_a_torn_one_is_replaced(self, blobs, store):
        digest = put(blobs, b"x" * 9000)
        store.behind.write([(blob_key(digest), b"torn")])
        put(blobs, b"x" * 9000)
        assert bytes(blobs.get(digest, 9000, WHAT)) == b"x" * 9000

    def test_many_are_written_at_once(self, blobs, store):
        contents = [os.urandom(5000) for _ in range(5)]
        put(blobs, contents[0])
        requests(store)
        named = {blake3(c).hexdigest(): c for c in contents}
        blobs.put_small(named)
        assert requests(store) == [*["write"] * 5, "describe"]
        for digest, content in named.items():
            assert bytes(blobs.get(digest, 5000, WHAT)) == content

    def test_raw_bytes_likewise(self, blobs, store):
        digest = blobs.put_raw(b"\x28\xb5\x2f\xfd")
        assert requests(store) == ["write"]
        blobs.put_raw(b"\x28\xb5\x2f\xfd")
        assert requests(store) == ["write", "describe"]
        assert blobs.get(digest, None, WHAT) == b"\x28\xb5\x2f\xfd"


class TestCode:
    """Raw bytes are code, which most runs share: more than a few of them are not sent to be refused."""

    def test_what_is_there_is_not_sent_again(self, blobs, store):
        content = os.urandom(200_000)
        digest = blobs.put_raw(content)
        blobs.put_raw(content)
        assert requests(store) == ["describe", "write", "describe"]
        assert blobs.has_raw(digest, len(content))
        assert requests(store) == ["describe"]

    def test_what_is_cut_off_or_missing_is_not_there(self, blobs, store):
        content = os.urandom(200_000)
        digest = blobs.put_raw(content)
        store.behind.write([(blob_key(digest), content[:-1])])
        assert not blobs.has_raw(digest, len(content))
        blobs.put_raw(content)
        assert blobs.has_raw(digest, len(content))
        store.behind.delete([blob_key(digest)])
        assert not blobs.has_raw(digest, len(content))


@pytest.mark.parametrize("make", [os.urandom, bytes], ids=["noise", "zeros"])
class TestLarge:
    def test_it_is_asked_for_first(self, blobs, store, make):
        content = make(LARGE + 5)
        digest = put(blobs, content)
        assert requests(store) == ["describe", "write_stream"]
        assert blobs.get(digest, len(content), WHAT) == content
        assert requests(store) == ["stream"]

    def test_one_that_is_there_is_not_sent(self, blobs, store, make):
        content = make(LARGE + 5)
        put(blobs, content)
        requests(store)
        put(blobs, content)
        assert "write_stream" not in requests(store)

    def test_one_that_is_cut_off_is_replaced(self, blobs, store, make):
        content = make(LARGE + 5)
        digest = put(blobs, content)
        (stored,) = store.behind.read([blob_key(digest)])
        for end in (0, 10, len(stored) - 1):
            store.behind.write([(blob_key(digest), stored[:end])])
            put(blobs, content)
            assert blobs.get(digest, len(content), WHAT) == content

    def test_damage_is_told(self, blobs, store, make):
        content = make(LARGE + 5)
        digest = put(blobs, content)
        (stored,) = store.behind.read([blob_key(digest)])
        flipped = bytearray(stored)
        flipped[len(stored) // 2] ^= 1
        for wrong in (b"", stored[:10], stored[:-1], stored + b"!", bytes(flipped), stored * 2):
            store.behind.write([(blob_key(digest), wrong)])
            with pytest.raises(IntegrityError) as caught:
                blobs.get(digest, len(content), WHAT)
            assert WHAT in str(caught.value)
        store.behind.delete([blob_key(digest)])
        with pytest.raises(IntegrityError, match="damaged") as caught:
            blobs.get(digest, len(content), WHAT)
        assert caught.value.why == "it is missing"

    def test_raw_bytes_likewise(self, blobs, store, make):
        content = make(LARGE + 5)
        digest = blobs.put_raw(content)
        blobs.put_raw(content)
        assert requests(store) == ["describe", "write_stream", "describe"]
        assert blobs.get(digest, None, WHAT) == content


def test_what_shrinks_is_sent_in_frames(blobs, store):
    content = b"a line of text\n" * MIB
    digest = put(blobs, content)
    assert store.size(blob_key(digest)) < len(content) / 10


def test_one_large_frame_of_earlier_days_is_read(blobs, store):
    content = bytes(LARGE) + os.urandom(100)
    digest = blake3(content).hexdigest()
    store.write([(blob_key(digest), zstandard.ZstdCompressor().compress(content))])
    assert blobs.get(digest, len(content), WHAT) == content


def test_pieces_of_any_size_are_read(blobs, store, monkeypatch):
    content = bytes(LARGE + 5)
    digest = put(blobs, content)
    (stored,) = store.behind.read([blob_key(digest)])
    monkeypatch.setattr(
        MemoryStore, "stream", lambda *_: (stored[n : n + 3] for n in range(0, len(stored), 3))
    )
    assert blobs.get(digest, len(content), WHAT) == content


@given(st.lists(st.binary(max_size=50) | st.just(b"\0" * 90), max_size=8))
def test_both_forms_of_any_container_come_back(pieces):
    # A container begins with its own magic number, so never with that of zstd.
    pieces = [MAGIC, *pieces]
    content = b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LARGE", 40)
        blobs = Blobs(MemoryStore())
        digest = blobs.put(lambda: pieces, len(content))
        assert digest == blake3(content).hexdigest()
        assert blobs.get(digest, len(content), WHAT) == content


@pytest.mark.parametrize("pattern", [b"\0", None], ids=["zeros", "noise"])
def test_large_content_takes_little_memory(tmp_path, pattern):
    """Nothing but the content itself, and few pieces on their way. The store counts, and drops."""

    class Drain(MemoryStore):
        def write_stream(self, key, chunks, *, create_only=False, attributes=None):
            self.chunks = 0
            for chunk in chunks:
                self.chunks += len(memoryview(chunk))
            return True

        def stream(self, key):
            return iter(view[start : start + LARGE] for start in range(0, size, LARGE))

    size = 200 * MIB
    view = memoryview(bytes(size) if pattern else os.urandom(MIB) * 200)
    store = Drain()
    blobs = Blobs(store)
    tracemalloc.start()
    digest = blobs.put(lambda: (view[s : s + LARGE] for s in range(0, size, LARGE)), size)
    _, most = tracemalloc.get_traced_memory()
    assert most < 70 * MIB
    tracemalloc.reset_peak()
    found = blobs.get(digest, size, WHAT)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == view
    assert most < size + 70 * MIB


class TestAhead:
    def test_what_was_read_ahead_is_not_read_again(self, blobs, store):
        contents = [os.urandom(5000) for _ in range(3)]
        named = {put(blobs, c): c for c in contents}
        requests(store)
        blobs.ahead(dict.fromkeys(named, 5000))
        assert requests(store) == ["read"] * 3
        for digest, content in named.items():
            assert bytes(blobs.get(digest, 5000, WHAT)) == content
        assert requests(store) == []

    def test_what_is_missing_is_told_when_it_is_wanted(self, blobs):
        blobs.ahead({"ab" * 32: 5000})
        with pytest.raises(IntegrityError):
            blobs.get("ab" * 32, 5000, WHAT)


def test_a_store_that_fails_is_not_hidden(blobs, store):
    for operation in ("write", "describe", "write_stream"):
        store.heal()
        store.fail(operation, times=None)
        with pytest.raises(StoreError):
            put(blobs, os.urandom(9000 if operation == "write" else LARGE + 1))
