"""What every store must do. Subclass `StoreSuite` and give it a fixture ``store``."""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from flow_core.errors import StoreError
from flow_core.interfaces import Attributes, Bootstrap, Buffer, Store
from flow_core.testing.processes import in_child, in_children

T = TypeVar("T")

HALF = 1 << 18
"""Bytes of an object which nobody may see a part of: more than one write call to a disk, or pipe."""

ODD_KEYS = [
    "with space/in the/middle of it",
    " leading and trailing ",
    "größe/naïve/日本語/🦆",
    "e\u0301 and \u00e9",
    "100%/%2F/%00/%zz",
    "a+b/c&d=e?f#g",
    "back\\slash",
    "quote'and\"double",
    "-dash/--option",
    ".hidden/..also/...three",
    "colon:and;semicolon",
    "star*and[brackets]{braces}",
    "new\nline",
    "x" * 200,
    "/".join("d" * 40 for _ in range(12)),
]

BAD_KEYS = [
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "./a",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a\0b",
]


BARE_READER = """
import hashlib, json, sys, threading

asked = json.load(sys.stdin)
module = {"__name__": "fetcher"}
exec(compile(asked["source"], "<fetcher>", "exec"), module)
read = module["open"](asked["config"])

def one(key):
    content = read(key)
    return None if content is None else [len(content), hashlib.sha256(content).hexdigest()]

found = {key: one(key) for key in asked["keys"]}
again = {}
threads = [threading.Thread(target=lambda k=key: again.update({k: one(k)})) for key in found]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ours = sorted(name for name in sys.modules if name.startswith("flow"))
json.dump({"found": found, "again": again, "modules": ours}, sys.stdout)
"""
"""What a Python without any packages does with a `Bootstrap`."""


def read_one(store: Store, key: str) -> bytes | None:
    """Return the content of one key."""
    (content,) = store.read([key])
    return content


class Interrupted(Exception):
    """Raised by a test in the middle of a write."""


def one_after_another(items: Iterable[T], then: Callable[[], object]) -> Iterator[T]:
    """Yield ``items``, and call ``then`` before who takes them learns that they are all."""
    yield from items
    then()


def slowly(content: bytes) -> Iterator[bytes]:
    """Yield the halves of a content, with a rest between them in which others write theirs."""
    yield content[: len(content) // 2]
    time.sleep(0.02)
    yield content[len(content) // 2 :]


def interrupt() -> None:
    """Raise `Interrupted`."""
    raise Interrupted


def die() -> None:
    """End this process as a power failure does."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def meanwhile(work: Callable[[int], object], seconds: float = 0.3) -> Iterator[Iterator[int]]:
    """Call ``work(turn)`` in a thread again and again; give turns for who looks at it meanwhile.

    What the work raises comes out in the end.
    """
    done = threading.Event()

    def go_on() -> None:
        for turn in itertools.count():
            work(turn)
            if done.is_set():
                return

    def turns() -> Iterator[int]:
        end = time.monotonic() + seconds
        for turn in itertools.count():
            yield turn
            if time.monotonic() > end:
                return

    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(go_on)
        try:
            yield turns()
        finally:
            done.set()
        doing.result()


@pytest.mark.usefixtures("no_leaks")
class StoreSuite:
    """Inherit it as ``class TestMine(StoreSuite)`` with a fixture ``store`` that gives an empty store.

    Attributes:
        in_process: True when other processes cannot see the store's content, as with one that lives
            in memory: what needs them is skipped.
        racers: how many threads and processes fight for a key.
        refresh_is_safe: False when a deletion of what is old may hit what was refreshed right then.
        time_step: seconds within which the store's times may not tell two changes apart.
        page: objects that one request lists, or deletes, at most.
    """

    in_process = False
    racers = 8
    refresh_is_safe = True
    time_step = 0.02
    page = 1000

    @pytest.fixture
    def store(self) -> Store:
        """Give an empty store. Override this."""
        raise NotImplementedError("the subclass of StoreSuite must define the fixture 'store'")

    def reopen(self, store: Store) -> Store:
        """Return another instance on the same content: by default, made from the URL."""
        _, _, root = store.url.partition("://")
        return type(store)(root)  # type: ignore[call-arg] # the protocol has no constructor

    def unwritable(self, tmp_path: Path) -> Store | None:
        """Return a store of a place that cannot be written; None, the default, leaves that out."""
        return None

    # --- content ----------------------------------------------------------------------------

    def test_round_trip(self, store: Store) -> None:
        assert store.write([("runs/F/1/run.json", b"hello")]) == [True], "a new object was written"
        assert read_one(store, "runs/F/1/run.json") == b"hello"

    def test_empty_object(self, store: Store) -> None:
        store.write([("empty", b"")])
        assert read_one(store, "empty") == b"", "an empty object is not a missing one"
        assert store.size("empty") == 0
        assert store.exists(["empty"]) == [True]

    def test_all_byte_values(self, store: Store) -> None:
        content = bytes(range(256)) * 3
        store.write([("bytes", content)])
        assert read_one(store, "bytes") == content, "content must not be changed on its way"

    def test_large_object(self, store: Store) -> None:
        content = os.urandom(8 << 20)
        store.write([("large", content)])
        found = read_one(store, "large")
        assert found is not None
        assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_kinds_of_buffer(self, store: Store, kind: Callable[[bytes], Buffer]) -> None:
        assert store.write([("kind", kind(b"content"))]) == [True]
        assert read_one(store, "kind") == b"content"

    def test_wide_memoryview_counts_bytes(self, store: Store) -> None:
        wide = memoryview(bytes(range(64))).cast("Q")
        store.write([("wide", wide)])
        assert read_one(store, "wide") == bytes(range(64)), "8-byte items are 8 bytes each"

    def test_strided_memoryview(self, store: Store) -> None:
        store.write([("strided", memoryview(b"a-b-c-")[::2])])
        assert read_one(store, "strided") == b"abc"

    def test_content_is_taken_at_the_call(self, store: Store) -> None:
        content = bytearray(b"before")
        store.write([("mutable", content)])
        content[:] = b"after!"
        assert read_one(store, "mutable") == b"before", "the caller may use its buffer again"

    # --- keys -------------------------------------------------------------------------------

    @pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
    def test_odd_key(self, store: Store, key: str) -> None:
        store.write([(key, key.encode())])
        assert read_one(store, key) == key.encode()
        assert [o.key for o in store.list()] == [key], "a listing gives the key as it was written"
        store.delete([key])
        assert store.exists([key]) == [False]

    def test_similar_keys_are_different(self, store: Store) -> None:
        keys = ["a", "a ", " a", "a%20", "a+", "a%2Fb", "aa", "a-b", "a.b"]
        store.write([(key, key.encode()) for key in keys])
        assert list(store.read(keys)) == [key.encode() for key in keys]

    @pytest.mark.parametrize("key", BAD_KEYS, ids=repr)
    def test_invalid_key_is_refused(self, store: Store, key: str) -> None:
        for use in (
            lambda: store.write([(key, b"x")]),
            lambda: read_one(store, key),
            lambda: store.delete([key]),
            lambda: store.write_content([b"x"], lambda: key),
        ):
            with pytest.raises(StoreError) as caught:
                use()
            assert caught.value.what, "the error says what is wrong"
        assert list(store.list()) == [], "nothing was written for a refused key"

    def test_forms_of_unicode_are_different_keys(self, store: Store) -> None:
        if sys.platform == "darwin" and store.capabilities.mappable:
            pytest.skip("the filesystems of this system take them for one")
        keys = ["k/\u00e9", "k/e\u0301", "k/\ufb01", "k/fi", "k/\u212b", "k/\u00c5"]
        store.write([(key, key.encode()) for key in keys])
        assert list(store.read(keys)) == [key.encode() for key in keys]
        assert [o.key for o in store.list()] == sorted(keys)

    def test_key_below_another_one(self, store: Store) -> None:
        store.write([("a/b", b"below")])
        try:
            store.write([("a", b"above")])
        except StoreError:  # where objects are files
            assert store.exists(["a"]) == [False]
        else:
            assert read_one(store, "a") == b"above"
        assert read_one(store, "a/b") == b"below", "what was there is there still"

    # --- write ------------------------------------------------------------------------------

    def test_overwrite(self, store: Store) -> None:
        store.write([("key", b"a long first content")])
        assert store.write([("key", b"second")]) == [True]
        assert read_one(store, "key") == b"second", "nothing of a longer content is left"

    def test_many_in_one_call(self, store: Store) -> None:
        items = [(f"many/{number}", str(number).encode()) for number in range(50)]
        assert store.write(iter(items)) == [True] * 50
        assert list(store.read([key for key, _ in items])) == [content for _, content in items]

    def test_no_items(self, store: Store) -> None:
        assert store.write([]) == []
        assert list(store.read([])) == []
        assert store.exists([]) == []
        store.delete([])

    def test_later_item_of_a_call_wins(self, store: Store) -> None:
        store.write([("key", b"first"), ("key", b"second")])
        assert read_one(store, "key") == b"second"

    def test_create_only_keeps_the_first(self, store: Store) -> None:
        self._needs_create_only(store)
        assert store.write([("key", b"first")], create_only=True) == [True]
        assert store.write([("key", b"second")], create_only=True) == [False]
        assert read_one(store, "key") == b"first"

    def test_create_only_answers_for_each_item(self, store: Store) -> None:
        self._needs_create_only(store)
        store.write([("b", b"old")])
        items = [("a", b"new"), ("b", b"new"), ("c", b"new"), ("a", b"newer")]
        assert store.write(items, create_only=True) == [True, False, True, False]
        assert list(store.read(["a", "b", "c"])) == [b"new", b"old", b"new"]

    def test_create_only_after_delete(self, store: Store) -> None:
        self._needs_create_only(store)
        store.write([("key", b"first")])
        store.delete(["key"])
        assert store.write([("key", b"second")], create_only=True) == [True]
        assert read_one(store, "key") == b"second"

    def test_threads_race_for_a_key(self, store: Store) -> None:
        self._needs_create_only(store)
        start = threading.Barrier(self.racers)

        def claim(number: int) -> list[bool]:
            start.wait()
            keys = [f"race/{race}" for race in range(10)]
            return store.write([(key, b"%d" % number) for key in keys], create_only=True)

        with ThreadPoolExecutor(self.racers) as pool:
            results = list(pool.map(claim, range(self.racers)))
        self._check_winners(store, results)

    def test_processes_race_for_a_key(self, store: Store) -> None:
        self._needs_create_only(store)
        self._needs_processes()

        def claim(number: int) -> list[bool]:
            keys = [f"race/{race}" for race in range(10)]
            return store.write([(key, b"%d" % number) for key in keys], create_only=True)

        self._check_winners(store, in_children(self.racers, claim))

    def test_who_loses_a_race_reads_what_the_winner_wrote(self, store: Store) -> None:
        self._needs_create_only(store)
        start = threading.Barrier(self.racers)

        def claim(number: int) -> None:
            start.wait()
            for race in range(10):
                item = (f"race/{race}", b"%x" % number * HALF)
                if store.write([item], create_only=True) == [False]:
                    self._check_whole(read_one(store, item[0]))

        with ThreadPoolExecutor(self.racers) as pool:
            list(pool.map(claim, range(self.racers)))

    def test_threads_write_different_keys(self, store: Store) -> None:
        def fill(number: int) -> None:
            store.write([(f"t/{number}/{i}", b"%d" % i) for i in range(20)])

        with ThreadPoolExecutor(self.racers) as pool:
            list(pool.map(fill, range(self.racers)))
        found = [o.key for o in store.list("t/")]
        assert len(found) == self.racers * 20, "no write of a thread is lost"

    def test_reader_never_sees_half_an_object(self, store: Store) -> None:
        contents = [letter * HALF for letter in (b"a", b"b", b"c")]
        store.write([("key", contents[0])])
        with meanwhile(lambda turn: store.write([("key", contents[turn % 3])])) as turns:
            for _ in turns:
                self._check_whole(read_one(store, "key"))
                assert store.size("key") == HALF

    @pytest.mark.parametrize("create_only", [False, True])
    def test_reader_sees_what_comes_and_goes_whole_or_not_at_all(
        self, store: Store, create_only: bool
    ) -> None:
        if create_only:
            self._needs_create_only(store)

        def come_and_go(turn: int) -> None:
            store.write([("key", b"%x" % (turn % 16) * HALF)], create_only=create_only)
            store.delete(["key"])

        with meanwhile(come_and_go) as turns:
            for _ in turns:
                found = read_one(store, "key")
                if found is not None:
                    self._check_whole(found)
                assert store.size("key") in (None, HALF)
                part = store.read_range("key", 100, 1000)
                assert part is None or part == part[:1] * 1000
                assert {o.size for o in store.list()} <= {HALF}

    def test_list_while_others_write_and_delete(self, store: Store) -> None:
        stay = [f"k/{number:02}/object" for number in range(0, 40, 2)]
        come = [f"k/{number:02}/object" for number in range(1, 40, 2)]
        store.write([(key, b"") for key in stay])

        def come_and_go(turn: int) -> None:
            store.write([(key, b"%d" % turn) for key in come])
            store.delete(come)

        with meanwhile(come_and_go) as turns:
            for _ in turns:
                found = [o.key for o in store.list("k/")]
                assert found == sorted(set(found)), "sorted, and each once"
                assert set(stay) <= set(found), "what nobody touches is in each listing"
                parts = store.folders("k/")
                assert parts == sorted(set(parts))
                assert {key.split("/")[1] for key in stay} <= set(parts)

    def test_threads_delete_the_same_objects(self, store: Store) -> None:
        keys = [f"k/{number}" for number in range(20)]
        store.write([(key, b"x") for key in keys])
        with ThreadPoolExecutor(self.racers) as pool:
            list(pool.map(lambda _: store.delete(keys), range(self.racers)))
        assert list(store.list()) == []

    # --- write_content ----------------------------------------------------------------------

    def test_key_is_asked_when_the_chunks_are_used_up(self, store: Store) -> None:
        digest = hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            for part in (b"one", b"two", b"", b"three"):
                digest.update(part)
                yield part

        assert store.write_content(chunks(), lambda: f"blobs/{digest.hexdigest()}") is True
        key = f"blobs/{hashlib.sha256(b'onetwothree').hexdigest()}"
        assert read_one(store, key) == b"onetwothree", "the key is that of the whole content"

    def test_content_that_exists_is_not_written_again(self, store: Store) -> None:
        assert store.write_content([b"same"], lambda: "blobs/x") is True
        assert store.write_content([b"same"], lambda: "blobs/x") is False
        assert [o.key for o in store.list()] == ["blobs/x"], "nothing is kept of the second"

    def test_content_without_chunks(self, store: Store) -> None:
        assert store.write_content([], lambda: "nothing") is True
        assert read_one(store, "nothing") == b""

    def test_content_of_many_kinds_and_sizes(self, store: Store) -> None:
        big = os.urandom(3 << 20)
        chunks: list[Buffer] = [b"head", memoryview(big), bytearray(b"mid"), b"", b"tail"]
        chunks += [b"%d" % i for i in range(2000)]
        assert store.write_content(iter(chunks), lambda: "mixed") is True
        assert read_one(store, "mixed") == b"".join(bytes(chunk) for chunk in chunks)

    def test_chunk_buffer_may_be_used_again(self, store: Store) -> None:
        def chunks() -> Iterator[bytearray]:
            buffer = bytearray(4)
            for letter in b"abc":
                buffer[:] = bytes([letter]) * 4
                yield buffer

        store.write_content(chunks(), lambda: "reused")
        assert read_one(store, "reused") == b"aaaabbbbcccc", "a chunk is taken when it is given"

    def test_wide_chunks_count_bytes(self, store: Store) -> None:
        wide = memoryview(bytes(range(64))).cast("q")
        store.write_content([b"x", wide, wide], lambda: "wide")
        assert read_one(store, "wide") == b"x" + bytes(range(64)) * 2

    def test_failure_between_chunks_leaves_nothing(self, store: Store) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x" * (1 << 20)
            raise Interrupted

        with pytest.raises(Interrupted):
            store.write_content(chunks(), lambda: "never")
        assert list(store.list()) == []
        assert store.exists(["never"]) == [False]

    def test_system_error_of_the_chunks_passes_unchanged(self, store: Store) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"x"
            raise FileNotFoundError(2, "what the caller reads from is gone")

        with pytest.raises(FileNotFoundError):
            store.write_content(chunks(), lambda: "never")
        assert list(store.list()) == []

    def test_failure_of_the_key_leaves_nothing(self, store: Store) -> None:
        def key() -> str:
            raise Interrupted

        with pytest.raises(Interrupted):
            store.write_content([b"content"], key)
        assert list(store.list()) == []

    def test_processes_write_the_same_content(self, store: Store) -> None:
        self._needs_processes()
        content = os.urandom(1 << 16)
        results = in_children(
            self.racers, lambda _: store.write_content(slowly(content), lambda: "blobs/same")
        )
        assert True in results, "somebody wrote it"
        assert read_one(store, "blobs/same") == content

    def test_threads_write_the_same_content(self, store: Store) -> None:
        content = os.urandom(HALF)

        def write(_: int) -> None:
            store.write_content(slowly(content), lambda: "blobs/same")
            assert read_one(store, "blobs/same") == content, "it is there when the call returns"

        with ThreadPoolExecutor(self.racers) as pool:
            list(pool.map(write, range(self.racers)))
        assert [o.key for o in store.list()] == ["blobs/same"]

    # --- faults -----------------------------------------------------------------------------

    @pytest.mark.parametrize("create_only", [False, True])
    def test_failure_between_items_leaves_whole_objects(
        self, store: Store, create_only: bool
    ) -> None:
        if create_only:
            self._needs_create_only(store)
        items = [("a", b"1" * HALF), ("b", b"2" * HALF)]
        with pytest.raises(Interrupted):
            store.write(one_after_another(items, interrupt), create_only=create_only)
        self._check_only(store, items)
        store.write([("c", b"3")])
        assert read_one(store, "c") == b"3", "it works on"

    def test_refused_key_among_others(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.write([("a", b"1"), ("../b", b"2"), ("c", b"3")])
        self._check_only(store, [("a", b"1"), ("c", b"3")])

    def test_write_again_after_a_failure(self, store: Store) -> None:
        with pytest.raises(Interrupted):
            store.write_content(one_after_another([b"half"], interrupt), lambda: "blobs/x")
        assert store.write_content([b"whole"], lambda: "blobs/x") is True
        assert read_one(store, "blobs/x") == b"whole"

    def test_killed_in_the_middle_of_a_content(self, store: Store) -> None:
        self._needs_processes()
        chunks = [b"x" * HALF] * 8
        self._kill(lambda: store.write_content(one_after_another(chunks, die), lambda: "blobs/x"))
        assert list(store.list()) == [], "what is half written is no object"
        assert store.folders() == []
        assert store.exists(["blobs/x"]) == [False]
        assert store.write_content(chunks, lambda: "blobs/x") is True
        assert read_one(store, "blobs/x") == b"x" * HALF * 8

    def test_killed_between_items(self, store: Store) -> None:
        self._needs_processes()
        items = [("a", b"1" * HALF), ("b", b"2" * HALF)]
        self._kill(lambda: store.write(one_after_another(items, die)))
        self._check_only(store, items)
        assert store.write(items) == [True, True]
        self._check_only(store, items)
        assert store.exists(["a", "b"]) == [True, True]

    def test_killed_while_overwriting(self, store: Store) -> None:
        self._needs_processes()
        contents = [b"%x" % number * HALF for number in range(3)]

        def overwrite() -> None:
            while True:
                for content in contents:
                    store.write([("key", content)])

        store.write([("key", contents[0])])
        for wait in (0.01, 0.02, 0.04, 0.08):
            self._kill(overwrite, after=wait)
            self._check_whole(read_one(store, "key"))
            assert [(o.key, o.size) for o in store.list()] == [("key", HALF)]
        assert store.write([("key", b"after")]) == [True], "no lock is left"
        assert read_one(store, "key") == b"after"

    def test_killed_while_creating(self, store: Store) -> None:
        self._needs_create_only(store)
        self._needs_processes()

        def create() -> None:
            for number in range(1 << 20):
                store.write([(f"new/{number}", b"x" * HALF)], create_only=True)

        for wait in (0.01, 0.03, 0.08):
            self._kill(create, after=wait)
        found = list(store.list("new/"))
        assert {o.size for o in found} <= {HALF}, "a key that is taken has its whole content"
        free = f"new/{len(found)}"
        assert store.write([(free, b"x")], create_only=True) == [True], "the next one is free"

    @pytest.mark.parametrize("how", ["write", "create_only", "write_content"])
    def test_place_that_cannot_be_written(self, store: Store, tmp_path: Path, how: str) -> None:
        # `store` comes first, so that the place for the other one is there.
        other = self.unwritable(tmp_path)
        if other is None:
            pytest.skip("unwritable() is not overridden")
        ways: dict[str, Callable[[], object]] = {
            "write": lambda: other.write([("key", b"x")]),
            "create_only": lambda: other.write([("key", b"x")], create_only=True),
            "write_content": lambda: other.write_content([b"x"], lambda: "blobs/x"),
        }
        with pytest.raises(StoreError) as caught:
            ways[how]()
        assert caught.value.what, "the error says what failed"
        assert caught.value.where or caught.value.why, "the error says where, or why"
        assert caught.value.hint, "the error says what a person can do"

    # --- streams ----------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 9 << 20])
    def test_stream_gives_back_what_a_stream_wrote(self, store: Store, size: int) -> None:
        pieces = [os.urandom(min(1 << 20, size - at)) for at in range(0, size, 1 << 20)]
        assert store.write_stream("a/stream", pieces)
        back = store.stream("a/stream")
        assert back is not None
        assert b"".join(bytes(piece) for piece in back) == b"".join(pieces)

    def test_stream_of_missing_is_none(self, store: Store) -> None:
        assert store.stream("nothing/here") is None

    def test_stream_has_bounded_pieces(self, store: Store) -> None:
        store.write([("large", bytes(20 << 20))])
        pieces = store.stream("large")
        assert pieces is not None
        sizes = [memoryview(piece).nbytes for piece in pieces]
        assert sum(sizes) == 20 << 20
        if not self.in_process:
            assert max(sizes) <= 16 << 20

    def test_stream_create_only_keeps_the_first(self, store: Store) -> None:
        assert store.write_stream("k", [b"first"], create_only=True)
        assert not store.write_stream("k", [b"second"], create_only=True)
        assert read_one(store, "k") == b"first"
        assert store.write_stream("k", [b"th", b"ird"])
        assert read_one(store, "k") == b"third"

    def test_failure_between_chunks_of_a_stream_keeps_what_was_there(self, store: Store) -> None:
        store.write([("k", b"old")])
        with pytest.raises(Interrupted):
            store.write_stream("k", one_after_another([bytes(HALF)] * 40, interrupt))
        assert read_one(store, "k") == b"old"
        with pytest.raises(Interrupted):
            store.write_stream("new", one_after_another([b"half"], interrupt))
        assert store.exists(["new"]) == [False]

    def test_chunk_of_a_stream_may_be_used_again(self, store: Store) -> None:
        buffer = bytearray(5)

        def chunks() -> Iterator[Buffer]:
            for word in (b"first", b"secon", b"third"):
                buffer[:] = word
                yield buffer

        assert store.write_stream("k", chunks())
        assert read_one(store, "k") == b"firstseconthird"

    def test_large_stream_comes_back_whole(self, store: Store) -> None:
        wrote, read = hashlib.sha256(), hashlib.sha256()

        def chunks() -> Iterator[bytes]:
            piece = os.urandom(1 << 20)
            for number in range(76):
                chunk = number.to_bytes(4, "big") + piece
                wrote.update(chunk)
                yield chunk

        assert store.write_stream("large", chunks())
        assert store.size("large") == 76 * ((1 << 20) + 4)
        pieces = store.stream("large")
        assert pieces is not None
        for piece in pieces:
            read.update(piece)
        assert read.digest() == wrote.digest(), "nothing is lost, doubled or in another order"

    @pytest.mark.parametrize("then", ["replaced", "deleted"])
    def test_stream_never_mixes_two_versions(self, store: Store, then: str) -> None:
        old, new = b"o" * (40 << 20), b"n" * (40 << 20)
        store.write([("key", old)])
        pieces = store.stream("key")
        assert pieces is not None
        found = bytearray(next(pieces))
        store.write([("key", new)]) if then == "replaced" else store.delete(["key"])
        with suppress(StoreError):  # which says that it changed
            for piece in pieces:
                found += piece
            # A bool, since a difference of megabytes takes long to draw.
            whole = found == old
            assert whole, "without an error it is all of the version that it began with"

    def test_streams_are_read_while_others_replace_the_object(self, store: Store) -> None:
        contents = [letter * (HALF * 8) for letter in (b"a", b"b", b"c")]
        store.write([("key", contents[0])])
        with meanwhile(lambda turn: store.write_stream("key", [contents[turn % 3]])) as turns:
            for _ in turns:
                pieces = store.stream("key")
                assert pieces is not None, "an object that is replaced is always there"
                with suppress(StoreError):  # which says that it changed
                    whole = b"".join(bytes(piece) for piece in pieces) in contents
                    assert whole, "a mixture of two contents was read"

    def test_stream_may_be_left_before_its_end(self, store: Store) -> None:
        store.write([("large", bytes(20 << 20))])
        pieces = store.stream("large")
        assert pieces is not None
        assert next(pieces)
        del pieces
        assert store.write_stream("large", [b"small"])
        assert read_one(store, "large") == b"small"

    def test_threads_race_for_a_key_with_streams(self, store: Store) -> None:
        self._needs_create_only(store)
        start = threading.Barrier(self.racers)

        def claim(number: int) -> list[bool]:
            start.wait()
            content = b"%d" % number
            return [
                store.write_stream(f"race/{race}", slowly(content), create_only=True)
                for race in range(3)
            ]

        with ThreadPoolExecutor(self.racers) as pool:
            results = list(pool.map(claim, range(self.racers)))
        self._check_winners(store, results)

    def test_killed_in_the_middle_of_a_stream(self, store: Store) -> None:
        self._needs_processes()
        store.write([("k", b"old")])
        chunks = [b"x" * HALF] * 40
        self._kill(lambda: store.write_stream("k", one_after_another(chunks, die)))
        assert read_one(store, "k") == b"old", "what is half written replaces nothing"
        self._kill(lambda: store.write_stream("new", one_after_another(chunks, die)))
        assert [o.key for o in store.list()] == ["k"], "what is half written is no object"
        assert store.write_stream("new", chunks, create_only=True) is True
        assert store.size("new") == HALF * 40

    def test_describe(self, store: Store) -> None:
        before = time.time()
        store.write([("a/b", b"12345"), ("a/empty", b"")])
        found = [*store.describe(["a/b", "missing", "a/empty"])]
        assert [info and (info.key, info.size) for info in found] == [
            ("a/b", 5),
            None,
            ("a/empty", 0),
        ]
        assert found[0] is not None
        assert before - 5 < found[0].modified < time.time() + 5

    def test_attributes_are_kept_or_refused(self, store: Store) -> None:
        wanted = Attributes("text/csv; charset=utf-8", {"made-by": "ada", "empty": "x y"})
        if not store.capabilities.attributes:
            with pytest.raises(StoreError):
                store.write_stream("k", [b"1,2"], attributes=wanted)
            assert store.exists(["k"]) == [False]
            return
        assert store.write_stream("k", [b"1,2"], attributes=wanted)
        (found,) = store.describe(["k"])
        assert found is not None
        assert found.attributes == wanted
        assert read_one(store, "k") == b"1,2"

    def test_attributes_go_with_their_content(self, store: Store) -> None:
        if not store.capabilities.attributes:
            pytest.skip("this store keeps no attributes")
        store.write_stream("k", [b"1,2"], attributes=Attributes(None, {"made-by": "ada"}))
        store.write_stream("k", [b"other"])
        (found,) = store.describe(["k"])
        assert found is not None
        assert found.attributes.metadata == {}, "they were those of what is gone"

    # --- read -------------------------------------------------------------------------------

    def test_missing_is_none(self, store: Store) -> None:
        assert read_one(store, "missing") is None
        assert read_one(store, "deep/er/missing") is None

    def test_read_keeps_the_order(self, store: Store) -> None:
        store.write([("a", b"1"), ("b", b"2")])
        keys = ["b", "missing", "a", "b", "a/below", "a"]
        assert list(store.read(keys)) == [b"2", None, b"1", b"2", None, b"1"]

    def test_many_keys_with_missing_ones_among_them(self, store: Store) -> None:
        store.write([(f"k/{number}", b"%d" % number) for number in range(0, 120, 3)])
        keys = [f"k/{number}" for number in range(120)] * 2
        wanted = [None if number % 3 else b"%d" % number for number in range(120)] * 2
        assert list(store.read(keys)) == wanted
        assert store.exists(keys) == [content is not None for content in wanted]
        sizes = [info and info.size for info in store.describe(keys)]
        assert sizes == [content and len(content) for content in wanted]

    def test_large_range_over_the_end(self, store: Store) -> None:
        content = os.urandom((9 << 20) + 5)
        store.write([("large", content)])
        assert store.read_range("large", 1 << 20, 1 << 40) == content[1 << 20 :]
        assert store.read_range("large", 8 << 20, 1 << 20) == content[8 << 20 : 9 << 20]
        assert store.read_range("large", len(content) - 1, 5 << 20) == content[-1:]

    def test_folder_is_no_object(self, store: Store) -> None:
        store.write([("a/b/c", b"1")])
        assert list(store.read(["a", "a/b"])) == [None, None]
        assert store.exists(["a", "a/b", "a/b/c"]) == [False, False, True]
        assert store.size("a") is None

    @pytest.mark.parametrize(
        ("offset", "length", "expected"),
        [
            (0, 10, b"0123456789"),
            (0, 3, b"012"),
            (4, 3, b"456"),
            (8, 10, b"89"),
            (0, 1 << 40, b"0123456789"),
            (9, 1, b"9"),
            (10, 5, b""),
            (50, 5, b""),
            (3, 0, b""),
        ],
    )
    def test_read_range(self, store: Store, offset: int, length: int, expected: bytes) -> None:
        store.write([("digits", b"0123456789")])
        assert store.read_range("digits", offset, length) == expected

    def test_read_range_of_missing_is_none(self, store: Store) -> None:
        assert store.read_range("missing", 0, 10) is None
        assert store.read_range("missing", 0, 0) is None

    @pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, -1)])
    def test_negative_range_is_refused(self, store: Store, offset: int, length: int) -> None:
        store.write([("digits", b"0123456789")])
        with pytest.raises(StoreError):
            store.read_range("digits", offset, length)

    def test_exists_and_size(self, store: Store) -> None:
        store.write([("a", b"123"), ("b/c", b"")])
        assert store.exists(["b/c", "missing", "a"]) == [True, False, True]
        assert [store.size(key) for key in ("a", "b/c", "missing")] == [3, 0, None]

    # --- list -------------------------------------------------------------------------------

    def test_list_of_nothing(self, store: Store) -> None:
        assert list(store.list()) == []
        assert list(store.list("no/such/")) == []
        assert store.folders() == []
        assert store.folders("no/such/") == []

    def test_list_is_sorted_by_key(self, store: Store) -> None:
        # "a-b" < "a/b" < "a0" although the folder "a" sorts before them all.
        keys = ["a/b", "a-b", "a0", "a/a/z", "a/a.z", "B", "ä", "a/10", "a/9"]
        store.write([(key, b"") for key in keys])
        assert [o.key for o in store.list()] == sorted(keys)

    def test_prefix_need_not_end_at_a_slash(self, store: Store) -> None:
        keys = ["run/1/a", "run/10/a", "run/2/a", "runs/1"]
        store.write([(key, b"") for key in keys])
        assert [o.key for o in store.list("run/1")] == ["run/1/a", "run/10/a"]
        assert [o.key for o in store.list("run/1/")] == ["run/1/a"]
        assert [o.key for o in store.list("run")] == sorted(keys)
        assert [o.key for o in store.list("runs/1")] == ["runs/1"]
        assert [o.key for o in store.list("x")] == []

    def test_list_tells_size_and_time(self, store: Store) -> None:
        before = time.time()
        store.write([("a", b"123")])
        (found,) = store.list()
        assert (found.key, found.size) == ("a", 3)
        assert before - 60 < found.modified < time.time() + 60, "seconds since the epoch"

    def test_list_while_writing(self, store: Store) -> None:
        store.write([(f"k/{i:03}", b"") for i in range(100)])
        keys = []
        for found in store.list("k/"):
            keys.append(found.key)
            store.write([(f"other/{found.key}", b"")])
        assert keys == [f"k/{i:03}" for i in range(100)]

    def test_list_while_deleting(self, store: Store) -> None:
        store.write([(f"k/{i:03}", b"") for i in range(20)])
        for found in store.list("k/"):
            store.delete([found.key])
        assert list(store.list()) == []

    def test_folders_are_one_level(self, store: Store) -> None:
        store.write([(key, b"") for key in ("a/b/c", "a/b/d", "a/e", "f", "g/h")])
        assert store.folders() == ["a", "f", "g"]
        assert store.folders("a/") == ["b", "e"]
        assert store.folders("a/b/") == ["c", "d"]
        assert store.folders("f/") == []

    def test_numbers_are_sorted_as_text(self, store: Store) -> None:
        store.write([(f"runs/F/{i}/run.json", b"") for i in (1, 2, 10)])
        assert store.folders("runs/F/") == ["1", "10", "2"]

    def test_more_than_a_page(self, store: Store) -> None:
        numbers = [f"{number:04}" for number in range(self.page + 100)]
        keys = [f"many/{number}/object" for number in numbers]
        assert store.write([(key, b"x") for key in keys]) == [True] * len(keys)
        assert [o.key for o in store.list("many/")] == keys
        assert store.folders("many/") == numbers
        store.delete(keys)
        assert list(store.list()) == []

    def test_folders_of_odd_names(self, store: Store) -> None:
        names = ["a b", "größe", "%2F", "a+b", "new\nline", "back\\slash", "a&b=c", ".hidden", "#"]
        store.write([(f"top/{name}/below", b"") for name in names])
        assert store.folders("top/") == sorted(names)
        for name in names:
            assert store.folders(f"top/{name}/") == ["below"]

    # --- delete -----------------------------------------------------------------------------

    def test_delete(self, store: Store) -> None:
        store.write([("a/b", b"1"), ("a/c", b"2")])
        store.delete(iter(["a/b"]))
        assert list(store.read(["a/b", "a/c"])) == [None, b"2"]

    def test_delete_of_missing_is_no_error(self, store: Store) -> None:
        store.write([("a/b", b"1")])
        store.delete(["a/b", "a/b", "missing", "a"])
        store.delete(["a/b"])
        assert list(store.list()) == []

    def test_deleting_a_folder_deletes_nothing(self, store: Store) -> None:
        store.write([("a/b", b"1")])
        store.delete(["a"])
        assert read_one(store, "a/b") == b"1"

    def test_emptied_folder_disappears(self, store: Store) -> None:
        store.write([("a/b/c", b"1"), ("d", b"2")])
        store.delete(["a/b/c"])
        assert store.folders() == ["d"], "a folder is nothing but the keys below it"

    def test_delete_of_what_is_old(self, store: Store) -> None:
        store.write([("a/b", b"1"), ("a/c", b"2")])
        store.delete(["a/b", "missing"], older_than=time.time() - 100)
        assert store.exists(["a/b"]) == [True], "it is younger"
        store.delete(["a/b", "a/b"], older_than=time.time() + 100)
        assert store.exists(["a/b", "a/c"]) == [False, True]

    def test_refresh(self, store: Store) -> None:
        store.write([("blobs/a", b"x" * 1000)])
        (before,) = store.list("blobs/")
        assert store.refresh("blobs/a") is True
        (young,) = store.list("blobs/")
        assert young == before, "what is young is left alone"
        time.sleep(self.time_step)
        assert store.refresh("blobs/a", 0) is True
        (after,) = store.list("blobs/")
        assert after.modified > before.modified
        assert read_one(store, "blobs/a") == b"x" * 1000

    def test_refresh_of_what_is_missing(self, store: Store) -> None:
        store.write([("a/b", b"1")])
        assert [store.refresh(key, age) for key in ("a/c", "a") for age in (0, 300)] == [False] * 4
        assert store.exists(["a/b", "a/c"]) == [True, False]

    def test_a_refreshed_object_survives_its_deletion_at_the_same_time(self, store: Store) -> None:
        if not self.refresh_is_safe:
            pytest.skip("this store looks and deletes in two steps")

        start = threading.Barrier(2)

        def refresh(key: str) -> None:
            start.wait()
            if not store.refresh(key, 0):
                store.write([(key, b"again")])

        def delete(key: str, bound: float) -> None:
            start.wait()
            store.delete([key], older_than=bound)

        with ThreadPoolExecutor(2) as pool:
            for number in range(50):
                key = f"blobs/{number}"
                store.write([(key, b"x")])
                time.sleep(0.03)
                bound = time.time() - 0.015  # file systems round times down
                doing = [pool.submit(refresh, key), pool.submit(delete, key, bound)]
                for future in doing:
                    future.result()
                assert store.exists([key]) == [True], "refreshed, or written again"

    # --- files ------------------------------------------------------------------------------

    def test_local_path_holds_the_object(self, store: Store) -> None:
        path = self._local_path(store, "blobs/ab/abc")
        store.write([("blobs/ab/abc", b"mapped content")])
        assert Path(path).read_bytes() == b"mapped content"
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            assert view[:6] == b"mapped"

    def test_mapped_object_survives_its_replacement(self, store: Store) -> None:
        path = self._local_path(store, "key")
        store.write([("key", b"old" * 1000)])
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            store.write([("key", b"new")])
            assert view[:3] == b"old", "writing never changes bytes that a reader has mapped"

    def test_logs_are_appended_at_the_local_path(self, store: Store) -> None:
        path = Path(self._local_path(store, "runs/F/1/start/0/0/stdout"))
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in (b"one\n", b"two\n"):
            with open(path, "ab") as log:
                log.write(line)
        assert read_one(store, "runs/F/1/start/0/0/stdout") == b"one\ntwo\n"
        assert store.read_range("runs/F/1/start/0/0/stdout", 4, 100) == b"two\n"

    def test_no_local_path_unless_mappable(self, store: Store) -> None:
        if store.capabilities.mappable:
            pytest.skip("this store is mappable")
        assert store.local_path("key") is None

    # --- the same store elsewhere -----------------------------------------------------------

    def test_url_has_a_scheme(self, store: Store) -> None:
        scheme, separator, _ = store.url.partition("://")
        assert scheme, "the scheme is the name of the provider"
        assert separator, f"'{store.url}' is not of the form name://place"

    def test_url_opens_the_same_store(self, store: Store) -> None:
        store.write([("key", b"content")])
        other = self.reopen(store)
        assert other.url == store.url
        assert read_one(other, "key") == b"content"
        other.write([("back", b"again")])
        assert read_one(store, "back") == b"again"

    def test_use_in_a_forked_child(self, store: Store) -> None:
        self._needs_processes()
        store.write([("parent", b"1")])

        def child(number: int) -> bytes | None:
            store.write([(f"child/{number}", b"%d" % number)])
            return read_one(store, "parent")

        assert in_children(3, child) == [b"1"] * 3
        assert list(store.read([f"child/{i}" for i in range(3)])) == [b"0", b"1", b"2"]
        store.write([("parent", b"2")])
        assert read_one(store, "parent") == b"2", "the parent's instance works on"

    # --- without flow-core --------------------------------------------------------------------

    def test_bare_python_reads_objects(self, store: Store) -> None:
        written = {
            "empty": b"",
            "all/bytes": bytes(range(256)),
            "large": os.urandom(3_000_001),
            **{f"odd/{key}": key.encode() for key in ODD_KEYS},
        }
        bootstrap = self._bootstrap(store)
        store.write(written.items())
        missing = ["missing", "odd", "empty/below", "all/bytes "]
        told = self._read_bare(bootstrap, [*written, *missing])
        for key, content in written.items():
            expected = [len(content), hashlib.sha256(content).hexdigest()]
            assert told["found"][key] == expected, f"'{key}' is read as it was written"
        for key in missing:
            assert told["found"][key] is None, f"'{key}', which is missing, is None"
        assert told["again"] == told["found"], "threads read the same"
        assert not told["modules"], "nothing of flow-core is imported"

    def test_bootstrap_is_plain_data(self, store: Store) -> None:
        bootstrap = self._bootstrap(store)
        sent = json.dumps(bootstrap.config)
        assert json.loads(sent) == dict(bootstrap.config), "the configuration is JSON data"
        assert len(sent) + len(bootstrap.source) < 100_000, "a variable of a process holds no more"
        for name, value in os.environ.items():
            secret = any(word in name.upper() for word in ("SECRET", "PASSWORD", "TOKEN", "_KEY"))
            if secret and "FILE" not in name.upper() and len(value) > 7:
                assert value not in sent + bootstrap.source, f"the value of {name} is a secret"

    # --- parts ------------------------------------------------------------------------------

    def _bootstrap(self, store: Store) -> Bootstrap:
        self._needs_processes()
        method: Callable[[], Bootstrap | None] | None = getattr(store, "bootstrap", None)
        found = None if method is None else method()
        if found is None:
            pytest.skip("this store cannot be read without flow-core")
        return found

    def _read_bare(self, bootstrap: Bootstrap, keys: list[str]) -> dict[str, dict[str, object]]:
        asked = {"source": bootstrap.source, "config": bootstrap.config, "keys": keys}
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", BARE_READER],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"a bare Python cannot read: {done.stderr}"
        found: dict[str, dict[str, object]] = json.loads(done.stdout)
        return found

    def _check_winners(self, store: Store, results: list[list[bool]]) -> None:
        for race, answers in enumerate(zip(*results, strict=True)):
            winners = [number for number, won in enumerate(answers) if won]
            assert len(winners) == 1, f"exactly one writer wins, here {winners} did"
            assert read_one(store, f"race/{race}") == b"%d" % winners[0], "the winner's content"

    def _check_whole(self, found: bytes | None) -> None:
        assert found is not None, "an object that was written is missing"
        assert len(found) == HALF, "a part of an object was read"
        assert found == found[:1] * HALF, "a mixture of two contents was read"

    def _check_only(self, store: Store, items: list[tuple[str, bytes]]) -> None:
        """Check that there is nothing but some of ``items``, and these as they should be."""
        known = dict(items)
        for found in store.list():
            assert found.key in known, f"'{found.key}' is left of a write that failed"
            assert read_one(store, found.key) == known[found.key], f"a part of '{found.key}'"

    def _kill(self, function: Callable[[], object], after: float | None = None) -> None:
        """Let a child call a function that kills it, or kill it after some seconds."""
        assert in_child(function, kill_after=after) == -signal.SIGKILL, "it was killed"

    def _local_path(self, store: Store, key: str) -> str:
        if not store.capabilities.mappable:
            pytest.skip("this store is not mappable")
        path = store.local_path(key)
        assert path is not None, "a mappable store gives a path, also for a key that is missing"
        return path

    def _needs_create_only(self, store: Store) -> None:
        if not store.capabilities.create_only:
            pytest.skip("this store has no atomic create_only")

    def _needs_processes(self) -> None:
        if self.in_process or not hasattr(os, "fork"):
            pytest.skip("other processes cannot see this store")
