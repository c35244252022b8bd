"""Packages of environments in the datastore, under the SHA-256 that indexes and locks state.

    packages/ab/abcdef…    the file as it was fetched

They are no blobs: those have another hash, and may be compressed. Nothing in the records of a run
names them, so that ``flow gc`` leaves them alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from flow_core.errors import IntegrityError, NoEnvironment
from flow_core.interfaces import Buffer, Store

PACKAGES = "packages/"
_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def package_key(sha256: str) -> str:
    """``packages/ab/abcdef…``: a package by its SHA-256."""
    return f"{PACKAGES}{sha256[:2]}/{sha256}"


class StoreMirror:
    """See `flow_core.interfaces.PackageMirror`.

    Args:
        open_store: returns the datastore; called when it is used for the first time.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open = open_store
        self._opening = threading.Lock()

    @property
    def _store(self) -> Store:
        with self._opening:
            return self._open()

    def fetch(self, sha256: str, path: str) -> bool:
        """Write a package to a file, verified; say whether it is kept."""
        key = _checked(sha256)
        stored = self._store.stream(key)
        if stored is None:
            return False
        temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
        try:
            found = _write(temporary, stored)
            if found != sha256:
                raise _other_content(f"The package {sha256[:16]}… in the datastore is damaged", key)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        return True

    def keep(self, sha256: str, path: str) -> None:
        """Keep a file, unless it is kept already."""
        key = _checked(sha256)
        store = self._store
        if store.size(key) == os.path.getsize(path):
            return
        if _digest(path) != sha256:
            raise _other_content(f"The package '{os.path.basename(path)}' is damaged", path)
        store.write_stream(key, _pieces(path))


def _checked(sha256: str) -> str:
    """Return the key of a package.

    Raises:
        NoEnvironment: this is no SHA-256.
    """
    if not _SHA256.fullmatch(sha256):
        raise NoEnvironment(
            f"{sha256!r} is no SHA-256",
            where="packages in the datastore",
            why="a package is kept under 64 hex digits in small letters",
            hint="this is a defect of the environment provider",
        )
    return package_key(sha256)


def _write(path: str, pieces: Iterable[Buffer]) -> str:
    """Write a file; return the SHA-256 of its content."""
    hasher = hashlib.sha256()
    with open(path, "wb") as file:
        for piece in pieces:
            hasher.update(piece)
            file.write(piece)
    return hasher.hexdigest()


def _digest(path: str) -> str:
    hasher = hashlib.sha256()
    for piece in _pieces(path):
        hasher.update(piece)
    return hasher.hexdigest()


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _other_content(what: str, where: str) -> IntegrityError:
    return IntegrityError(
        what,
        where=where,
        why="its bytes do not have the SHA-256 that names it",
        hint="delete it, and build the environment again with network",
    )
