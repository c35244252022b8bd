"""System calls on files: whole reads, whole writes, and moves that happen entirely or not at all."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING

from flow_core.api import REFRESH_AGE

if TYPE_CHECKING:
    from flow_core.api import Buffer

_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)  # the latter for Windows
_GATHER = 1 << 18
_MOST_PARTS = 512  # systems take 1024 in one call
_NO_LINKS = frozenset((errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK))
_CHUNK = 1 << 20
TRIES = 100
"""How often something is tried again that another process can undo: removing folders takes many
coincidences to win so often, and a file system that makes nothing, such as ``/proc``, is noticed."""


def read_file(path: str, offset: int = 0, length: int | None = None) -> bytes:
    """Return up to ``length`` bytes (None = all) of a file from ``offset``."""
    file = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        wanted = os.fstat(file).st_size - offset
        if length is not None and length < wanted:
            wanted = length
        if offset:
            os.lseek(file, offset, os.SEEK_SET)
        data = os.read(file, max(wanted, 0))
        if len(data) < wanted:  # one call reads 2 GiB at most
            data = _read_rest(file, data, wanted)
        return data
    finally:
        os.close(file)


def _read_rest(file: int, data: bytes, wanted: int) -> bytes:
    parts, got = [data], len(data)
    while got < wanted and parts[-1]:
        parts.append(os.read(file, wanted - got))
        got += len(parts[-1])
    return b"".join(parts)


def write_all(file: int, content: Buffer) -> None:
    """Write all of ``content``, however often the system takes only a part."""
    view = _flat(content)
    done = os.write(file, view)
    while done < len(view):
        done += os.write(file, memoryview(view)[done:])


def write_chunks(
    chunks: Iterable[Buffer], file: int, reported: AbstractContextManager[None]
) -> None:
    """Write ``chunks`` one after the other, small ones together.

    Only ``bytes`` are held back for that: their maker may use any other buffer again.

    Args:
        chunks: the content.
        file: descriptor to write to.
        reported: entered around the system calls, but not around the code that makes the chunks.
    """
    parts: list[bytes | bytearray | memoryview] = []
    size = 0
    for chunk in chunks:
        part = _flat(chunk)
        parts.append(part)
        size += len(part)
        if size >= _GATHER or len(parts) == _MOST_PARTS or type(part) is not bytes:
            with reported:
                _write_parts(file, parts, size)
            parts, size = [], 0
    if size:
        with reported:
            _write_parts(file, parts, size)


def _write_parts(file: int, parts: list[bytes | bytearray | memoryview], size: int) -> None:
    if len(parts) == 1 or not hasattr(os, "writev"):
        for part in parts:
            write_all(file, part)
        return
    done = os.writev(file, parts)
    for part in parts if done < size else ():
        if done < len(part):
            write_all(file, memoryview(part)[done:])
        done = max(done - len(part), 0)


def _flat(content: Buffer) -> bytes | bytearray | memoryview:
    """Return ``content`` as something whose ``len`` is its number of bytes; a copy only if it must."""
    if not isinstance(content, memoryview):
        return content
    return content.cast("B") if content.c_contiguous else content.tobytes()


def move_over(source: str, target: str) -> bool:
    """Move a file to ``target``, replacing what is there in one instant."""
    os.replace(source, target)
    return True


def move_new(source: str, target: str) -> bool:
    """Move a file to ``target`` unless something is there; of many processes exactly one wins.

    Returns:
        whether it was moved; if not, ``source`` is gone too.

    Raises:
        IsADirectoryError: ``target`` is a folder.
    """
    try:
        os.link(source, target)
        moved = True
    except FileExistsError:
        moved = False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        moved = _move_locked(source, target)
    if not moved and os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    remove(source)
    return moved


def move_content(source: str, target: str) -> bool:
    """`move_new` for a target that is named after its content: damaged content is replaced.

    Comparing costs little: it happens only when there is something, and ``source`` was just written.
    What is there already is refreshed, so that it is not taken for garbage.
    """
    while os.path.lexists(target):
        if not _same_content(source, target):
            with _held(target):  # `remove_old` must not take the new file for the old one
                return move_over(source, target)
        if refresh(target, REFRESH_AGE):
            remove(source)
            return False
    return move_new(source, target)


def refresh(path: str, age: float) -> bool:
    """Say whether a file exists, and let it count as changed now if it is ``age`` seconds old."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < age:
        return stat.S_ISREG(found.st_mode)
    with _held(path) as is_there:
        if is_there:
            os.utime(path)
        return is_there


def remove_old(path: str, older_than: float) -> None:
    """Remove a file that was last changed before a time, unless it is refreshed in this moment."""
    with _held(path) as found:
        if found and os.stat(path).st_mtime < older_than:
            remove(path)


@contextmanager
def _held(path: str) -> Iterator[bool]:
    """Hold a file so that no other process that does so too removes, replaces or refreshes it.

    Gives False when there is none. The lock is on the file itself: the system takes it from dead
    processes, and no other file is needed.
    """
    while True:
        try:
            file = os.open(path, os.O_RDONLY | _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            yield False
            return
        try:
            _lock(file)
            if _is_still(path, file):
                yield True
                return
        finally:
            os.close(file)


def _lock(file: int) -> bool:
    """Wait until no other process has locked an open file, and lock it; False where there is no
    such thing."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows
        return False
    fcntl.flock(file, fcntl.LOCK_EX)
    return True


def _is_still(path: str, file: int) -> bool:
    """Whether an open file is the one that lies at ``path``: it may have waited for the lock."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _same_content(one: str, other: str) -> bool:
    """Whether two files hold the same bytes; False for what cannot be read."""
    try:
        if os.path.getsize(one) != os.path.getsize(other):
            return False
        with open(one, "rb", 0) as first, open(other, "rb", 0) as second:
            while chunk := first.read(_CHUNK):
                if chunk != second.read(_CHUNK):
                    return False
    except OSError:
        return False
    return True


def _move_locked(source: str, target: str) -> bool:
    """`move_new` for file systems without hard links, such as FAT."""
    # All who create new objects come by this lock, which the system takes from dead processes.
    lock = os.open(os.path.join(os.path.dirname(source), "lock"), os.O_RDWR | os.O_CREAT | _FLAGS)
    try:
        # Where there are no such locks, on Windows, a rename never replaces.
        if _lock(lock) and os.path.lexists(target):
            return False
        os.rename(source, target)
        return True
    except FileExistsError:
        return False
    finally:
        os.close(lock)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def make_folders(path: str) -> None:
    """Make a folder and those above it, whoever else makes or removes some of them meanwhile."""
    for last in (*[False] * (TRIES - 1), True):
        try:
            os.mkdir(path)
            return
        except FileExistsError:
            kind = _kind(path)
            if stat.S_ISDIR(kind) or (stat.S_ISLNK(kind) and os.path.isdir(path)):
                return
            if kind:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        except FileNotFoundError:
            if last:
                raise
            make_folders(os.path.dirname(path))


def _kind(path: str) -> int:
    """Return what lies at ``path``, as the mode of `os.lstat`; 0 for nothing."""
    # One look only: of two, the second may see what another process made or removed in between.
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return 0


def sync_folder(path: str) -> None:
    """Wait until the entries of a folder are on the disk."""
    file = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        os.fsync(file)
    finally:
        os.close(file)
