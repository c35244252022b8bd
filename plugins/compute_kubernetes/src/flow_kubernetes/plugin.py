"""Hooks: settings, and ``@kubernetes`` in the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import PlanDraft, Settings, StepDefinition

AMOUNTS = ("cpu", "memory", "disk", "gpu", "shared_memory")
"""Options that ``@resources`` has too: they are resources of the plan, where the larger counts."""


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare the defaults of all options, and where the cluster is."""
    from flow_kubernetes.settings import declare

    declare(settings)


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Choose the provider, and say what the step asks of it."""
    options = step.options("kubernetes")
    if options is None:
        return
    draft.use_compute("kubernetes", by="@kubernetes")
    asked = {name: value for name, value in vars(options).items() if value is not None}
    draft.require(**{name: asked.pop(name) for name in AMOUNTS if name in asked})
    draft.options["kubernetes"] = asked
