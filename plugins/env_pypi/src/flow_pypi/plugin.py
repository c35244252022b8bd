"""Hooks: settings, ``@pypi_base`` on each step, and ``@pypi`` in the plan."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition, PlanDraft, Settings, StepDefinition


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where packages come from."""
    settings.declare(
        "pypi_index", "", "URL of the index for @pypi; default: uv's, or pip's.", secret=True
    )
    settings.declare(
        "pypi_extra_index", "", "URLs of further indexes for @pypi, by spaces.", secret=True
    )
    settings.declare(
        "pypi_find_links", "", "Folders with wheels for @pypi, beside the index, by spaces."
    )
    settings.declare(
        "pypi_python_downloads", True, "Whether uv may download a Python that is not here."
    )


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Give each step what the flow asks for, and what it asks for itself."""
    from flow_pypi.decorators import PypiOptions, merged, pypi

    base = definition.options("pypi_base")
    if not isinstance(base, PypiOptions):
        return
    for step in definition.steps.values():
        own = step.options("pypi")
        options = merged(own if isinstance(own, PypiOptions) else None, base)
        source = next((a.source for a in step.attached if a.name == "pypi"), "@pypi_base")
        step.remove("pypi")
        step.attach(pypi, options, source)


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for the environment."""
    from flow_pypi.decorators import PypiOptions, asked
    from flow_pypi.project import lock_beside
    from flow_pypi.wanted import files_included

    options = step.options("pypi")
    if not isinstance(options, PypiOptions):
        return
    if options.disabled:
        draft.use_environment("local", by="@pypi")
        return
    files = [name for name in (options.requirements, options.pyproject) if name]
    folder = os.path.dirname(step.function.__code__.co_filename)
    if options.requirements:
        files += files_included(folder, options.requirements)
    lock = lock_beside(options.pyproject) if options.pyproject else ""
    if lock and os.path.isfile(os.path.join(folder, os.path.expanduser(lock))):
        files.append(lock)
    draft.use_environment("pypi", by="@pypi", options=asked(options), files=files)
