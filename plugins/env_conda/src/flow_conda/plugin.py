"""Hooks: settings, ``@conda`` with what ``@conda_base`` says, and both in the plan."""

from __future__ import annotations

from typing import Any

from flow_conda import CondaOptions
from flow_conda.specs import read_specs
from flow_core.api import LOCAL, FlowDefinition, PlanDraft, Settings, StepDefinition, hookimpl


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where packages come from."""
    settings.declare(
        "conda_channels",
        "",
        "Channels of @conda, by commas: names, URLs or folders; default: CONDA_CHANNELS, or conda-forge.",
        secret=True,
    )
    from flow_pypi import plugin  # not above: its hooks would be taken for some of this module

    plugin.flow_settings(settings)  # they count for what is put on top


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Give each step what ``@conda_base`` says, as far as it does not say otherwise itself."""
    base = definition.options("conda_base")
    if not isinstance(base, CondaOptions):
        return
    decorator = definition.decorator("conda")
    for step in definition.steps.values():
        own = step.options("conda")
        source = next((a.source for a in step.attached if a.name == "conda"), "@conda_base")
        step.remove("conda")
        step.attach(decorator, merged(base, own), source)


def merged(base: CondaOptions, own: Any) -> CondaOptions:
    """Return the options of a step: its own ones, over those of the flow."""
    own = own if isinstance(own, CondaOptions) else CondaOptions()
    packages = {**read_specs(base.packages), **read_specs(own.packages)}
    return CondaOptions(
        packages=[spec.text for _, spec in sorted(packages.items())],
        python=own.python or base.python,
        channels=tuple(own.channels or base.channels),
        environment=own.environment or base.environment,
        disabled=base.disabled if own.disabled is None else own.disabled,
    )


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for the environment, or for none."""
    options = step.options("conda")
    if not isinstance(options, CondaOptions):
        return
    if options.disabled:
        draft.use_environment(LOCAL, by="@conda(disabled=True)")
        return
    asked: dict[str, Any] = {
        "packages": sorted(spec.text for spec in read_specs(options.packages).values()),
        "python": options.python,
        "channels": list(options.channels),
        "environment": options.environment,
    }
    draft.use_environment(
        "conda",
        by="@conda",
        options={name: value for name, value in asked.items() if value},
        files=[options.environment] if options.environment else [],
        over=["pypi"],
    )
