"""The verdict on the end of a process."""

import signal
from types import SimpleNamespace

import pytest

from flow_compute_local import attempts
from flow_compute_local.attempts import OomWatch, ServedAttempt, judge

USAGE = SimpleNamespace(ru_utime=1.0, ru_stime=0.5, ru_maxrss=2048)


def ended(status, **known):
    return judge(status, USAGE, **{"cancelled": False, "out_of_memory": False, **known})


def test_exit_status():
    end = ended(3 << 8)
    assert (end.code, end.signal, end.cause) == (3, None, "exit")
    assert end.message == (
        "the process ended by itself with exit status 3 before the step was finished"
        " (os._exit, or a crash of the interpreter)"
    )
    assert (end.cpu_seconds, end.peak_memory) == (1.5, 2048 * attempts._MAXRSS_UNIT)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            signal.SIGSEGV,
            "killed by SIGSEGV: the process crashed, often in C code",
        ),
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGTERM, "killed by SIGTERM"),
    ],
)
def test_signals(number, message):
    end = ended(int(number))
    assert (end.code, end.signal, end.cause, end.message) == (None, number, "killed", message)


def test_out_of_memory():
    end = ended(int(signal.SIGKILL), out_of_memory=True)
    assert (end.cause, end.message) == ("out-of-memory", "killed for want of memory (SIGKILL)")


def test_cancelled_whatever_the_end():
    assert ended(int(signal.SIGKILL), cancelled=True).cause == "cancelled"
    assert ended(0, cancelled=True).cause == "cancelled"


def test_a_kill_for_memory_counts_for_two_samples(monkeypatch):
    count = 5
    monkeypatch.setattr(attempts, "read_oom_count", lambda: count)
    watch = OomWatch()
    assert not watch.happened()
    count = 6
    assert watch.happened()
    watch.tick()
    assert watch.happened()
    watch.tick()
    assert not watch.happened()


def test_counters_are_readable():
    assert attempts.read_oom_count() >= 0


def test_notes_on_what_was_left():
    attempt = ServedAttempt(1, "mark", "1.0 start", ("out", "err"))
    assert attempt.notes() == []
    attempt.left = {5: "5 (sleep 1)"}
    assert attempt.notes() == ["1 child process was left behind and was ended: 5 (sleep 1)"]
    attempt.left[6] = "6 (sleep 2)"
    assert attempt.notes() == [
        "2 child processes were left behind and were ended: 5 (sleep 1), 6 (sleep 2)"
    ]


def test_memory_that_was_used_up_is_evidence(monkeypatch):
    monkeypatch.setattr(attempts, "memory_limit", lambda: 1000)
    assert attempts.used_up(950)
    assert not attempts.used_up(500)
    monkeypatch.setattr(attempts, "memory_limit", lambda: None)
    assert not attempts.used_up(10**15)


def test_the_smallest_limit_counts(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.events").write_text("low 0\noom_kill 3\n")
    monkeypatch.setattr(attempts, "_memory_folders", lambda: (str(tmp_path),))
    machine = attempts.memory_limit()
    before = attempts.read_oom_count()
    (tmp_path / "memory.max").write_text("4096\n")
    (tmp_path / "memory.events").write_text("low 0\noom_kill 4\n")
    assert attempts.memory_limit() == 4096
    assert machine is None or machine > 4096
    assert attempts.read_oom_count() >= before + 1
