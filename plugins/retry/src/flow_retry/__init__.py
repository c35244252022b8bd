"""flow-retry: try a failed step again (``@retry``)."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from flow_core.api import CAUSES, DefinitionError, Options, StepDecorator, near_misses, option

_MEMORY = ("out-of-memory", "MemoryError", "Exception", "BaseException")
"""What of `on` covers a step that ran out of memory."""

What = str | type[BaseException] | Sequence[str | type[BaseException]]


@dataclass(frozen=True)
class RetryOptions(Options):
    """Try a failed step again, in a new process.

    ``current.retry_count`` tells which attempt runs. What an earlier attempt set is not seen.
    With ``memory_factor`` an attempt after one that ran out of memory asks for more of it.
    Since 0.1.
    """

    times: int = option(3, "How often to try again after the first attempt.")
    delay: float = option(0.0, "Seconds before the first new attempt.")
    backoff: float = option(1.0, "Factor by which the delay grows with each further attempt.")
    max_delay: float | None = option(None, "Seconds that the delay grows to at most.")
    jitter: float = option(
        0.0, "Part of the delay that is left to chance: with 0.5 it is cut by up to a half."
    )
    on: What = option(  # noqa: RUF009
        (),
        "Which failures are tried again: exception classes, or their names (those derived from "
        f"them count too), and causes: {', '.join(CAUSES)}. Empty = all.",
    )
    minutes_between_retries: float = option(0.0, "The delay in minutes; adds to 'delay'.")
    memory_factor: float = option(
        1.0,
        "Factor by which the memory that the step asks for grows with each attempt that ran out of "
        "it. It needs an amount to grow from: @resources(memory=4000).",
    )
    max_memory: float | None = option(None, "Megabytes that the memory grows to at most.")

    def __post_init__(self) -> None:
        """Bring ``on`` into one form: a tuple of names."""
        object.__setattr__(self, "on", _names(self.on))
        super().__post_init__()

    def validate(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.times < 0:
            raise DefinitionError(
                f"Option 'times' must be 0 or more, not {self.times}", hint="@retry(times=3)"
            )
        seconds = (self.delay, self.minutes_between_retries, self.max_delay or 0.0)
        if not all(0 <= n < math.inf for n in seconds) or not 1 <= self.backoff < math.inf:
            raise DefinitionError(
                "A delay must be 0 or more, and 'backoff' 1 or more",
                hint="@retry(times=3, delay=10, backoff=2)",
            )
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(
                f"Option 'jitter' must be between 0 and 1, not {self.jitter:g}",
                why="it is the part of the delay that is left to chance",
                hint="@retry(times=3, delay=10, jitter=0.5)",
            )
        self._validate_memory()

    def _validate_memory(self) -> None:
        if not 1 <= self.memory_factor < math.inf:
            raise DefinitionError(
                f"Option 'memory_factor' must be 1 or more, not {self.memory_factor:g}",
                hint="@retry(times=3, memory_factor=2)",
            )
        if self.max_memory is not None and not 0 < self.max_memory < math.inf:
            raise DefinitionError(
                f"Option 'max_memory' must be more than 0, not {self.max_memory:g}",
                why="it is a number of megabytes",
                hint="@retry(times=3, memory_factor=2, max_memory=64000)",
            )
        if self.max_memory is not None and self.memory_factor == 1:
            raise DefinitionError(
                "Option 'max_memory' means nothing without 'memory_factor'",
                why="memory stays as it is",
                hint=f"@retry(times=3, memory_factor=2, max_memory={self.max_memory:g})",
            )
        names = cast("tuple[str, ...]", self.on)
        if self.memory_factor > 1 and names and not {*_MEMORY}.intersection(names):
            raise DefinitionError(
                "Option 'memory_factor' means nothing with this 'on'",
                why="a step that ran out of memory is not tried again: "
                f"'on' names {', '.join(names)} only",
                hint="@retry(times=3, on=['out-of-memory'], memory_factor=2)",
            )


def _names(on: Any) -> Any:
    if isinstance(on, str):
        on = on.split(",")  # as after --with
    elif isinstance(on, type) or not isinstance(on, Sequence):
        on = (on,)
    causes = (_cause(one) for one in on)
    return tuple(dict.fromkeys(filter(None, (*map(_name, on), *causes))))


def _cause(one: Any) -> str:
    """Return the cause that a class of exceptions stands for: the failure may be found from outside
    of the process, where there is no exception."""
    if not isinstance(one, type):
        return ""
    cause = str(getattr(one, "failure_cause", "error"))
    if issubclass(one, MemoryError):
        cause = "out-of-memory"
    return cause if cause != "error" else ""


def _name(one: Any) -> str:
    if isinstance(one, type) and issubclass(one, BaseException):
        named = one.__module__ != "builtins"
        return f"{one.__module__}.{one.__qualname__}" if named else one.__qualname__
    name = one.strip() if isinstance(one, str) else ""
    exception = all(map(str.isidentifier, name.split(".")))
    # Classes are hardly ever named in small letters: that is a cause, and a wrong one.
    good = not name or name in CAUSES or (exception and ("." in name or not name.islower()))
    if good and isinstance(one, str):
        return name
    close = near_misses(name, [*CAUSES, *_EXCEPTIONS])
    raise DefinitionError(
        f"Option 'on' cannot be {one!r}",
        why=f"it takes exception classes, their names, and the causes {', '.join(CAUSES)}",
        hint=f"@retry(on='{close[0] if close else 'timeout'}')",
    )


_EXCEPTIONS = [
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
]

retry = StepDecorator("retry", RetryOptions)
