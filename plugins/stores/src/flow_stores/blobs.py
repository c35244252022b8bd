"""The forms in which a blob is stored, and copies of one that are verified by its hash.

A blob is named by the hash of its content. Where objects are files that readers map, it is stored as
it is; elsewhere it may be stored compressed, as one or more frames of zstd.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from flow_core.api import IntegrityError

if TYPE_CHECKING:
    from flow_core.api import Buffer

_FRAME = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = b"\x2a\x4d\x18"  # behind a byte 0x50 to 0x5f: a frame that tells of the others
_CONTAINER = b"FLOWART"
SAMPLE = 65536
"""Bytes of content by which it is seen whether it shrinks."""
_PAYS = 0.9
_LEVEL = 3


def is_compressed(head: bytes) -> bool:
    """Whether stored bytes that begin so may be frames of zstd. The content may begin so, too."""
    return head[:4] == _FRAME or (head[1:4] == _SKIPPABLE and b"\x50" <= head[:1] <= b"\x5f")


def plain(stored: bytes, digest: str) -> bytes | None:
    """Return the content of a blob from its stored bytes; None where they are not those of ``digest``."""
    if blake3(stored).hexdigest() == digest:
        return stored
    if is_compressed(stored[:4]):
        import zstandard

        try:
            content = b"".join(_expanded([stored]))
        except zstandard.ZstdError:
            return None
        if blake3(content).hexdigest() == digest:
            return content
    return None


def compressed(content: bytes) -> bytes:
    """Return the stored form of a blob for a store whose objects are no files: smaller, if that pays.

    Only containers of artifacts may be compressed: of others parts are read.
    """
    middle = max(0, len(content) // 2 - SAMPLE // 2)
    if not shrinks(content[: len(_CONTAINER)], content[middle : middle + SAMPLE]):
        return content
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL).compress(content)


def shrinks(head: bytes, sample: bytes) -> bool:
    """Whether it pays to compress content that begins so, and is like ``sample`` further in."""
    if not head.startswith(_CONTAINER):
        return False
    import zstandard

    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample)) <= _PAYS * len(sample)


def verified(stored: Iterable[Buffer], digest: str, where: str) -> Iterator[Buffer]:
    """Yield the pieces as they are; raise at the end if they are not the content of ``digest``."""
    hasher = blake3()
    for piece in stored:
        hasher.update(piece)
        yield piece
    _check(hasher, digest, where)


def verified_frames(stored: Iterable[Buffer], digest: str, where: str) -> Iterator[Buffer]:
    """Yield pieces that are frames as they are; raise at the end if what is in them is not the content
    of ``digest``."""
    hasher, expander = blake3(), _Expander()
    for piece in stored:
        for content in _reported(expander.add(piece), digest, where):
            hasher.update(content)
        yield piece
    _check(hasher, digest, where)


def verified_content(stored: Iterable[Buffer], digest: str, where: str) -> Iterator[Buffer]:
    """Yield what is in the frames; raise at the end if it is not the content of ``digest``."""
    return verified(_reported(_expanded(stored), digest, where), digest, where)


def has_hash(stored: Iterable[Buffer], digest: str) -> bool:
    """Whether the pieces, as they are, are the content of ``digest``."""
    hasher = blake3()
    for piece in stored:
        hasher.update(piece)
    return hasher.hexdigest() == digest


def damaged(digest: str, where: str) -> IntegrityError:
    """Return the error for a blob whose bytes are not those that were written."""
    return IntegrityError(
        "A blob is damaged",
        where=f"blob {digest} of {where}",
        why="its bytes do not have the hash that names them",
        hint="restore it from a copy of the store, or run the step again (resume)",
    )


def _check(hasher: Any, digest: str, where: str) -> None:
    if hasher.hexdigest() != digest:
        raise damaged(digest, where)


def _reported(pieces: Iterable[bytes], digest: str, where: str) -> Iterator[bytes]:
    import zstandard

    try:
        yield from pieces
    except zstandard.ZstdError:
        raise damaged(digest, where) from None


class _Expander:
    """Takes frames in pieces of any sizes, one after the other."""

    def __init__(self) -> None:
        import zstandard

        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._rest = b""

    def add(self, piece: Buffer) -> Iterator[bytes]:
        data = self._rest + bytes(piece)
        self._rest = b""
        while data:
            content = self._frame.decompress(data)
            if content:
                yield content
            if not self._frame.eof:
                return
            data = self._frame.unused_data
            self._frame = self._decompressor.decompressobj()


def _expanded(stored: Iterable[Buffer]) -> Iterator[bytes]:
    expander = _Expander()
    for piece in stored:
        yield from expander.add(piece)
