"""What a notebook shows of a run or a task: small tables. Every value is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_client.run import Run
    from flow_client.task import Task

_MOST_ROWS = 100


def run_table(run: Run) -> str:
    """Return the state of a run and a row for each of its steps."""
    found = run._reader.session.metadata.steps(*run.path_components)
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
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"
