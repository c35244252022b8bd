"""The stored forms of blobs, and copies that are verified."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from flow_core.api import IntegrityError
from flow_stores import blobs


def frames(content: bytes, length: int) -> bytes:
    """Return several frames, each behind one that tells its length, and one at the end."""
    stored = b""
    for start in range(0, len(content), length):
        part = content[start : start + length]
        frame = zstandard.ZstdCompressor(level=1).compress(part)
        stored += struct.pack("<IIII", 0x184D2A50, 8, len(frame), len(part)) + frame
    return stored + struct.pack("<IIQQ", 0x184D2A51, 16, len(stored), len(content))


def forms(content: bytes, length: int) -> Iterator[bytes]:
    yield content
    yield zstandard.ZstdCompressor(level=3).compress(content)
    yield frames(content, length)


def cut(stored: bytes, size: int) -> list[bytes]:
    return [stored[start : start + size] for start in range(0, len(stored), size)]


@given(st.binary(max_size=2000), st.integers(1, 500), st.integers(1, 300))
def test_every_form_gives_the_content(content: bytes, length: int, size: int) -> None:
    digest = blake3(content).hexdigest()
    for stored in forms(content, length):
        assert blobs.plain(stored, digest) == content
        pieces = cut(stored, size)
        if stored == content:
            assert b"".join(map(bytes, blobs.verified(pieces, digest, "x"))) == content
        else:
            assert blobs.is_compressed(stored[:4])
            assert b"".join(map(bytes, blobs.verified_content(pieces, digest, "x"))) == content
            assert b"".join(map(bytes, blobs.verified_frames(pieces, digest, "x"))) == stored


@given(st.binary(min_size=20, max_size=500), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_one_is_never_believed(content: bytes, place: int, change: int) -> None:
    digest = blake3(content).hexdigest()
    for stored in (content, zstandard.ZstdCompressor(write_checksum=True).compress(content)):
        wrong = bytearray(stored)
        wrong[place % len(wrong)] ^= change
        found = blobs.plain(bytes(wrong), digest)
        assert found in (None, content)  # some bits of a frame's head mean nothing
        with pytest.raises(IntegrityError) as raised:
            for _ in blobs.verified([bytes(wrong), b"!"], digest, "far://x"):
                pass
        assert raised.value.where == f"blob {digest} of far://x"


def test_what_is_cut_off_is_seen() -> None:
    content = b"abc" * 10_000
    digest = blake3(content).hexdigest()
    for stored in forms(content, 1000):
        short = stored[: len(stored) // 2]
        assert blobs.plain(short, digest) is None
        with pytest.raises(IntegrityError):
            list(blobs.verified_content([short], digest, "x"))
        with pytest.raises(IntegrityError):
            list(blobs.verified_frames([short], digest, "x"))


def test_content_that_is_a_frame_itself() -> None:
    content = zstandard.ZstdCompressor().compress(b"somebody's own archive")
    assert blobs.plain(content, blake3(content).hexdigest()) == content


def test_only_containers_that_shrink_are_compressed() -> None:
    import os

    container = b"FLOWART1" + b"word " * 10_000
    assert len(blobs.compressed(container)) < len(container) / 10
    noise = b"FLOWART1" + os.urandom(100_000)
    assert blobs.compressed(noise) == noise
    items = b"word " * 10_000
    assert blobs.compressed(items) == items
