"""What is the local store's own: where it lies, its names, its leftovers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.api import Store, StoreError
from flow_core.testing import in_children
from flow_store_local.store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


def temporary_files(store: LocalStore) -> list[str]:
    folder = Path(store.root, "tmp")
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


class TestRoot:
    def test_nearest_folder_above(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / ".flow").mkdir()
        (tmp_path / "a/b").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a/b")
        assert LocalStore(None).root == str(tmp_path / ".flow")

    def test_else_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = LocalStore()
        assert store.root == str(tmp_path / ".flow")
        assert list(store.read(["a"])) == [None]
        assert not (tmp_path / ".flow").exists(), "reading makes nothing"
        store.write([("a", b"")])
        assert (tmp_path / ".flow").is_dir()

    def test_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        store = LocalStore("data")
        monkeypatch.chdir("/")
        assert store.url == f"local://{tmp_path}/data", "the folder is that at the beginning"

    def test_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert LocalStore("~/data").root == str(tmp_path / "data")

    def test_provider_is_a_store(self, store: LocalStore) -> None:
        typed: Store = store
        assert repr(typed) == f"<LocalStore {store.url}>"


class TestNames:
    def test_key_is_the_path(self, store: LocalStore) -> None:
        store.write([("blobs/ab/abc", b"1")])
        assert Path(store.root, "blobs/ab/abc").read_bytes() == b"1"

    @pytest.mark.parametrize("key", ["tmp/a", "tmp", "metadata.db"])
    def test_other_files_of_the_folder_are_no_objects(self, store: LocalStore, key: str) -> None:
        with pytest.raises(StoreError) as caught:
            store.write([(key, b"")])
        assert str(caught.value) == (
            "The store refuses a key\n"
            f"  where: key '{key}'\n"
            "  why:   flow-core keeps other files under this name in the store's folder\n"
            "  try:   use a relative key such as 'folder/name'"
        )

    def test_listings_do_not_show_them(self, store: LocalStore) -> None:
        store.write([("a/tmp/b", b""), ("a/metadata.db", b"")])
        for name in ("metadata.db", "metadata.db-wal", "tmp/half"):
            Path(store.root, name).write_bytes(b"x")
        assert store.folders() == ["a"]
        assert [o.key for o in store.list()] == ["a/metadata.db", "a/tmp/b"]

    @pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a"), ("a", "a/b/c")])
    @pytest.mark.parametrize("create_only", [False, True])
    def test_file_and_folder_of_one_name(
        self, store: LocalStore, first: str, second: str, create_only: bool
    ) -> None:
        store.write([(first, b"1")])
        with pytest.raises(StoreError) as caught:
            store.write([(second, b"2")], create_only=create_only)
        assert caught.value.what == f"Cannot write '{second}' to the store"
        assert caught.value.where == f"{store.root}/{second}"
        if first == "a":
            assert caught.value.why == f"'{store.root}/a' is a file, where a folder is needed"
        else:
            assert caught.value.why == (
                "on a file system a name is a file or a folder: "
                "keys 'a' and 'a/b' cannot both exist"
            )
        assert caught.value.hint
        assert list(store.read([first, second])) == [b"1", None]
        assert temporary_files(store) == []

    def test_too_long_name(self, store: LocalStore) -> None:
        with pytest.raises(StoreError) as caught:
            store.write([("x" * 300, b"")])
        assert caught.value.why == "a part of the key is longer than the file system allows"
        assert temporary_files(store) == []

    def test_lone_surrogate(self, store: LocalStore) -> None:
        with pytest.raises(StoreError, match="no UTF-8 form"):
            store.write([("a\ud800", b"")])

    def test_prefix_cannot_leave_the_folder(self, store: LocalStore) -> None:
        for prefix in ("../", "/", "a/../../", "a//"):
            with pytest.raises(StoreError, match="prefix"):
                store.folders(prefix)
            with pytest.raises(StoreError, match="prefix"):
                list(store.list(prefix))

    @settings(max_examples=60, deadline=None)
    @given(
        parts=st.lists(
            st.text(
                st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
                min_size=1,
                max_size=40,
            ).filter(lambda part: part not in (".", "..")),
            min_size=1,
            max_size=4,
        )
    )
    def test_any_key_comes_back(
        self, tmp_path_factory: pytest.TempPathFactory, parts: list[str]
    ) -> None:
        store = LocalStore(str(tmp_path_factory.mktemp("store")))
        key = "k/" + "/".join(parts)
        assert store.write([(key, b"1")], create_only=True) == [True]
        assert [o.key for o in store.list()] == [key]
        assert store.folders("k/") == [parts[0]]
        assert store.write([(key, b"2")], create_only=True) == [False]

    @settings(max_examples=40, deadline=None)
    @given(
        names=st.sets(st.text("a-/.0", min_size=1, max_size=6), min_size=1, max_size=12),
        prefix=st.text("a-/.0", max_size=3),
    )
    def test_any_prefix_lists_what_starts_with_it(
        self, tmp_path_factory: pytest.TempPathFactory, names: set[str], prefix: str
    ) -> None:
        store = LocalStore(str(tmp_path_factory.mktemp("store")))
        kept = set()
        for name in sorted(names):
            try:
                store.write([(f"k/{name}", b"")])
            except StoreError:
                continue  # no valid key, or a file and a folder of one name
            kept.add(f"k/{name}")
        try:
            found = [o.key for o in store.list(f"k/{prefix}")]
        except StoreError:
            return  # no prefix of any valid key
        assert found == sorted(key for key in kept if key.startswith(f"k/{prefix}"))


class TestLeftovers:
    def test_nothing_temporary_stays(self, store: LocalStore) -> None:
        store.write([("a", b"1"), ("a", b"2")])
        store.write([("a", b"1"), ("b", b"2")], create_only=True)
        store.write_content([b"1"], lambda: "c")
        store.write_content([b"1"], lambda: "c")
        with pytest.raises(ZeroDivisionError):
            store.write_content((1 // 0 for _ in "x"), lambda: "d")  # type: ignore[misc]
        assert temporary_files(store) == []

    def test_old_leftovers_of_dead_processes_are_removed(self, store: LocalStore) -> None:
        folder = Path(store.root, "tmp")
        folder.mkdir(parents=True)
        for name, age in (("1-0", 3 * 86400), ("2-0", 3600)):
            (folder / name).write_bytes(b"half")
            os.utime(folder / name, (time.time() - age,) * 2)
        store.write([("a", b"")])
        assert temporary_files(store) == ["2-0"], "what may still be written to stays"

    def test_leftover_with_the_name_of_a_new_file(self, store: LocalStore) -> None:
        folder = Path(store.root, "tmp")
        folder.mkdir(parents=True)
        (folder / f"{os.getpid()}-0").write_bytes(b"of another container")
        assert store.write([("a", b"1")]) == [True]
        assert temporary_files(store) == [f"{os.getpid()}-0"]

    def test_folder_for_temporary_files_may_vanish(self, store: LocalStore) -> None:
        store.write([("a", b"1")])
        Path(store.root, "tmp").rmdir()
        assert store.write([("b", b"1")]) == [True]

    def test_deleting_and_writing_beside_each_other(self, store: LocalStore) -> None:
        # Deleting removes emptied folders, which a writer may be about to use.
        def work(number: int) -> None:
            for i in range(100):
                store.write([(f"a/b/{number}", b"%d" % i)], create_only=True)
                store.delete([f"a/b/{number}"])

        in_children(4, work)
        assert store.folders() == []


class TestWithoutHardLinks:
    @pytest.fixture(autouse=True)
    def _no_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(source: str, target: str) -> None:
            raise OSError(errno.EPERM, "this file system has no hard links")

        monkeypatch.setattr(os, "link", refuse)

    def test_create_only(self, store: LocalStore) -> None:
        assert store.write([("a", b"1"), ("a", b"2")], create_only=True) == [True, False]
        assert store.write([("b/c", b"1")], create_only=True) == [True]
        assert list(store.read(["a", "b/c"])) == [b"1", b"1"]
        assert temporary_files(store) == ["lock"]

    def test_processes_race(self, store: LocalStore) -> None:
        keys = [f"race/{i}" for i in range(20)]
        results = in_children(
            6, lambda n: store.write([(key, b"%d" % n) for key in keys], create_only=True)
        )
        for key, answers in zip(keys, zip(*results, strict=True), strict=True):
            assert sum(answers) == 1, f"one winner for {key}: {answers}"
            assert list(store.read([key])) == [b"%d" % answers.index(True)]


class TestPartialSystemCalls:
    def test_short_writes_and_reads(
        self, store: LocalStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, read = os.write, os.read
        monkeypatch.setattr(os, "write", lambda f, d: write(f, memoryview(d)[:7]))
        monkeypatch.setattr(os, "writev", lambda f, p: write(f, b"".join(p)[:5]))
        monkeypatch.setattr(os, "read", lambda f, n: read(f, min(n, 11)))
        content = bytes(range(256))
        store.write([("a", content)])
        chunks = [content[i : i + 3] for i in range(0, 256, 3)]
        store.write_content(chunks, lambda: "b")
        assert list(store.read(["a", "b"])) == [content, content]
        assert store.read_range("a", 100, 50) == content[100:150]


def test_fsync_waits_for_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    store = LocalStore(str(tmp_path / "store"))
    store.write([("a", b"")])
    store.write_content([b""], lambda: "b")
    assert calls == [], "the default does not wait"
    store.fsync = True
    store.write([("c", b"")])
    store.write_content([b""], lambda: "d")
    assert len(calls) == 4, "each write waits for its file and for the folder that names it"


def test_import_is_light() -> None:
    code = (
        "import sys; before = set(sys.modules); import flow_store_local.store;"
        "print(*(sys.modules.keys() - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pathlib", "tempfile", "shutil", "uuid", "sqlite3", "subprocess", "hashlib", "fcntl"}
    assert not heavy & set(done.stdout.split()), "the store is on the way of every command"


class TestDamagedContent:
    @pytest.mark.parametrize("damaged", [b"", b"conten", b"content and more", b"contend"])
    def test_writing_it_again_replaces_it(self, store: LocalStore, damaged: bytes) -> None:
        assert store.write_content([b"content"], lambda: "blobs/x")
        Path(store.root, "blobs/x").write_bytes(damaged)
        assert store.write_content([b"con", b"tent"], lambda: "blobs/x")
        assert list(store.read(["blobs/x"])) == [b"content"]
        assert not store.write_content([b"content"], lambda: "blobs/x")
        assert temporary_files(store) == []

    def test_a_difference_behind_the_first_megabyte(self, store: LocalStore) -> None:
        content = os.urandom(2_500_000)
        store.write([("x", content[:-1] + bytes([content[-1] ^ 1]))])
        assert store.write_content([content], lambda: "x")
        assert list(store.read(["x"])) == [content]
        assert not store.write_content([content], lambda: "x")
