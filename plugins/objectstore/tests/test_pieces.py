"""Content on its way to a store."""

from __future__ import annotations

import os
import sys
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_objectstore.pieces import PIECE, Spool, part_size, parts_of


@given(st.lists(st.integers(0, 3 * PIECE // 2), max_size=5), st.booleans())
@settings(max_examples=25)
def test_parts_are_all_of_the_content(sizes, as_views):
    whole = bytes(sum(sizes))
    chunks = [memoryview(bytes(size)) if as_views else bytes(size) for size in sizes]
    parts = list(parts_of(chunks))
    assert b"".join(parts) == whole
    assert [len(part) for part in parts[:-1]] == [PIECE] * (len(parts) - 1)
    assert len(parts[-1]) <= PIECE
    assert parts[-1] or len(parts) == 1 or not whole[len(parts) * PIECE :]


def test_ten_thousand_parts_hold_the_largest_object():
    assert sum(part_size(number) for number in range(10_000)) > 5 << 40
    assert max(part_size(number) for number in range(10_000)) <= 5 << 30


def test_a_chunk_is_taken_when_it_is_given():
    buffer = bytearray(3)

    def chunks():
        for letter in b"abc":
            buffer[:] = bytes([letter]) * 3
            yield buffer

    assert list(parts_of(chunks())) == [b"aaabbbccc"]


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_small_spool(chunks):
    spool = Spool()
    for chunk in chunks:
        spool.add(chunk)
    assert spool.size == sum(map(len, chunks))
    for _ in range(2):
        assert list(spool.parts()) == [b"".join(chunks)]
    spool.close()


def test_large_spool_lies_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what the variable said at first
    spool = Spool()
    content = bytes(range(256)) * (1 << 14)
    for _ in range(5):
        spool.add(content)
    assert os.fstat(spool._file).st_size >= len(content)
    if sys.platform == "linux":
        assert os.readlink(f"/proc/self/fd/{spool._file}").startswith(str(tmp_path))
    for _ in range(2):
        assert b"".join(spool.parts()) == content * 5
    spool.close()
    assert list(tmp_path.iterdir()) == []
