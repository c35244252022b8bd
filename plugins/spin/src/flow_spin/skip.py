"""A hook module that takes all decorators from all steps: ``--skip-decorators``."""

from __future__ import annotations

from collections.abc import Iterator

from flow_core.api import FlowDefinition, hookimpl


@hookimpl(wrapper=True)
def flow_definition(definition: FlowDefinition) -> Iterator[None]:
    """Let all plugins attach what they will, then take it away."""
    yield
    for step in definition.steps.values():
        step.attached.clear()
