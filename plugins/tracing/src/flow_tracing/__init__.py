"""flow-tracing: traces and metrics of runs for OpenTelemetry (the variables ``OTEL_*``)."""
