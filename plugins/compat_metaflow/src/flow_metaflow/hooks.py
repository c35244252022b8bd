"""Hooks: what differs between the two tools in a run, a task and their output.

The module is named by the setting ``plugins``, which `flow_metaflow.install` sets: it is loaded in the
processes of flows that are run by flow-metaflow, and in no others.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from flow_core.api import DefinitionError, hookimpl
from flow_metaflow.environment import OWN
from flow_metaflow.exceptions import MetaflowException, MetaflowExceptionWrapper
from flow_metaflow.flowspec import FlowSpec
from flow_metaflow.packages import BASE, STEP, PackageOptions

if TYPE_CHECKING:
    from flow_core.api import Attached, FlowDefinition, RunRecord, Session, TaskContext

LISTENER = "flow_metaflow.lines"


@hookimpl(before=["terminal"])
def flow_session_started(session: Session) -> None:
    """In a pipe, write the lines that scripts know; on a terminal leave the view to others."""
    from flow_metaflow.lines import Lines, wanted

    if not _is_ours(session.flow) or not wanted(session):
        return
    if any(s.name == "terminal_progress" for s in session.settings.declared()):
        session.settings.override("terminal_progress", "off", "flow-metaflow")
    session.plugins.manager.register(Lines(), LISTENER)


@hookimpl
def flow_session_finished(session: Session) -> None:
    """End the listening."""
    if session.plugins.manager.has_plugin(LISTENER):
        session.plugins.manager.unregister(name=LISTENER)


@hookimpl
def flow_definition(definition: FlowDefinition) -> None:
    """Refuse environments that nothing makes here."""
    bases = [a for a in definition.attached if a.name in BASE and _is_mark(a)]
    for name, step in definition.steps.items():
        asked = [*(a for a in step.attached if a.name in STEP and _is_mark(a)), *bases]
        said = [a.options.disabled for a in asked if a.options.disabled is not None]  # type: ignore[attr-defined]
        asked_anyway = os.environ.get(OWN + "ENVIRONMENT")
        if (asked or asked_anyway) and str(said[:1]).lower() not in (
            "[true]",
            "['true']",
            "[1]",
            "['1']",
        ):
            _refuse(definition, name, asked[0].name if asked else str(asked_anyway))


def _is_mark(attached: Attached) -> bool:
    """Whether a decorator is one of ours, which only marks, and not that of a plugin."""
    return isinstance(attached.options, PackageOptions)


def _refuse(definition: FlowDefinition, step: str, decorator: str) -> None:
    code = definition.steps[step].function.__code__
    definition.errors.append(
        DefinitionError(
            f"Step '{step}' needs an environment: @{decorator}",
            where=f"{code.co_filename}:{code.co_firstlineno}",
            why="nothing here makes environments: neither flow-conda nor flow-pypi is installed",
            hint=f"pip install flow-{decorator.partition('_')[0]}, or switch @{decorator} off: "
            "disabled=True",
        )
    )


# --- runs ---------------------------------------------------------------------------------------


@hookimpl
def flow_run_started(session: Session, run: RunRecord) -> None:
    """Write the file that programs which start a run wait for."""
    path = os.environ.get(OWN + "RUNNER_ATTRIBUTE_FILE")
    if path:
        import json

        facts = {"run_id": run.run, "flow_name": run.flow, "metadata": session.metadata.url}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(facts, file)


# --- tasks --------------------------------------------------------------------------------------


@hookimpl(after=["client"])
def flow_task_setup(task: TaskContext, flow: Any) -> None:
    """Give `current` what the predecessor's has."""
    if not _is_ours(type(flow)):
        return
    provide = task.current.provide
    provide("tempdir", lambda: os.environ.get("METAFLOW_TEMPDIR"))
    provide("graph_info", lambda: task.run.graph)
    for name in ("run", "task"):
        _provide_wrapped(task.current, name)
    chosen = os.environ.get(OWN + "NAMESPACE")
    if chosen is not None:
        _client("namespace", chosen or None)


def _provide_wrapped(current: Any, name: str) -> None:
    """Let what another plugin provides as ``current.name`` be the predecessor's object."""

    def make() -> Any:
        if earlier is None:
            raise AttributeError(f"current has no '{name}': no plugin in this task provides it")
        return _client("wrap", earlier())

    earlier = current.provide(name, make)


def _client(name: str, *arguments: Any) -> Any:
    from flow_metaflow import client

    return getattr(client, name)(*arguments)


@hookimpl(wrapper=True, before=["catch"])
def flow_task_call(task: TaskContext, flow: Any) -> Generator[None, Any, Any]:
    """Keep a caught failure in the form that old code reads, and hold to ``--max-num-splits``."""
    result = yield
    if _is_ours(type(flow)):
        variable = getattr(task.options("catch"), "var", None)
        if variable and task.caught is not None:
            setattr(flow, variable, MetaflowExceptionWrapper.of(task.caught))
        _check_splits(task, flow)
    return result


def _check_splits(task: TaskContext, flow: Any) -> None:
    limit = int(os.environ.get(OWN + "MAX_NUM_SPLITS") or 0)
    items = getattr(flow, task.node.foreach, ()) if task.node.foreach else ()
    if limit and hasattr(items, "__len__") and len(items) > limit:
        raise MetaflowException(
            f"Foreach in step '{task.spec.step}' yields {len(items)} child steps, which is more "
            f"than the {limit} that --max-num-splits allows."
        )


@hookimpl
def flow_task_teardown(task: TaskContext, flow: Any) -> None:
    """Store what readers of old runs expect as artifacts: the flow's name, and parameters under the
    names of their attributes."""
    if not _is_ours(type(flow)):
        return
    # Not by assignment: within the flow, both stay what they are.
    flow.__dict__["name"] = task.spec.flow
    if task.node.joins or not task.spec.inputs:  # elsewhere they come with the inputs
        for parameter in task.session.definition.parameters:
            if parameter.attribute != parameter.name.replace("-", "_"):
                flow.__dict__[parameter.attribute] = getattr(flow, parameter.attribute)


def _is_ours(flow: Any) -> bool:
    return isinstance(flow, type) and issubclass(flow, FlowSpec)
