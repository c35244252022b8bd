"""Hooks: fold ``@environment`` into the plan; whoever starts a task sets the variables."""

from __future__ import annotations

from flow_core.api import PlanDraft, StepDefinition, hookimpl
from flow_environment import EnvironmentOptions


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Add the variables."""
    options = step.options("environment")
    if isinstance(options, EnvironmentOptions):
        draft.variables.update(options.vars)
