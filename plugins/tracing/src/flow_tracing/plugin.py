"""Hooks: trace runs where OpenTelemetry is configured; nothing is loaded where it is not."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from typing import Any

from flow_core.api import FlowSpec, Session, Settings, TaskContext, hookimpl

NAME = "tracing.listener"
"""Name under which the listener of a session is registered."""

WHERE_TO = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
"""Variables of which one says that somebody wants to see traces or metrics."""

SPANS_OF_STEPS = "FLOW_TRACING_SPANS"
"""Variable by which a task knows that its own spans are wanted."""


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare when runs are traced."""
    settings.declare(
        "tracing",
        "auto",
        "Whether runs are traced; auto: if a variable OTEL_* names an exporter or an endpoint.",
        choices=("auto", "on", "off"),
    )
    settings.declare(
        "tracing_spans",
        True,
        "Whether spans of the steps' own code are exported too, where it does not see to that.",
    )
    settings.declare(
        "tracing_patience",
        5.0,
        "Seconds that the end of a run, or of a task with spans of its own, waits for the collector.",
        minimum=0.0,
    )


@hookimpl
def flow_session_started(session: Session) -> None:
    """Listen, if anything is to be traced."""
    if wanted(session.settings["tracing"], session.settings.script_environment()):
        from flow_tracing.listener import Listener

        session.plugins.manager.register(Listener(), NAME)


def wanted(setting: str, environment: Mapping[str, str]) -> bool:
    """Whether runs are traced, by the setting ``tracing`` and the variables."""
    if setting == "off" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return setting == "on" or any(environment.get(name) for name in WHERE_TO)


@hookimpl(wrapper=True)
def flow_task_call(task: TaskContext, flow: FlowSpec) -> Generator[None, Any, Any]:
    """Let spans of the step's own code be children of the span of its attempt."""
    parent = os.environ.get("TRACEPARENT")
    if not parent or SPANS_OF_STEPS not in os.environ:
        return (yield)
    from flow_tracing.inside import Inside

    inside = Inside(parent, os.environ.get("TRACESTATE", ""), task.session.settings)
    inside.enter(exporting=os.environ[SPANS_OF_STEPS] == "1")
    try:
        return (yield)
    finally:
        inside.leave()
