"""Hooks: fold ``@resources`` into the plan, where compute providers and deployers find it."""

from __future__ import annotations

from flow_core.api import PlanDraft, StepDefinition, hookimpl
from flow_resources import ResourceOptions


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for the amounts; the largest demand for each counts."""
    options = step.options("resources")
    if isinstance(options, ResourceOptions):
        draft.require(**options.amounts)
