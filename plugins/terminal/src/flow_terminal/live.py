"""The live view: task output scrolls, and below it stands a board of the steps.

The board is drawn again when something happened, at most ten times a second, and by a thread once
a second, since a long quiet step is told by no event. The thread starts with the first environment that
is made, or with the run, after compute providers have forked what they fork, and it only draws.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

from flow_core.api import (
    AttemptState,
    EnvironmentProgress,
    Message,
    RunFinished,
    RunStarted,
    TaskFinished,
    TaskOutput,
    harmless,
)
from flow_terminal import wording
from flow_terminal.board import Board
from flow_terminal.lines import LineBuffer
from flow_terminal.making import Making
from flow_terminal.sink import Sink
from flow_terminal.style import RESET, Style
from flow_terminal.summary import Commands, summary
from flow_terminal.view import View

_DRAW_EVERY = 0.1
_TICK = 0.25
_MUCH = 64 * 1024
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_COLOURS = {"info": "dim", "warning": "yellow", "error": "bold red"}


class Live(View):
    """Output above, a board of the steps below.

    Args:
        clock: seconds since the epoch; tests pass their own.
        size: columns and rows of the terminal, asked anew for each drawing.
        ticking: whether a thread keeps the times going.
    """

    def __init__(
        self,
        sink: Sink,
        style: Style,
        commands: Commands,
        *,
        clock: Callable[[], float] = time.time,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
        ticking: bool = True,
    ) -> None:
        super().__init__(sink, style, commands)
        self._clock = clock
        self._size = size
        self._ticking = ticking
        self._lines = LineBuffer(style.colour)
        self._board = Board(self.progress, style)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None
        self._pending: list[str] = []  # text above the board that is not written yet
        self._pending_size = 0
        self._widths: list[int] = []  # of the lines of the board that stand on the screen
        self._making = Making(style)
        self._drawn_at = 0.0
        self._active = False

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return the method for each type of event that is shown above the board."""
        return {
            EnvironmentProgress: self._environment,
            RunStarted: self._run_started,
            TaskOutput: self._output,
            TaskFinished: self._finished,
            Message: self._message,
            RunFinished: self._run_finished,
        }

    def handle(self, event: Any) -> None:
        """Take in one event; draw unless that was done a moment ago."""
        if isinstance(event, RunFinished):
            self._end_ticker()  # it must not wait for the lock that we hold
        with self._lock:
            super().handle(event)
            if self._draws:
                self._draw_if_due()

    def close(self) -> None:
        """Write what is pending, take the board away and show the cursor again."""
        self._end_ticker()
        with self._lock:
            if self._draws:  # an environment, or a run, that was not finished
                self._active = False
                self._making.clear()
                self.sink.write(self._erase() + self._take_pending() + _SHOW_CURSOR)

    @property
    def _draws(self) -> bool:
        return self._active or bool(self._making)

    # --- events ---------------------------------------------------------------------------------

    def _environment(self, event: EnvironmentProgress) -> None:
        """Show one line for each environment that is being made, and keep those that are ready."""
        began = not self._draws
        seconds = self._making.update(event)
        style = wording.environment_end(event)
        if style:
            self._add(self.style.paint(wording.environment(event, seconds), style))
        if self._draws:
            if began:
                self._begin_to_draw()
        else:
            self.sink.write(self._erase() + self._take_pending() + _SHOW_CURSOR)

    def _run_started(self, event: RunStarted) -> None:
        self._making.clear()
        self.sink.write(self._erase())
        self._active = True
        self._add(self.style.paint(wording.run_started(event), "bold"))
        self._begin_to_draw()

    def _begin_to_draw(self) -> None:
        self.sink.write(_HIDE_CURSOR)
        self._drawn_at = 0.0  # at once
        if self._ticking and self._ticker is None:
            self._stop.clear()
            self._ticker = threading.Thread(target=self._tick, name="flow-terminal", daemon=True)
            self._ticker.start()

    def _output(self, event: TaskOutput) -> None:
        text = self._lines.feed(event.spec.task, event.stream, event.data)
        if text:
            self._add_output(event, event.stream, text)

    def _add_output(self, event: TaskOutput | TaskFinished, stream: str, text: str) -> None:
        head = self._prefix(event)
        start, end = ("\x1b[33m", RESET) if stream == "stderr" and self.style.colour else ("", "")
        if "\x1b" in text:
            end = RESET  # a task that left a colour on must not paint what follows
        self._add(head + start + text.replace("\n", f"{end}\n{head}{start}") + end)

    def _finished(self, event: TaskFinished) -> None:
        for stream, rest in self._lines.flush(event.spec.task):
            self._add_output(event, stream, rest)
        colour = self._news(event)
        if colour:
            self._add(self._prefix(event) + self.style.paint(wording.finished(event), colour))
        for note in event.notes:
            self._add(
                self._prefix(event) + self.style.paint(f"Note: {wording.one_line(note)}", "yellow")
            )

    def _news(self, event: TaskFinished) -> str:
        """Return the style in which an end is told at once; ``''`` when the board is enough."""
        state = event.manifest.state
        if state is AttemptState.FAILED:
            return "bold red" if event.retry_in is None else "red"
        return "yellow" if state is AttemptState.CAUGHT else ""

    def _message(self, event: Message) -> None:
        self._add(self.style.paint(harmless(event.text, False), _COLOURS.get(event.level, "dim")))
        if not self._active:
            self.sink.write(self._take_pending())

    def _run_finished(self, event: RunFinished) -> None:
        self._active = False
        self.sink.write(self._erase() + self._take_pending() + _SHOW_CURSOR)
        columns = self._size()[0]
        self.print(summary(self.progress, event, self.style, self.commands, columns))

    def _prefix(self, event: TaskOutput | TaskFinished) -> str:
        text = wording.prefix(event.spec, event.pid)
        position = self.progress.step(event.spec.step).position
        return self.style.paint(text, self.style.step(position))

    # --- drawing --------------------------------------------------------------------------------

    def _add(self, text: str) -> None:
        self._pending.append(text)
        self._pending_size += len(text)

    def _take_pending(self) -> str:
        text = "".join([f"{line}\n" for line in self._pending])
        self._pending.clear()
        self._pending_size = 0
        return text

    def _draw_if_due(self) -> None:
        now = self._clock()
        if (
            now - self._drawn_at >= _DRAW_EVERY
            or self._pending_size >= _MUCH
            or now < self._drawn_at
        ):
            self._draw(now)

    def _draw(self, now: float) -> None:
        """Write what is pending and draw the board anew, in one write so that nothing flickers."""
        erase = self._erase()
        columns, rows = self._size()
        # The last column is left free: some terminals wrap when it is written to.
        room = max(1, columns - 1), max(1, rows - 2)
        lines = self._making.lines(*room, now)
        if self._active:
            lines += self._board.lines(room[0], max(1, room[1] - len(lines)), now)
        self._widths = [width for _, width in lines]
        board = "".join([f"{text}\n" for text, _ in lines])
        self._drawn_at = now
        self.sink.write(erase + self._take_pending() + board)

    def _erase(self) -> str:
        """Return what takes the board away; a narrowed window has wrapped its lines."""
        columns = max(1, self._size()[0])
        up = sum(max(1, -(-width // columns)) for width in self._widths)
        self._widths = []
        return f"\x1b[{up}F\x1b[J" if up else ""

    # --- the thread -----------------------------------------------------------------------------

    def _tick(self) -> None:
        while not self._stop.wait(_TICK):
            with self._lock:
                due = self._pending or self._clock() - self._drawn_at >= 4 * _TICK
                if self._draws and due:
                    self._draw(self._clock())

    def _end_ticker(self) -> None:
        self._stop.set()
        if self._ticker is not None and self._ticker is not threading.current_thread():
            self._ticker.join(timeout=1.0)
            self._ticker = None
