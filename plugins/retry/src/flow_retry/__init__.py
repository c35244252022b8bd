"""flow-retry: try a failed step again (``@retry``)."""

from __future__ import annotations

from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option


@dataclass(frozen=True)
class RetryOptions(Options):
    """Try a failed step again, in a new process.

    ``current.retry_count`` tells which attempt runs. What an earlier attempt set is not seen.
    Since 0.1.
    """

    times: int = option(3, "How often to try again after the first attempt.")
    delay: float = option(0.0, "Seconds before the first new attempt.")
    backoff: float = option(1.0, "Factor by which the delay grows with each further attempt.")
    minutes_between_retries: float = option(0.0, "The delay in minutes; adds to 'delay'.")

    def validate(self) -> None:
        """Refuse numbers that mean nothing."""
        if self.times < 0:
            raise DefinitionError(
                f"Option 'times' must be 0 or more, not {self.times}", hint="@retry(times=3)"
            )
        if self.delay < 0 or self.minutes_between_retries < 0 or self.backoff < 1:
            raise DefinitionError(
                "A delay must be 0 or more, and 'backoff' 1 or more",
                hint="@retry(times=3, delay=10, backoff=2)",
            )


retry = StepDecorator("retry", RetryOptions)
