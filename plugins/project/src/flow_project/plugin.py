"""Hooks: ``--branch`` and ``--production``, tags and scope of runs, and what ``current`` tells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import (
        FlowDefinition,
        RunDraft,
        RunOption,
        RunRequest,
        Session,
        Settings,
        TaskContext,
    )

NOTE = "project"


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare whose branch a run is on."""
    settings.declare("project_owner", "", "Name of a user's branch, instead of the user's name.")


@hookimpl
def flow_run_options(definition: FlowDefinition) -> list[RunOption] | None:
    """Offer the choice of a branch."""
    if definition.options("project") is None:
        return None
    from flow_core.api import RunOption

    return [
        RunOption("branch", "Branch of the project: test.NAME.", metavar="NAME"),
        RunOption("production", "The production branch of the project.", flag=True),
    ]


@hookimpl
def flow_run_draft(session: Session, request: RunRequest, draft: RunDraft) -> None:
    """Add the tags, the scope and the note."""
    options = session.definition.options("project")
    if options is None:
        return
    from flow_project.decorator import ProjectOptions, choose

    assert isinstance(options, ProjectOptions)
    project = choose(options, request.options, session.settings["project_owner"] or draft.user)
    draft.scope = (project.name, project.branch)
    draft.system_tags += [f"project:{project.name}", f"project_branch:{project.branch}"]
    draft.notes[NOTE] = project.facts(draft.flow)


@hookimpl
def flow_task_setup(task: TaskContext) -> None:
    """Provide ``current.project_name`` and its like."""
    facts: dict[str, Any] = task.run.notes.get(NOTE, {})
    for name in facts:
        task.current.provide(name, partial(facts.get, name))
