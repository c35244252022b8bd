"""What is told of a transfer, and when nothing is."""

import re

import pytest

from flow_core.api import current
from flow_files import progress
from flow_files.progress import Meter, size_text


@pytest.fixture
def clock(monkeypatch):
    """Let time pass as the test says."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def transfer(clock, **options):
    with Meter("downloading", "downloaded", 4, 400, **options) as meter:
        for _ in range(4):
            clock.now += 0.5
            meter.add(100)
            meter.item()


def test_on_a_terminal(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    transfer(clock)
    drawn = capsys.readouterr().err.split("\r\x1b[K")
    assert drawn[1] == (
        "downloading 1 of 4 files  [##########..........]  200 B of 400 B  200 B/s  1.0 s left"
    )
    assert drawn[-1] == "downloaded 4 files, 400 B in 2.0 s (200 B/s)\n"


def test_in_a_pipe(clock, capsys):
    transfer(clock)
    assert capsys.readouterr().err == "downloaded 4 files, 400 B in 2.0 s (200 B/s)\n"


def test_a_short_one_is_not_told(clock, capsys):
    with Meter("downloading", "downloaded") as meter:
        clock.now += 0.9
        meter.item(5)
    assert capsys.readouterr().err == ""


def test_nothing_when_it_is_not_wanted(clock, capsys, monkeypatch):
    transfer(clock, shown=False)
    transfer(clock, summary=False)
    monkeypatch.setenv("FLOW_QUIET", "1")
    transfer(clock)
    assert capsys.readouterr().err == ""


def test_in_a_task_only_long_ones(clock, capsys):
    current.begin({"flow_name": "F"})
    try:
        transfer(clock)
        assert capsys.readouterr().err == ""
        with Meter("downloading", "downloaded") as meter:
            clock.now += 11
            meter.item(2_000_000)
    finally:
        current.end()
    assert re.fullmatch(r"downloaded 1 file, 2.0 MB in 11.0 s .*\n", capsys.readouterr().err)


def test_a_failed_one_has_no_summary(clock, capsys):
    def fail():
        with Meter("downloading", "downloaded") as meter:
            clock.now += 5
            meter.item(1)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert capsys.readouterr().err == ""


def test_sizes():
    sizes = [0, 999, 1000, 9940, 12_345_678, 5e12]
    assert [size_text(n) for n in sizes] == ["0 B", "999 B", "1.0 kB", "9.9 kB", "12 MB", "5.0 TB"]
