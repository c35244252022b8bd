"""The plain view: one line per piece of news, for pipes, files and dumb terminals."""

from __future__ import annotations

import re
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
    TaskQueued,
    TaskStarted,
    harmless,
)
from flow_terminal import wording
from flow_terminal.lines import LineBuffer
from flow_terminal.progress import StepProgress
from flow_terminal.sink import Sink
from flow_terminal.style import Style
from flow_terminal.summary import Commands, summary
from flow_terminal.view import View

MANY = 100
"""A step with more tasks than this is told about by counts, not task by task."""

EVERY = 5.0
"""Seconds between two such counts of one step, or two lines on how far an environment is."""

_NUMBERS = re.compile(r"\d+(?:[.,]\d+)*")
_COMPLETE_EVERY = 1.0
_QUIET_STATES = frozenset({AttemptState.SUCCEEDED, AttemptState.REUSED})


class Plain(View):
    """Lines of ``time [run/step/task (pid N)] text``."""

    def __init__(self, sink: Sink, style: Style, commands: Commands) -> None:
        super().__init__(sink, style, commands)
        self._lines = LineBuffer(style.colour)
        self._told: dict[str, float] = {}
        self._making: dict[tuple[object, ...], tuple[str | None, float]] = {}
        self._second = -1
        self._date = ""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return the method for each type of event that is shown."""
        return {
            EnvironmentProgress: self._environment,
            RunStarted: self._run_started,
            TaskQueued: self._queued,
            TaskStarted: self._started,
            TaskOutput: self._output,
            TaskFinished: self._finished,
            Message: self._message,
            RunFinished: self._run_finished,
        }

    def _say(self, at: float, text: str) -> None:
        self.sink.write(f"{self._stamp(at)} {text}\n")

    def _stamp(self, at: float) -> str:
        second = int(at)
        if second != self._second:  # thousands of lines fall into one second
            self._second = second
            self._date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._date}.{int((at - second) * 1000):03}"

    # --- events ---------------------------------------------------------------------------------

    def _environment(self, event: EnvironmentProgress) -> None:
        if self._is_news(event):
            self._say(event.at, wording.environment(event))

    def _is_news(self, event: EnvironmentProgress) -> bool:
        """Whether it says something else than the line before; how far it is, is told now and then."""
        key = (event.provider, event.lock, event.steps)
        if event.state in wording.ENDED:
            self._making.pop(key, None)
            return bool(wording.environment_end(event))
        words = _NUMBERS.sub("#", event.text)
        known, told = self._making.get(key, (None, 0.0))
        if words == known and event.at - told < EVERY:
            return False
        self._making[key] = (words, event.at)
        return True

    def _run_started(self, event: RunStarted) -> None:
        self._told.clear()
        self._say(event.at, self.style.paint(wording.run_started(event), "bold"))

    def _queued(self, event: TaskQueued) -> None:
        if event.count > 1:
            self._say(event.at, wording.foreach(event))

    def _started(self, event: TaskStarted) -> None:
        step = self.progress.step(event.spec.step)
        if step.total <= MANY or event.spec.attempt:
            text = wording.started(event)
            self._say(event.at, self._prefix(event) + text)

    def _output(self, event: TaskOutput) -> None:
        text = self._lines.feed(event.spec.task, event.stream, event.data)
        if text:
            self._show_output(event, text)

    def _show_output(self, event: TaskOutput | TaskFinished, text: str) -> None:
        head = f"{self._stamp(event.at)} {self._prefix(event)}"
        if self.style.colour and "\x1b" in text:
            text = text.replace("\n", "\x1b[0m\n") + "\x1b[0m"
        self.sink.write(f"{head}{text.replace(chr(10), chr(10) + head)}\n")

    def _finished(self, event: TaskFinished) -> None:
        for _, rest in self._lines.flush(event.spec.task):
            self._show_output(event, rest)
        step = self.progress.step(event.spec.step)
        state = event.manifest.state
        if step.total <= MANY or state not in _QUIET_STATES:
            text = self.style.paint(wording.finished(event), _COLOURS[state])
            self._say(event.at, self._prefix(event) + text)
        if step.total > MANY:
            self._count(step, event.at)
        for note in event.notes:
            self._say(event.at, f"{self._prefix(event)}Note: {wording.one_line(note)}")

    def _count(self, step: StepProgress, at: float) -> None:
        """Tell how far a big step is: now and then, and when one of its foreaches is complete."""
        since = at - self._told.setdefault(step.name, at)
        complete = step.done == step.total and step.biggest > MANY
        # Inner foreaches may be many, and each of them short.
        only = step.total == step.biggest
        if since >= EVERY or (complete and (only or since >= _COMPLETE_EVERY)):
            self._told[step.name] = at
            assert self.progress.run is not None
            self._say(at, f"[{self.progress.run.run}/{step.name}] {wording.tally(step)}")

    def _message(self, event: Message) -> None:
        colour = {"warning": "yellow", "error": "red"}.get(event.level, "dim")
        self._say(event.at or time.time(), self.style.paint(harmless(event.text, False), colour))

    def _run_finished(self, event: RunFinished) -> None:
        self.print(summary(self.progress, event, self.style, self.commands))

    def _prefix(self, event: TaskStarted | TaskOutput | TaskFinished) -> str:
        text = wording.prefix(event.spec, event.pid)
        if not self.style.colour:
            return text
        return self.style.paint(text, self.style.step(self.progress.step(event.spec.step).position))


_COLOURS = {
    AttemptState.SUCCEEDED: "dim",
    AttemptState.REUSED: "dim",
    AttemptState.CAUGHT: "yellow",
    AttemptState.FAILED: "red",
    AttemptState.CANCELLED: "yellow",
}
