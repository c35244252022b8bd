"""Stores on filesystems of fsspec: in memory, on the local disk, asynchronous ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from flow_core import fsspec_store
from flow_core.api import FsspecStore, RunState, Store, StoreError, UsageError
from flow_core.testing import FlowTester, StoreSuite


class Memory(MemoryFileSystem):
    """That of fsspec, which stumbles over what another thread removes while it lists."""

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        while True:
            with suppress(KeyError):
                return super().ls(path, detail, **options)


def memory() -> MemoryFileSystem:
    """Return a filesystem of its own."""
    return Memory(global_store=False, skip_instance_cache=True)


def local(path: Path, filesystem: Any = None) -> FsspecStore:
    return FsspecStore(filesystem or LocalFileSystem(), str(path), f"file://{path}")


class Asynchronous(AsyncFileSystemWrapper):
    """The local disk, asynchronously."""

    def __init__(self) -> None:
        super().__init__(LocalFileSystem())

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        self.sync_fs.mv(path1, path2)  # the wrapper would copy and delete


class FsspecSuite(StoreSuite):
    refresh_is_safe = False

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, FsspecStore)
        return FsspecStore(store.filesystem, store.root, store.url, atomic=store.atomic)


class TestInMemory(FsspecSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> FsspecStore:
        return FsspecStore(memory(), "/some/root", "memory://some/root")


class TestInMemoryAtomic(FsspecSuite):
    in_process = True

    @pytest.fixture
    def store(self) -> FsspecStore:
        return FsspecStore(memory(), "", "memory://", atomic=True)


class TestOnTheLocalDisk(FsspecSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FsspecStore:
        return local(tmp_path / "store")

    def unwritable(self, tmp_path: Path) -> FsspecStore:
        (tmp_path / "file").touch()
        return local(tmp_path / "file" / "store")


@pytest.mark.may_leak("threads", "files")  # those of the event loop of fsspec
class TestAsynchronous(FsspecSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> FsspecStore:
        return local(tmp_path / "store", Asynchronous())


FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.numbers = [1, 2, 3]
            self.next(self.square, foreach="numbers")

        @step
        def square(self):
            self.result = self.input ** 2
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.result for i in inputs)
            print("added")
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.mark.parametrize("atomic", [False, True])
def test_a_flow_runs_on_it(flowtester: FlowTester, atomic: bool) -> None:
    store = FsspecStore(memory(), "/flows", "memory://flows", atomic=atomic)
    for _ in range(2):
        outcome = flowtester.run(FLOW, providers={("store", "local"): store})
        assert (outcome.error, outcome.state) == (None, RunState.SUCCEEDED)
        assert outcome.artifact("join", "total") == 14
        assert outcome.output("join") == "added\n"
    assert len(store.folders("runs/F/")) == 2


def test_many_keys_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = local(tmp_path, Asynchronous())
    keys = [f"k/{i:03}" for i in range(150)] + ["k/*"]
    store.write([(key, key.encode()) for key in keys])
    sizes: list[int] = []
    cat = store.filesystem.cat

    def counted(paths: list[str], **options: Any) -> Any:
        sizes.append(len(paths))
        return cat(paths, **options)

    monkeypatch.setattr(store.filesystem, "cat", counted)
    assert list(store.read([*keys, "missing"])) == [*(key.encode() for key in keys), None]
    assert sizes == [64, 64, 23], "in batches, without the key that looks like a pattern"


def test_deleting_a_key_like_a_pattern_deletes_that_alone(tmp_path: Path) -> None:
    store = local(tmp_path)
    store.write([("a*", b"1"), ("ab", b"2")])
    store.delete(["a*"])
    assert [o.key for o in store.list()] == ["ab"]


@pytest.mark.parametrize("size", [10, 100])
def test_large_content_is_spooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr(fsspec_store, "_SPOOL", 25)
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    seen = []
    store = local(tmp_path / "store")

    def key() -> str:
        seen.extend(os.listdir(spool))
        return "key"

    chunks = [b"%010d" % i for i in range(size // 10)]
    assert store.write_content(chunks, key) is True
    assert list(store.read(["key"])) == [b"".join(chunks)]
    assert len(seen) == (size > 25), "what is large waits in a file"
    assert os.listdir(spool) == []
    assert os.listdir(tmp_path / "store/.writing") == []


def test_temporary_folder_is_reserved(tmp_path: Path) -> None:
    store = local(tmp_path)
    (tmp_path / ".writing").mkdir()
    (tmp_path / ".writing/half").write_bytes(b"of a killed writer")
    store.write([("a/.writing", b"")])
    assert [o.key for o in store.list()] == ["a/.writing"]
    assert store.folders() == ["a"]
    assert store.folders("a/") == [".writing"]
    with pytest.raises(StoreError, match="keeps other things"):
        store.write([(".writing/x", b"")])


class Broken(LocalFileSystem):
    """Fails as a service that cannot be reached, with an error that is no OSError."""

    protocol = "broken"

    def _fail(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no route to host")

    cat_file = pipe_file = info = ls = rm_file = _fail


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda s: list(s.read(["a"])), "Cannot read 'a' from the store"),
        (lambda s: s.read_range("a", 0, 1), "Cannot read 'a' from the store"),
        (lambda s: s.write([("a", b"")]), "Cannot write 'a' to the store"),
        (lambda s: s.write_content([b""], lambda: "a"), "Cannot write 'a' to the store"),
        (lambda s: s.size("a"), "Cannot look for 'a'"),
        (lambda s: s.folders("a/"), "Cannot list 'a/'"),
        (lambda s: s.delete(["a"]), "Cannot delete 'a'"),
    ],
)
def test_errors_have_four_parts(
    tmp_path: Path, use: Callable[[FsspecStore], object], what: str
) -> None:
    with pytest.raises(StoreError) as caught:
        use(local(tmp_path, Broken()))
    assert caught.value.what == what
    assert caught.value.where == f"file://{tmp_path}"
    assert caught.value.why == "RuntimeError: no route to host"
    assert caught.value.hint


def test_listing_what_cannot_be_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(LocalFileSystem, "ls", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        list(local(tmp_path).list())


def test_object_where_a_folder_is(tmp_path: Path) -> None:
    store = local(tmp_path)
    store.write([("a/b", b"")])
    for use in (lambda: store.write([("a", b"")]), lambda: store.write([("a/b/c", b"")])):
        with pytest.raises(StoreError):
            use()
    assert [o.key for o in store.list()] == ["a/b"]
    assert os.listdir(tmp_path / ".writing") == []


def test_create_only_of_the_filesystem() -> None:
    store = FsspecStore(memory(), "/r", "memory://r", atomic=True, create_only=True)
    assert store.capabilities.create_only
    assert store.write([("a", b"1"), ("a", b"2")], create_only=True) == [True, False]
    assert list(store.read(["a"])) == [b"1"]
    with pytest.raises(StoreError):
        store.write([("a/below", b"")], create_only=True)
    with pytest.raises(UsageError):
        FsspecStore(memory(), "/r", "memory://r", create_only=True)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"mtime": 5.5}, 5.5),
        ({"updated": "1970-01-01T00:01:00Z"}, 60.0),
        ({"updated": "yesterday"}, 0.0),
        ({}, 0.0),
    ],
)
def test_times_of_many_kinds(info: dict[str, Any], expected: float) -> None:
    assert fsspec_store._modified(info) == expected
