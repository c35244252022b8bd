"""The attempts of a run on other machines, as the launcher knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from signal import Signals
from typing import Any

from flow_core.api import Exited, Manifest, TaskCommand, TaskSpec
from flow_remote.backend import Ended
from flow_remote.ending import Ending, prefix_of

_MARK = "FLOW-BOOT-FAILED "
_LAST_LINES = 20


class Attempt:
    """One attempt: what few things must be kept of each while it waits and runs."""

    __slots__ = (
        "cancelled",
        "command",
        "handle",
        "id",
        "member",
        "name",
        "over",
        "pause",
        "piece",
        "running",
        "shown",
        "task",
    )

    def __init__(self, handle: int, task: TaskSpec, command: TaskCommand, name: str) -> None:
        self.handle = handle
        self.task = task
        self.command = command
        self.name = name  # of its job
        self.member = 0  # which of the job's tasks
        self.id: str | None = None  # of its job, once the cluster has it
        self.running = False
        self.cancelled = False
        self.over = False
        self.piece = 0  # the next piece of its logs
        self.pause = 0.0  # seconds until one looks for it, or submits it, again
        self.shown = [0, 0]  # bytes of stdout and stderr that people have seen

    @property
    def prefix(self) -> str:
        """The `attempt_prefix`."""
        return prefix_of(self.task)


def exited(
    attempt: Attempt, news: Ended, ending: Ending | None, manifest: Manifest | None, at: float
) -> Exited:
    """Return what the scheduler is told of an attempt that has ended.

    Args:
        attempt: the attempt.
        news: what the cluster says.
        ending: what its supervisor has written; None = it could not.
        manifest: what the task has committed; None = nothing.
        at: when the launcher heard of it: its clock counts.
    """
    cause, message, hint = _why(attempt, news, ending)
    code, signal = (news.code, news.signal) if ending is None else (ending.code, ending.signal)
    notes = [] if ending is not None or manifest is not None else _last_lines(news.log)
    return Exited(
        attempt.handle,
        code,
        signal,
        cause,
        message,
        at,
        ending.cpu_seconds if ending is not None else 0.0,
        ending.peak_memory if ending is not None else 0,
        tuple(notes),
        manifest,
        hint,
    )


def _why(attempt: Attempt, news: Ended, ending: Ending | None) -> tuple[str, str, str]:
    """Return cause, message and hint."""
    if attempt.cancelled:
        return "cancelled", "", ""
    told = boot_failure((news.message, *news.log.splitlines()))
    if told is not None:
        return "launch", _sentence(told), told.get("hint", "")
    # A cluster that ended the task knows better than the task why.
    if news.cause and (ending is None or ending.asked or ending.signal is not None):
        return news.cause, news.message, news.hint
    if ending is not None:
        return ending.cause, ending.message or _end_of(ending.code, ending.signal), ending.hint
    if news.code is not None or news.signal is not None:
        message = news.message or _end_of(news.code, news.signal)
        return ("killed" if news.signal is not None else "exit"), message, news.hint
    return "lost", news.message or "nothing is known of how it ended", news.hint


def _end_of(code: int | None, signal: int | None) -> str:
    """Return how a process ended, as a sentence."""
    if signal is None:
        return f"the process ended with exit status {code} before the step was finished"
    try:
        name = Signals(signal).name
    except ValueError:
        name = f"signal {signal}"
    return f"the process was killed by {name}"


def boot_failure(lines: Iterable[str]) -> Mapping[str, Any] | None:
    """Return what the bootstrap has told of why it could not begin: see `flow_remote.boot`."""
    import json

    for line in lines:
        _, mark, text = line.partition(_MARK)
        if mark:
            try:
                found: dict[str, Any] = json.loads(text)
            except ValueError:  # a log that is cut
                return {"what": text}
            return found
    return None


def _sentence(told: Mapping[str, Any]) -> str:
    where = f" ({told['where']})" if told.get("where") else ""
    why = f": {told['why']}" if told.get("why") else ""
    return f"{told.get('what', '')}{where}{why}"


def _last_lines(log: str) -> list[str]:
    lines = [line for line in log.splitlines() if line.strip() and _MARK not in line]
    return ["the end of its job's own log:", *lines[-_LAST_LINES:]] if lines else []
