"""Bringing objects here: small ones into memory, others straight into files."""

from __future__ import annotations

import itertools
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_files.errors import FilesError, FilesInvalidRange, FilesURLError, of_disk
from flow_files.objects import FileRange, RangeInfo
from flow_files.parallel import in_order
from flow_files.scratch import SMALL, Scratch

if TYPE_CHECKING:
    from flow_core.api import Buffer, ObjectInfo, Store
    from flow_files.places import Target
    from flow_files.progress import Meter

_PIECE = 8 << 20
_AHEAD = 4
"""Pieces of one range that are on their way at the same time."""
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | (_READ & ~os.O_RDONLY)


class Wanted(NamedTuple):
    """What is to be brought: a whole object, or ``length`` bytes from ``offset``."""

    target: Target
    offset: int = 0
    length: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it is the whole object."""
        return not self.offset and self.length is None


class Fetched(NamedTuple):
    """What was brought, in memory or in a file."""

    size: int
    blob: bytes | None
    path: str | None
    range_info: RangeInfo | None = None


def wanted(target: Target, key: Any) -> Wanted:
    """Return what a key, or a `FileRange`, asks for.

    Raises:
        FilesURLError: offset and length are none.
        FilesInvalidRange: they contradict each other.
    """
    if not isinstance(key, tuple):
        return Wanted(target)
    _, offset, length = FileRange(*key)
    offset = 0 if offset is None else offset
    for number in (offset, 0 if length is None else length):
        if not isinstance(number, int):
            raise FilesURLError(
                f"{number!r} is no number of bytes", where=target.url, hint="FileRange(key, 0, 100)"
            )
    if offset < 0 or (offset and length is not None and length < 0):
        raise FilesInvalidRange(
            f"Bytes from {offset}, {length} of them, are no range",
            where=target.url,
            why="an offset is never negative; a negative length means the last bytes, from offset 0",
            hint="FileRange(key, 0, -100) for the last 100 bytes",
        )
    return Wanted(target, offset, length)


def fetch(
    store: Store, items: Sequence[Wanted], scratch: Scratch, meter: Meter
) -> Iterator[Fetched | None]:
    """Yield what was brought of each item, in order; None where there is no object.

    Raises:
        FilesInvalidRange: a range begins behind the end of its object.
    """
    ranges = [item.target.key for item in items if not item.whole]
    sizes = dict(zip(ranges, store.describe(ranges), strict=True)) if ranges else {}

    def one(item: Wanted) -> Fetched | None:
        if item.whole:
            found = _whole(store, item.target, scratch, meter)
        else:
            found = _part(store, item, sizes[item.target.key], scratch, meter)
        if found is not None:
            meter.item()
        return found

    return in_order(one, items, many=len(items) > 1 and not _is_local(store, items[0].target.key))


def _is_local(store: Store, key: str) -> bool:
    """Whether objects are files of this machine, which threads read no faster."""
    return store.local_path(key) is not None


# --- whole objects ------------------------------------------------------------------------------


def _whole(store: Store, target: Target, scratch: Scratch, meter: Meter) -> Fetched | None:
    with _local_file(store, target.key) as source:
        if source is not None:
            return _from_file(source, target.name, scratch, meter)
    pieces = store.stream(target.key)
    return None if pieces is None else _collect(pieces, target.name, scratch, meter)


def save(store: Store, target: Target, path: str, meter: Meter) -> int | None:
    """Write an object to a new file of this machine; return its size, None where there is none."""
    with _local_file(store, target.key) as source:
        if source is not None:
            return _copy(source, path, meter)
    pieces = store.stream(target.key)
    return None if pieces is None else _write(path, [], iter(pieces), meter)


@contextmanager
def new_file(path: str, replace: bool) -> Iterator[str]:
    """Give the path of a temporary file, which gets its name when it is whole.

    Args:
        path: its name then; folders are made.
        replace: whether it may replace a file.

    Raises:
        FilesError: there is one already, or the disk does not take it.
    """
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.part"
    if replace:
        _refuse_special(path)
    _make_folder(path)
    try:
        try:
            yield temporary
            if replace:
                os.replace(temporary, path)
            else:
                _move_new(temporary, path)
        except FileExistsError as error:
            raise FilesError(
                f"'{path}' exists", why="what is there is not replaced", hint="--force replaces it"
            ) from error
        except OSError as error:
            raise of_disk(error, path, named=True) from error
        except FilesError as error:
            if error.where != temporary or not isinstance(error.__cause__, OSError):
                raise
            raise of_disk(error.__cause__, path, named=True) from error.__cause__
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(temporary)


def _refuse_special(path: str) -> None:
    """Raise for a device, a pipe, or a folder: a file would come in its place."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # there is nothing, or what is wrong is seen when it is written
    if not stat.S_ISREG(mode):
        raise FilesError(
            f"'{path}' is no file that can be replaced",
            why="it is a folder" if stat.S_ISDIR(mode) else "it is a device, a pipe or a socket",
            hint="name a file; '-' is the standard output",
        )


def _make_folder(path: str) -> None:
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise FilesError(
            f"'{path}' cannot be written",
            where=folder,
            why="a file lies where a folder is needed: here a name is a file or a folder, while a "
            "store may have both 'a' and 'a/b'",
            hint="copy one of the two by itself, to another name",
        ) from error
    except OSError as error:
        raise of_disk(error, path, named=True) from error


def _move_new(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a disk without links: then two of the same name at once are not told apart
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        os.rename(temporary, path)


@contextmanager
def _local_file(store: Store, key: str) -> Iterator[int | None]:
    """Open the file of this machine that holds an object; None if there is none.

    It is never linked: who changes what was downloaded must not change the store.
    """
    path = store.local_path(key)
    try:
        source = os.open(path, _READ) if path is not None else None
    except OSError:
        source = None  # there is none; or the store says in its own words what is wrong
    try:
        is_file = source is not None and stat.S_ISREG(os.fstat(source).st_mode)
        yield source if is_file else None
    finally:
        if source is not None:
            os.close(source)


def _from_file(source: int, name: str, scratch: Scratch, meter: Meter) -> Fetched:
    size = os.fstat(source).st_size
    if scratch.may_hold(size, size):
        blob = os.read(source, size)
        meter.add(len(blob))
        return Fetched(len(blob), blob, None)
    path = scratch.path(name)
    return Fetched(_copy(source, path, meter), None, path)


def _copy(source: int, path: str, meter: Meter) -> int:
    """Copy an open file to a new one, inside of the system where it can; return its size."""
    try:
        with open(path, "xb", 0) as file:
            done = _copy_inside(source, file.fileno(), os.fstat(source).st_size, meter)
            while piece := os.read(source, _PIECE):  # what the system could not copy by itself
                file.write(piece)
                meter.add(len(piece))
                done += len(piece)
    except OSError as error:
        raise of_disk(error, path) from error
    return done


def _copy_inside(source: int, target: int, size: int, meter: Meter) -> int:
    """Let the system copy, which shares blocks where the disk can; return how far it came."""
    done = 0
    if not hasattr(os, "copy_file_range"):
        return done
    while done < size:
        try:
            count = os.copy_file_range(source, target, size - done)
        except OSError:  # between two disks, for example: reading and writing says what is wrong
            break
        if not count:
            break
        done += count
        meter.add(count)
    return done


def _collect(pieces: Iterable[Buffer], name: str, scratch: Scratch, meter: Meter) -> Fetched:
    held: list[bytes] = []
    size = 0
    source = iter(pieces)
    for piece in source:
        part = bytes(piece)
        if not scratch.may_hold(len(part), size + len(part)):
            path = scratch.path(name)
            held.append(part)
            scratch.release(size)
            return Fetched(_write(path, held, source, meter), None, path)
        meter.add(len(part))
        size += len(part)
        held.append(part)
    return Fetched(size, held[0] if len(held) == 1 else b"".join(held), None)


def _write(path: str, held: list[bytes], rest: Iterator[Buffer], meter: Meter) -> int:
    """Write to a new file what is in memory, and what comes; return its size."""
    try:
        file = os.open(path, _NEW, 0o666)  # as the person's umask says
    except OSError as error:
        raise of_disk(error, path) from error
    size = 0
    try:
        for piece in itertools.chain(held, rest):
            view = memoryview(piece).cast("B")
            size += len(view)
            meter.add(len(view))
            try:  # what asking for the next piece raises is not the disk's fault
                while view:
                    view = view[os.write(file, view) :]
            except OSError as error:
                raise of_disk(error, path) from error
    finally:
        os.close(file)
    return size


# --- parts of objects ---------------------------------------------------------------------------


def _part(
    store: Store, item: Wanted, info: ObjectInfo | None, scratch: Scratch, meter: Meter
) -> Fetched | None:
    if info is None:
        return None
    start, length = _bounds(item, info.size)
    target = item.target
    pieces = _pieces(store, item, info, start, length)
    found = _collect(pieces, target.name, scratch, meter)
    return found._replace(range_info=RangeInfo(info.size, start, found.size))


def _bounds(item: Wanted, size: int) -> tuple[int, int]:
    """Return the first byte and the number of bytes of what is wanted of an object."""
    if item.length is not None and item.length < 0:
        length = min(-item.length, size)
        return size - length, length
    if item.offset and item.offset >= size:
        raise FilesInvalidRange(
            f"There is no byte {item.offset}",
            where=item.target.url,
            why=f"the object has {size} bytes",
            hint="begin before its end, or FileRange(key, 0, -100) for its last 100 bytes",
        )
    rest = size - item.offset
    return item.offset, rest if item.length is None else min(item.length, rest)


def _pieces(
    store: Store, item: Wanted, info: ObjectInfo, start: int, length: int
) -> Iterator[bytes]:
    from flow_core.api import changed_meanwhile

    key = item.target.key
    step = SMALL if length <= SMALL else _PIECE

    def piece(offset: int) -> bytes:
        count = min(step, start + length - offset)
        found = store.read_range(key, offset, count)
        if found is None or len(found) != count:
            raise changed_meanwhile(key, store.url)
        return found

    offsets = range(start, start + length, step)
    yield from in_order(piece, offsets, many=length > step, ahead=_AHEAD)
    if length > step:
        (now,) = store.describe([key])
        if now is None or (now.modified, now.etag) != (info.modified, info.etag):
            raise changed_meanwhile(key, store.url)
