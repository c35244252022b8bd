"""Hooks: say in the plan that a step is a gang, and tell each of its tasks which one it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flow_core.api import Problem, UsageError, hookimpl

if TYPE_CHECKING:
    from flow_core.api import (
        FlowDefinition,
        Graph,
        PlanDraft,
        StepDefinition,
        TaskCommand,
        TaskContext,
        TaskPlan,
        TaskSpec,
    )


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Refuse ``--with parallel``: it would make a gang of every step."""
    attached = (a for step in definition.steps.values() for a in step.attached)
    if any(a.name == "parallel" and a.source == "--with" for a in attached):
        raise UsageError(
            "--with parallel: not every step of a flow can be a gang",
            why="a step becomes one where self.next says num_parallel=",
            hint="put @parallel above the @step of that step",
        )


@hookimpl
def flow_check(graph: Graph) -> list[Problem]:
    """``@parallel`` needs ``num_parallel=``; the kernel checks the other way round."""
    problems = []
    for node in graph:
        if "parallel" in node.decorators:
            others = [p for p in node.parents if graph[p].kind not in ("parallel", None)]
            if others or not node.parents:
                hint = f"self.next(self.{node.name}, num_parallel=4)"
                where = f"in step '{others[0]}'" if others else "in the step before it"
                problems.append(
                    Problem(
                        f"Step '{node.name}' has @parallel, but is not entered with num_parallel=",
                        f"{hint} {where}, or remove @parallel",
                        node.file,
                        node.line,
                        node.name,
                    )
                )
    return problems


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Mark the step as a gang, for the scheduler and all that reads plans."""
    options: Any = step.options("parallel")
    if options is not None:
        draft.gang = True
        if options.port:
            draft.options["parallel"] = {"port": options.port}


@hookimpl
def flow_task_command(task: TaskSpec, plan: TaskPlan, command: TaskCommand) -> None:
    """Set the variables by which programs that run on many machines know their place."""
    if task.gang is None:
        return
    known = {"RANK": str(task.gang.index), "WORLD_SIZE": str(task.gang.size)}
    chosen = plan.options.get("parallel")
    if chosen is not None:
        known["MASTER_PORT"] = str(chosen["port"])
    command.variables = {**known, **command.variables}  # what @environment says comes first


@hookimpl
def flow_task_setup(task: TaskContext, flow: Any) -> None:
    """Provide ``current.parallel``, and record the place with the result."""
    gang = task.spec.gang
    if gang is None:
        return
    from flow_parallel.place import place  # only gangs need it

    task.current.provide("parallel", partial(place, gang))
    task.note("parallel", {"num_nodes": gang.size, "node_index": gang.index})
