"""What a notebook shows of the client's objects: small tables. Every value is escaped."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_client.artifact import DataArtifact
    from flow_client.flow import Flow, Flows
    from flow_client.run import Run
    from flow_client.step import Step
    from flow_client.task import Task

_MOST_ROWS = 100
_MOST_RUNS = 20


def flows_table(flows: Flows) -> str:
    """Return a row for each flow, with its latest run."""
    rows = [_latest(flow) for flow in itertools.islice(flows, _MOST_ROWS)]
    return _table("Flows", ("flow", "latest run", "state", "started"), rows)


def _latest(flow: Flow) -> tuple[str, ...]:
    run = flow.latest_run
    return (flow.id, run.id, run.state, _time(run.created_at)) if run else (flow.id, "", "", "")


def flow_table(flow: Flow) -> str:
    """Return a row for each of the newest runs."""
    rows = [
        (run.id, run.state, _time(run.created_at), run.user, ", ".join(sorted(run.user_tags)))
        for run in flow.runs(limit=_MOST_RUNS)
    ]
    return _table(flow.pathspec, ("run", "state", "started", "user", "tags"), rows)


def step_table(step: Step) -> str:
    """Return a row for each of the newest tasks."""
    rows = [
        (task.id, task.state, ", ".join(map(str, task.foreach_indices)), _seconds(task))
        for task in step.tasks(limit=_MOST_RUNS)
    ]
    return _table(step.pathspec, ("task", "state", "index", "seconds"), rows)


def artifact_table(artifact: DataArtifact) -> str:
    """Return what is known of an artifact without reading its value."""
    rows = [("type", artifact.type), ("bytes", f"{artifact.size:,}"), ("hash", artifact.sha)]
    return _table(artifact.pathspec, (), rows)


def _seconds(task: Task) -> str:
    seconds = task.runtime_seconds
    return f"{seconds:.1f}" if seconds is not None else ""


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def run_table(run: Run) -> str:
    """Return the state of a run and a row for each of its steps."""
    found = run._reader.steps(*run.path_components)
    rows = []
    for step in found[:_MOST_ROWS]:
        states = ", ".join(f"{count} {state}" for state, count in sorted(step.states.items()))
        rows.append((step.step, step.tasks, states))
    title = f"{run.pathspec}: {run.state}"
    message = f"<p>{escape(run.message)}</p>" if run.message else ""
    return _table(title, ("step", "tasks", "states"), rows) + message


def task_table(task: Task) -> str:
    """Return the state of a task and a row for each of its artifacts."""
    rows = [(a.id, a.type, f"{a.size:,}") for a in task.artifacts[:_MOST_ROWS]]
    title = f"{task.pathspec}: {task.state}, attempt {task.attempt}"
    error = task.exception
    message = f"<p>{escape(str(error))}</p>" if error else ""
    return _table(title, ("artifact", "type", "bytes"), rows) + message


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    heads_row = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table><caption>{escape(title)}</caption>{heads_row}<tbody>{body}</tbody></table>"
