"""Wording: what is said of the events of a run, the same in every view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flow_core.api import (
    AttemptState,
    EnvironmentProgress,
    RunFinished,
    RunStarted,
    RunState,
    TaskFinished,
    TaskQueued,
    TaskSpec,
    TaskStarted,
    duration,
    harmless,
)
from flow_terminal.progress import StepProgress
from flow_terminal.quantities import plural

ENDED = ("resolved", "ready", "failed")
"""States of environments in which nothing more is told of them."""

_STEPS = 3  # so many are named


def prefix(spec: TaskSpec, pid: str) -> str:
    """``[run/step/task (pid N)] ``: stands before everything that concerns one task.

    One on another machine is told by a text, not a number: ``4711_3 on node1``.
    """
    process = f" ({'pid ' if pid.isdigit() else ''}{pid})" if pid else ""
    return f"[{spec.run}/{spec.step}/{spec.task}{process}] "


def run_started(event: RunStarted) -> str:
    """``MoviesFlow/12 starts, user ada, resumes MoviesFlow/11``."""
    run = event.run
    user = f", user {run.user}" if run.user else ""
    origin = f", resumes {run.origin}" if run.origin else ""
    return f"{run.pathspec} starts{user}{origin}"


def environment(event: EnvironmentProgress, seconds: float | None = None) -> str:
    """``Environment venv 1a2b3c4d of train: fetching 3 packages (40 %)``; ``seconds`` is how long it
    took, where it is ready."""
    news = event.text or event.state
    part = f" ({event.part:.0%})" if event.part is not None and event.state not in ENDED else ""
    took = f" after {duration(seconds)}" if seconds is not None else ""
    name = environment_name(event)
    return f"Environment {name}: {one_line(news)}{part}{took}"


def environment_end(event: EnvironmentProgress) -> str:
    """Return the style in which the end of an environment is told; ``''`` = it is not told."""
    if event.state == "failed":
        return "" if event.text else "red"  # what was given up, was so for another one
    return "dim" if event.state == "ready" else ""


def environment_name(event: EnvironmentProgress) -> str:
    """``venv 1a2b3c4d of train``; without a lock, as long as there is none."""
    name = f"{event.provider} {event.lock[:8]}".rstrip()
    return f"{name} of {_names(event.steps)}" if event.steps else name


def _names(steps: Sequence[str]) -> str:
    shown = ", ".join(steps[:_STEPS])
    return shown if len(steps) <= _STEPS else f"{shown} and {len(steps) - _STEPS} more"


def foreach(event: TaskQueued) -> str:
    """``[12/work] foreach yields 3,200 tasks``, or ``a gang of 4 tasks starts together``."""
    if event.gang:
        return f"[{event.run}/{event.step}] a gang of {plural(event.count, 'task')} starts together"
    return f"[{event.run}/{event.step}] foreach yields {plural(event.count, 'task')}"


def started(event: TaskStarted) -> str:
    """``Task is starting``, with the attempt where it is not the first, and with the memory that it
    asks for where the attempt before had too little."""
    spec = event.spec
    if spec.fallback:
        return "Task failed in every attempt; its failure is being handled"
    if "adopts" in spec.notes:
        return f"Task still runs as {spec.notes['adopts']}"
    if not spec.attempt:
        return "Task is starting"
    memory = spec.notes.get("resources", {}).get("memory")
    starved = spec.previous is not None and spec.previous.cause == "out-of-memory"
    asked = f", {memory:,.0f} MB of memory" if memory and starved else ""
    return f"Task is starting (retry {spec.attempt}{asked})"


def finished(event: TaskFinished) -> str:
    """Say how an attempt ended, and what follows, in one line."""
    manifest = event.manifest
    took = duration(manifest.finished - manifest.started)
    if manifest.state is AttemptState.SUCCEEDED:
        again = "" if event.retry_in is None else ", but its gang will be tried again"
        return f"Task finished successfully in {took}{again}"
    if manifest.state is AttemptState.REUSED:
        return f"Task is reused from {manifest.origin}"
    if manifest.state is AttemptState.CAUGHT:
        return f"Task failed after {took}, and the failure was caught: {reason(manifest)}"
    if manifest.state is AttemptState.CANCELLED:
        why = f": {reason(manifest)}" if event.spec.gang else ""
        return f"Task was cancelled after {took}{_next_attempt(event)}{why}"
    return f"Task failed after {took}{_next_attempt(event)}: {reason(manifest)}"


def _next_attempt(event: TaskFinished) -> str:
    seconds = event.retry_in
    if seconds is None:
        return ""
    if event.fallback:
        return ", and the failure will be handled"
    return f" and will be tried again in {seconds:g} s" if seconds else " and will be tried again"


def reason(manifest: Any) -> str:
    """Why an attempt failed, in one line."""
    failure = manifest.failure
    return one_line(failure.summary) if failure else "it did not say why"


def one_line(text: str, limit: int = 500) -> str:
    """Return ``text`` with newlines shown as blanks, cut to ``limit`` characters, and harmless:
    an exception may carry what a terminal would obey."""
    joined = " ".join(harmless(text[: 2 * limit], False).split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def run_finished(event: RunFinished) -> str:
    """``Done: MoviesFlow/12 in 3.2 s``, or that it failed or was interrupted."""
    took = duration(event.seconds)
    pathspec = event.run.pathspec
    if event.result.state is RunState.SUCCEEDED:
        return f"Done: {pathspec} in {took}"
    word = "Interrupted" if event.result.state is RunState.INTERRUPTED else "Failed"
    return f"{word}: {pathspec} after {took}"


def tally(step: StepProgress) -> str:
    """``3,200 of 10,000 tasks done, 8 running, 2 retried``."""
    parts = [f"{step.done:,} of {plural(step.total, 'task')} done"]
    if step.running:
        parts.append(f"{step.running:,} running")
    return ", ".join([*parts, *exceptions(step)])


def exceptions(step: StepProgress) -> list[str]:
    """Return what went otherwise than well in a step: ``["2 retried", "1 failed"]``."""
    counts = {
        "failed": step.failed,
        "cancelled": step.cancelled,
        "retried": step.retried,
        "caught": step.caught,
        "reused": step.reused,
    }
    return [f"{count:,} {word}" for word, count in counts.items() if count]


def place(failure: Any) -> str:
    """Return ``file.py:12, in work`` of the innermost frame of a failure, ``''`` if unknown."""
    for line in reversed(failure.traceback.splitlines()):
        head, found, rest = line.partition('File "')
        if found and not head.strip():
            file, _, tail = rest.partition('", line ')
            number, _, function = tail.partition(", in ")
            return one_line(f"{file}:{number}" + (f", in {function}" if function else ""))
    return ""
