"""Events made by hand, and streams to show them on."""

from __future__ import annotations

import io
from typing import Any

import pytest

from flow_core.api import (
    AttemptState,
    Failure,
    ForeachFrame,
    Manifest,
    RunFinished,
    RunRecord,
    RunResult,
    RunStarted,
    RunState,
    TaskFinished,
    TaskOutput,
    TaskQueued,
    TaskSpec,
    TaskStarted,
)
from flow_terminal.sink import Sink
from flow_terminal.style import Style

T0 = 1_000_000_000.0
RUN = RunRecord("MoviesFlow", "12", RunState.RUNNING, T0, user="ada")


class Feed:
    """Makes the events of run MoviesFlow/12 at the time ``at``, and gives them to a view."""

    def __init__(self, view: Any = None) -> None:
        self.view = view
        self.at = T0
        self._started: dict[tuple[int, int], float] = {}

    def _send(self, event: Any) -> None:
        self.view.handle(event)

    def start(self, *steps: str, origin: str | None = None) -> None:
        self._send(RunStarted(RUN._replace(origin=origin), steps or ("start", "work", "end"), T0))

    def queue(self, step: str, count: int = 1) -> None:
        self._send(TaskQueued("MoviesFlow", "12", step, count, self.at))

    def spec(self, step: str, task: int, attempt: int = 0, **more: Any) -> TaskSpec:
        return TaskSpec("MoviesFlow", "12", step, task, attempt, **more)

    def launch(self, step: str, task: int, attempt: int = 0, **more: Any) -> None:
        self._started[task, attempt] = self.at
        self._send(TaskStarted(self.spec(step, task, attempt, **more), "77", self.at))

    def output(self, step: str, task: int, data: bytes, stream: str = "stdout") -> None:
        self._send(TaskOutput(self.spec(step, task), "77", stream, data, self.at))

    def finish(
        self,
        step: str,
        task: int,
        attempt: int = 0,
        state: AttemptState = AttemptState.SUCCEEDED,
        retry_in: float | None = None,
        notes: tuple[str, ...] = (),
        fallback: bool = False,
        **manifest: Any,
    ) -> None:
        frames = (ForeachFrame("start", 1, 0, "movies", task, 10),) if step == "work" else ()
        made = Manifest(
            *("MoviesFlow", "12", step, task, attempt, state),
            started=self._started.get((task, attempt), self.at),
            finished=self.at,
            **{"cpu_seconds": 0.5, "peak_memory": 45_000_000, **manifest},
        )
        spec = self.spec(step, task, attempt, foreach=frames)
        self._send(TaskFinished(spec, "77", made, retry_in, self.at, notes, fallback))

    def fail(self, step: str, task: int, attempt: int = 0, **more: Any) -> None:
        failure = Failure(
            "error",
            "KeyError",
            "'title'",
            "Traceback (most recent call last):\n"
            '  File "movies.py", line 12, in work\n    row["title"]\nKeyError: \'title\'\n',
        )
        more = {"failure": failure, **more}
        self.finish(step, task, attempt, AttemptState.FAILED, **more)

    def end(self, state: RunState = RunState.SUCCEEDED, message: str = "") -> None:
        result = RunResult("MoviesFlow", "12", state, self.at, message)
        self._send(RunFinished(RUN, result, self.at - T0, self.at))


def commands(name: str, arguments: str) -> str:
    """How a person types a command."""
    return f"python movies.py {name} {arguments}"


class Screen:
    """A view on a stream in memory."""

    def __init__(self, kind: type[Any], style: Style, encoding: str = "utf-8", **more: Any) -> None:
        self.raw = io.BytesIO()
        stream = io.TextIOWrapper(self.raw, encoding=encoding, write_through=True)
        self.stream = stream
        self.view = kind(Sink(stream), style, commands, **more)
        self.feed = Feed(self.view)

    @property
    def text(self) -> str:
        return self.raw.getvalue().decode(self.stream.encoding)

    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def make_screen() -> type[Screen]:
    """The class `Screen`: test modules cannot import from each other."""
    return Screen


@pytest.fixture
def make_feed() -> type[Feed]:
    """The class `Feed`."""
    return Feed
