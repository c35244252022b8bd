"""Messages survive being cut anywhere."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_compute_local.protocol import Decoder, Ending, encode, receive_one

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(messages=st.lists(st.lists(plain, max_size=4), max_size=5), size=st.integers(1, 40))
def test_any_cut(messages, size):
    stream = b"".join(map(encode, messages))
    decoder = Decoder()
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [m for part in parts for m in decoder.feed(part)] == messages


def test_one_message_and_no_byte_more():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(encode(["a", 1]) + b"rest")
        assert receive_one(ours) == ["a", 1]
        assert ours.recv(100) == b"rest"


def test_end_of_the_connection():
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(encode(["a"])[:-1])
        theirs.close()
        with pytest.raises(EOFError):
            receive_one(ours)


def test_an_ending_arrives_as_it_was():
    ending = Ending(None, 9, "killed", "why", 1.5, 0.25, 4096, ["note"], [1, 2])
    ((_kind, received),) = Decoder().feed(encode(["exited", ending]))
    assert Ending(*received) == ending
