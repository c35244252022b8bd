"""Full disks, read-only folders, limits, and writers that are killed at any instant."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flow_core.api import StoreError
from flow_core.testing import in_children
from flow_store_local.store import LocalStore

pytestmark = pytest.mark.chaos


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small disk needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def left(store: LocalStore) -> list[str]:
    return os.listdir(f"{store.root}/tmp")


def test_full_disk(disk: Path) -> None:
    store = LocalStore(str(disk))
    store.write([("old", b"kept")])
    big = b"x" * (2 << 20)
    writes: list[Callable[[], object]] = [
        lambda: store.write([("big", big)]),
        lambda: store.write([("big", big)], create_only=True),
        lambda: store.write([("old", big)]),
    ]
    for write in writes:
        with pytest.raises(StoreError) as caught:
            write()
    assert str(caught.value) == (
        "Cannot write 'old' to the store\n"
        f"  where: {disk}/old\n"
        "  why:   the disk is full\n"
        f"  try:   free space on the disk that holds {disk}/old,"
        " or choose another place: --datastore local:///other/folder"
    )
    assert left(store) == [], "the half-written file takes no space"
    assert list(store.read(["old", "big"])) == [b"kept", None]
    assert store.write([("small", b"fits")]) == [True], "the space is there again"


def test_full_disk_while_streaming(disk: Path) -> None:
    store = LocalStore(str(disk))
    with pytest.raises(StoreError, match="the disk is full"):
        store.write_content((b"x" * 100_000 for _ in range(100)), lambda: "big")
    assert left(store) == []
    assert [o.key for o in store.list()] == []


def test_read_only_disk(disk: Path) -> None:
    store = LocalStore(str(disk))
    store.write([("old", b"kept")])
    mount("-o", "remount,ro", str(disk))
    for change in (
        lambda: store.write([("old", b"new")]),
        lambda: store.write([("new", b"new")], create_only=True),
        lambda: store.write_content([b"new"], lambda: "new"),
        lambda: store.delete(["old"]),
    ):
        with pytest.raises(StoreError) as caught:
            change()
        assert caught.value.why == "the file system is read-only"
    assert caught.value.what == "Cannot delete 'old'"
    assert caught.value.where == f"{disk}/old"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("mount it writable, or")
    assert list(store.read(["old"])) == [b"kept"]
    assert [o.key for o in store.list()] == ["old"]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_folder_without_permission(open_folder: Path) -> None:
    folder = open_folder / "store"
    folder.mkdir()
    folder.chmod(0o555)

    def write(_: int) -> list[str | None]:
        if os.geteuid() == 0:
            os.setuid(65534)  # root may write everywhere
        with pytest.raises(StoreError) as caught:
            LocalStore(str(folder)).write([("a", b"")])
        return [caught.value.what, caught.value.why, caught.value.hint]

    hint = (
        f"check owner and mode with: ls -ld '{folder}/a',"
        " or choose another place: --datastore local:///other/folder"
    )
    answers = in_children(1, write)
    assert answers == [["Cannot write 'a' to the store", "permission denied", hint]]


def test_limit_of_file_size(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.write([("old", b"kept")])

    def write(_: int) -> list[str | None]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        reasons = []
        for attempt in (
            lambda: store.write([("old", b"x" * 200_000)]),
            lambda: store.write_content([b"x" * 60_000] * 3, lambda: "new"),
        ):
            with pytest.raises(StoreError) as caught:
                attempt()
            reasons.append(caught.value.why)
        return reasons

    assert in_children(1, write) == [["the file would be larger than is allowed"] * 2]
    assert left(store) == []
    assert [(o.key, o.size) for o in store.list()] == [("old", 4)]


def test_store_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    store = LocalStore(str(tmp_path / "file" / "store"))
    assert list(store.read(["a"])) == [None]
    with pytest.raises(StoreError) as caught:
        store.write([("a", b"")])
    assert caught.value.hint


_WRITER = """
import hashlib, itertools, os, random, sys
from flow_store_local.store import LocalStore
store = LocalStore(sys.argv[1])
make = random.Random(int(sys.argv[2]))
print("ready", flush=True)
for number in itertools.count():
    content = make.randbytes(make.choice([10, 5_000, 400_000, 3_000_000]))
    name = hashlib.sha256(content).hexdigest()
    store.write([("latest", name.encode() * (len(content) // 64 + 1))])
    store.write([(f"sealed/{name}", content)], create_only=True)
    store.write_content([content[:100], content[100:]], lambda: f"blobs/{name}")
"""


def test_killed_writer_leaves_no_half_object(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path / "store"))
    make = random.Random(20240817)
    for life in range(12):
        command = [sys.executable, "-c", _WRITER, store.root, str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(make.random() * 0.06)
            writer.send_signal(signal.SIGKILL)
        _check_objects(store)
    assert len(list(store.list("sealed/"))) > 12, "the writers came to write"


def _check_objects(store: LocalStore) -> None:
    for kind in ("sealed/", "blobs/"):
        keys = [o.key for o in store.list(kind)]
        for key, content in zip(keys, store.read(keys), strict=True):
            assert content is not None
            found = hashlib.sha256(content).hexdigest()
            assert key == kind + found, f"{key} is half an object: {len(content)} bytes"
    for latest in store.read(["latest"]):
        assert latest is None or latest == latest[:64] * (len(latest) // 64)
