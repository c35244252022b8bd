"""Messages: what is known of an event, and the text in which a person reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from flow_core.api import AttemptState, RunRecord, RunResult, TaskFinished

RUN_EVENTS = ("run_started", "run_succeeded", "run_failed", "run_interrupted")
TASK_EVENTS = ("task_failed", "task_retried", "task_caught")

FIELDS = (
    "event",
    "flow",
    "run",
    "user",
    "host",
    "tags",
    "at",
    "seconds",
    "message",
    "failed",
    "step",
    "task",
    "attempt",
    "retry_in",
)
"""What a message in the form ``json`` has beside its ``text``, and a template may name."""

_SIGNS = {"run_succeeded": ":white_check_mark:", "run_failed": ":x:", "task_failed": ":x:"}


class Notice(NamedTuple):
    """Something to tell.

    Attributes:
        event: one of `RUN_EVENTS` and `TASK_EVENTS`.
        text: one sentence for people.
        data: a value for each of `FIELDS`; None for what the event does not have.
    """

    event: str
    text: str
    data: Mapping[str, Any]


def of_start(run: RunRecord) -> Notice:
    """Return what is told of a run that starts."""
    text = f"{run.pathspec} started: {run.user} on {run.host}"
    return _notice("run_started", run, text, run.created_at)


def of_run(run: RunRecord, result: RunResult) -> Notice:
    """Return what is told of a run that ended."""
    seconds = round(max(0.0, result.finished_at - run.created_at), 3)
    text = f"{run.pathspec} {result.state.value} after {_duration(seconds)}"
    if result.failed:
        more = len(result.failed) - 1
        where = result.failed[0].removeprefix(f"{run.pathspec}/")
        text += f" in {where}" + (f" and {more} more" if more else "")
    return _notice(
        f"run_{result.state.value}",
        run,
        f"{text}: {result.message}" if result.message else text,
        result.finished_at,
        seconds=seconds,
        message=result.message,
        failed=list(result.failed),
    )


def of_task(run: RunRecord, event: TaskFinished) -> Notice:
    """Return what is told of an attempt that failed."""
    failure, spec = event.manifest.failure, event.spec
    message = failure.summary if failure else ""
    if event.manifest.state is AttemptState.CAUGHT:
        name, what = "task_caught", "failed, and the flow goes on"
    elif event.retry_in is not None:
        name, what = "task_retried", f"failed, next attempt in {_duration(event.retry_in)}"
    else:
        name, what = "task_failed", "failed"
    return _notice(
        name,
        run,
        f"{spec.pathspec} {what}: {message}",
        event.at,
        seconds=round(event.manifest.finished - event.manifest.started, 3),
        message=message,
        step=spec.step,
        task=spec.task,
        attempt=spec.attempt,
        retry_in=event.retry_in,
    )


def _notice(event: str, run: RunRecord, text: str, at: float, **data: Any) -> Notice:
    known = {
        "event": event,
        "flow": run.flow,
        "run": run.run,
        "user": run.user,
        "host": run.host,
        "tags": [*run.tags],
        "at": datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds"),
        **data,
    }
    return Notice(event, text, {name: known.get(name) for name in FIELDS})


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


class Writer:
    """Turns notices into the bodies of requests.

    Args:
        form: ``json`` or ``slack``.
        template: of the text, with names of `FIELDS`; ``""`` = the notice's own.
    """

    def __init__(self, form: str, template: str) -> None:
        self._form = form
        self._template = template

    def write(self, notice: Notice) -> bytes:
        """Return a body, JSON in UTF-8."""
        text = notice.text
        if self._template:
            shown = {name: _shown(value) for name, value in notice.data.items()}
            text = self._template.format_map(shown)
        if self._form == "slack":
            sign = _SIGNS.get(notice.event)
            text = _for_slack(text)
            return json.dumps({"text": f"{sign} {text}" if sign else text}).encode()
        return json.dumps({"text": text, **notice.data}).encode()


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _for_slack(text: str) -> str:
    """Slack reads these three as links and mentions: nobody's message is to call a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
