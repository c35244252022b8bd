"""What a task writes: kept within bounds, shown in pieces, whole in the end."""

import os
import time

import pytest
from watching import wait_for

from flow_core.api import AttemptLogs, decode_piece, piece_key, tell_begin
from flow_core.testing import FaultyStore, MemoryStore
from flow_remote.output import KeptLog, Output

PREFIX = "runs/F/1/work/7/0/"


def _patiently(write):
    return write()


class TestKeptLog:
    def test_a_short_one_is_kept_whole(self):
        log = KeptLog(100)
        log.add(b"one\n", 1.0)
        log.add(b"two\n", 2.0)
        assert log.content() == b"one\ntwo\n"
        assert log.times == [(4, 1.0), (8, 2.0)]

    @pytest.mark.parametrize("piece", [1, 7, 100, 5000])
    def test_of_a_long_one_the_ends_are_kept(self, piece):
        log = KeptLog(1000)
        content = os.urandom(200_000)
        for start in range(0, len(content), piece):
            log.add(content[start : start + piece], 1.0)
        head, note, tail = log.content()[:500], log.content()[501:-501], log.content()[-500:]
        assert (head, tail) == (content[:500], content[-500:])
        assert note.startswith(b"[flow: 0.2 MB of output left out here")
        assert log.times == []  # they would mislead

    def test_at_the_limit_nothing_is_lost(self):
        for size in (999, 1000, 1001, 1499):
            log = KeptLog(1000)
            log.add(b"x" * 600, 1.0)
            log.add(b"y" * (size - 600), 1.0)
            if size <= 1000:
                assert log.content() == b"x" * 600 + b"y" * (size - 600)
            else:
                assert log.is_cut

    def test_memory_is_bounded(self):
        log = KeptLog(1000)
        for _ in range(2000):
            log.add(b"z" * 65536, time.time())
        assert len(log._head) + len(log._tail) < 200_000
        for _ in range(3000):
            log.add(b"z", time.time())
        assert len(log._times) <= 2000


class Task:
    """A task whose streams a test holds."""

    def __init__(self, store, limit=100_000):
        out, err, begin = os.pipe(), os.pipe(), os.pipe()
        self.out, self.err, self.begin = out[1], err[1], begin[1]
        self.output = Output(store, PREFIX, limit, _patiently)
        self.output.follow((out[0], err[0]), begin[0])

    def end(self):
        for descriptor in (self.out, self.err):
            os.close(descriptor)
        tell_begin(self.begin)
        self.output.finish(5.0)


@pytest.fixture
def store():
    return MemoryStore()


def _records(store):
    found = []
    number = 0
    while (content := next(iter(store.read([piece_key(PREFIX, number)])))) is not None:
        found += decode_piece(content, str(number))
        number += 1
    return found


def test_what_is_written_can_be_seen_while_the_task_runs(store, capfd):
    task = Task(store)
    os.write(task.out, b"one\n")
    wait_for(lambda: _records(store))
    os.write(task.err, b"oops\n")
    wait_for(lambda: len(_records(store)) == 2)
    assert [(r.kind, r.data) for r in _records(store)] == [
        ("stdout", b"one\n"),
        ("stderr", b"oops\n"),
    ]
    task.end()
    assert AttemptLogs(store, PREFIX).read("stdout") == b"one\n"
    assert task.output.written == (4, 5)
    assert len(AttemptLogs(store, PREFIX).times("stderr")) == 1
    task.output.clear_pieces()
    assert _records(store) == []
    assert capfd.readouterr() == ("one\n", "oops\n")  # for who looks at the job's own log


def test_the_begin_of_the_body_is_among_the_pieces(store):
    task = Task(store)
    os.write(task.begin, b".")
    wait_for(lambda: [r.kind for r in _records(store)] == ["begin"])
    task.end()


def test_a_quiet_task_leaves_nothing(store):
    Task(store).end()
    assert list(store.list(PREFIX)) == []


def test_more_than_the_limit_is_kept_by_its_ends_and_told(store):
    task = Task(store, limit=10_000)
    for _ in range(30):
        os.write(task.out, b"x" * 1000)
    wait_for(lambda: b"writes more than is shown" in b"".join(r.data for r in _records(store)))
    shown = sum(len(r.data) for r in _records(store) if r.kind == "stdout")
    assert shown == 10_000
    task.end()
    content = AttemptLogs(store, PREFIX).read("stdout")
    assert content.startswith(b"x" * 5000 + b"\n[flow: ")
    assert len(content) < 10_200


def test_pieces_wait_for_a_store_that_is_away(store, monkeypatch):
    monkeypatch.setattr("flow_remote.output._LONGEST", 0.3)
    faulty = FaultyStore(store)
    task = Task(faulty)
    faulty.fail("write", "*", times=1)
    os.write(task.out, b"one\n")
    wait_for(lambda: faulty.count("write"))
    os.write(task.out, b"two\n")
    wait_for(lambda: b"".join(r.data for r in _records(store)) == b"one\ntwo\n")
    assert faulty.count("write", piece_key(PREFIX, 0)) == 2
    task.end()
    assert AttemptLogs(store, PREFIX).read("stdout") == b"one\ntwo\n"


def test_a_process_left_behind_does_not_keep_the_task(store):
    task = Task(store)
    os.write(task.out, b"one\n")
    kept = os.dup(task.out)
    tell_begin(task.begin)
    os.close(task.out)
    os.close(task.err)
    began = time.monotonic()
    task.output.finish(0.5)
    assert time.monotonic() - began < 5
    assert AttemptLogs(store, PREFIX).read("stdout") == b"one\n"
    os.close(kept)
