"""How an attempt on another machine ended, as its supervisor has written it: object ``exit``.

It lies below the attempt's prefix beside the manifest, is written last, and tells what only the
machine of the task knows. Where there is none, the supervisor was killed too, or never began: then
only the cluster can say why.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from flow_core.api import FORMAT, IntegrityError, TaskSpec, attempt_prefix


class Ending(NamedTuple):
    """The content of ``exit``.

    Attributes:
        code: exit status of the task's process; None when a signal ended it, or it never began.
        signal: number of the signal that ended it, or None.
        cause: a `Failure.cause`: ``exit``, ``killed``, ``out-of-memory`` or ``launch``.
        message: one sentence for people; ``""`` = what code and signal say is all.
        hint: what to type next, or ``""``.
        cpu_seconds: user and system time of the task's process and its ended children.
        peak_memory: bytes of resident memory at the peak.
        written: bytes that the task wrote to stdout and stderr.
        asked: whether the supervisor was asked to end the task (SIGTERM).

    Since 0.1.
    """

    code: int | None
    signal: int | None = None
    cause: str = "exit"
    message: str = ""
    hint: str = ""
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    written: tuple[int, int] = (0, 0)
    asked: bool = False

    def encode(self) -> bytes:
        """Return the stored form. Since 0.1."""
        return json.dumps({"format": FORMAT, **self._asdict()}).encode()

    @classmethod
    def decode(cls, content: bytes, key: str) -> Ending:
        """Undo `encode`; ``key`` names the place in errors.

        Raises:
            IntegrityError: it is something else.

        Since 0.1.
        """
        try:
            data: dict[str, Any] = json.loads(content)
            return cls(**{name: data[name] for name in cls._fields})
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                "What a task has left of how it ended is damaged", where=key
            ) from None


def prefix_of(task: TaskSpec) -> str:
    """Return the `attempt_prefix` of an attempt."""
    return attempt_prefix(task.flow, task.run, task.step, task.task, task.attempt)


def ending_key(task: TaskSpec) -> str:
    """Return the key of the `Ending` of an attempt. Since 0.1."""
    return prefix_of(task) + "exit"
