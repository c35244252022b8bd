"""In the process of a task: spans of the step's own code, below the span of the attempt.

The attempt itself is traced by the launcher. A task loads the SDK when its code makes the first span,
and not at all if it makes none.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flow_core.api import Settings
from flow_tracing.bounded import trouble_of

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.sdk.trace import TracerProvider

SCOPE = "flow_tracing"


class Inside:
    """The time while the body of a step runs.

    Args:
        parent, state: the span of the attempt, as in the variables TRACEPARENT and TRACESTATE.
        settings: those of the session.
    """

    def __init__(self, parent: str, state: str, settings: Settings) -> None:
        self._carrier = {"traceparent": parent, "tracestate": state}
        self._patience: float = settings["tracing_patience"]
        self._token: Token[context.Context] | None = None
        self._spans: LazyProvider | None = None

    def enter(self, exporting: bool) -> None:
        """Begin: what is traced from now on belongs to the attempt.

        Args:
            exporting: whether spans are exported from here, unless the code sees to that itself.
        """
        self._token = context.attach(TraceContextTextMapPropagator().extract(self._carrier))
        found = trace.get_tracer_provider()
        if isinstance(found, LazyProvider):
            self._spans = found  # of an earlier task of this very process
        elif exporting and isinstance(found, trace.ProxyTracerProvider):  # nobody has set one
            self._spans = LazyProvider()
            trace.set_tracer_provider(self._spans)

    def leave(self) -> None:
        """End, when all that was traced has been sent, or the patience is over."""
        if self._token is not None:
            context.detach(self._token)
        made = self._spans.made if self._spans is not None else None
        trouble = trouble_of(made.force_flush, self._patience) if made is not None else ""
        if trouble:
            sys.stderr.write(f"Spans of the step could not be sent: {trouble}\n")


class LazyProvider(trace.TracerProvider):
    """Makes tracers that make the provider of the SDK with their first span.

    Attributes:
        made: that provider; None while there is no span.
    """

    def __init__(self) -> None:
        self.made: TracerProvider | None = None

    def get_tracer(self, *scope: Any, **more: Any) -> trace.Tracer:
        """Return a tracer; arguments as for any provider."""
        return _LazyTracer(self, scope, more)

    def provider(self) -> TracerProvider:
        """Return the provider of the SDK."""
        if self.made is None:
            from flow_tracing.exporters import span_exporters, tracer_provider

            self.made = tracer_provider(span_exporters())
        return self.made


class _LazyTracer(trace.Tracer):
    def __init__(self, provider: LazyProvider, scope: Any, more: Any) -> None:
        self._provider, self._scope, self._more = provider, scope, more
        self._real: trace.Tracer | None = None

    def _tracer(self) -> trace.Tracer:
        if self._real is None:
            self._real = self._provider.provider().get_tracer(*self._scope, **self._more)
        return self._real

    def start_span(self, *arguments: Any, **more: Any) -> trace.Span:
        return self._tracer().start_span(*arguments, **more)

    def start_as_current_span(self, *arguments: Any, **more: Any) -> Any:
        return self._tracer().start_as_current_span(*arguments, **more)
