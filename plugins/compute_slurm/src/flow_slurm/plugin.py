"""Hooks: settings, and ``@slurm`` in the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import PlanDraft, Settings, StepDefinition


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare the defaults of all options, and how Slurm is spoken to."""
    from flow_slurm.settings import declare

    declare(settings)


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Run the step in Slurm, with the amounts that it asks for."""
    options = step.options("slurm")
    if options is None:
        return
    from flow_slurm.options import SlurmOptions  # not for flows without Slurm

    assert isinstance(options, SlurmOptions)
    draft.use_compute("slurm", by="@slurm")
    draft.require(**options.amounts)
    draft.options["slurm"] = options.to_plan()
