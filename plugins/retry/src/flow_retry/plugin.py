"""Hooks: fold ``@retry`` into the plan, where every backend finds it."""

from __future__ import annotations

from typing import cast

from flow_core.api import PlanDraft, RetryPolicy, StepDefinition, hookimpl
from flow_retry import RetryOptions


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Set the retry policy."""
    options = step.options("retry")
    if not isinstance(options, RetryOptions):
        return
    draft.retry = RetryPolicy(
        options.times,
        options.delay + 60 * options.minutes_between_retries,
        options.backoff,
        options.max_delay,
        options.jitter,
        cast("tuple[str, ...]", options.on),
        options.memory_factor,
        options.max_memory,
    )
