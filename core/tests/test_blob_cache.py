"""What this machine keeps of remote blobs: bounded, verified, safe with many processes, never an error."""

import os
import subprocess
import sys
import time

import pytest
from blake3 import blake3

from flow_core.blob_cache import MAPPED, BlobCache, open_cache
from flow_core.blobs import Blobs
from flow_core.errors import IntegrityError
from flow_core.interfaces import StoreCapabilities
from flow_core.records import blob_key
from flow_core.settings import Settings
from flow_core.testing import FaultyStore, MemoryStore

WHAT = "artifact 'x' of F/1/start/1"


class RemoteStore(MemoryStore):
    capabilities = StoreCapabilities(shared=True)


@pytest.fixture
def cache(tmp_path):
    return BlobCache(str(tmp_path / "cache"), 100 << 20)


@pytest.fixture
def blobs(cache):
    return Blobs(FaultyStore(RemoteStore()), cache)


def put(blobs, content):
    return blobs.put(lambda: [content], len(content))


def total(cache):
    return sum(
        os.path.getsize(os.path.join(f, n)) for f, _, names in os.walk(cache.folder) for n in names
    )


@pytest.mark.parametrize("size", [1, 5000, MAPPED + 1, (9 << 20) + 1])
@pytest.mark.parametrize("make", [os.urandom, bytes], ids=["noise", "zeros"])
class TestUse:
    def test_what_was_written_is_not_fetched(self, blobs, size, make):
        content = make(size)
        digest = put(blobs, content)
        blobs.store.calls.clear()
        assert bytes(blobs.get(digest, size, WHAT)) == content
        assert blobs.store.calls == []

    def test_what_was_fetched_is_not_fetched_again(self, blobs, size, make):
        content = make(size)
        digest = put(blobs, content)
        blobs.cache.drop(digest)
        assert bytes(blobs.get(digest, size, WHAT)) == content
        blobs.store.calls.clear()
        assert bytes(blobs.get(digest, size, WHAT)) == content
        assert blobs.store.calls == []

    def test_a_change_in_place_stays_the_readers_own(self, blobs, size, make):
        content = make(size)
        digest = put(blobs, content)
        view = memoryview(blobs.get(digest, size, WHAT))
        view[0] ^= 1
        assert bytes(blobs.get(digest, size, WHAT)) == content

    def test_a_damaged_file_is_fetched_anew(self, blobs, size, make):
        content = make(size)
        digest = put(blobs, content)
        path = os.path.join(blobs.cache.folder, digest[:2], digest)
        with open(path, "r+b") as file:
            file.seek(size // 2)
            file.write(bytes([content[size // 2] ^ 1]))
        assert bytes(blobs.get(digest, size, WHAT)) == content
        with open(path, "rb") as file:
            assert file.read() == content


def test_a_shorter_file_is_not_believed(blobs):
    content = os.urandom(5000)
    digest = put(blobs, content)
    os.truncate(os.path.join(blobs.cache.folder, digest[:2], digest), 100)
    assert bytes(blobs.get(digest, 5000, WHAT)) == content


def test_what_is_damaged_in_the_store_is_not_kept(blobs):
    content = os.urandom(9 << 20)
    digest = put(blobs, content)
    blobs.cache.drop(digest)
    blobs.store.write([(blob_key(digest), content[:-1] + b"!")])
    with pytest.raises(IntegrityError):
        blobs.get(digest, len(content), WHAT)
    assert not blobs.cache.has(digest)
    assert total(blobs.cache) < 10_000  # nothing half is left


def test_it_stays_within_its_bound_and_keeps_what_is_used(tmp_path):
    cache = BlobCache(str(tmp_path), 4 << 20)
    digests = []
    old = time.time() - 10_000
    for number in range(100):
        content = number.to_bytes(4, "big") * 25_000
        digests.append(blake3(content).hexdigest())
        cache.put(digests[-1], len(content), [content])
        if cache.has(digests[-1]):
            path = os.path.join(cache.folder, digests[-1][:2], digests[-1])
            os.utime(path, (old + number, old + number))
        assert cache.get(digests[0], 100_000) is not None  # it is used all the time
    assert total(cache) < 1.1 * (4 << 20)
    assert not cache.has(digests[1])
    assert cache.has(digests[-1])


def test_a_large_part_of_it_is_never_one_blob(tmp_path):
    cache = BlobCache(str(tmp_path), 1 << 20)
    cache.put("ab" * 32, 1 << 19, [bytes(1 << 19)])
    assert not cache.has("ab" * 32)


def test_a_full_disk_is_no_error(blobs, monkeypatch):
    monkeypatch.setattr(BlobCache, "_free", lambda _: 1000)
    content = os.urandom(9 << 20)
    digest = put(blobs, content)
    assert not blobs.cache.has(digest)
    assert bytes(blobs.get(digest, len(content), WHAT)) == content


def test_a_disk_that_gets_full_meanwhile_is_no_error(blobs, monkeypatch):
    content = os.urandom(9 << 20)
    digest = put(blobs, content)
    blobs.cache.drop(digest)
    opened = BlobCache._new

    class Full:
        def __init__(self, file):
            self.name = file.name
            self._file = file

        def write(self, _):
            raise OSError(28, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

    monkeypatch.setattr(BlobCache, "_new", lambda self, *args: Full(opened(self, *args)))
    assert bytes(blobs.get(digest, len(content), WHAT)) == content
    assert put(blobs, content + b"!")
    assert total(blobs.cache) < 100_000


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    blobs = Blobs(RemoteStore(), BlobCache(str(tmp_path / "file" / "cache"), 1 << 30))
    digest = put(blobs, b"x" * 5000)
    assert bytes(blobs.get(digest, 5000, WHAT)) == b"x" * 5000
    blobs.cache.sweep()


def test_it_is_for_its_owner_only(blobs):
    digest = put(blobs, b"x" * 5000)
    path = os.path.join(blobs.cache.folder, digest[:2], digest)
    assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0


def test_what_killed_writers_left_is_removed(cache):
    cache.put("ab" * 32, 5000, [bytes(5000)])
    part = os.path.join(cache.folder, "ab", "x.part")
    with open(part, "wb") as file:
        file.write(bytes(100))
    cache.sweep()
    assert os.path.exists(part)
    os.utime(part, (1, 1))
    cache.sweep()
    assert not os.path.exists(part)
    assert cache.has("ab" * 32)


@pytest.mark.parametrize(
    ("capabilities", "size", "kept"),
    [
        (StoreCapabilities(shared=True), "1", True),
        (StoreCapabilities(shared=True), "0", False),
        (StoreCapabilities(shared=True, mappable=True), "1", False),
        (StoreCapabilities(shared=False), "1", False),
    ],
)
def test_which_stores_have_one(tmp_path, capabilities, size, kept):
    store = MemoryStore()
    store.capabilities = capabilities
    settings = Settings({"HOME": str(tmp_path), "FLOW_BLOB_CACHE_SIZE": size}, str(tmp_path))
    cache = open_cache(store, settings)
    assert (cache is not None) is kept
    if cache is not None:
        assert (cache.folder, cache.bound) == (str(tmp_path / ".cache/flow/blobs"), 10**9)


_WORKER = """
import os, sys
from blake3 import blake3
from flow_core.blob_cache import BlobCache

cache = BlobCache(sys.argv[1], 8 << 20)
contents = [number.to_bytes(4, "big") * 300_000 for number in range(30)]
for turn in range(8):
    for content in contents[turn % 3 :: 3]:
        digest = blake3(content).hexdigest()
        kept = cache.get(digest, len(content))
        if kept is None:
            cache.put(digest, len(content), [content])
        else:
            assert bytes(kept) == content
print("done")
"""


def test_many_processes_use_it(cache):
    command = [sys.executable, "-c", _WORKER, cache.folder]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(4)]
    assert [worker.communicate()[0] for worker in workers] == [b"done\n"] * 4
    BlobCache(cache.folder, 8 << 20).sweep()
    assert 0 < total(cache) < 8 << 20
