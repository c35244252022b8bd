"""Hooks: wrap the body of the step and excuse its failure."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from flow_catch import CatchOptions, CaughtFailure
from flow_core.api import DefinitionError, Problem, hookimpl

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition, Graph, PlanDraft, StepDefinition, TaskContext


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for a fallback attempt when the process of the last attempt died."""
    if step.options("catch") is not None:
        draft.handles_failure = True


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """An artifact that the class hides could not be set, or not be read."""
    for step in definition.steps.values():
        options = step.options("catch")
        name = options.var if isinstance(options, CatchOptions) else None
        if name and hasattr(definition.cls, name):
            code = step.function.__code__
            error = DefinitionError(
                f"@catch of step '{step.name}' cannot keep the failure as '{name}'",
                where=f"{code.co_filename}:{code.co_firstlineno}",
                why=f"the class of the flow defines '{name}' already",
                hint=f"var='{name}_failure'",
            )
            definition.errors.append(error)


@hookimpl
def flow_check(graph: Graph) -> list[Problem]:
    """A step that decides what follows cannot be excused: nobody would know what."""
    decides = {
        "foreach": "splits with foreach",
        "parallel": "splits with num_parallel",
        "switch": "chooses what follows",
    }
    return [
        Problem(
            f"Step '{node.name}' has @catch but {decides[node.kind]}",
            "put @catch on the steps that follow, or the risky work into a step before it",
            node.file,
            node.line,
            node.name,
        )
        for node in graph
        if node.kind in decides and "catch" in node.decorators
    ]


@hookimpl(wrapper=True, before=["timeout"])
def flow_task_call(task: TaskContext, flow: Any) -> Generator[None, Any, Any]:
    """Handle the exception after which the step is not tried again."""
    options = task.options("catch")
    if not isinstance(options, CatchOptions):
        return (yield)
    try:
        result = yield
    except BaseException as error:  # SystemExit and the CancelledError of asyncio too
        if isinstance(error, KeyboardInterrupt) or not task.is_final(error):
            raise
        task.excuse(error)
        _keep(task, flow, options)
        return None
    if options.var:
        setattr(flow, options.var, None)
    return result


def _keep(task: TaskContext, flow: Any, options: CatchOptions) -> None:
    assert task.caught is not None
    if options.print_exception:
        text = task.caught.traceback or task.caught.message
        sys.stderr.write(f"@catch goes on after this failure of step '{task.spec.step}':\n")
        sys.stderr.write("".join(f"> {line}\n" for line in text.splitlines()))
    if options.var:
        setattr(flow, options.var, CaughtFailure.from_failure(task.caught))
