"""The ready base class that makes a store of any fsspec filesystem.

This module imports nothing of fsspec: who makes the filesystem has done so.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from flow_core.errors import AccessDenied, FlowError, StoreError, UsageError
from flow_core.interfaces import REFRESH_AGE, ObjectInfo, StoreCapabilities, StoredObject
from flow_core.store_rules import (
    changed_meanwhile,
    check_attributes,
    check_key,
    check_prefix,
    check_range,
)

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from flow_core.interfaces import Attributes, Buffer

T = TypeVar("T")

_TRIES = 5
_TEMPORARY = ".writing"
"""Folder, directly in the root, of objects that are not whole yet."""
_BATCH = 64
"""Keys read at the same time: bounds the memory of what is read ahead."""
_SPOOL = 8 << 20
"""Bytes of one object that are kept in memory while its key is not known."""
_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_LARGE = 16 << 20
"""Bytes from which a range is cut to the object's size first: some filesystems allocate it all."""
_PIECE = 8 << 20
"""Bytes of a piece of a stream."""
_GLOB = re.compile(r"[*?\[]")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")


class FsspecStore:
    """A store on any fsspec filesystem; a plugin subclasses it and overrides what it does faster.

    A subclass makes the filesystem in its ``__init__(root)``, as the protocol `Store` demands::

        class HdfsStore(FsspecStore):
            def __init__(self, root=None):
                from fsspec.implementations.arrow import HadoopFileSystem

                super().__init__(HadoopFileSystem(), root, f"hdfs://{root}", shared=True)

    The protocol demands that a write is all or nothing. Object stores keep that for each object: say
    ``atomic=True``, and objects go straight to their place. Elsewhere an object is written to the
    folder ``.writing`` of the root and moved with ``filesystem.mv``, which must then replace its
    target in one instant: a rename, as of local disks and SFTP, or a copy of a service that copies
    atomically. A filesystem with neither keeps no promise, and a killed writer's half object is
    seen. What killed writers leave in ``.writing`` is not removed; folders that become empty stay,
    but are not listed.

    Without the capability ``create_only`` a write with ``create_only=True`` looks first and writes
    then: of writers at the same instant more than one may win.

    With it the filesystem must decide who is the first: a store that is ``atomic`` by ``pipe_file``
    with ``mode="create"``, another one by `move_new`, which a subclass overrides.

    fsspec caches its instances for each process, and asynchronous ones refuse to work in a forked
    child. This store makes such a filesystem anew there, from the arguments that it was made with;
    filesystems wrapped inside another are not, and what lives in memory is the child's own copy.
    One with a connection of its own is best given as a function that makes it: that is called when
    it is needed, in each process. Listings that the filesystem cached are dropped before each look,
    as other processes write too.

    Args:
        filesystem: an ``fsspec.AbstractFileSystem``, or a function that makes one.
        root: path on it below which the keys lie; for object stores with the bucket. With a function
            as the filesystem itself writes it.
        url: the URL by which another process opens the same store.
        shared: whether processes on other machines reach the same data by ``url``.
        create_only: whether the filesystem decides who is the first: of many writers exactly one
            wins. fsspec's own defaults do not.
        atomic: whether ``pipe_file`` and ``put_file`` write all of an object or nothing.
        in_process: whether it lies in the memory of this process.
        lock: held while the filesystem is used, for one that threads may not use at the same time;
            one that can be taken again by its thread.

    Attributes:
        root: the root as the filesystem writes it, without a ``/`` at the end.
        url: as the argument.
        atomic: as the argument.
        capabilities: what the store can do.

    Since 0.1.
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem | Callable[[], AbstractFileSystem],
        root: str,
        url: str,
        *,
        shared: bool = False,
        create_only: bool = False,
        atomic: bool = False,
        in_process: bool = False,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        if create_only and not atomic and type(self).move_new is FsspecStore.move_new:
            raise UsageError(
                "A store that is not atomic cannot promise create_only",
                where=url,
                why="its objects are moved to their place, which replaces what is there",
                hint="pass atomic=True too, or override move_new, or leave create_only out",
            )
        self._make: Callable[[], AbstractFileSystem] | None = None
        self._filesystem: AbstractFileSystem | None = None
        self._of_parents: tuple[Any, ...] = ()
        self._process = os.getpid()
        marker = "/" if root.startswith("/") else ""
        if hasattr(filesystem, "root_marker"):
            ready: Any = filesystem
            self._filesystem = ready
            root, marker = ready._strip_protocol(root), ready.root_marker
        else:
            self._make = filesystem
        self.root: str = root.rstrip("/")
        self._base: str = f"{self.root}/" if self.root else marker
        self.url = url
        self.atomic = atomic
        self.capabilities = StoreCapabilities(
            shared, mappable=False, create_only=create_only, in_process=in_process
        )
        self._lock: AbstractContextManager[Any] = lock or nullcontext()
        self._folders: set[str] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    @property
    def filesystem(self) -> AbstractFileSystem:
        """The filesystem; in a forked child one of its own, if it is asynchronous, or is made."""
        self._notice_fork()
        if self._filesystem is None:
            with self._reported("Cannot reach the store"):
                if self._filesystem is None:
                    assert self._make is not None
                    self._filesystem = self._make()
        return self._filesystem

    def forget(self) -> None:
        """Have the filesystem made anew on its next use, if it was given as a function."""
        if self._make is not None:
            self._filesystem = None

    # --- for subclasses ---------------------------------------------------------------------

    def move_new(self, filesystem: AbstractFileSystem, old: str, new: str) -> bool:
        """Move an object to where there is none, and say whether there was none.

        The filesystem must decide that in one instant. Not called unless the capability
        ``create_only`` is given, and ``atomic`` is not.

        Args:
            filesystem: the filesystem.
            old, new: paths on it.
        """
        raise NotImplementedError

    def explain(self, error: Exception, what: str) -> StoreError:
        """Return the error for a person; override it for the words of a service.

        Args:
            error: whatever the filesystem raised.
            what: what failed, one sentence.
        """
        text = (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
        kind = AccessDenied if isinstance(error, PermissionError) else StoreError
        return kind(
            what,
            where=self.url,
            why=f"{type(error).__name__}: {text}" if text else type(error).__name__,
            hint="check that the store can be reached, that it has space,"
            " and that you may read and write there",
        )

    # --- reading ----------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none."""
        size = _BATCH if getattr(self.filesystem, "async_impl", False) else 1
        for start in range(0, len(keys), size):
            yield from self._read_batch(keys[start : start + size])

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""
        path = self._path(key)
        check_range(key, offset, length, self.url)
        with self._reported(f"Cannot read '{key}' from the store"):
            return self._range(path, offset, length)

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces of 8 MiB; None when the key is missing."""
        path = self._path(key)
        with self._reported(f"Cannot read '{key}' from the store"):
            info = self._info(path)
        return None if info is None else self._pieces(key, path, info)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield size, time and, where there is one, etag of each object; None where there is none."""
        for key in keys:
            path = self._path(key)
            with self._reported(f"Cannot look for '{key}'"):
                info = self._info(path)
            yield None if info is None else _described(key, info)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""
        return [self.size(key) is not None for key in keys]

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""
        path = self._path(key)
        with self._reported(f"Cannot look for '{key}'"):
            return self._size(path)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix``, sorted."""
        check_prefix(prefix)
        with self._reported(f"Cannot list '{prefix}'"):
            base = self._base + prefix
            names = {
                entry["name"].rstrip("/")[len(base) :]
                for entry in self._entries(base)
                if entry["name"].startswith(base) and self._counts(entry)
            }
        return sorted(names - {"", _TEMPORARY} if not prefix else names - {""})

    def local_path(self, key: str) -> str | None:
        """Return None: readers may not map what a filesystem behind fsspec keeps."""
        self._path(key)
        return None

    # --- writing ----------------------------------------------------------------------------

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content); say for each whether it was written."""
        return [self._write(key, bytes(content), create_only) for key, content in items]

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up.

        Up to 8 MiB wait in memory, more in a temporary file of this machine.
        """
        spool = _Spool()
        try:
            # What ``chunks`` and ``key`` raise is not the store's to explain: it passes unchanged.
            for chunk in chunks:
                _add(spool, chunk, self.url)
            name = key()
            path = self._path(name)
            with self._reported(f"Cannot write '{name}' to the store"):
                if self._refresh(path, REFRESH_AGE):
                    return False
                self._place(path, spool.send)
                return True
        finally:
            spool.close()

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size; see `write` on ``create_only``.

        Up to 8 MiB wait in memory, more in a temporary file of this machine.
        """
        check_attributes(attributes, self.url)
        path = self._path(key)
        if create_only and self.size(key) is not None:
            return False
        spool = _Spool()
        try:
            for chunk in chunks:
                _add(spool, chunk, self.url)
            with self._reported(f"Cannot write '{key}' to the store"):
                if create_only:
                    return self._create(path, spool.whole, spool.send)
                self._place(path, spool.send)
                return True
        finally:
            spool.close()

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error.

        With ``older_than`` one is looked at right before its deletion. Where the filesystem tells
        no times, none is deleted then.
        """
        for key in keys:
            path = self._path(key)
            # One by one: fsspec's deletion of many takes a '*' in a key for a pattern.
            with self._reported(f"Cannot delete '{key}'"):
                if older_than is not None:
                    info = self._info(path)
                    if info is None or not 0 < _modified(info) < older_than:
                        continue
                self._remove(path)

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Say whether an object exists; one that is old is written again, as it is."""
        path = self._path(key)
        with self._reported(f"Cannot refresh '{key}'"):
            return self._refresh(path, age)

    # --- parts ------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        check_key(key, (_TEMPORARY,))
        return self._base + key

    @contextmanager
    def _reported(self, what: str) -> Iterator[None]:
        """Turn whatever the filesystem raises into a `StoreError`."""
        self._notice_fork()
        with self._lock:
            try:
                yield
            except FlowError:
                raise
            except Exception as error:  # each service has errors of its own, of no common kind
                raise self.explain(error, what) from error

    def _notice_fork(self) -> None:
        if self._process == os.getpid():
            return
        self._process = os.getpid()
        if not isinstance(self._lock, nullcontext):
            self._lock = threading.RLock()  # a thread of the parent may hold the other one
        old: Any = self._filesystem
        if self._make is not None:
            # It is not let go: what its end would tell the other side is the parent's to say.
            self._of_parents = (*self._of_parents, old)
            self._filesystem = None
        elif getattr(old, "async_impl", False):
            self._filesystem = type(old)(*old.storage_args, **old.storage_options)

    def _read_batch(self, keys: Sequence[str]) -> list[bytes | None]:
        paths = [self._path(key) for key in keys]
        # fsspec takes a path with a '*' for a pattern when it reads many.
        plain = [path for path in paths if not _GLOB.search(path)] if len(paths) > 1 else []
        together: dict[str, Any] = {}
        if plain:
            with self._reported(f"Cannot read {len(plain)} keys from the store"):
                together = self.filesystem.cat(plain, on_error="return")
        return [
            self._content(key, path, together.get(self.filesystem._strip_protocol(path)))
            for key, path in zip(keys, paths, strict=True)
        ]

    def _content(self, key: str, path: str, found: Any) -> bytes | None:
        """Return what was read, or read it now; ``found`` may be the error that reading raised."""
        with self._reported(f"Cannot read '{key}' from the store"):
            try:
                if isinstance(found, BaseException):
                    raise found
                content: bytes = self.filesystem.cat_file(path) if found is None else found
            except _MISSING:
                return None
            return content

    def _range(self, path: str, offset: int, length: int) -> bytes | None:
        if not 0 < length < _LARGE:
            size = self._size(path)
            length = min(length, (size or 0) - offset)
            if size is None or length <= 0:
                return None if size is None else b""
        try:
            content: bytes = self.filesystem.cat_file(path, offset, offset + length)
        except _MISSING:
            return None
        except Exception:
            # Services refuse a range behind the end, each with an error of its own.
            size = self._size(path)
            if size is None or offset < size:
                raise
            return b""
        return content

    def _pieces(self, key: str, path: str, info: dict[str, Any]) -> Iterator[Buffer]:
        offset, size, version = 0, int(info["size"] or 0), _version(info)
        while offset < size:
            with self._reported(f"Cannot read '{key}' from the store"):
                piece = self._range(path, offset, min(_PIECE, size - offset))
                # A look behind each piece: it is of the version that is still there.
                now = self._info(path)
            if not piece or now is None or _version(now) != version:
                raise changed_meanwhile(key, self.url)
            offset += len(piece)
            yield piece

    def _refresh(self, path: str, age: float) -> bool:
        info = self._info(path)
        if info is None:
            return False
        if time.time() - _modified(info) < age:
            return True
        try:
            content = self.filesystem.cat_file(path)
        except _MISSING:
            return False  # deleted since
        self._place(path, lambda filesystem, target: filesystem.pipe_file(target, content))
        return True

    def _size(self, path: str) -> int | None:
        info = self._info(path)
        return None if info is None else int(info["size"] or 0)

    def _info(self, path: str) -> dict[str, Any] | None:
        """Return what the filesystem tells of an object; None when there is none."""
        self.filesystem.invalidate_cache()
        try:
            info: dict[str, Any] = self.filesystem.info(path)
        except _MISSING:
            return None
        return info if info["type"] == "file" else None

    def _entries(self, path: str) -> list[dict[str, Any]]:
        """Return what lies directly in a folder; nothing when there is no such folder."""
        self.filesystem.invalidate_cache()
        try:
            return list(self.filesystem.ls(path.rstrip("/") or path, detail=True))
        except _MISSING:
            return []

    def _counts(self, entry: dict[str, Any]) -> bool:
        """Whether an entry is an object, or a folder with one somewhere below."""
        if entry["type"] != "directory" or self.atomic:
            return True  # object stores have no empty folders
        return any(self._counts(below) for below in self._entries(entry["name"]))

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        path = self._path(key)
        with self._reported(f"Cannot write '{key}' to the store"):

            def send(filesystem: Any, target: str) -> None:
                filesystem.pipe_file(target, content)

            if create_only:
                return self._create(path, lambda: content, send)
            self._place(path, send)
            return True

    def _create(
        self, path: str, whole: Callable[[], bytes], send: Callable[[Any, str], object]
    ) -> bool:
        if not self.capabilities.create_only:
            if self._size(path) is not None:
                return False
            self._place(path, send)
            return True
        if not self.atomic:
            return self._size(path) is None and self._place(path, send, self.move_new)
        try:
            self.filesystem.pipe_file(path, whole(), mode="create")
        except FileExistsError:
            if self._size(path) is None:
                raise  # something else is in the way, such as a file where a folder is needed
            return False
        return True

    def _place(
        self,
        path: str,
        send: Callable[[Any, str], object],
        move: Callable[[Any, str, str], bool] | None = None,
    ) -> bool:
        """Let ``send`` write an object, so that all of it appears at ``path`` or nothing.

        Args:
            path: where to.
            send: writes the object to a path of the filesystem.
            move: moves it to its place, and says whether it did; None = over what is there.
        """
        filesystem = self.filesystem
        if self.atomic:
            send(filesystem, path)
            return True
        temporary = f"{self._base}{_TEMPORARY}/{os.getpid()}-{secrets.token_hex(8)}"
        try:
            self._in_folder(temporary, lambda: send(filesystem, temporary))
            moved = self._in_folder(path, lambda: (move or _move)(filesystem, temporary, path))
        except BaseException:
            with suppress(Exception):
                filesystem.rm_file(temporary)
            raise
        if not moved:
            self._remove(temporary)
        return moved

    def _in_folder(self, path: str, act: Callable[[], T]) -> T:
        """Do something for which the folder of ``path`` must be there."""
        folder = path.rpartition("/")[0]
        known = folder in self._folders
        if not known:
            self._make_folder(folder)
        try:
            return act()
        except _MISSING:
            if not known:
                raise
            self._make_folder(folder)  # somebody has removed it since
            return act()

    def _make_folder(self, path: str) -> None:
        for attempt in range(_TRIES):
            try:
                self.filesystem.makedirs(path, exist_ok=True)
                break
            except Exception:
                # Another process may make one of them at the same time.
                if attempt == _TRIES - 1:
                    raise
        self._folders.add(path)

    def _remove(self, path: str) -> None:
        with suppress(*_MISSING):
            # Deleting a folder must not be tried: some systems allow it.
            if self.atomic or self._size(path) is not None:
                self.filesystem.rm_file(path)

    # --- listing (last, since the name hides the type from the annotations below it) --------

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key."""
        check_prefix(prefix)
        return self._list(prefix)

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        start = self._base + prefix
        folder = start.rpartition("/")[0] or self._base
        with self._reported(f"Cannot list '{prefix}'"):
            self.filesystem.invalidate_cache()
            found = self.filesystem.find(folder, detail=True)
            if not found:
                self._entries(folder)  # find is silent about what it cannot read
        keys = {
            name[len(self._base) :]: info for name, info in found.items() if name.startswith(start)
        }
        for key in sorted(keys):
            if not key.startswith(f"{_TEMPORARY}/"):
                yield StoredObject(key, int(keys[key].get("size") or 0), _modified(keys[key]))


class _Spool:
    """Content on its way: in memory while it is small, then in a temporary file."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._path: str | None = None

    def add(self, chunk: bytes) -> None:
        self._content += chunk
        if len(self._content) > _SPOOL:
            self._flush()

    def send(self, filesystem: Any, target: str) -> None:
        if self._path is None:
            filesystem.pipe_file(target, bytes(self._content))
            return
        self._flush()
        filesystem.put_file(self._path, target)

    def whole(self) -> bytes:
        """Return all of it, for a filesystem that creates an object from memory only."""
        if self._path is None:
            return bytes(self._content)
        self._flush()
        with open(self._path, "rb") as spooled:
            return spooled.read()

    def close(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                os.unlink(self._path)

    def _flush(self) -> None:
        if self._path is None:
            file, self._path = tempfile.mkstemp(prefix="flow-")
            os.close(file)
        with open(self._path, "ab") as spooled:
            spooled.write(self._content)
        self._content.clear()


def _add(spool: _Spool, chunk: Buffer, url: str) -> None:
    try:
        spool.add(bytes(chunk))
    except OSError as error:
        raise StoreError(
            "Cannot keep an object on its way to the store",
            where=f"a temporary file, for {url}",
            why=error.strerror or str(error),
            hint="free space there, or choose another folder: export TMPDIR=/other/folder",
        ) from error


def _move(filesystem: Any, old: str, new: str) -> bool:
    """Move an object over what is there, if that is no folder."""
    if filesystem.isdir(new):  # the object would be moved into it
        raise IsADirectoryError(f"'{new}' is a folder")
    try:
        filesystem.mv(old, new)
    except OSError as error:
        if error.errno != errno.EEXIST or not filesystem.isfile(new):
            raise
        # Some only move to where there is nothing; then there is a moment without the object.
        filesystem.rm_file(new)
        filesystem.mv(old, new)
    return True


def _described(key: str, info: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(key, int(info["size"] or 0), _modified(info), etag=_etag(info))


def _version(info: dict[str, Any]) -> tuple[Any, ...]:
    """Return what another version of an object has not, as far as the filesystem tells."""
    return _etag(info), info.get("ino"), _modified(info), info.get("created"), info["size"]


def _etag(info: dict[str, Any]) -> str | None:
    value = next((info[name] for name in ("ETag", "etag") if info.get(name)), None)
    return None if value is None else str(value).strip('"')


def _modified(info: dict[str, Any]) -> float:
    """Return the time of the last change; 0 when the filesystem does not tell it."""
    value = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", value))
        except ValueError:
            return 0.0
    return value.timestamp() if isinstance(value, datetime) else float(value)
