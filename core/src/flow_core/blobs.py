"""Blobs: bytes in a store under the key that their hash gives.

A local store keeps them as they are, to be mapped. For others each request counts: what is small is
written create-only, without asking first whether it is there; what is large is hashed, asked for,
and then sent in frames (`flow_core.frames`) where it shrinks; and this machine keeps some of what it
has sent or fetched (`flow_core.blob_cache`). The reasons are in docs/design/0029.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from blake3 import blake3

from flow_core.blob_cache import MAPPED, map_file
from flow_core.errors import IntegrityError
from flow_core.interfaces import REFRESH_AGE, Buffer, ObjectInfo, Store
from flow_core.records import blob_key

if TYPE_CHECKING:
    from flow_core.blob_cache import BlobCache

LARGE = 8 << 20
"""Bytes from which a store is asked before a blob is written, and a blob goes in pieces. Asking costs
about as long as sending a MiB: for less than this it would slow down what is new."""
_ASKED = 1 << 16
"""Bytes from which a store is asked before raw bytes are written: most often they are there already,
for they are code, which many runs share."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SAMPLE = 65536
_PLACES = 4
_PAYS = 0.9
_THREADED = 64 << 20

Pieces = Callable[[], Iterable[Buffer]]
"""Gives the content of a blob, in pieces; each time anew."""


class Blobs:
    """Puts blobs into a store, and gets them back verified.

    Args:
        store: where they lie.
        cache: what this machine keeps of them; None = nothing.
    """

    def __init__(self, store: Store, cache: BlobCache | None = None) -> None:
        self.store = store
        self.cache = cache
        self._ahead: dict[str, bytes] = {}

    # --- writing --------------------------------------------------------------------------------

    def put(self, pieces: Pieces, size: int, digest: str | None = None) -> str:
        """Store a blob of ``size`` bytes; return its hash, which is not computed if it is given."""
        if self.store.capabilities.mappable:
            return self.put_stream(pieces())
        if size <= LARGE:
            packed = b"".join(pieces())
            digest = digest or blake3(packed).hexdigest()
            self.put_small({digest: packed})
            return digest
        digest = digest or hash_of(pieces(), size)
        self._put_large(digest, pieces, size)
        self._keep(digest, size, pieces)
        return digest

    def put_small(self, contents: dict[str, bytes]) -> None:
        """Store the contents of small blobs, by their hashes, at the same time."""
        stored = {digest: compress_if_it_pays(packed) for digest, packed in contents.items()}
        self._create([(blob_key(digest), content) for digest, content in stored.items()])
        for digest, packed in contents.items():
            self._keep(digest, len(packed), lambda packed=packed: [packed])  # type: ignore[misc]

    def put_stream(self, chunks: Iterable[Buffer]) -> str:
        """Store a blob whose content can be had only once, as it is; return its hash."""
        hasher = blake3()

        def hashed() -> Iterator[Buffer]:
            for chunk in chunks:
                hasher.update(chunk)
                yield chunk

        self.store.write_content(hashed(), lambda: blob_key(hasher.hexdigest()))
        return hasher.hexdigest()

    def put_raw(self, data: bytes) -> str:
        """Store bytes whose length nobody will know, and so as they are; return their hash."""
        digest = blake3(data).hexdigest()
        key = blob_key(digest)
        if self.store.capabilities.mappable:
            size = self.store.size(key)
            sound = size == len(data) and next(iter(self.store.read([key]))) == data
            if not (sound and self.store.refresh(key)):
                self.store.write([(key, data)], create_only=size is None)
        elif len(data) <= _ASKED:
            self._create([(key, data)])
        elif not self.has_raw(digest, len(data)):
            if len(data) <= LARGE:
                self.store.write([(key, data)])
            else:
                self.store.write_stream(key, [data])
        return digest

    def has_raw(self, digest: str, size: int) -> bool:
        """Return whether bytes that `put_raw` has stored are there, and will not be deleted as unused.

        Where reading costs next to nothing they are verified; else only their size counts.
        """
        key = blob_key(digest)
        if self.store.capabilities.mappable:
            content = next(iter(self.store.read([key])))
            whole = content is not None and hash_of([content], size) == digest
            return whole and self.store.refresh(key)
        return self._is_sound(next(iter(self.store.describe([key]))), size)

    def _create(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Write objects that may be there already. Of what is there only the size is compared:
        reading it back would cost as much as writing it."""
        written = self.store.write(items, create_only=True)
        there = [item for item, new in zip(items, written, strict=True) if not new]
        if not there:
            return
        infos = self.store.describe([key for key, _ in there])
        again = [
            (key, content)
            for (key, content), info in zip(there, infos, strict=True)
            if not self._is_sound(info, len(content))
        ]
        if again:
            self.store.write(again)

    def _put_large(self, digest: str, pieces: Pieces, size: int) -> None:
        from flow_core import frames

        key = blob_key(digest)
        info = next(iter(self.store.describe([key])))
        if self._is_sound(info, size) or (info and self._is_whole(info, size)):
            return
        content = pieces()
        if _shrinks(_sample_of(pieces(), size)):
            content = frames.compress_frames(content)
        self.store.write_stream(key, content)

    def _is_whole(self, info: ObjectInfo, size: int) -> bool:
        """Whether the end of a blob in frames says that nothing is missing, and it can be relied on."""
        from flow_core import frames

        start = info.size - frames.TAIL_SIZE
        if start < 0:
            return False
        tail = frames.tail_of(self.store.read_range(info.key, start, frames.TAIL_SIZE) or b"")
        return tail == (start, size) and self._is_sound(info, info.size)

    def _is_sound(self, info: ObjectInfo | None, size: int) -> bool:
        """Whether an object that is there is not cut off, and will not be deleted as unused."""
        if info is None or info.size != size:
            return False
        return time.time() - info.modified < REFRESH_AGE or self.store.refresh(info.key)

    def _keep(self, digest: str, size: int, pieces: Pieces) -> None:
        if self.cache is not None:
            self.cache.put(digest, size, pieces())

    # --- reading --------------------------------------------------------------------------------

    def get(self, digest: str, size: int | None, what: str) -> Buffer:
        """Return a blob, verified; its content may be changed in place.

        Args:
            digest: its hash.
            size: its length; None = not known, for what `put_raw` has stored.
            what: names it in errors.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        if size is not None and self.store.capabilities.mappable and size >= MAPPED:
            content = self._map(digest)
            if content is not None:
                verify(content, digest, size, what, _place(digest))
                return content
        if self.cache is not None and size is not None:
            kept = self.cache.get(digest, size)
            if kept is not None and hash_of([kept], size) == digest:
                return kept
            if kept is not None:
                self.cache.drop(digest)
        if size is None or size <= LARGE or self.store.capabilities.mappable:
            return self._read(digest, size, what)
        return self._fetch(digest, size, what)

    def ahead(self, wanted: dict[str, int]) -> None:
        """Read small blobs that will be asked for soon, at the same time; what is asked for next
        forgets the others.

        Args:
            wanted: hash → size.
        """
        missing = [
            digest
            for digest, size in wanted.items()
            if size <= LARGE and not (self.cache and self.cache.has(digest))
        ]
        found = self.store.read([blob_key(digest) for digest in missing])
        pairs = zip(missing, found, strict=True)
        self._ahead = {digest: content for digest, content in pairs if content is not None}

    def part(self, digest: str, offset: int, length: int) -> bytes | None:
        """Return a part of a blob that was stored as it is, not verified; None when it is missing."""
        return self.store.read_range(blob_key(digest), offset, length)

    def _map(self, digest: str) -> Buffer | None:
        """Return a view of the file; None where it cannot be had: reading tells why, or succeeds."""
        path = self.store.local_path(blob_key(digest))
        assert path is not None, "a mappable store gives local paths"
        try:
            with open(path, "rb") as file:
                return map_file(file)
        except (OSError, ValueError):  # missing, empty, or too many open files
            return None

    def _read(self, digest: str, size: int | None, what: str) -> Buffer:
        """Return a blob that is read at once."""
        raw = self._ahead.pop(digest, None)
        if raw is None:
            raw = next(iter(self.store.read([blob_key(digest)])))
        if raw is None:
            raise damaged(what, "it is missing", digest)
        # Raw bytes of unknown size are never compressed, but may be a frame themselves.
        content = raw if size is None else _plain(raw, size)
        verify(content, digest, size, what, _place(digest))
        if size is not None:
            self._keep(digest, size, lambda: [content])
        return bytearray(content)

    def _fetch(self, digest: str, size: int, what: str) -> Buffer:
        """Return a large blob: straight from the cache's file, where it can be kept there."""
        if self.cache is not None:
            try:
                with self.cache.writing(digest, size) as file:
                    if file is not None:
                        self._receive(digest, size, what, file.write)
            except OSError:  # the disk is full, for one thing; memory may do
                pass
            else:
                kept = self.cache.get(digest, size)
                if kept is not None:
                    return kept
        content, end = _memory(size), 0

        def add(piece: Buffer) -> None:
            nonlocal end
            start, end = end, end + memoryview(piece).nbytes
            content[start:end] = piece

        self._receive(digest, size, what, add)
        return content

    def _receive(self, digest: str, size: int, what: str, add: Callable[[Buffer], object]) -> None:
        """Pass the pieces of a blob to ``add``; what was passed counts if nothing is raised."""
        from flow_core.frames import DamagedFrames

        stored = self.store.stream(blob_key(digest))
        if stored is None:
            raise damaged(what, "it is missing", digest)
        hasher = _hasher(size)
        length = 0
        try:
            for piece in _content_of(stored, size):
                length += memoryview(piece).nbytes
                if length > size:
                    break
                hasher.update(piece)
                add(piece)
        except DamagedFrames as error:
            raise damaged(what, str(error), digest, _place(digest)) from None
        check(hasher.hexdigest(), length, digest, size, what, _place(digest))


def _memory(size: int) -> memoryview:
    """Return memory of this process alone, which can be given back in parts."""
    import mmap

    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def _content_of(stored: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    """Yield the content of a large blob, whatever its stored form."""
    from flow_core import frames

    pieces = iter(stored)
    head = b""
    while len(head) < len(frames.MAGIC) and (piece := next(pieces, None)) is not None:
        head += bytes(piece)

    def whole() -> Iterator[Buffer]:
        yield head
        yield from pieces

    if head.startswith(frames.MAGIC):
        return frames.decompress(whole())
    if head[:4] == _ZSTD_MAGIC:  # one frame of any length; nothing writes large ones any more
        return iter([_plain(b"".join([bytes(piece) for piece in whole()]), size)])
    return whole()


def _plain(stored: bytes, size: int) -> bytes:
    """Return the content of a blob that is one frame, or stored as it is; not verified."""
    if stored[:4] != _ZSTD_MAGIC:
        return stored
    import zstandard

    try:
        if zstandard.frame_content_size(stored) != size:
            return b""  # a damaged head may claim any size: nothing is allocated for it
        content: bytes = zstandard.ZstdDecompressor().decompress(stored)
    except zstandard.ZstdError:
        return b""  # a damaged frame; it fails verification
    return content


def compress_if_it_pays(packed: bytes) -> bytes:
    """Return a zstd frame when a sample of 64 KiB shrinks by a tenth, else the bytes themselves.

    Raw content never begins with zstd's magic number: containers begin with their own.
    """
    import zstandard

    middle = max(0, len(packed) // 2 - _SAMPLE // 2)
    if not _shrinks(packed[middle : middle + _SAMPLE]):
        return packed
    return zstandard.ZstdCompressor(level=3).compress(packed)


def _shrinks(sample: bytes) -> bool:
    import zstandard

    return len(zstandard.ZstdCompressor(level=3).compress(sample)) <= _PAYS * len(sample)


def _sample_of(pieces: Iterable[Buffer], size: int) -> bytes:
    """Return some bytes of large content, from places all over it."""
    length = _SAMPLE // _PLACES
    places = [size * (2 * n + 1) // (2 * _PLACES) for n in range(_PLACES)]
    sample, start = b"", 0
    for piece in pieces:
        view = memoryview(piece)
        while places and places[0] < start + view.nbytes:
            at = places.pop(0) - start
            sample += view[at : at + length]
        start += view.nbytes
        if not places:
            break
    return sample


def hash_of(pieces: Iterable[Buffer], size: int) -> str:
    """Return the BLAKE3 of ``size`` bytes in pieces."""
    hasher = _hasher(size)
    for piece in pieces:
        hasher.update(piece)
    return hasher.hexdigest()


def _hasher(size: int) -> blake3:
    """Return what hashes ``size`` bytes: many by several threads, for which pieces must be large."""
    return blake3(max_threads=blake3.AUTO) if size >= _THREADED else blake3()


def verify(content: Buffer, digest: str, size: int | None, what: str, where: str) -> None:
    """Raise `IntegrityError` unless ``content`` has this hash, and this size if it is known."""
    length = memoryview(content).nbytes
    if size is not None and length != size:
        raise damaged(what, _other_size(length, size), digest, where)
    check(hash_of([content], length), length, digest, size, what, where)


def check(found: str, length: int, digest: str, size: int | None, what: str, where: str) -> None:
    """Raise `IntegrityError` unless what was found is what is wanted."""
    if size is not None and length != size:
        raise damaged(what, _other_size(length, size), digest, where)
    if found != digest:
        raise damaged(what, "its bytes do not have the hash that names them", digest, where)


def _other_size(length: int, size: int) -> str:
    return f"it has {length} bytes instead of {size}"


def _place(digest: str) -> str:
    return f"blob {digest[:16]}…"


def damaged(what: str, why: str, digest: str, where: str | None = None) -> IntegrityError:
    """Return the error for stored bytes that are not what was written."""
    return IntegrityError(
        f"The stored data of {what} is damaged",
        where=where or (f"blob {digest}" if digest else None),
        why=why,
        hint="restore it from a copy of the store, or run the step again (resume)",
    )
