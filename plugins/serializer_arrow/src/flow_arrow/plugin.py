"""Hooks: let the serializers of the format that a step wants be asked first."""

from __future__ import annotations

from flow_arrow import ArrowOptions
from flow_core.api import FlowSpec, TaskContext, hookimpl

LIBRARIES = ("pandas", "polars", "pyarrow")


@hookimpl
def flow_task_setup(task: TaskContext, flow: FlowSpec) -> None:
    """Say which serializers the step prefers."""
    options = task.options("arrow")
    if not isinstance(options, ArrowOptions):
        return
    if options.format == "pickle":
        task.prefer_serializers("pickle")
    else:
        task.prefer_serializers(*(f"{library}.{options.format}" for library in LIBRARIES))
