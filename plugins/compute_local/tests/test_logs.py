"""Logs are shown while they grow, and kept within bounds."""

import pytest

from flow_compute_local.logs import CHUNK, Log, Window, objects_of
from flow_core.api import AttemptLogs
from flow_core.testing import MemoryStore


@pytest.fixture
def logs(tmp_path):
    return tuple(Log(name, str(tmp_path / name), stored=False) for name in ("stdout", "stderr"))


def write(log, data):
    with open(log.path, "ab") as file:
        file.write(data)


def test_what_is_new_is_shown_once(logs):
    window = Window(1000)
    assert list(window.take(logs)) == []
    write(logs[0], b"one")
    assert list(window.take(logs)) == [("stdout", b"one")]
    write(logs[0], b"two")
    write(logs[1], b"error")
    assert list(window.take(logs)) == [("stdout", b"two"), ("stderr", b"error")]
    assert list(window.take(logs)) == []


def test_chunks_are_small(logs):
    write(logs[0], b"x" * (3 * CHUNK + 1))
    sizes = [len(data) for _, data in Window(10**9).take(logs)]
    assert sizes == [CHUNK, CHUNK, CHUNK, 1]


def test_nothing_is_shown_beyond_the_limit(logs):
    window = Window(10)
    write(logs[0], b"0123456789")
    assert [stream for stream, _ in window.take(logs)] == ["stdout"]
    write(logs[1], b"more")
    ((stream, notice),) = window.take(logs)
    assert stream == "stderr"
    assert b"--max-log-size" in notice
    write(logs[1], b"more")
    assert list(window.take(logs)) == []


def test_a_log_is_brought_to_the_store(logs):
    store = MemoryStore()
    write(logs[0], b"text")
    for log in logs:
        store.write(log.objects(100))
        log.close()
    assert list(store.read(["stdout", "stderr"])) == [b"text", None]
    assert [log.size() for log in logs] == [0, 0]


def test_short_logs_are_one_object_where_each_costs_a_request(logs):
    store = MemoryStore()
    assert objects_of(logs, "p/", 100) == []
    write(logs[0], b"text")
    logs[0].note(12.0)
    write(logs[1], b"error")
    store.write(objects_of(logs, "p/", 100))
    assert store.folders("p/") == ["logs"]
    found = AttemptLogs(store, "p/")
    assert [found.read(stream) for stream in ("stdout", "stderr")] == [b"text", b"error"]
    assert (found.times("stdout"), found.times("stderr")) == ([(4, 12.0)], [])


@pytest.mark.parametrize(("limit", "stored"), [(3, False), (100, True)])
def test_long_logs_and_those_of_the_store_lie_apart(tmp_path, limit, stored):
    logs = tuple(
        Log(n, str(tmp_path / n), stored=n == "stdout" and stored) for n in ("stdout", "stderr")
    )
    write(logs[0], b"text")
    write(logs[1], b"error")
    assert "stderr" in [key for key, _ in objects_of(logs, "", limit)]


def test_a_long_log_loses_its_middle(logs):
    store = MemoryStore()
    write(logs[0], b"a" * 1_000_000 + b"b" * 8_000_000 + b"c" * 1_000_000)
    store.write(logs[0].objects(2_000_000))
    (kept,) = store.read(["stdout"])
    first, note, last = kept.split(b"\n")
    assert (first, last) == (b"a" * 1_000_000, b"c" * 1_000_000)
    assert note == b"[flow: 8.0 MB of output left out here; --max-log-size raises the limit]"


def test_times_are_kept_coarser_when_there_are_many(logs, monkeypatch):
    monkeypatch.setattr("flow_compute_local.logs._MOST_TIMES", 4)
    for number in range(1, 12):
        write(logs[0], b"x")
        logs[0].note(float(number))
        logs[0].note(float(number) + 0.5)  # nothing new
    times = logs[0].times
    assert len(times) <= 4
    assert times == sorted(times)
    assert times[-1] == (11, 11.0)
    assert all(size == at for size, at in times)
