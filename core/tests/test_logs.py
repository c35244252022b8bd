"""The logs of an attempt, however they lie in the store."""

from __future__ import annotations

import pytest

from flow_core.api import (
    AttemptLogs,
    FormatError,
    IntegrityError,
    encode_times,
    joined_logs,
    times_key,
)
from flow_core.testing import MemoryStore

TIMES = {"stdout": [(4, 10.5), (8, 11.25)], "stderr": []}
TEXTS = {"stdout": b"one\ntwo\n", "stderr": b"\xff\n"}


@pytest.fixture(params=["joined", "apart"])
def logs(request: pytest.FixtureRequest) -> AttemptLogs:
    store = MemoryStore()
    if request.param == "joined":
        both = {stream: (TEXTS[stream], TIMES[stream]) for stream in TEXTS}
        store.write([joined_logs("p/", both)])
    else:
        store.write([(f"p/{stream}", text) for stream, text in TEXTS.items()])
        store.write([(times_key("p/stdout"), encode_times(TIMES["stdout"]))])
    return AttemptLogs(store, "p/")


def test_both_forms_say_the_same(logs: AttemptLogs) -> None:
    for stream, text in TEXTS.items():
        assert logs.size(stream) == len(text)
        assert logs.read(stream) == text
        assert logs.read(stream, 1) == text[1:]
        assert logs.read(stream, 1, 3) == text[1:4]
        assert logs.read(stream, 100, 3) == b""
        assert logs.times(stream) == TIMES[stream]


def test_one_can_be_replaced(logs: AttemptLogs) -> None:
    logs.replace("stdout", b"gone")
    for seen in (logs, AttemptLogs(logs._store, "p/")):
        assert seen.read("stdout") == b"gone"
        assert not seen.times("stdout")
        assert seen.read("stderr") == TEXTS["stderr"]


def test_nothing_was_written() -> None:
    logs = AttemptLogs(MemoryStore(), "p/").load()
    assert (logs.size("stdout"), logs.read("stderr"), logs.times("stdout")) == (0, b"", [])
    only = MemoryStore()
    only.write([joined_logs("p/", {"stderr": (b"x", ())})])
    assert (AttemptLogs(only, "p/").size("stdout"), AttemptLogs(only, "p/").read("stderr")) == (
        0,
        b"x",
    )


@pytest.mark.parametrize(
    "content", [b"", b"no json\nx", b"[]\n", b'{"logs":{"stdout":3}}\n', b"\xff"]
)
def test_damage_is_told(content: bytes) -> None:
    store = MemoryStore()
    store.write([("p/logs", content)])
    with pytest.raises(IntegrityError, match="logs of a task are damaged") as told:
        AttemptLogs(store, "p/").read("stdout")
    assert told.value.where == "p/logs"


def test_a_newer_format_is_told() -> None:
    store = MemoryStore()
    store.write([("p/logs", b'{"format":99,"logs":{}}\n')])
    with pytest.raises(FormatError, match="format 99"):
        AttemptLogs(store, "p/").read("stdout")
