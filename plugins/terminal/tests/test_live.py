"""The live view, on a small terminal emulator: what a person sees, not which codes are sent."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from flow_core.api import EnvironmentProgress, Message, RunState
from flow_terminal.board import fold
from flow_terminal.live import Live
from flow_terminal.progress import StepProgress
from flow_terminal.style import Style, clip, width

_CODES = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|([^\x1b\n]+)|(\n)")


class Emulator:
    """Interprets what `Live` sends; anything else fails the test."""

    def __init__(self) -> None:
        self.rows = [""]
        self.cursor = True

    def show(self, text: str) -> list[str]:
        for private, number, letter, plain, newline in _CODES.findall(text):
            if private:
                self.cursor = letter == "h"
            elif letter == "F":
                assert self.rows[-1] == ""  # the board always ends with a newline
                self.rows[-1 - int(number) :] = [""]  # an erasure follows
            elif newline:
                self.rows.append("")
            elif plain:
                self.rows[-1] += plain
            else:
                assert letter in "mJ"
        return self.rows


def see(screen: Any) -> list[str]:
    """Return what stands on the terminal now, top to bottom."""
    emulator = Emulator()
    rows = emulator.show(screen.text)
    screen.cursor = emulator.cursor
    return rows[:-1] if not rows[-1] else rows


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def screen(make_screen: Any) -> Any:
    """A live view of 80 columns and 24 rows whose clock goes 0.2 s with each event."""
    clock = Clock()
    screen = make_screen(
        Live, Style(colour=False), clock=clock, size=lambda: screen.size, ticking=False
    )
    screen.size = (80, 24)
    screen.clock = clock
    handle = screen.view.handle

    def handle_and_wait(event: Any) -> None:
        clock.now += 0.2
        handle(event)

    screen.view.handle = handle_and_wait
    return screen


def test_board_stands_below_the_output(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("start")
    feed.launch("start", 1)
    feed.finish("start", 1)
    feed.queue("work", 4)
    feed.launch("work", 2)
    feed.launch("work", 3)
    feed.output("work", 2, b"hello\n")
    feed.finish("work", 2)
    assert see(screen) == [
        "MoviesFlow/12 starts, user ada",
        "[12/work/2 (pid 77)] hello",
        "MoviesFlow/12  1.8 s  2 of at least 5 tasks done, 1 running",
        "✓ start  ━━━━━━━━━━━━━━━━━━━━        1/1        0 ms",
        "● work   ━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌        1/4       1.8 s  1 running",
        "· end",
    ]
    feed.queue("end")
    assert "2 of 6 tasks done" in see(screen)[2]
    assert not screen.cursor


def test_end_replaces_the_board_by_the_summary(screen: Any) -> None:
    screen.feed.start()
    screen.feed.queue("work")
    screen.feed.launch("work", 2)
    screen.feed.output("work", 2, b"no newline")
    screen.feed.finish("work", 2)
    screen.feed.end()
    rows = see(screen)
    assert rows[:2] == ["MoviesFlow/12 starts, user ada", "[12/work/2 (pid 77)] no newline"]
    assert rows[3].startswith("step ")
    assert rows[-1].startswith("Done: MoviesFlow/12 in ")
    assert not any("●" in row or "·" in row for row in rows)
    assert screen.cursor


def test_failures_are_told_at_once(screen: Any) -> None:
    screen.feed.start()
    screen.feed.queue("work", 3)
    screen.feed.launch("work", 2)
    screen.feed.fail("work", 2, retry_in=30.0)
    rows = see(screen)
    assert "tried again in 30 s: KeyError: 'title'" in rows[1]
    assert rows[-2].startswith("↻ work")
    assert rows[-2].endswith("1 retried")
    screen.feed.fail("work", 2, 1)
    assert see(screen)[2] == "[12/work/2 (pid 77)] Task failed after 0 ms: KeyError: 'title'"
    assert see(screen)[-2].startswith("✗ work")
    screen.view.handle(Message("winding down", "warning", 0.0))
    assert see(screen)[3] == "winding down"


def test_close_gives_the_terminal_back(screen: Any) -> None:
    screen.feed.start()
    screen.view.close()
    screen.view.close()
    assert see(screen) == ["MoviesFlow/12 starts, user ada"]
    assert screen.cursor


def test_draws_at_most_ten_times_a_second(screen: Any) -> None:
    screen.feed.start()
    frozen = screen.clock.now
    before = len(screen.text)
    for task in range(1000):
        screen.clock.now = frozen - 0.2  # the fixture adds 0.2 s
        screen.feed.launch("work", task)
    assert len(screen.text) == before


def test_narrow_and_low_terminal(screen: Any) -> None:
    screen.size = (30, 6)
    screen.feed.start(*(f"a_step_with_a_long_name_{n}" for n in range(20)))
    for number in range(10):
        screen.feed.queue(f"a_step_with_a_long_name_{number}")
        screen.feed.launch(f"a_step_with_a_long_name_{number}", number)
        if number < 9:
            screen.feed.finish(f"a_step_with_a_long_name_{number}", number)
    board = see(screen)[-4:]
    assert board[0].startswith("MoviesFlow/12  ")
    assert board[1] == "✓ 9 steps done"
    assert board[2].startswith("● a_step_with_a_long_name_9")
    assert board[3] == "· 10 steps more"
    assert all(width(row) < 30 for row in board)


def test_wrapped_lines_of_a_narrowed_window_are_erased(screen: Any) -> None:
    screen.feed.start()
    assert screen.view._erase() == "\x1b[4F\x1b[J"
    screen.feed.queue("work", 3)  # draws again
    screen.size = (20, 24)
    assert screen.view._erase() == "\x1b[8F\x1b[J"  # head and work need three rows each now


def test_stderr_and_failures_are_coloured(make_screen: Any) -> None:
    screen = make_screen(Live, Style(colour=True), size=lambda: (80, 24), ticking=False)
    screen.feed.start()
    screen.feed.output("work", 2, b"out\n")
    screen.feed.output("work", 2, b"err\nmore\n", "stderr")
    screen.feed.output("work", 2, b"\x1b[32mgreen\n")
    screen.feed.end(RunState.FAILED, "x")
    assert "\x1b[33merr\x1b[0m\n" in screen.text
    assert "\x1b[33mmore\x1b[0m\n" in screen.text
    assert "\x1b[32mgreen\x1b[0m\n" in screen.text
    assert "\x1b[1;31mFailed" in screen.text


def test_times_go_on_while_nothing_happens(make_screen: Any) -> None:
    screen = make_screen(Live, Style(colour=False), size=lambda: (80, 24))
    screen.feed.start()
    screen.feed.launch("work", 2)
    before = len(screen.text)
    deadline = time.monotonic() + 5
    while len(screen.text) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(screen.text) > before
    ticker = screen.view._ticker
    screen.feed.end()
    assert not ticker.is_alive()
    ended = len(screen.text)
    time.sleep(0.3)
    assert len(screen.text) == ended


def progress(state: str, at: float, *steps: str, text: str = "", part: float | None = None) -> Any:
    lock = "1a2b3c4d5e6f" if state in ("building", "ready", "failed") else ""
    return EnvironmentProgress("venv", steps or ("train",), state, text, part, lock, at)


def test_environments_that_are_made(screen: Any) -> None:
    show, now = screen.view.handle, screen.clock.now
    show(progress("resolving", now, text="resolving 3 requirements"))
    assert see(screen) == ["● venv of train  ╌╌╌╌╌╌╌╌╌╌         0.2 s  resolving 3 requirements"]
    assert not screen.cursor
    show(progress("resolved", now + 0.2))
    assert see(screen) == []
    assert screen.cursor
    show(progress("building", now + 0.4, text="fetching 3 packages", part=0.4))
    show(progress("building", now + 0.6, "test", "score"))
    assert see(screen) == [
        "● venv 1a2b3c4d of train        ━━━━╌╌╌╌╌╌   40%   0.4 s  fetching 3 packages",
        "● venv 1a2b3c4d of test, score  ╌╌╌╌╌╌╌╌╌╌         0.2 s  building",
    ]
    show(progress("ready", now + 2.4))
    rows = see(screen)
    assert rows[0] == "Environment venv 1a2b3c4d of train: ready after 2.0 s"
    assert rows[1].startswith("● venv 1a2b3c4d of test, score")
    show(progress("failed", now + 2.6, "test", "score"))
    assert see(screen)[1:] == ["Environment venv 1a2b3c4d of test, score: failed after 2.0 s"]
    assert screen.cursor


def test_environments_that_are_given_up_leave_nothing(screen: Any) -> None:
    show, now = screen.view.handle, screen.clock.now
    show(progress("building", now))
    show(progress("failed", now + 0.5, text="given up"))
    assert see(screen) == []
    show(progress("building", now + 1))
    screen.view.close()
    assert see(screen) == []
    assert screen.cursor


def test_many_environments_on_a_low_terminal(screen: Any) -> None:
    screen.size = (50, 6)
    for number in range(9):
        screen.view.handle(progress("building", screen.clock.now, f"step{number}"))
    rows = see(screen)
    assert [row[:26] for row in rows[:3]] == [f"● venv 1a2b3c4d of step{n}  " for n in range(3)]
    assert rows[3:] == ["· 6 more"]
    assert all(width(row) < 50 for row in rows)


def test_two_runs_of_one_session(make_screen: Any) -> None:
    screen = make_screen(Live, Style(colour=False), size=lambda: (80, 24))
    screen.feed.start()
    screen.feed.queue("work")
    screen.feed.fail("work", 2)
    screen.feed.end(RunState.FAILED, "x")
    screen.feed.start()
    assert screen.view._ticker.is_alive()
    assert not screen.view.progress.failures
    screen.feed.end()
    assert see(screen)[-1] == "Done: MoviesFlow/12 in 0 ms"


# --- parts ----------------------------------------------------------------------------------------


def steps(states: str) -> list[StepProgress]:
    """Make steps from letters: d(one), r(unning), w(aiting), f(ailed)."""
    made = []
    for number, state in enumerate(states):
        step = StepProgress(f"{state}{number}", number)
        step.total = int(state != "w")
        step.done = int(state in "df")
        step.failed = int(state == "f")
        made.append(step)
    return made


@pytest.mark.parametrize(
    ("states", "rows", "expected"),
    [
        ("drw", 3, (0, "d0 r1 w2", 0)),
        ("dddrww", 4, (3, "r3 w4", 1)),
        ("ddddrr", 4, (4, "r4 r5", 0)),
        ("fdddddd", 4, (5, "f0 d6", 0)),
        ("rrrrrrrr", 4, (0, "r0 r1", 6)),
        ("rr", 1, (0, "r0", 1)),
    ],
)
def test_fold(states: str, rows: int, expected: tuple[int, str, int]) -> None:
    before, shown, after = fold(steps(states), rows)
    assert (before, " ".join(step.name for step in shown), after) == expected


def test_widths_of_letters() -> None:
    assert width("日本e\u0301") == 5
    assert clip("日本語", 4) == "日…"
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"
    assert clip("abc", 0) == ""
