"""Hooks: ``--no-cache``, and the cache of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import RunOption, hookimpl

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition, RunDraft, RunRequest, Session

_NAME = "cache.run"


@hookimpl
def flow_run_options(definition: FlowDefinition) -> list[RunOption] | None:
    """Offer to run everything, where a step is cached."""
    if all(step.options("cache") is None for step in definition.steps.values()):
        return None
    text = "Run cached steps, too; their new results replace the cached ones."
    return [RunOption("no_cache", text, flag=True)]


@hookimpl
def flow_run_draft(session: Session, request: RunRequest, draft: RunDraft) -> None:
    """Get ready to look up the tasks of this run, and to remember them."""
    from flow_cache.lookup import Cache

    manager = session.plugins.manager
    if manager.has_plugin(_NAME):
        manager.unregister(name=_NAME)  # that of an earlier run of the session
    manager.register(Cache(session, reads=not request.options.get("no_cache")), _NAME)
