"""Putting objects into a store: many small ones in few calls, large ones as streams."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import Attributes
from flow_files.attributes import encode_metadata, forget, keep
from flow_files.errors import FilesInvalidObject, FilesNotFound
from flow_files.parallel import in_order

if TYPE_CHECKING:
    from flow_core.api import Buffer, Store
    from flow_files.places import Target
    from flow_files.progress import Meter

_SMALL = 4 << 20
"""Bytes up to which an object is written together with others."""
_MOST_BYTES = 64 << 20
_MOST_ITEMS = 2048
_PIECE = 4 << 20


class Upload(NamedTuple):
    """An object that is to be put.

    Attributes:
        target: where.
        content: its content, or None.
        source: what has it otherwise: an open file, the path of a local one, or a function that
            yields its pieces.
        attributes: what is kept beside it, or None.
    """

    target: Target
    content: bytes | bytearray | memoryview | None
    source: Any
    attributes: Attributes | None


def upload(
    store: Store, items: Iterable[Upload], create_only: bool, meter: Meter
) -> Iterator[tuple[Target, bool]]:
    """Put objects, which are taken from ``items`` while it goes; yield whether each was written."""
    for batch in _batches(items):
        yield from zip(
            [item.target for item in batch], _put(store, batch, create_only, meter), strict=True
        )


def _batches(items: Iterable[Upload]) -> Iterator[list[Upload]]:
    """Yield lists of items, which do not take more memory than is good."""
    batch: list[Upload] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.content) if item.content is not None else 0
        if size >= _MOST_BYTES or len(batch) == _MOST_ITEMS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _put(store: Store, batch: list[Upload], create_only: bool, meter: Meter) -> list[bool]:
    if not create_only:
        forget(store, [item.target.key for item in batch])
    beside = not store.capabilities.attributes
    written = [False] * len(batch)
    small = [n for n, item in enumerate(batch) if _is_small(item) and (beside or not item[3])]
    if small:
        pairs = [(batch[n].target.key, _content(batch[n])) for n in small]
        for n, done in zip(small, store.write(pairs, create_only=create_only), strict=True):
            written[n] = done
            meter.item(len(_content(batch[n])))
    chosen = {*small}
    large = [n for n in range(len(batch)) if n not in chosen]

    def one(n: int) -> bool:
        return _stream(store, batch[n], create_only, meter)

    for n, done in zip(large, in_order(one, large, many=len(large) > 1), strict=True):
        written[n] = done
    if beside:
        _keep(store, batch, written, create_only)
    return written


def _is_small(item: Upload) -> bool:
    return item.content is not None and len(item.content) <= _SMALL


def _content(item: Upload) -> Buffer:
    assert item.content is not None
    return item.content


def _stream(store: Store, item: Upload, create_only: bool, meter: Meter) -> bool:
    attributes = item.attributes
    if attributes is not None and store.capabilities.attributes:
        attributes = Attributes(attributes.content_type, encode_metadata(attributes.metadata))
    else:
        attributes = None
    pieces = _counted(_pieces(item), meter)
    written = store.write_stream(
        item.target.key, pieces, create_only=create_only, attributes=attributes
    )
    meter.item()
    return written


def _keep(store: Store, batch: list[Upload], written: list[bool], create_only: bool) -> None:
    new = [item for item, done in zip(batch, written, strict=True) if done]
    if create_only:  # those of an object that somebody deleted
        forget(store, [item.target.key for item in new])
    given = [(item.target.key, item.attributes) for item in new if item.attributes is not None]
    if given:
        keep(store, given)


# --- content ------------------------------------------------------------------------------------


def upload_of(target: Target, value: Any, path: Any, attributes: Attributes | None) -> Upload:
    """Return what is to be put; small files are read at once.

    Raises:
        FilesInvalidObject: the value cannot be the content of an object.
        FilesNotFound: there is no such file.
    """
    if (value is None) == (path is None):
        raise FilesInvalidObject(
            "It is not said what is to be put"
            if value is None
            else "Two contents are given for one key",
            where=target.url,
            why="an object has either a value or the path of a file",
            hint="put(key, value), or put_files([(key, path)])",
        )
    if path is not None:
        return _of_file(target, path, attributes)
    if isinstance(value, str):
        return Upload(target, value.encode("utf-8", "surrogatepass"), None, attributes)
    if isinstance(value, (bytes, bytearray)):
        return Upload(target, value, None, attributes)
    if isinstance(value, memoryview):
        flat = value.cast("B") if value.c_contiguous else memoryview(value.tobytes())
        return Upload(target, flat, None, attributes)
    if callable(getattr(value, "read", None)):
        if getattr(value, "closed", False):
            raise FilesInvalidObject(
                "A closed file cannot be the content of an object",
                where=target.url,
                why="nothing can be read from it any more",
                hint="put it before its 'with' block ends, or put_files([(key, path)])",
            )
        return Upload(target, None, value, attributes)
    hint = (
        "put_files([(key, path)])"
        if isinstance(value, os.PathLike)
        else "pickle.dumps(value), json.dumps(value)"
    )
    raise FilesInvalidObject(
        f"A {type(value).__name__} cannot be the content of an object",
        where=target.url,
        why="content is text, bytes, or an open file",
        hint=hint,
    )


def _of_file(target: Target, path: Any, attributes: Attributes | None) -> Upload:
    if not isinstance(path, (str, os.PathLike)):
        raise FilesInvalidObject(
            f"A {type(path).__name__} is no path of a file", where=target.url, hint="'data/a.csv'"
        )
    try:
        with open(path, "rb", 0) as file:
            if os.fstat(file.fileno()).st_size <= _SMALL:
                return Upload(target, file.readall(), None, attributes)
    except OSError as error:
        raise of_source(error, path) from error
    return Upload(target, None, os.fspath(path), attributes)


def of_source(error: OSError, path: Any) -> FilesNotFound | FilesInvalidObject:
    """Return the error for a local file that cannot be read."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return FilesNotFound(
            "There is no such file",
            where=os.path.abspath(path),
            why="it is to be put, but does not exist",
            hint=f"check the path; the current folder is {os.getcwd()}",
        )
    if isinstance(error, IsADirectoryError):
        return FilesInvalidObject(
            "A folder cannot be the content of an object",
            where=os.path.abspath(path),
            why="objects are files",
            hint="put its files one by one, or: flow cp -r",
        )
    return FilesInvalidObject(
        "A file cannot be read", where=os.path.abspath(path), why=error.strerror, hint="ls -l"
    )


def _counted(pieces: Iterator[Buffer], meter: Meter) -> Iterator[Buffer]:
    for piece in pieces:
        yield piece
        meter.add(memoryview(piece).nbytes)


def _pieces(item: Upload) -> Iterator[Buffer]:
    if item.content is not None:
        view = memoryview(item.content)
        for start in range(0, len(view), _PIECE):
            yield view[start : start + _PIECE]
    elif isinstance(item.source, str):
        try:
            with open(item.source, "rb", 0) as file:
                while piece := file.read(_PIECE):
                    yield piece
        except OSError as error:
            raise of_source(error, item.source) from error
    elif callable(item.source):
        yield from item.source()
    else:
        yield from _read(item.source, item.target.url)


def _read(file: Any, url: str) -> Iterator[Buffer]:
    """Yield what an open file has, from where it stands."""
    while piece := file.read(_PIECE):
        if isinstance(piece, str):
            yield piece.encode()
        elif isinstance(piece, (bytes, bytearray, memoryview)):
            yield piece
        else:
            raise FilesInvalidObject(
                f"A {type(piece).__name__} cannot be a part of an object",
                where=url,
                why=f"read() of a {type(file).__name__} gave it",
                hint="open the file with open(path, 'rb')",
            )
