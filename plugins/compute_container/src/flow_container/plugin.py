"""Hooks: the settings, and ``@container`` in the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import PlanDraft, Settings, StepDefinition


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare what counts for steps that say nothing of it."""
    add = settings.declare
    add("container_image", "", "Image of steps in containers; default: python in this version.")
    add(
        "container_runtime",
        "",
        "Program that runs containers; default: podman, or docker where there is no podman.",
        choices=("", "podman", "docker"),
    )
    add("container_memory", 0.0, "Megabytes of memory of a container; 0 = no limit.", minimum=0)
    add("container_cpu", 0.0, "Processors of a container; 0 = no limit.", minimum=0)
    add("container_volumes", "", "Folders to mount in containers, by commas: /data:/inside:ro.")
    add("container_network", "", "Network of containers; default: that of the runtime.")
    add("container_user", "", "User in containers; default: one whose files are yours.")
    add(
        "container_pull",
        "missing",
        "When to ask the registry for an image.",
        choices=("missing", "always", "never"),
    )
    add("container_variables", "", "Names of variables that containers get, by commas: AWS_*.")
    words = "Further words for podman run or docker run, separated by spaces."
    add("container_options", "", words, separator=" ")


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Run the step in containers, with the amounts that it asks for."""
    from flow_container import ContainerOptions  # not for flows without containers

    options = step.options("container")
    if not isinstance(options, ContainerOptions):
        return
    draft.use_compute("container", by="@container")
    draft.options["container"] = options.to_plan()
    if options.amounts:
        draft.require(**options.amounts)
