"""The spans and metrics of one run: run, steps, and the attempts of their tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import Link, Span, SpanContext, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flow_core.api import (
    AttemptState,
    Event,
    Failure,
    Graph,
    Manifest,
    RunRecord,
    RunResult,
    RunState,
    TaskFinished,
    TaskQueued,
    TaskSpec,
    TaskStarted,
    unpack_inputs,
)
from flow_tracing.plugin import SPANS_OF_STEPS

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

SCOPE = "flow_tracing"


class RunTrace:
    """See the module.

    Args:
        run: the run, which begins.
        graph: its graph.
        tracers, meters: what takes spans and metrics; closed by `close`.
        environment: variables, of which TRACEPARENT may name a span that the run belongs to.
        spans_of_steps: whether tasks are to export spans of their own.
    """

    def __init__(
        self,
        run: RunRecord,
        graph: Graph,
        tracers: TracerProvider,
        meters: MeterProvider,
        environment: Mapping[str, str],
        spans_of_steps: bool = True,
    ) -> None:
        self._graph = graph
        self._tracers, self._meters = tracers, meters
        self._tracer = tracers.get_tracer(SCOPE)
        self._metrics = _Metrics(meters, run.flow)
        self._inside = "1" if spans_of_steps else "0"
        self._most_links = SpanLimits().max_links or 0
        self._run = self._tracer.start_span(
            f"run {run.flow}",
            context=_outer(environment),
            attributes=_known(
                {
                    "flow.name": run.flow,
                    "flow.run": run.run,
                    "flow.user": run.user,
                    "flow.tags": run.tags,
                    "flow.origin": run.origin,
                    "host.name": run.host,
                    "process.pid": run.pid,
                }
            ),
            start_time=_nanoseconds(run.created_at),
        )
        self._steps: dict[str, _Step] = {}
        self._attempts: dict[tuple[int, int], Span] = {}
        self._span_ids: dict[
            int, int
        ] = {}  # task → span of its last attempt; small, for all of them

    # --- what happens ---------------------------------------------------------------------------

    def attempt_begins(self, task: TaskSpec) -> dict[str, str]:
        """Begin the span of an attempt; return variables for its process."""
        step = self._step(task.step)
        inputs = sum(r.last - r.first + 1 for r in task.inputs)
        span = self._tracer.start_span(
            f"task {task.step}",
            context=trace.set_span_in_context(step.span),
            attributes=_known(
                {
                    "flow.name": task.flow,
                    "flow.run": task.run,
                    "flow.step": task.step,
                    "flow.task": task.task,
                    "flow.attempt": task.attempt,
                    "flow.pathspec": task.pathspec,
                    "flow.foreach": task.indices,
                    "flow.iteration": task.iteration or None,
                    "flow.inputs": inputs or None,
                    "flow.fallback": task.fallback or None,
                }
            ),
            links=[*islice(self._links(task), self._most_links)],
        )
        self._attempts[task.task, task.attempt] = span
        self._span_ids[task.task] = span.get_span_context().span_id
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span))
        return {SPANS_OF_STEPS: self._inside, **{n.upper(): v for n, v in carrier.items()}}

    def note(self, event: Event) -> None:
        """Take over what an event says."""
        if isinstance(event, TaskFinished):
            self._attempt_ended(event)
        elif isinstance(event, TaskStarted) and event.pid.isdigit():
            span = self._attempts.get((event.spec.task, event.spec.attempt))
            if span is not None:
                span.set_attribute("process.pid", int(event.pid))
        elif isinstance(event, TaskQueued):
            self._step(event.step, event.at)

    def end(self, result: RunResult) -> None:
        """End what is open, the run last."""
        at = _nanoseconds(result.finished_at)
        for span in self._attempts.values():
            span.set_attribute("flow.state", "lost")
            span.end(at)
        failed = {pathspec.split("/")[2] for pathspec in result.failed}
        for name, step in self._steps.items():
            step.end(name in failed, at)
        self._run.set_attribute("flow.state", result.state.value)
        if result.state is not RunState.SUCCEEDED:
            self._run.set_status(Status(StatusCode.ERROR, result.message))
        self._run.end(at)

    def close(self) -> None:
        """Send all that is left. It may take long: see `trouble_of`."""
        self._tracers.shutdown()
        self._meters.shutdown()

    # --- parts ----------------------------------------------------------------------------------

    def _step(self, name: str, at: float | None = None) -> _Step:
        if name not in self._steps:
            span = self._tracer.start_span(
                f"step {name}",
                context=trace.set_span_in_context(self._run),
                attributes={"flow.step": name, "flow.kind": self._graph[name].kind},
                start_time=_nanoseconds(at) if at else None,
            )
            self._steps[name] = _Step(span)
        return self._steps[name]

    def _links(self, task: TaskSpec) -> Iterator[Link]:
        """Yield links to what the attempt follows: an earlier attempt, and all that it reads."""
        if task.attempt and task.task in self._span_ids:
            yield self._link(self._span_ids[task.task], "retry")
        for ref in unpack_inputs(task.inputs):
            if ref.task in self._span_ids:
                yield self._link(self._span_ids[ref.task], "input")

    def _link(self, span_id: int, kind: str) -> Link:
        run = self._run.get_span_context()
        context = SpanContext(run.trace_id, span_id, False, run.trace_flags, run.trace_state)
        return Link(context, {"flow.link": kind})

    def _attempt_ended(self, event: TaskFinished) -> None:
        spec, manifest = event.spec, event.manifest
        step = self._step(spec.step)
        step.count(manifest)
        span = self._attempts.pop((spec.task, spec.attempt), None)
        if span is None:
            return  # a result of an earlier run stands for it
        self._metrics.record(event)
        if event.retry_in is not None:
            step.retried(event)
        _describe_end(span, event)
        span.end(_nanoseconds(manifest.finished or event.at))


class _Step:
    """The span of a step, and the number of its attempts by state."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._states: dict[str, int] = {}
        self._last = 0.0

    def count(self, manifest: Manifest) -> None:
        state = manifest.state.value
        self._states[state] = self._states.get(state, 0) + 1
        self._last = max(self._last, manifest.finished)

    def retried(self, event: TaskFinished) -> None:
        self.span.add_event(
            "fallback" if event.fallback else "retry",
            _known(
                {
                    "flow.task": event.spec.task,
                    "flow.attempt": event.spec.attempt,
                    "flow.retry_in": event.retry_in,
                    "flow.cause": _cause(event.manifest.failure),
                }
            ),
            _nanoseconds(event.at),
        )

    def end(self, failed: bool, at: int) -> None:
        self.span.set_attributes({f"flow.tasks.{name}": n for name, n in self._states.items()})
        if failed:
            self.span.set_status(StatusCode.ERROR)
        self.span.end(min(_nanoseconds(self._last), at) if self._last else at)


class _Metrics:
    """Histograms and counters of attempts."""

    def __init__(self, meters: MeterProvider, flow: str) -> None:
        meter = meters.get_meter(SCOPE)
        self._flow = flow
        self._seconds = meter.create_histogram(
            "flow.task.duration", "s", "Time from the start of an attempt to its end."
        )
        self._cpu = meter.create_histogram(
            "flow.task.cpu_time", "s", "Processor time that an attempt has used."
        )
        self._memory = meter.create_histogram(
            "flow.task.memory", "By", "Largest resident memory of an attempt."
        )
        self._tasks = meter.create_counter("flow.task.attempts", "1", "Attempts that ended.")
        self._retries = meter.create_counter("flow.task.retries", "1", "Attempts tried again.")

    def record(self, event: TaskFinished) -> None:
        manifest = event.manifest
        about = {
            "flow.name": self._flow,
            "flow.step": manifest.step,
            "flow.state": manifest.state.value,
        }
        self._seconds.record(max(0.0, manifest.finished - manifest.started), about)
        self._cpu.record(manifest.cpu_seconds, about)
        self._memory.record(manifest.peak_memory, about)
        self._tasks.add(1, about)
        if event.retry_in is not None:
            self._retries.add(1, about)


def _describe_end(span: Span, event: TaskFinished) -> None:
    manifest = event.manifest
    span.set_attributes(
        _known(
            {
                "flow.state": manifest.state.value,
                "flow.cpu_seconds": manifest.cpu_seconds,
                "flow.peak_memory": manifest.peak_memory,
                "flow.cause": _cause(manifest.failure),
                "flow.retry_in": event.retry_in,
                "host.name": manifest.host or None,
            }
        )
    )
    if manifest.failure is not None:
        _add_exception(span, manifest.failure, _nanoseconds(manifest.finished or event.at))
        if manifest.state in (AttemptState.FAILED, AttemptState.CANCELLED):
            span.set_status(Status(StatusCode.ERROR, manifest.failure.summary))


def _add_exception(span: Span, failure: Failure, at: int) -> None:
    attributes = {
        "exception.type": failure.type or failure.cause,
        "exception.message": failure.message,
        "exception.stacktrace": failure.traceback or None,
    }
    span.add_event("exception", _known(attributes), at)


def _outer(environment: Mapping[str, str]) -> Context:
    """Return the context that the launcher was started in: of a pipeline, or of another run."""
    names = ("traceparent", "tracestate")
    carrier = {name: environment.get(name.upper(), "") for name in names}
    return TraceContextTextMapPropagator().extract(carrier, Context())


def _cause(failure: Failure | None) -> str | None:
    return failure.cause if failure else None


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value not in (None, ())}


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
