"""The hooks: which view is chosen, and that a run outlives its reader."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import (
    Message,
    PluginIndex,
    RunState,
    Session,
    Settings,
    SettingsError,
    installed,
)
from flow_terminal.failures import Failures
from flow_terminal.listener import choose_view
from flow_terminal.live import Live
from flow_terminal.plain import Plain
from flow_terminal.plugin import NAME
from flow_terminal.sink import Sink
from flow_terminal.style import Style

FLOW = """
from flow_core import FlowSpec, step

class NumbersFlow(FlowSpec):
    @step
    def start(self):
        print("a line of output\\n" * 20_000)
        self.items = [1, 2, 3]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        if self.input == FAILS:
            raise KeyError("title")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        open("ended", "w").close()

if __name__ == "__main__":
    NumbersFlow()
"""


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def session(**environment: str) -> Session:
    """Return a session with nothing but the terminal plugin."""
    index = PluginIndex(e for e in installed().entry_points if e.plugin == "terminal")
    made = Session(settings=Settings(environment), index=index)
    assert made.plugins.implemented("flow_session_started")
    return made


@pytest.mark.parametrize(
    ("environment", "terminal", "view", "colour"),
    [
        ({"TERM": "xterm"}, True, Live, True),
        ({"TERM": "xterm"}, False, Plain, False),
        ({"TERM": "dumb"}, True, Plain, False),
        ({}, True, Plain, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, Live, False),
        ({"TERM": "xterm", "FLOW_TERMINAL_PROGRESS": "plain"}, True, Plain, True),
        ({"FLOW_TERMINAL_PROGRESS": "live"}, False, Live, False),
        ({"TERM": "xterm", "FLOW_TERMINAL_QUIET": "1"}, True, Failures, True),
        ({"FLOW_TERMINAL_PROGRESS": "off"}, False, type(None), False),
    ],
)
def test_choice_of_view(
    environment: dict[str, str], terminal: bool, view: type[Any], colour: bool
) -> None:
    chosen = choose_view(session(**environment), Stream(terminal))
    assert type(chosen) is view
    if chosen is not None:
        assert chosen.style.colour is colour


def test_wrong_setting() -> None:
    with pytest.raises(SettingsError, match="one of: auto, plain, live, off"):
        choose_view(session(FLOW_TERMINAL_PROGRESS="loud"))


def test_listens_for_as_long_as_the_session_lasts() -> None:
    made = session(FLOW_TERMINAL_PROGRESS="plain")
    assert not made.plugins.implemented("flow_event")
    made.start()
    assert made.plugins.implemented("flow_event")
    made.close()
    assert made.plugins.manager.get_plugin(NAME) is None
    assert not made.plugins.implemented("flow_event")


def test_kernel_without_it_is_silent() -> None:
    made = Session(index=PluginIndex([]))
    made.start()
    made.close()


def test_quiet_tells_failures_only(make_screen: Any) -> None:
    screen = make_screen(Failures, Style(colour=False))
    screen.feed.start()
    screen.feed.output("work", 2, b"hello\n")
    screen.feed.end()
    assert screen.text == ""
    screen.feed.fail("work", 3)
    screen.view.handle(Message("by the way", "warning", 0.0))
    screen.feed.end(RunState.FAILED, "x")
    assert screen.text.startswith("Failed: MoviesFlow/12")
    assert "12/work/3 (movies[3]): KeyError: 'title'" in screen.text


# --- streams that go away -------------------------------------------------------------------------


def test_sink_gives_up_when_the_reader_is_gone() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        sink = Sink(stream)
        sink.write("hello\n")
        assert sink.broken
        sink.write("hello\n")  # and nothing more is tried
    # Leaving the block flushed what was pending without an error: the descriptor is replaced.


def test_sink_on_a_closed_stream_and_on_plain_text() -> None:
    closed = io.StringIO()
    closed.close()
    sink = Sink(closed)
    sink.write("x")
    assert sink.broken
    text = io.StringIO()
    Sink(text).write("日本")
    assert text.getvalue() == "日本"


def run_flow(folder: Path, script: str, fails: int = 0, **environment: str) -> Any:
    """Run the flow under a shell ``script`` in which ``$RUN`` is the command."""
    (folder / "numbers_flow.py").write_text(FLOW.replace("FAILS", str(fails)))
    own = {k: v for k, v in os.environ.items() if not k.startswith("FLOW_")}
    own |= {"RUN": f"{sys.executable} numbers_flow.py run", "HOME": str(folder), **environment}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_run_goes_on_when_the_reader_is_gone(tmp_path: Path) -> None:
    done = run_flow(tmp_path, "$RUN | head -n 3; echo status ${PIPESTATUS[0]}")
    assert len(done.stdout.splitlines()) == 4
    assert done.stdout.endswith("status 0\n")
    assert done.stderr == ""
    assert (tmp_path / "ended").exists()


def test_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    done = run_flow(tmp_path, "$RUN >/dev/full")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "ended").exists()


def test_failed_run_says_what_to_type(tmp_path: Path) -> None:
    done = run_flow(tmp_path, "$RUN", fails=2)
    assert done.returncode == 1
    assert "\nFailed: NumbersFlow/1 after " in done.stdout
    assert "  1/work/3 (items[1]): KeyError: 'title'\n" in done.stdout
    assert "numbers_flow.py:14, in work\n" in done.stdout
    assert "    its log: python numbers_flow.py logs NumbersFlow/1/work/3\n" in done.stdout
    assert "  go on:     python numbers_flow.py resume --origin-run-id 1\n" in done.stdout


def test_settings_reach_the_run(tmp_path: Path) -> None:
    assert run_flow(tmp_path, "$RUN", FLOW_TERMINAL_PROGRESS="off").stdout == ""
    assert run_flow(tmp_path, "$RUN", FLOW_TERMINAL_QUIET="1").stdout == ""


def test_speed_of_silent_tasks(make_screen: Any) -> None:
    for kind, more in ((Plain, {}), (Live, {"ticking": False})):
        screen = make_screen(kind, Style(colour=False), **more)
        screen.feed.start()
        screen.feed.queue("work", 10_000)
        before = time.perf_counter()
        for task in range(10_000):
            screen.feed.launch("work", task)
            screen.feed.finish("work", task)
        seconds = time.perf_counter() - before
        # 30 µs for each event would be 0.6 s; making the events costs some of it.
        assert seconds < 1.5, f"{kind.__name__}: {seconds:.2f} s"
