"""The store ``local``: objects are plain files below one folder."""

from __future__ import annotations

import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from flow_core.api import (
    REFRESH_AGE,
    Bootstrap,
    ObjectInfo,
    StoreCapabilities,
    StoredObject,
    StoreError,
    check_attributes,
    state_folder,
)
from flow_store_local.faults import Reported, store_error
from flow_store_local.files import (
    TRIES,
    make_folders,
    move_content,
    move_new,
    move_over,
    read_file,
    refresh,
    remove,
    remove_old,
    sync_folder,
    write_all,
    write_chunks,
)
from flow_store_local.keys import RESERVED, check_key, check_prefix, is_reserved

if TYPE_CHECKING:
    from flow_core.api import Attributes, Buffer

_CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)  # the latter for Windows
_READ = os.O_RDONLY | _CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CLOEXEC
_PIECE = 1 << 20
_ABANDONED = 2 * 86400.0
"""Seconds after which a half-written file is taken for that of a dead process."""
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class LocalStore:
    """Keeps objects as files below a folder of this machine: key ``a/b`` is ``<root>/a/b``.

    An object is written to ``<root>/tmp`` and moved to its place when it is whole, so that a reader,
    or a process killed at any instant, never leaves or sees half of one. Safe against crashes of
    processes; after a power failure without ``fsync`` an object may be damaged, which its hash shows.

    Args:
        root: the folder, made on the first write; None = ``.flow`` in the nearest parent of the
            current folder that has one, else in the current folder.
        fsync: whether to wait for the disk on each write: safe against power failures, and slower
            by the disk's latency, often several milliseconds.

    Attributes:
        root: absolute path of the folder.
        fsync: as the argument; may be changed at any time.

    Since 0.1.
    """

    capabilities = StoreCapabilities(mappable=True, forkable=True)
    _temporary = "tmp"
    """Folder in the root of files that are not whole yet."""
    _reserved: tuple[str, ...] = RESERVED

    def __init__(self, root: str | None = None, *, fsync: bool = False) -> None:
        self.root = state_folder(root)
        self.fsync = fsync
        self._names = itertools.count()
        self._to_be_swept_by: int | None = os.getpid()  # children that are forked need not do it

    def __repr__(self) -> str:
        return f"<LocalStore {self.url}>"

    @property
    def url(self) -> str:
        """``local://`` and the absolute path of the folder."""
        return f"local://{self.root}"

    # --- reading ----------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none."""
        for key in keys:
            yield self._read(key, 0, None)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""
        if offset < 0 or length < 0:
            raise StoreError(
                f"Cannot read bytes {offset} to {offset + length} of '{key}'",
                where=self._path(key),
                why="offset and length are never negative",
                hint="pass an offset and a length from 0 up",
            )
        return self._read(key, offset, length)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""
        return [self.size(key) is not None for key in keys]

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""
        found = self._stat(key)
        return None if found is None else found.st_size

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix``, sorted."""
        check_prefix(prefix)
        path = f"{self.root}/{prefix}"
        try:
            names = sorted(os.listdir(path))
        except _MISSING:
            return []
        except OSError as error:
            raise store_error(error, f"Cannot list '{prefix}'", path) from error
        return (
            names if prefix else [name for name in names if not is_reserved(name, self._reserved)]
        )

    def local_path(self, key: str) -> str | None:
        """Return the path of the file that holds ``key``; neither it nor its folder need exist."""
        return self._path(key)

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces of 1 MiB; None when the key is missing."""
        path = self._path(key)
        try:
            file = os.open(path, _READ)
        except _MISSING:
            return None
        except OSError as error:
            raise store_error(error, f"Cannot read '{key}' from the store", path) from error
        if stat.S_ISREG(os.fstat(file).st_mode):
            return self._pieces(key, path, file)
        os.close(file)
        return None

    def _pieces(self, key: str, path: str, file: int) -> Iterator[Buffer]:
        try:
            while piece := os.read(file, _PIECE):
                yield piece
        except OSError as error:
            raise store_error(error, f"Cannot read '{key}' from the store", path) from error
        finally:
            os.close(file)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield size and time of each object, in order; None where there is none."""
        for key in keys:
            found = self._stat(key)
            yield None if found is None else ObjectInfo(key, found.st_size, found.st_mtime)

    def bootstrap(self) -> Bootstrap:
        """Return how a bare Python reads objects, on a machine that has this folder, too."""
        from importlib.resources import files

        source = files("flow_store_local").joinpath("fetch.py").read_text(encoding="utf-8")
        return Bootstrap(source, {"root": self.root})

    # --- writing ----------------------------------------------------------------------------

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content); say for each whether it was written."""
        return [self._write(key, content, create_only) for key, content in items]

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up.

        The key is taken for a name of the content: an object that differs from it is damaged, and
        is replaced.
        """
        return self._write_chunks(chunks, key, move_content, "an object")

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size; files have no attributes."""
        check_attributes(attributes, self.url)
        path = self._path(key)
        if create_only and os.path.exists(path):
            return False
        move = move_new if create_only else move_over
        return self._write_chunks(chunks, lambda: key, move, f"'{key}'")

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error. Folders that become empty go too."""
        emptied = set()
        for key in keys:
            path = self._path(key)
            # Deleting a folder must not be tried: some systems allow it.
            if self.size(key) is not None:
                with Reported(f"Cannot delete '{key}'", path):
                    if older_than is None:
                        remove(path)
                    else:
                        remove_old(path, older_than)
                emptied.add(os.path.dirname(path))
        for folder in emptied:
            self._prune(folder)

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Say whether an object exists, and let it count as changed now if it is old."""
        path = self._path(key)
        with Reported(f"Cannot refresh '{key}'", path):
            return refresh(path, age)

    # --- parts ------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        check_key(key, self._reserved)
        return f"{self.root}/{key}"

    def _stat(self, key: str) -> os.stat_result | None:
        path = self._path(key)
        try:
            found = os.stat(path)
        except _MISSING:
            return None
        except OSError as error:
            raise store_error(error, f"Cannot look for '{key}'", path) from error
        return found if stat.S_ISREG(found.st_mode) else None

    def _read(self, key: str, offset: int, length: int | None) -> bytes | None:
        path = self._path(key)
        try:
            return read_file(path, offset, length)
        except _MISSING:
            return None
        except OSError as error:
            raise store_error(error, f"Cannot read '{key}' from the store", path) from error

    def _write(self, key: str, content: Buffer, create_only: bool) -> bool:
        path = self._path(key)
        with Reported(f"Cannot write '{key}' to the store", path):
            temporary, file = self._open_temporary()
            try:
                try:
                    write_all(file, content)
                    self._sync(file)
                finally:
                    os.close(file)
                return self._publish(temporary, path, move_new if create_only else move_over)
            except BaseException:
                remove(temporary)
                raise
            finally:
                self._tidy()

    def _write_chunks(
        self,
        chunks: Iterable[Buffer],
        key: Callable[[], str],
        move: Callable[[str, str], bool],
        name: str,
    ) -> bool:
        what = f"Cannot write {name} to the store"
        with Reported(what, self.root):
            temporary, file = self._open_temporary()
        try:
            try:
                # What ``chunks`` raises is not the store's to explain, so it passes unchanged.
                write_chunks(chunks, file, Reported(what, self.root))
                with Reported(what, self.root):
                    self._sync(file)
            finally:
                os.close(file)
            path = self._path(key())
            with Reported(what, path):
                return self._publish(temporary, path, move)
        except BaseException:
            remove(temporary)
            raise
        finally:
            self._tidy()

    def _open_temporary(self) -> tuple[str, int]:
        if self._to_be_swept_by == os.getpid():
            self._to_be_swept_by = None
            self._sweep()
        missing = 0
        while True:
            # Process id and number make the name unique among threads and forked children; O_EXCL
            # guards against leftovers, and against the same process id in another container.
            path = f"{self.root}/{self._temporary}/{os.getpid()}-{next(self._names)}"
            try:
                return path, os.open(path, _NEW, 0o666)
            except FileExistsError:
                continue
            except FileNotFoundError:
                missing += 1
                if missing == TRIES:
                    raise
                make_folders(f"{self.root}/{self._temporary}")

    def _publish(self, temporary: str, path: str, move: Callable[[str, str], bool]) -> bool:
        for attempt in itertools.count(1):
            try:
                written = move(temporary, path)
                break
            except FileNotFoundError:
                if attempt == TRIES or not os.path.exists(temporary):
                    raise  # in the second case somebody cleared the folder for temporary files
                make_folders(os.path.dirname(path))
        if written and self.fsync:
            sync_folder(os.path.dirname(path))
        return written

    def _sync(self, file: int) -> None:
        if self.fsync:
            os.fsync(file)

    def _tidy(self) -> None:
        """A file is written, or failed to be. The folder for temporary ones stays, for the next."""

    def _sweep(self) -> None:
        """Remove what processes that were killed while writing left behind."""
        folder = f"{self.root}/{self._temporary}"
        oldest = time.time() - _ABANDONED
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.stat().st_mtime < oldest:
                        remove(entry.path)
        except OSError:
            # Another process sweeps too, or the folder cannot be read: what matters of that shows
            # in the write that follows.
            return

    def _prune(self, folder: str) -> None:
        while folder != self.root:
            try:
                os.rmdir(folder)
            except OSError:
                return  # not empty, which is the rule
            folder = os.path.dirname(folder)

    # --- listing (last, since the name hides the type from the annotations below it) --------

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key."""
        check_prefix(prefix)
        parent, _, start = prefix.rpartition("/")
        return self._walk(parent + "/" if parent else "", start)

    def _walk(self, prefix: str, start: str = "") -> Iterator[StoredObject]:
        path = f"{self.root}/{prefix}"
        try:
            entries = [(entry.is_dir(), entry) for entry in os.scandir(path)]
        except _MISSING:
            return
        except OSError as error:
            raise store_error(error, f"Cannot list '{prefix}'", path) from error
        # A folder sorts as its keys do: "a-b" comes before "a/b".
        for name, is_folder, entry in sorted(
            ((f"{e.name}/" if is_folder else e.name), is_folder, e) for is_folder, e in entries
        ):
            if not name.startswith(start) or (
                not prefix and is_reserved(entry.name, self._reserved)
            ):
                continue
            if is_folder:
                if not (entry.is_symlink() and self._leads_back(prefix + entry.name)):
                    yield from self._walk(prefix + name)
                continue
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue  # deleted since the folder was read
            yield StoredObject(prefix + name, found.st_size, found.st_mtime)

    def _leads_back(self, key: str) -> bool:
        """Whether a link leads to a folder in which it lies, where all is listed already."""
        goal = os.path.join(os.path.realpath(f"{self.root}/{key}"), "")
        while key:
            key = key.rpartition("/")[0]
            if os.path.join(os.path.realpath(f"{self.root}/{key}"), "").startswith(goal):
                return True
        return False
