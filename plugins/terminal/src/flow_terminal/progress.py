"""Progress: how far each step of a run is. The model behind every view; it draws nothing.

It holds counts per step and the attempts that run now, never a record per finished task.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flow_core.api import (
    AttemptState,
    Failure,
    RunFinished,
    RunRecord,
    RunResult,
    RunStarted,
    TaskFinished,
    TaskQueued,
    TaskSpec,
    TaskStarted,
)

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


class StepProgress:
    """Counts of one step.

    Attributes:
        position: place among the steps of the run.
        total: tasks that were queued so far.
        biggest: tasks of the biggest foreach that was queued.
        done: tasks that came to an end of any kind.
        failed, caught, reused, cancelled: how many of them ended otherwise than well.
        retried: attempts that failed and are followed by another one.
        running: attempts that run now.
        started, finished: seconds since the epoch: first start, latest end.
        cpu_seconds: of all attempts together.
        peak_memory: bytes, of the attempt that needed most.
    """

    __slots__ = (
        "biggest",
        "cancelled",
        "caught",
        "cpu_seconds",
        "done",
        "failed",
        "finished",
        "name",
        "peak_memory",
        "position",
        "retried",
        "reused",
        "running",
        "started",
        "total",
    )

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self.total = self.biggest = self.done = self.running = 0
        self.failed = self.caught = self.reused = self.cancelled = self.retried = 0
        self.started: float | None = None
        self.finished: float | None = None
        self.cpu_seconds = 0.0
        self.peak_memory = 0

    @property
    def state(self) -> str:
        """One of `WAITING`, `RUNNING`, `DONE`, `FAILED`."""
        if self.failed or self.cancelled:
            return FAILED
        if not self.total:
            return WAITING
        return DONE if self.done >= self.total and not self.running else RUNNING

    def seconds(self, now: float) -> float | None:
        """Wall time from the first start to the latest end, or to ``now`` while tasks run."""
        if self.started is None:
            return None
        end = now if self.running or self.finished is None else self.finished
        return max(0.0, end - self.started)

    def begin(self, at: float) -> None:
        """Count an attempt that starts."""
        self.running += 1
        if self.started is None or at < self.started:
            self.started = at

    def end(self, event: TaskFinished) -> None:
        """Count an attempt that ended."""
        manifest = event.manifest
        if self.started is None or manifest.started < self.started:
            self.started = manifest.started
        if self.finished is None or manifest.finished > self.finished:
            self.finished = manifest.finished
        self.cpu_seconds += manifest.cpu_seconds
        if manifest.state is AttemptState.REUSED:
            self.reused += 1  # its memory was used in another run
        elif manifest.peak_memory > self.peak_memory:
            self.peak_memory = manifest.peak_memory
        if event.retry_in is None:
            self._settle(manifest.state)
        elif not event.fallback:
            self.retried += 1

    def _settle(self, state: AttemptState) -> None:
        self.done += 1
        if state is AttemptState.FAILED:
            self.failed += 1
        elif state is AttemptState.CAUGHT:
            self.caught += 1
        elif state is AttemptState.CANCELLED:
            self.cancelled += 1


class Progress:
    """The state of a run, kept up to date by `update`.

    Attributes:
        run: the run, or None before it starts.
        steps: step name → `StepProgress`, in topological order.
        running: (task, attempt) of the attempts that run now.
        failures: the tasks that failed for good, with the reason.
        result: how the run ended, or None before.
        seconds: wall time of the finished run.
    """

    def __init__(self) -> None:
        self.run: RunRecord | None = None
        self.steps: dict[str, StepProgress] = {}
        self.running: set[tuple[int, int]] = set()
        self.failures: list[tuple[TaskSpec, Failure]] = []
        self.result: RunResult | None = None
        self.started = 0.0
        self.seconds = 0.0
        self._updates: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            TaskQueued: self._queued,
            TaskStarted: self._started,
            TaskFinished: self._finished,
            RunFinished: self._run_finished,
        }

    @property
    def pathspec(self) -> str:
        """``Flow/run`` of the run, ``''`` before it starts."""
        return self.run.pathspec if self.run else ""

    def update(self, event: Any) -> None:
        """Take an event into account; events that change no count are ignored."""
        change = self._updates.get(type(event))
        if change is not None:
            change(event)

    def step(self, name: str) -> StepProgress:
        """Return the counts of a step."""
        found = self.steps.get(name)
        if found is None:  # a step that `RunStarted` did not tell: show it all the same
            found = self.steps[name] = StepProgress(name, len(self.steps))
        return found

    def _run_started(self, event: RunStarted) -> None:
        # One session may run a flow more than once.
        self.running.clear()
        self.failures.clear()
        self.result = None
        self.run = event.run
        self.started = event.at
        self.steps = {name: StepProgress(name, n) for n, name in enumerate(event.steps)}

    def _queued(self, event: TaskQueued) -> None:
        step = self.step(event.step)
        step.total += event.count
        step.biggest = max(step.biggest, event.count)

    def _started(self, event: TaskStarted) -> None:
        spec = event.spec
        self.running.add((spec.task, spec.attempt))
        self.step(spec.step).begin(event.at)

    def _finished(self, event: TaskFinished) -> None:
        spec, manifest = event.spec, event.manifest
        step = self.step(spec.step)
        key = (spec.task, spec.attempt)
        if key in self.running:  # what is reused, or cannot be launched, never started
            self.running.remove(key)
            step.running -= 1
        step.end(event)
        if event.retry_in is None and manifest.state is AttemptState.FAILED:
            unknown = Failure("exit", "", "it failed without saying why")
            self.failures.append((spec, manifest.failure or unknown))

    def _run_finished(self, event: RunFinished) -> None:
        self.result = event.result
        self.seconds = event.seconds
