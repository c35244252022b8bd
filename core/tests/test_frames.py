"""Frames: what was compressed comes back; what is damaged raises, whatever it claims."""

import struct

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from flow_core import frames
from flow_core.frames import DamagedFrames, compress_frames, decompress, tail_of


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    monkeypatch.setattr(frames, "FRAME", 100)


def stored_form(content):
    return b"".join(compress_frames(content, threads=2))


def cut(content, size):
    return [content[start : start + size] for start in range(0, len(content), size)]


contents = st.lists(st.binary(max_size=250) | st.just(b"\0" * 300), max_size=6)


@given(contents, st.integers(1, 400))
@example([], 1)
@example([b""], 1)
@example([b"x" * 100], 7)
@example([b"x" * 101], 1)
def test_what_was_compressed_comes_back(pieces, size):
    stored = stored_form(pieces)
    assert b"".join(decompress(cut(stored, size), threads=2)) == b"".join(pieces)


@given(contents)
def test_the_tail_tells_the_lengths(pieces):
    stored = stored_form(pieces)
    assert tail_of(stored[-frames.TAIL_SIZE :]) == (
        len(stored) - frames.TAIL_SIZE,
        len(b"".join(pieces)),
    )


@given(contents, st.data())
def test_damage_is_seen_or_changes_nothing_but_the_content(pieces, data):
    """A frame has no checksum: whoever reads compares the hash of the content. But nothing longer
    than the content comes out, and no other exception."""
    stored = bytearray(stored_form(pieces))
    position = data.draw(st.integers(0, len(stored) - 1))
    stored[position] ^= data.draw(st.integers(1, 255))
    try:
        found = b"".join(decompress([bytes(stored)], threads=1))
    except DamagedFrames:
        return
    assert len(found) == len(b"".join(pieces))


@given(contents, st.data())
def test_what_is_cut_off_is_missed(pieces, data):
    stored = stored_form(pieces)
    end = data.draw(st.integers(0, len(stored) - 1))
    with pytest.raises(DamagedFrames):
        list(decompress([stored[:end]], threads=1))


@given(contents, st.binary(min_size=1, max_size=50))
def test_nothing_may_follow(pieces, more):
    with pytest.raises(DamagedFrames):
        list(decompress([stored_form(pieces) + more], threads=1))


def test_a_frame_is_missing():
    first, second = stored_form([b"a" * 90]), stored_form([b"b" * 90])
    head = len(first) - frames.TAIL_SIZE
    with pytest.raises(DamagedFrames, match="tail"):
        list(decompress([first[:head] + second], threads=1))


@pytest.mark.parametrize(
    ("length", "size"), [(1 << 31, 10), (10, 1 << 31), (10, 0), (1 << 31, 1 << 31)]
)
def test_a_head_that_claims_too_much_allocates_nothing(length, size):
    head = struct.pack("<IIII", 0x184D2A50, 8, length, size)
    with pytest.raises(DamagedFrames, match="a head is damaged"):
        list(decompress([head + bytes(1000)]))


def test_a_frame_that_claims_more_than_its_head_allocates_nothing():
    bomb = zstandard.ZstdCompressor().compress(bytes(50 << 20))
    head = struct.pack("<IIII", 0x184D2A50, 8, len(bomb), 90)
    with pytest.raises(DamagedFrames):
        list(decompress([head + bomb], threads=1))


def test_other_tools_read_it():
    stored = stored_form([bytes(range(256)) * 3])
    reader = zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True)
    assert reader.read() == bytes(range(256)) * 3


def test_what_the_source_raises_passes():
    def source():
        yield bytes(150)
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        list(compress_frames(source(), threads=1))


def test_few_frames_are_on_their_way():
    taken = []

    def source():
        for number in range(50):
            taken.append(number)
            yield bytes(100)

    pieces = compress_frames(source(), threads=2)
    next(pieces)
    assert len(taken) <= 5
    pieces.close()
