"""The lines of a run in the form that scripts know: ``<time> [run/step/task (pid N)] text``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from flow_core.api import (
    AttemptState,
    Event,
    Message,
    RunFinished,
    RunStarted,
    RunState,
    Session,
    TaskFinished,
    TaskOutput,
    TaskStarted,
    harmless,
    hookimpl,
)

_NEWLINE = b"\n"


def wanted(session: Session) -> bool:
    """Whether the lines are to be written: in a pipe, unless another form, or none, was asked for."""
    if not session.interactive:
        return False
    declared = {s.name for s in session.settings.declared()}
    if "terminal_progress" in declared and session.settings["terminal_progress"] != "auto":
        return False
    return not sys.stdout.isatty()


class Lines:
    """Writes what happens in a run to standard output. Registered for one session."""

    def __init__(self) -> None:
        self._rest: dict[tuple[int, str], bytes] = {}

    @hookimpl
    def flow_event(self, event: Event) -> None:
        """Write the lines of one event."""
        if isinstance(event, TaskOutput):
            self._output(event)
        elif isinstance(event, TaskStarted):
            self._say(event, _started(event))
        elif isinstance(event, TaskFinished):
            self._finished(event)
        elif isinstance(event, RunStarted):
            self._run_started(event)
        elif isinstance(event, RunFinished):
            self._run_finished(event)
        elif isinstance(event, Message):
            self._write(event.at or time.time(), harmless(event.text, False))

    def _run_started(self, event: RunStarted) -> None:
        self._write(event.at, f"Workflow starting (run-id {event.run.run}):")
        if event.run.origin:
            self._write(event.at, f"Cloning {event.run.origin}")

    def _run_finished(self, event: RunFinished) -> None:
        if event.result.state is RunState.SUCCEEDED:
            self._write(event.at, "Done!")
        elif event.result.state is RunState.INTERRUPTED:
            self._write(event.at, "Workflow interrupted.")
        else:
            self._write(event.at, "Workflow failed.")
            _tell_failures(event.result.failed)

    def _finished(self, event: TaskFinished) -> None:
        for stream in ("stdout", "stderr"):
            rest = self._rest.pop((event.spec.task, stream), b"")
            if rest:
                self._say(event, rest.decode(errors="replace"))
        for text in _finished(event):
            self._say(event, text)
        for note in event.notes:
            self._say(event, harmless(note, False))

    def _output(self, event: TaskOutput) -> None:
        key = (event.spec.task, event.stream)
        *lines, rest = (self._rest.pop(key, b"") + event.data).split(_NEWLINE)
        for line in lines:
            self._say(event, line.decode(errors="replace").rstrip("\r"))
        if rest:
            self._rest[key] = rest

    def _say(self, event: Any, text: str) -> None:
        spec = event.spec
        process = f" (pid {event.pid})" if event.pid else ""
        self._write(event.at, f"[{spec.run}/{spec.step}/{spec.task}{process}] {text}")

    def _write(self, at: float, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
        sys.stdout.write(f"{stamp}.{int(at % 1 * 1000):03} {text}\n")
        sys.stdout.flush()


def _tell_failures(pathspecs: Iterable[str]) -> None:
    """Name the tasks that failed on standard error, in front of what flow-core says of them."""
    for pathspec in pathspecs:
        _, _, step, task = pathspec.split("/")
        sys.stderr.write(f"    Step failure:\n    Step {step} (task-id {task}) failed.\n")
    sys.stderr.flush()


def _started(event: TaskStarted) -> str:
    if event.spec.fallback:
        return "Task fallback is starting to handle the failure."
    return "Task is starting (retry)." if event.spec.attempt else "Task is starting."


def _finished(event: TaskFinished) -> list[str]:
    manifest = event.manifest
    if manifest.state is AttemptState.REUSED:
        _, run, step, task, _ = (manifest.origin or "////").split("/")
        return [f"Cloning previously run task {run}/{step}/{task}"]
    if manifest.ok:
        return [*_foreach(manifest.transition), "Task finished successfully."]
    if event.retry_in is not None:
        return ["Task failed.", f"Task will be tried again in {event.retry_in:g} s."]
    return ["Task failed."]


def _foreach(transition: Any) -> list[str]:
    count = getattr(transition, "count", None)
    return [f"Foreach yields {count} child steps."] if count is not None else []
