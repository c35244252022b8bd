"""Reads past flow runs and their artifacts from Python.

    from flow_core import Flow, Run

    run = Flow("MoviesFlow").latest_successful_run
    run.data.top_movies

Everything is read when it is asked for; importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_client.artifact import DataArtifact as DataArtifact
    from flow_client.code import Code as Code
    from flow_client.errors import NamespaceMismatch as NamespaceMismatch
    from flow_client.errors import ObjectNotFound as ObjectNotFound
    from flow_client.flow import Flow as Flow
    from flow_client.flow import Flows as Flows
    from flow_client.flow import flows as flows
    from flow_client.run import Run as Run
    from flow_client.scope import default_metadata as default_metadata
    from flow_client.scope import default_namespace as default_namespace
    from flow_client.scope import get_metadata as get_metadata
    from flow_client.scope import get_namespace as get_namespace
    from flow_client.scope import metadata as metadata
    from flow_client.scope import namespace as namespace
    from flow_client.scope import using as using
    from flow_client.step import Step as Step
    from flow_client.task import Task as Task

_HOME = {
    "Code": "code",
    "DataArtifact": "artifact",
    "Flow": "flow",
    "NamespaceMismatch": "errors",
    "ObjectNotFound": "errors",
    "Run": "run",
    "Step": "step",
    "Task": "task",
    "Flows": "flow",
    "default_metadata": "scope",
    "default_namespace": "scope",
    "flows": "flow",
    "get_metadata": "scope",
    "get_namespace": "scope",
    "metadata": "scope",
    "namespace": "scope",
    "using": "scope",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - computed, so that each name is written once


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flow_client' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"flow_client.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
