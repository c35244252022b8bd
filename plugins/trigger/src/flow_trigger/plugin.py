"""Hooks: ``--trigger``, the record of what started a run, and ``current.trigger``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import (
        FlowDefinition,
        RunDraft,
        RunOption,
        RunRequest,
        Session,
        TaskContext,
    )

NOTE = "trigger"
_DECORATORS = ("trigger", "trigger_on_finish")


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Find events that set parameters which the flow does not have."""
    if definition.options("trigger") is not None:
        from flow_trigger.simulation import check_parameters

        definition.errors.extend(check_parameters(definition))


@hookimpl
def flow_run_options(definition: FlowDefinition) -> list[RunOption] | None:
    """Offer a stand-in for what starts the flow."""
    if not any(definition.options(name) for name in _DECORATORS):
        return None
    from flow_core.api import RunOption

    text = "Run as if this had started the flow: EVENT, EVENT={json fields}, or FLOW/RUN."
    return [RunOption("trigger", text, metavar="WHAT", multiple=True)]


@hookimpl(after=["project"])
def flow_run_draft(session: Session, request: RunRequest, draft: RunDraft) -> None:
    """Record what ``--trigger`` stands in for; a run that is resumed has the trigger that it had."""
    given = request.options.get("trigger") or ()
    if given:
        from flow_trigger.simulation import simulate

        draft.notes[NOTE] = simulate(session, given, draft)
    elif request.origin:
        flow, _, run = request.origin.partition("/")
        earlier = session.run_document(flow, run).notes.get(NOTE)
        if earlier:
            draft.notes[NOTE] = earlier


@hookimpl
def flow_task_setup(task: TaskContext) -> None:
    """Provide ``current.trigger``, where the flow has a decorator of ours or was triggered."""
    events = task.run.notes.get(NOTE)
    if events:
        from flow_trigger.events import Trigger

        task.current.provide("trigger", lambda: Trigger.from_json(events))
    elif any(d["name"] in _DECORATORS for d in task.run.decorators):
        task.current.provide("trigger", lambda: None)
