"""The plain view, by feeding events and comparing text."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flow_core.api import AttemptState, EnvironmentProgress, Failure, Message, RunState
from flow_terminal.plain import Plain
from flow_terminal.style import Style

_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ", re.MULTILINE)


@pytest.fixture
def screen(make_screen: Any) -> Any:
    """A plain view in a pipe."""
    return make_screen(Plain, Style(colour=False))


def said(screen: Any) -> str:
    """What was written, without the times, up to the summary."""
    text = _STAMP.sub("", screen.text)
    return text.partition("\n\nstep ")[0]


def test_every_line_begins_with_the_time(screen: Any) -> None:
    screen.feed.start()
    screen.feed.at += 1.25
    screen.feed.output("start", 1, b"one\ntwo\n")
    assert len(screen.lines()) == 3
    assert all(_STAMP.match(line) for line in screen.lines())
    assert screen.lines()[1][19:24] == ".250 "


def test_a_small_run_task_by_task(screen: Any) -> None:
    feed = screen.feed
    feed.start(origin="MoviesFlow/11")
    feed.queue("start")
    feed.finish("start", 1, state=AttemptState.REUSED, origin="MoviesFlow/11/start/1/0")
    feed.queue("work", 3)
    feed.launch("work", 2)
    feed.output("work", 2, b"half a")
    feed.output("work", 2, b" line\nand the rest")
    feed.at += 0.5
    feed.finish("work", 2, notes=("2 processes were left behind",))
    feed.launch("work", 3)
    feed.fail("work", 3, retry_in=5.0)
    feed.launch("work", 3, 1)
    feed.fail("work", 3, 1, retry_in=0.0)
    feed.launch("work", 3, 2)
    feed.fail("work", 3, 2, retry_in=0.0, fallback=True)
    feed.launch("work", 3, 3, fallback=True)
    feed.finish("work", 3, 3, AttemptState.CAUGHT)
    feed.end()
    assert said(screen).splitlines() == [
        "MoviesFlow/12 starts, user ada, resumes MoviesFlow/11",
        "[12/start/1 (pid 77)] Task is reused from MoviesFlow/11/start/1/0",
        "[12/work] foreach yields 3 tasks",
        "[12/work/2 (pid 77)] Task is starting",
        "[12/work/2 (pid 77)] half a line",
        "[12/work/2 (pid 77)] and the rest",
        "[12/work/2 (pid 77)] Task finished successfully in 0.5 s",
        "[12/work/2 (pid 77)] Note: 2 processes were left behind",
        "[12/work/3 (pid 77)] Task is starting",
        "[12/work/3 (pid 77)] Task failed after 0 ms and will be tried again in 5 s: KeyError: 'title'",
        "[12/work/3 (pid 77)] Task is starting (retry 1)",
        "[12/work/3 (pid 77)] Task failed after 0 ms and will be tried again: KeyError: 'title'",
        "[12/work/3 (pid 77)] Task is starting (retry 2)",
        "[12/work/3 (pid 77)] Task failed after 0 ms, and the failure will be handled: KeyError: 'title'",
        "[12/work/3 (pid 77)] Task failed in every attempt; its failure is being handled",
        "[12/work/3 (pid 77)] Task failed after 0 ms, and the failure was caught: it did not say why",
    ]


def test_messages(screen: Any) -> None:
    screen.view.handle(Message("take care", "warning", 0.0))
    assert said(screen) == "take care\n"


def test_environments_are_told_by_what_is_new(screen: Any) -> None:
    def tell(state: str, at: float, text: str = "", part: float | None = None) -> None:
        lock = "" if state.startswith("resol") else "1a2b3c4d5e6f"
        screen.view.handle(EnvironmentProgress("venv", ("train",), state, text, part, lock, at))

    tell("resolving", 1.0)
    tell("resolved", 2.0)
    tell("building", 3.0)
    for number in range(100):
        tell("building", 4 + number / 10, f"fetching {number} of 100 packages", number / 100)
    tell("building", 14.0, "installing", 1.0)
    tell("ready", 15.0)
    tell("failed", 16.0, "given up")
    tell("failed", 17.0)
    assert said(screen).splitlines() == [
        "Environment venv of train: resolving",
        "Environment venv 1a2b3c4d of train: building",
        "Environment venv 1a2b3c4d of train: fetching 0 of 100 packages (0%)",
        "Environment venv 1a2b3c4d of train: fetching 50 of 100 packages (50%)",
        "Environment venv 1a2b3c4d of train: installing (100%)",
        "Environment venv 1a2b3c4d of train: ready",
        "Environment venv 1a2b3c4d of train: failed",
    ]


def test_big_foreach_is_told_by_counts(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("work", 10_000)
    for task in range(10_000):
        feed.at += 1 / 512
        feed.launch("work", task)
        feed.finish("work", task)
    lines = said(screen).splitlines()
    assert lines == [
        "MoviesFlow/12 starts, user ada",
        "[12/work] foreach yields 10,000 tasks",
        "[12/work] 2,561 of 10,000 tasks done",
        "[12/work] 5,121 of 10,000 tasks done",
        "[12/work] 7,681 of 10,000 tasks done",
        "[12/work] 10,000 of 10,000 tasks done",
    ]


def test_big_foreach_tells_output_and_failures(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("work", 1000)
    feed.launch("work", 2)
    feed.output("work", 2, b"hello\n")
    feed.finish("work", 2)
    feed.launch("work", 3)
    feed.fail("work", 3, retry_in=1.0)
    feed.launch("work", 3, 1)
    feed.fail("work", 3, 1)
    assert said(screen).splitlines()[2:] == [
        "[12/work/2 (pid 77)] hello",
        "[12/work/3 (pid 77)] Task failed after 0 ms and will be tried again in 1 s: KeyError: 'title'",
        "[12/work/3 (pid 77)] Task is starting (retry 1)",
        "[12/work/3 (pid 77)] Task failed after 0 ms: KeyError: 'title'",
    ]


def test_failures_notes_and_messages_do_not_command_the_terminal(screen: Any) -> None:
    evil = "a \x1b]0;title\x07\x1b[2Jb"
    feed = screen.feed
    feed.start()
    feed.launch("start", 1)
    failure = Failure("error", "ValueError", evil, f'  File "{evil}", line 1, in f\n')
    feed.finish("start", 1, state=AttemptState.FAILED, failure=failure, notes=(evil,))
    screen.view.handle(Message(evil, "warning", feed.at))
    feed.end(RunState.FAILED, evil)
    assert "\x1b" not in screen.text
    assert screen.text.count("a b") == 5


def test_many_small_inner_foreaches_do_not_flood(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    for batch in range(50):
        feed.queue("work", 10)
        for task in range(10):
            feed.at += 0.001
            feed.launch("work", 10 * batch + task)
            feed.finish("work", 10 * batch + task)
    assert len([line for line in screen.lines() if "Task" in line]) <= 2 * 100


def test_colours_of_tasks_are_removed_in_a_pipe(screen: Any) -> None:
    screen.feed.start()
    screen.feed.output("work", 2, b"\x1b[31mred\x1b[0m\x1b[2J\n")
    assert said(screen).endswith("[12/work/2 (pid 77)] red\n")
    assert "\x1b" not in screen.text


def test_a_poor_encoding_does_not_end_the_run(make_screen: Any) -> None:
    screen = make_screen(Plain, Style(False, "ascii"), "ascii")
    screen.feed.start()
    screen.feed.queue("work")
    screen.feed.launch("work", 2)
    screen.feed.output("work", 2, "naïve 日本\n".encode())
    screen.feed.at += 1
    screen.feed.finish("work", 2)
    screen.feed.end()
    assert "na?ve ??" in screen.text
    assert "===" in screen.text


# --- the summary ----------------------------------------------------------------------------------


def test_summary_of_a_good_run(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("start")
    feed.launch("start", 1)
    feed.at += 1
    feed.finish("start", 1)
    feed.queue("work", 2)
    for task in (2, 3):
        feed.launch("work", task)
    feed.at += 3
    feed.finish("work", 2)
    feed.finish("work", 3, peak_memory=1_200_000_000, cpu_seconds=90)
    feed.end()
    summary = screen.text[screen.text.index("\n\n") + 2 :]
    assert summary.splitlines() == [
        "step     tasks        time         CPU   memory",
        "start        1       1.0 s       0.5 s    45 MB  ━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌",
        "work         2       3.0 s  1 min 30 s   1.2 GB  ╌╌╌╌╌╌━━━━━━━━━━━━━━━━━━",
        "",
        "Done: MoviesFlow/12 in 4.0 s",
    ]


def test_summary_of_a_failed_run_says_what_to_type(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("work", 2)
    feed.launch("work", 3)
    feed.at += 2
    feed.fail("work", 3)
    feed.end(RunState.FAILED, "step 'work': 'title'")
    text = screen.text[screen.text.index("\n\n") + 2 :]
    assert "1 failed" in text
    assert text.endswith(
        "\n\n"
        "Failed: MoviesFlow/12 after 2.0 s\n"
        "  12/work/3 (movies[3]): KeyError: 'title'\n"
        "    where:   movies.py:12, in work\n"
        "    its log: python movies.py logs MoviesFlow/12/work/3\n"
        "  go on:     python movies.py resume --origin-run-id 12\n"
    )


def test_an_attempt_that_asks_for_more_memory_says_so(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("work")
    notes = {"resources": {"memory": 8000.0}}
    starved, gone = Failure("out-of-memory", "", "too big"), Failure("lost", "", "gone")
    feed.launch("work", 3, 1, previous=starved, notes=notes)
    feed.launch("work", 3, 2, previous=gone, notes=notes)
    assert said(screen).splitlines()[-2:] == [
        "[12/work/3 (pid 77)] Task is starting (retry 1, 8,000 MB of memory)",
        "[12/work/3 (pid 77)] Task is starting (retry 2)",
    ]


def test_the_hint_of_a_failure_is_shown_with_it(screen: Any) -> None:
    feed = screen.feed
    feed.start()
    feed.queue("work")
    feed.launch("work", 3)
    gone = Failure("evicted", "", "low on memory", hint="@resources(memory=8000)")
    feed.fail("work", 3, failure=gone)
    feed.end(RunState.FAILED, "low on memory")
    assert (
        "  12/work/3 (movies[3]): low on memory\n"
        "    try:     @resources(memory=8000)\n"
        "    its log: python movies.py logs MoviesFlow/12/work/3\n"
    ) in screen.text


def test_summary_of_an_interrupted_run(screen: Any) -> None:
    screen.feed.start()
    screen.feed.queue("work")
    screen.feed.launch("work", 2)
    screen.feed.finish("work", 2, state=AttemptState.CANCELLED)
    screen.feed.end(RunState.INTERRUPTED, "interrupted by a signal (Ctrl-C)")
    assert "1 cancelled" in screen.text
    assert "Interrupted: MoviesFlow/12 after 0 ms\n" in screen.text
    assert screen.text.endswith("resume --origin-run-id 12\n")


def test_failure_without_a_task(screen: Any) -> None:
    screen.feed.start()
    screen.feed.end(RunState.FAILED, "the store is full")
    assert "Failed: MoviesFlow/12 after 0 ms\n  the store is full\n" in screen.text


def test_many_failures_are_cut(screen: Any) -> None:
    screen.feed.start()
    screen.feed.queue("work", 30)
    for task in range(30):
        screen.feed.fail("work", task)
    screen.feed.end(RunState.FAILED, "x")
    assert screen.text.count("its log:") == 10
    assert "… and 20 more" in screen.text
