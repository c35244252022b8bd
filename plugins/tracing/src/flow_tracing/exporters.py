"""Exporters and providers of the SDK, as the variables of its specification say."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from flow_core.api import SettingsError, did_you_mean

_SERVICE = "flow"


def span_exporters() -> list[SpanExporter]:
    """Return what OTEL_TRACES_EXPORTER says; `SettingsError` for what is not installed."""
    return _exporters("traces", default="otlp")


def metric_readers() -> list[MetricReader]:
    """Return what OTEL_METRICS_EXPORTER says, with a thread each; errors as above.

    Without it, and without an endpoint for metrics, there are none: a collector of traces need not
    take them.
    """
    endpoint = _variable("EXPORTER_OTLP_METRICS_ENDPOINT") or _variable("EXPORTER_OTLP_ENDPOINT")
    found = _exporters("metrics", default="otlp" if endpoint else "none")
    return [PeriodicExportingMetricReader(exporter) for exporter in found]


def check_exporters() -> None:
    """Raise `SettingsError` for an exporter that is not installed."""
    for signal in ("traces", "metrics"):
        for name in _names(signal, "none"):
            _find(signal, name)


def tracer_provider(
    exporters: Iterable[SpanExporter] = (), processors: Iterable[SpanProcessor] = ()
) -> TracerProvider:
    """Return a provider that sends spans in batches, with a thread for each exporter.

    Sampler, limits and batches are what the variables say; the SDK reads them itself.
    """
    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    for processor in (*map(BatchSpanProcessor, exporters), *processors):
        provider.add_span_processor(processor)
    return provider


def meter_provider(readers: Iterable[MetricReader]) -> MeterProvider:
    """Return a provider of metrics."""
    return MeterProvider([*readers], resource=_resource(), shutdown_on_exit=False)


def _resource() -> Resource:
    named = _variable("SERVICE_NAME") or "service.name=" in _variable("RESOURCE_ATTRIBUTES")
    return Resource.create({} if named else {"service.name": _SERVICE})


def _exporters(signal: str, default: str) -> list[Any]:
    return [_find(signal, name).load()() for name in _names(signal, default)]


def _names(signal: str, default: str) -> list[str]:
    text = _variable(f"{signal.upper()}_EXPORTER") or default
    return [name for name in map(str.strip, text.split(",")) if name not in ("none", "")]


def _find(signal: str, name: str) -> EntryPoint:
    wanted = name if name != "otlp" else _otlp(signal)
    found = {e.name: e for e in entry_points(group=f"opentelemetry_{signal}_exporter")}
    if wanted not in found:
        raise SettingsError(
            f"OpenTelemetry has no exporter '{wanted}' for {signal}",
            where=f"OTEL_{signal.upper()}_EXPORTER",
            why=f"installed are: {', '.join(sorted(found))}",
            hint=f"pip install opentelemetry-exporter-{wanted.replace('_', '-')}, "
            f"or {did_you_mean(name, ['otlp', 'none', *found])}",
        )
    return found[wanted]


def _otlp(signal: str) -> str:
    protocol = _variable(f"EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    protocol = protocol or _variable("EXPORTER_OTLP_PROTOCOL") or "http/protobuf"
    return "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"


def _variable(name: str) -> str:
    return os.environ.get(f"OTEL_{name}", "")
