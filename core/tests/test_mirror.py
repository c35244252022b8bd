"""Packages in the datastore."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from flow_core.errors import IntegrityError, NoEnvironment
from flow_core.mirror import StoreMirror, package_key
from flow_core.testing import MemoryStore

CONTENT = b"wheel" * 1_000_000  # several pieces
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def store() -> Any:
    return MemoryStore()


@pytest.fixture
def mirror(store: Any) -> StoreMirror:
    return StoreMirror(lambda: store)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "one.whl"
    path.write_bytes(CONTENT)
    return path


def test_what_is_kept_is_fetched(mirror: StoreMirror, store: Any, wheel: Path) -> None:
    mirror.keep(SHA256, str(wheel))
    assert [entry.key for entry in store.list("packages/")] == [package_key(SHA256)]
    again = wheel.with_name("again.whl")
    assert mirror.fetch(SHA256, str(again))
    assert again.read_bytes() == CONTENT


def test_what_is_not_kept_is_no_file(mirror: StoreMirror, tmp_path: Path) -> None:
    assert not mirror.fetch(SHA256, str(tmp_path / "a"))
    assert [*tmp_path.iterdir()] == []


def test_nothing_is_kept_twice(mirror: StoreMirror, store: Any, wheel: Path) -> None:
    mirror.keep(SHA256, str(wheel))
    store.write_stream = None  # it is not called
    mirror.keep(SHA256, str(wheel))


def test_what_was_cut_off_is_kept_again(mirror: StoreMirror, store: Any, wheel: Path) -> None:
    store.write([(package_key(SHA256), CONTENT[:10])])
    mirror.keep(SHA256, str(wheel))
    assert mirror.fetch(SHA256, str(wheel))


def test_damage_is_found(mirror: StoreMirror, store: Any, wheel: Path) -> None:
    store.write([(package_key(SHA256), b"other")])
    wheel.unlink()
    with pytest.raises(IntegrityError) as caught:
        mirror.fetch(SHA256, str(wheel))
    assert caught.value.what == f"The package {SHA256[:16]}… in the datastore is damaged"
    assert [*wheel.parent.iterdir()] == []
    assert caught.value.hint


def test_a_file_of_another_hash_is_not_kept(mirror: StoreMirror, store: Any, wheel: Path) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        mirror.keep("0" * 64, str(wheel))
    assert [*store.list()] == []


@pytest.mark.parametrize("sha256", ["", "../../runs/F/1/run.json", SHA256.upper(), SHA256[1:]])
def test_only_hashes_are_names(mirror: StoreMirror, sha256: str, tmp_path: Path) -> None:
    with pytest.raises(NoEnvironment, match="is no SHA-256"):
        mirror.fetch(sha256, str(tmp_path / "a"))
