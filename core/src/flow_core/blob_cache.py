"""Blobs of remote stores that this machine keeps: what one step wrote the next one need not fetch.

A folder of files, each named by the hash of its content, which is kept as it is, uncompressed: so a
large array comes back as a memory map, as it does from a local store. Who reads one verifies it.
Any number of processes use the folder. A file comes by a rename and goes by a deletion; who has it
open reads on. The folder can be deleted at any time. Whatever the file system refuses, the
cache does without: it is never an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from flow_core.interfaces import Buffer

if TYPE_CHECKING:
    from flow_core.interfaces import Store
    from flow_core.settings import Settings

MAPPED = 1 << 20
"""Bytes from which a blob is mapped: each mapping holds a file descriptor, of which a process has a
thousand, and a join may read more arrays than that. Smaller ones are as soon read."""
_GIGABYTE = 1e9
_FREE_SHARE = 0.1
"""Part of the free disk that the cache takes, at most."""
_ROUNDS = 16
"""The cache is looked through each time that a 16th of its bound has been added."""
_FULL = 0.9
_LARGEST = 0.25
_UNIT = 4096
_TOUCH_AGE = 60.0
_ABANDONED = 86_400.0
_ADDED, _LOCK, _PART = "added", "lock", ".part"


def open_cache(store: Store, settings: Settings) -> BlobCache | None:
    """Return the cache for the blobs of a store; None for one that needs none, or where it is off.

    It is for stores that other machines reach too, and whose objects are no files of this one.

    Args:
        store: the store.
        settings: ``blob_cache`` is its folder, ``blob_cache_size`` its bound.

    Since 0.1.
    """
    able = store.capabilities
    bound = float(settings["blob_cache_size"]) * _GIGABYTE
    if able.mappable or not able.shared or not bound:
        return None
    folder: str = settings["blob_cache"] or os.path.join(settings.cache_folder(), "blobs")
    return BlobCache(os.path.expanduser(folder), int(bound))


class BlobCache:
    """Keeps blobs in a folder, as many as there is room for; those used last stay.

    Args:
        folder: where; it is made when it is used first, for its owner only.
        bound: bytes, at most; it is exceeded by about a tenth for a moment. A tenth of the free
            disk bounds it too.

    Since 0.1.
    """

    def __init__(self, folder: str, bound: int) -> None:
        self.folder = folder
        self.bound = bound

    def get(self, digest: str, size: int) -> Buffer | None:
        """Return a blob that is kept, not verified yet: a large one as a copy-on-write map.

        Args:
            digest: its hash.
            size: its length in bytes.
        """
        try:
            with open(self._path(digest), "rb") as file:
                status = os.fstat(file.fileno())
                if status.st_size != size or not size:
                    return None
                if time.time() - status.st_mtime > _TOUCH_AGE:
                    os.utime(file.fileno())
                return map_file(file) if size >= MAPPED else bytearray(file.read())
        except (OSError, ValueError):
            return None

    def has(self, digest: str) -> bool:
        """Whether a blob is kept."""
        return os.path.exists(self._path(digest))

    def put(self, digest: str, size: int, pieces: Iterable[Buffer]) -> None:
        """Keep a blob, if there is room for it."""
        if self.has(digest):
            return
        with suppress(OSError), self.writing(digest, size) as file:
            if file is not None:
                for piece in pieces:
                    file.write(piece)

    @contextmanager
    def writing(self, digest: str, size: int) -> Iterator[BinaryIO | None]:
        """Give a file for the content of a blob, or None where there is no room for it; it is kept
        when all ``size`` bytes were written, and nothing was raised."""
        file = self._new(digest, size)
        if file is None:
            yield None
            return
        try:
            with file:
                yield file
                file.flush()
                whole = file.tell() == size
            if whole:
                os.replace(file.name, self._path(digest))
                self._count(size)
        finally:
            with suppress(OSError):
                os.unlink(file.name)

    def drop(self, digest: str) -> None:
        """Forget a blob, which turned out to be damaged."""
        with suppress(OSError):
            os.unlink(self._path(digest))

    def sweep(self) -> None:
        """Delete what was used longest ago, until a tenth of the bound is free."""
        found = sorted(self._entries())
        if not found:
            return
        total = sum(size for _, size, _ in found)
        room = _FULL * min(self.bound, _FREE_SHARE * (self._free() + total))
        for modified, size, path in found:
            abandoned = path.endswith(_PART) and time.time() - modified > _ABANDONED
            if abandoned or (total > room and not path.endswith(_PART)):
                with suppress(OSError):
                    os.unlink(path)
                    total -= size

    # --- parts ----------------------------------------------------------------------------------

    def _path(self, digest: str) -> str:
        return os.path.join(self.folder, digest[:2], digest)

    def _new(self, digest: str, size: int) -> BinaryIO | None:
        """Return a new file beside that of a blob; None where it should not be kept."""
        path = self._path(digest)
        try:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            if size > min(_LARGEST * self.bound, _FREE_SHARE * self._free()):
                return None
            name = f"{path}-{os.urandom(8).hex()}{_PART}"
            return open(name, "xb", opener=_private)
        except OSError:
            return None

    def _free(self) -> int:
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def _count(self, size: int) -> None:
        """Note how much was added, by all processes, and sweep when it is time to.

        The length of a file is the counter: many can add to it at the same time.
        """
        path = os.path.join(self.folder, _ADDED)
        due = min(self.bound, _FREE_SHARE * self._free()) / _ROUNDS
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(number, b"." * -(-size // _UNIT))
            if os.fstat(number).st_size * _UNIT >= due:
                self._sweep_alone(number, due)
        finally:
            os.close(number)

    def _sweep_alone(self, counter: int, due: float) -> None:
        """Sweep, unless somebody else does; who does so sweeps up what others add meanwhile, too."""
        import fcntl

        path = os.path.join(self.folder, _LOCK)
        lock = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            while os.fstat(counter).st_size * _UNIT >= due:
                os.ftruncate(counter, 0)
                self.sweep()
        except BlockingIOError:
            pass
        finally:
            os.close(lock)

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Yield the time of the last use of each file, its size, and its path."""
        with suppress(OSError), os.scandir(self.folder) as folders:
            for folder in folders:
                if len(folder.name) != 2:
                    continue
                with suppress(OSError), os.scandir(folder.path) as files:
                    for file in files:
                        with suppress(OSError):
                            status = file.stat(follow_symlinks=False)
                            yield status.st_mtime, max(status.st_size, _UNIT), file.path


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def map_file(file: BinaryIO) -> memoryview:
    """Return a view of a file's content, copy-on-write: a step may change the value in place, the
    file stays as it is. It raises what `mmap.mmap` does."""
    import mmap

    return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
