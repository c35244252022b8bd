"""The filter: nothing hidden gets through, however the stream is cut."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_secrets.stream_filter import MASK, Filter

LETTERS = st.text("ab", min_size=1, max_size=5).map(str.encode)
STREAMS = st.lists(st.text("abc\n", max_size=8).map(str.encode), max_size=12)


def filtered(hidden, parts):
    one = Filter(hidden)
    return [one.feed(part) for part in parts] + [one.end()]


@settings(max_examples=500)
@given(st.lists(LETTERS, min_size=1, max_size=4), STREAMS)
def test_nothing_hidden_gets_through_and_cutting_changes_nothing(hidden, parts):
    whole = b"".join(filtered(hidden, [b"".join(parts)]))
    assert b"".join(filtered(hidden, parts)) == whole
    assert not [text for text in hidden if text in whole]


@settings(max_examples=500)
@given(st.lists(LETTERS, min_size=1, max_size=4), STREAMS)
def test_what_is_not_hidden_stays(hidden, parts):
    """As if each byte that belongs to a hidden text were taken out, runs of them marked."""
    stream = b"".join(parts)
    covered = set()
    starts = set()
    for text in hidden:
        for match in re.finditer(b"(?=" + re.escape(text) + b")", stream):
            covered.update(range(match.start(), match.start() + len(text)))
            starts.add(match.start())
    kept = bytes(byte for n, byte in enumerate(stream) if n not in covered)
    shown = b"".join(filtered(hidden, parts))
    assert shown.replace(MASK, b"") == kept
    assert shown.count(MASK) <= len(starts)


@given(st.binary(max_size=200))
def test_a_stream_without_secrets_passes_at_once(stream):
    one = Filter([b"\xff\xfe\xfd\xfc"])
    if b"\xff" not in stream:
        assert one.feed(stream) == stream


def test_over_two_writes():
    one = Filter([b"hunter22"])
    assert one.feed(b"password: hunt") == b"password: "
    assert one.feed(b"er22\n") == b"***\n"
    assert one.feed(b"hunt") == b""
    assert one.feed(b"ing") == b"hunting"
    assert one.feed(b"hun") + one.end() == b"hun"


def test_overlapping_ones_leave_nothing_behind():
    assert filtered([b"abcd", b"abcdefgh", b"ghij"], [b"abcd", b"efghij!"]) == [b"", b"***!", b""]
