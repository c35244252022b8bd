"""Pieces of logs: their form, and that logs are read from them while there are no others."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.api import (
    AttemptLogs,
    IntegrityError,
    LogRecord,
    decode_piece,
    encode_piece,
    joined_logs,
    piece_key,
    pieces_prefix,
)
from flow_core.testing import MemoryStore

PREFIX = "runs/F/1/work/7/0/"

records = st.lists(
    st.builds(
        LogRecord,
        st.sampled_from(["begin", "stdout", "stderr"]),
        st.floats(0, 4e9),
        st.binary(max_size=50),
    )
)


@given(records)
def test_a_piece_holds_its_records(found):
    assert list(decode_piece(encode_piece(found), "key")) == found


@given(records.filter(len), st.data())
def test_of_a_piece_that_is_cut_whole_records_are_believed_at_most(found, data):
    content = encode_piece(found)
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    believed = []
    with suppress(IntegrityError):  # cut between two records it looks whole
        believed.extend(decode_piece(cut, "live/3"))
    assert believed == found[: len(believed)]
    assert len(believed) < len(found)


def test_an_unknown_record_is_an_error():
    with pytest.raises(IntegrityError):
        list(decode_piece(b"\x09" + bytes(12), "key"))


@pytest.fixture
def store():
    store = MemoryStore()
    pieces = [
        [LogRecord("begin", 1.0), LogRecord("stdout", 2.0, b"one\n")],
        [LogRecord("stderr", 3.0, b"oops\n"), LogRecord("stdout", 4.0, b"two\n")],
    ]
    pieces += [[LogRecord("stdout", 5.0, b"%d\n" % number)] for number in range(2, 11)]
    store.write([(piece_key(PREFIX, n), encode_piece(p)) for n, p in enumerate(pieces)])
    return store


def test_a_task_that_still_runs_has_the_logs_that_it_has_told(store):
    logs = AttemptLogs(store, PREFIX)
    numbers = b"".join(b"%d\n" % n for n in range(2, 11))
    assert logs.read("stdout") == b"one\ntwo\n" + numbers  # the tenth piece comes last
    assert logs.read("stdout", 4) == b"two\n" + numbers
    assert logs.read("stdout", 4, 3) == b"two"
    assert logs.size("stderr") == 5
    assert list(logs.times("stdout"))[:2] == [(4, 2.0), (8, 4.0)]


def test_whole_logs_count_where_there_are_some(store):
    store.write([(PREFIX + "stdout", b"whole")])
    logs = AttemptLogs(store, PREFIX)
    assert logs.read("stdout") == b"whole"
    assert logs.size("stdout") == 5
    assert list(logs.times("stdout")) == []
    store.write([joined_logs(PREFIX, {"stdout": (b"both", ())})])
    assert AttemptLogs(store, PREFIX).read("stdout") == b"both"


def test_pieces_lie_below_the_attempt():
    assert piece_key(PREFIX, 3).startswith(pieces_prefix(PREFIX))
    assert pieces_prefix(PREFIX).startswith(PREFIX)
