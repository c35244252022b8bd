"""flow-timeout: bound the time of a step (``@timeout``)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flow_core.api import DefinitionError, FlowError, Options, StepDecorator, option


@dataclass(frozen=True)
class TimeoutOptions(Options):
    """End an attempt of the step that takes too long; retries and ``@catch`` then apply.

    The time is the sum of ``seconds``, ``minutes`` and ``hours``. When it is over, the step gets a
    `TimeoutException`. Where Python cannot be interrupted, in C code for example, the process and
    all that it has started are ended ``grace`` seconds later. Since 0.1.
    """

    seconds: float = option(0.0, "Seconds that an attempt may take.")
    minutes: float = option(0.0, "Minutes; add to the seconds.")
    hours: float = option(0.0, "Hours; add to the seconds.")
    grace: float = option(
        5.0, "Seconds to clean up and to store what there is, before the process is ended by force."
    )

    @property
    def total(self) -> float:
        """The time, in seconds."""
        return self.seconds + 60 * self.minutes + 3600 * self.hours

    def validate(self) -> None:
        """Refuse a time that is none."""
        for name in ("seconds", "minutes", "hours", "grace"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise DefinitionError(
                    f"Option '{name}' must be 0 or more, not {value:g}", hint="@timeout(minutes=5)"
                )
        if not self.total:
            raise DefinitionError(
                "@timeout needs a time that is more than 0",
                why="it is the sum of seconds, minutes and hours",
                hint="@timeout(minutes=5)",
            )


class TimeoutException(FlowError):
    """The step took longer than its ``@timeout`` allows.

    It is raised wherever the step is at that moment, so that it may clean up (``finally``). A step
    that catches it and goes on is ended by force. Since 0.1.
    """

    failure_cause = "timeout"


timeout = StepDecorator("timeout", TimeoutOptions)
