"""Hooks: call what ``@exit_hook`` names, when a run has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition, RunRecord, RunResult, Session, Settings


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare how long a function may take."""
    settings.declare("exit_hook_timeout", 600.0, "Seconds that a function of @exit_hook may take.")


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Find names of functions that there are not."""
    if definition.options("exit_hook") is not None:
        from flow_exit_hook.decorator import missing

        definition.errors.extend(missing(definition))


@hookimpl
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """Call the functions, one after the other."""
    if session.definition.options("exit_hook") is not None:
        from flow_exit_hook.calls import call_all

        call_all(session, run.pathspec, result.state)
