"""Hooks: inside a task the client reads from the task's session, and ``current`` knows its run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_client import scope  # once, before the fork, and not in each task
from flow_core.api import hookimpl

if TYPE_CHECKING:
    from flow_core.api import TaskContext


@hookimpl
def flow_task_setup(task: TaskContext) -> None:
    """Provide ``current.run`` and ``current.task``."""
    scope.enter_task(task)
    task.current.provide("run", lambda: _run(task))
    task.current.provide("task", lambda: _task(task))


@hookimpl
def flow_task_teardown() -> None:
    """Forget the task's session."""
    scope.leave_task()


def _run(task: TaskContext) -> Any:
    from flow_client.run import running

    return running(task, scope.task_reader(task))


def _task(task: TaskContext) -> Any:
    from flow_client.task import running

    return running(task, scope.task_reader(task))
