"""Hooks: settings, and ``@venv`` in the plan."""

from __future__ import annotations

from flow_core.api import LOCAL, PlanDraft, Settings, StepDefinition, hookimpl
from flow_venv import VenvOptions


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where pip looks."""
    settings.declare("venv_wheels", "", "Folder with wheels for @venv, beside pip's own index.")
    settings.declare("venv_index", "", "URL of the index for @venv; default: as pip is configured.")


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for the environment."""
    options = step.options("venv")
    if not isinstance(options, VenvOptions):
        return
    if options.disabled:
        draft.use_environment(LOCAL, by="@venv")
    else:
        asked = {"packages": sorted(options.packages), "python": options.python}
        files = [options.requirements] if options.requirements else []
        draft.use_environment("venv", by="@venv", options=asked, files=files)
