"""What environments, and what belongs to them, take on the disk of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import built_environments

if TYPE_CHECKING:
    from flow_core.api import BuiltEnvironment

Inode = tuple[int, int]
_TEMPORARY = ("tmp", "job-")  # how temporary things in a cache begin, by convention


class Usage:
    """The bytes of files, each counted once however many names it has.

    Installers link the files of a package from their cache: to remove one of the names frees
    nothing.
    """

    def __init__(self) -> None:
        self._sizes: dict[Inode, int] = {}
        self._names: dict[Inode, int] = {}  # how many of an inode's names were seen
        self._links: dict[Inode, int] = {}

    def add(self, place: str) -> int:
        """Take a file, or all below a folder, into account; return the bytes of it alone."""
        own: dict[Inode, int] = {}
        for path in _files(place):
            with suppress(OSError):  # it went just now, or is not for us
                info = os.lstat(path)
                inode = info.st_dev, info.st_ino
                own[inode] = _bytes(info)
                self._names[inode] = self._names.get(inode, 0) + 1
                self._links[inode] = 1 if os.path.isdir(path) else info.st_nlink
        self._sizes.update(own)
        return sum(own.values())

    def join(self, other: Usage) -> None:
        """Take all into account that ``other`` has."""
        self._sizes.update(other._sizes)
        self._links.update(other._links)
        for inode, count in other._names.items():
            self._names[inode] = self._names.get(inode, 0) + count

    @property
    def total(self) -> int:
        """Bytes of all of it."""
        return sum(self._sizes.values())

    @property
    def freed(self) -> int:
        """Bytes that are free when all of it is removed: other names of a file keep it."""
        return sum(
            size for inode, size in self._sizes.items() if self._names[inode] >= self._links[inode]
        )


def _files(place: str) -> Iterator[str]:
    yield place
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files):
            yield os.path.join(folder, name)


def _bytes(info: os.stat_result) -> int:
    blocks = getattr(info, "st_blocks", None)  # Windows does not say
    return info.st_size if blocks is None else blocks * 512


class Machine(NamedTuple):
    """What lies where environments do.

    Attributes:
        root: the folder.
        environments: those that are built, or half built.
        caches: provider → the folder of its downloads.
        rubbish: what programs that were killed have left, and links that nobody needs any more.
    """

    root: str
    environments: list[BuiltEnvironment]
    caches: dict[str, str]
    rubbish: list[str]


def look(root: str) -> Machine:
    """Return what lies below ``root``."""
    caches, rubbish = {}, []
    for provider in _entries(root):
        place = os.path.join(root, provider)
        if not provider.startswith(".") and os.path.isdir(place):
            cache = os.path.join(place, "cache")
            if os.path.isdir(cache):
                caches[provider] = cache
            rubbish += _left_in(place)
    return Machine(root, built_environments(root), caches, rubbish)


def _left_in(place: str) -> list[str]:
    """Return what programs that were killed have left in the folder of a provider."""
    left = [n for n in _entries(place) if _is_rubbish(n) or _is_tried_out(place, n)]
    for folder in ("resolved", "locks"):
        left += [f"{folder}/{n}" for n in _entries(f"{place}/{folder}") if _is_rubbish(n)]
    if not is_building(place):  # else it may be that of who builds
        left += [f"cache/{n}" for n in _entries(f"{place}/cache") if n.startswith(_TEMPORARY)]
    return [os.path.join(place, name) for name in left]


def is_building(folder: str) -> bool:
    """Whether somebody builds an environment of a provider now.

    Args:
        folder: the provider's.
    """
    return any(is_locked(os.path.join(folder, n)) for n in _entries(folder) if n.endswith(".lock"))


def is_locked(path: str) -> bool:
    """Whether somebody holds a lock file alone."""
    import fcntl

    with suppress(FileNotFoundError), open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _is_rubbish(name: str) -> bool:
    """Whether a file was written aside, to be renamed, or a folder was, to be removed, by a process
    that has ended: ``KEY.json.PROCESS.THREAD``, ``cache.PROCESS.gone``."""
    found = re.fullmatch(r".+\.json\.(\d+)\.\d+|cache\.(\d+)\.gone", name)
    return found is not None and not _lives(int(found[1] or found[2]))


def _is_tried_out(folder: str, name: str) -> bool:
    """Whether it is what is left of an environment that was built aside, by a program that was
    killed."""
    place = os.path.join(folder, name)
    return bool(re.fullmatch(r"[0-9a-f]{16}\.again", name)) and not is_locked(f"{place}.lock")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _entries(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))
    except (FileNotFoundError, NotADirectoryError):
        return []
