"""Traces and metrics of runs: in the SDK's memory, and at a real collector over HTTP."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from flow_core.api import Message, RunState
from flow_tracing.listener import Listener
from flow_tracing.plugin import wanted

HEAD = "from flow_core import FlowSpec, step, current\n"
LINEAR = (
    HEAD
    + """
class F(FlowSpec):
    @step
    def start(self):
        {body}
        self.next(self.end)
    @step
    def end(self): pass
if __name__ == "__main__":
    F()
"""
)
FOREACH = (
    HEAD
    + """
class F(FlowSpec):
    @step
    def start(self):
        self.items = list(range({count}))
        self.next(self.work, foreach="items")
    @step
    def work(self): self.next(self.join)
    @step
    def join(self, inputs): self.next(self.end)
    @step
    def end(self): pass
"""
)
WITH_SPANS = """
from opentelemetry import trace
from flow_core import FlowSpec, step
tracer = trace.get_tracer("mine")
class F(FlowSpec):
    @step
    def start(self):
        with tracer.start_as_current_span("load"):
            with tracer.start_as_current_span("parse"):
                pass
        self.next(self.end)
    @step
    def end(self): pass
if __name__ == "__main__":
    F()
"""


class Reader(InMemoryMetricReader):
    """Keeps what there was when it was shut down."""

    last = None

    def shutdown(self, *arguments, **more):
        self.last = self.get_metrics_data()
        super().shutdown(*arguments, **more)


class Seen:
    """What was traced of a run in this process."""

    def __init__(self, outcome, spans, data):
        self.outcome, self.spans = outcome, spans
        self.metrics = {
            metric.name: list(metric.data.data_points)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span

    @property
    def warnings(self):
        found = [e for e in self.outcome.events if isinstance(e, Message)]
        return [e.text for e in found if e.level == "warning"]


@pytest.fixture
def traced(flowtester):
    """Return a function that runs a flow in this process and returns what was traced."""

    def run(flow, *, plugins=(), **options):
        exporter, reader = InMemorySpanExporter(), Reader()
        listener = Listener([SimpleSpanProcessor(exporter)], [reader])
        plugins = ["tracing", *plugins]
        outcome = flowtester.run(flow, plugins=plugins, modules=[listener], **options)
        return Seen(outcome, exporter.get_finished_spans(), reader.last)

    return run


class TestSpans:
    def test_a_span_for_the_run_each_step_and_each_attempt(self, traced):
        seen = traced(LINEAR.format(body="pass"))
        assert sorted(s.name for s in seen.spans) == [
            "run F",
            "step end",
            "step start",
            "task end",
            "task start",
        ]
        run, step, task = seen.one("run F"), seen.one("step start"), seen.one("task start")
        assert run.parent is None
        assert step.parent.span_id == run.context.span_id
        assert task.parent.span_id == step.context.span_id
        assert {s.context.trace_id for s in seen.spans} == {run.context.trace_id}
        assert run.start_time <= step.start_time <= task.start_time < task.end_time
        assert task.end_time <= step.end_time <= run.end_time
        assert run.resource.attributes["service.name"] == "flow"

    def test_attributes(self, traced):
        seen = traced(LINEAR.format(body="pass"))
        run, task = dict(seen.one("run F").attributes), dict(seen.one("task end").attributes)
        assert (run["flow.name"], run["flow.run"], run["flow.user"]) == ("F", "1", "tester")
        assert run["flow.state"] == "succeeded"
        assert task["flow.pathspec"] == "F/1/end/2"
        assert (task["flow.task"], task["flow.attempt"], task["flow.inputs"]) == (2, 0, 1)
        assert task["flow.state"] == "succeeded"
        assert task["flow.cpu_seconds"] >= 0
        assert task["flow.peak_memory"] > 1_000_000
        assert dict(seen.one("step end").attributes)["flow.tasks.succeeded"] == 1

    def test_a_join_has_links_to_all_that_it_joins(self, traced):
        seen = traced(FOREACH.format(count=5))
        work, join = seen.named("task work"), seen.one("task join")
        assert sorted(s.attributes["flow.foreach"] for s in work) == [(n,) for n in range(5)]
        assert {link.context.span_id for link in join.links} == {s.context.span_id for s in work}
        assert {link.attributes["flow.link"] for link in join.links} == {"input"}
        (link,) = work[0].links
        assert link.context.span_id == seen.one("task start").context.span_id
        assert join.attributes["flow.inputs"] == 5
        assert seen.one("step work").attributes["flow.tasks.succeeded"] == 5

    def test_a_big_join_has_as_many_links_as_are_allowed(self, traced, monkeypatch):
        monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "10")
        join = traced(FOREACH.format(count=30)).one("task join")
        assert (len(join.links), join.dropped_links) == (10, 0)
        assert join.attributes["flow.inputs"] == 30

    def test_an_error(self, traced):
        seen = traced(LINEAR.format(body="raise KeyError('title')"))
        task, step, run = (seen.one(n) for n in ("task start", "step start", "run F"))
        (event,) = task.events
        assert event.name == "exception"
        assert event.attributes["exception.type"] == "KeyError"
        assert event.attributes["exception.message"] == "'title'"
        assert "raise KeyError('title')" in event.attributes["exception.stacktrace"]
        assert (task.status.status_code, task.status.description) == (
            StatusCode.ERROR,
            "KeyError: 'title'",
        )
        assert step.status.status_code is StatusCode.ERROR
        assert (run.status.status_code, run.status.description) == (
            StatusCode.ERROR,
            "KeyError: 'title'",
        )
        assert task.attributes["flow.cause"] == "error"

    def test_retries(self, traced):
        seen = traced(
            LINEAR.format(body="1 / (current.retry_count - 1 + 1)"),
            plugins=["retry"],
            decorators=["retry:times=2"],
        )
        first, second = seen.named("task start")
        assert [s.attributes["flow.attempt"] for s in (first, second)] == [0, 1]
        assert [s.status.status_code for s in (first, second)] == [
            StatusCode.ERROR,
            StatusCode.UNSET,
        ]
        assert [(link.context.span_id, link.attributes["flow.link"]) for link in second.links] == [
            (first.context.span_id, "retry")
        ]
        (event,) = seen.one("step start").events
        assert event.name == "retry"
        assert dict(event.attributes) == {
            "flow.task": 1,
            "flow.attempt": 0,
            "flow.retry_in": 0.0,
            "flow.cause": "error",
        }
        assert seen.one("step start").attributes["flow.tasks.failed"] == 1
        assert seen.one("run F").status.status_code is StatusCode.UNSET

    def test_what_is_caught_is_an_exception_and_no_error(self, traced):
        seen = traced(LINEAR.format(body="1 / 0"), plugins=["catch"], decorators=["catch"])
        task = seen.one("task start")
        assert [e.name for e in task.events] == ["exception"]
        assert task.status.status_code is StatusCode.UNSET
        assert task.attributes["flow.state"] == "caught"


class TestMetrics:
    def test_times_memory_and_counts(self, traced):
        seen = traced(FOREACH.format(count=5))
        points = {p.attributes["flow.step"]: p for p in seen.metrics["flow.task.duration"]}
        assert points["work"].count == 5
        assert points["work"].sum > 0
        memory = {p.attributes["flow.step"]: p for p in seen.metrics["flow.task.memory"]}
        assert memory["work"].min > 1_000_000
        assert sum(p.value for p in seen.metrics["flow.task.attempts"]) == 8
        assert "flow.task.retries" not in seen.metrics

    def test_retries(self, traced):
        seen = traced(
            LINEAR.format(body="assert current.retry_count == 2"),
            plugins=["retry"],
            decorators=["retry:times=2"],
        )
        (point,) = seen.metrics["flow.task.retries"]
        assert point.value == 2
        ended = {
            (p.attributes["flow.step"], p.attributes["flow.state"]): p.value
            for p in seen.metrics["flow.task.attempts"]
        }
        assert ended == {("start", "failed"): 2, ("start", "succeeded"): 1, ("end", "succeeded"): 1}


class TestTrouble:
    def test_a_failure_here_stops_no_run_and_is_told(self, traced, monkeypatch):
        monkeypatch.setattr("flow_tracing.run_trace.RunTrace.attempt_begins", lambda *_: [].pop())
        seen = traced(LINEAR.format(body="pass"))
        assert seen.outcome.state is RunState.SUCCEEDED
        assert seen.warnings == [
            "tracing: not all of the trace could be sent: IndexError: pop from empty list"
        ]

    @pytest.mark.parametrize(
        ("setting", "variables", "yes"),
        [
            ("auto", {}, False),
            ("on", {}, True),
            ("auto", {"OTEL_TRACES_EXPORTER": "console"}, True),
            ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, True),
            ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, False),
            ("on", {"OTEL_SDK_DISABLED": "true"}, False),
            ("auto", {"OTEL_SERVICE_NAME": "x"}, False),
        ],
    )
    def test_when_runs_are_traced(self, setting, variables, yes):
        assert wanted(setting, variables) is yes


class Collector:
    """A collector that takes OTLP over HTTP."""

    def __init__(self, status=200):
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.requests.append((self.path, body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.status = status
        self.requests = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01])
        self.thread.start()

    def spans(self):
        """Return the spans by name."""
        found = {}
        for path, body in self.requests:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        found.update({span.name: span for span in scope.spans})
        return found

    def metrics(self):
        """Return the names of the metrics."""
        return {
            metric.name
            for path, body in self.requests
            if path == "/v1/metrics"
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.close()


class TestCollector:
    @pytest.fixture
    def start(self, flowtester):
        """Return a function that runs a flow in a process."""
        flowtester.more_plugins.append("tracing")

        def run(flow, **variables):
            file = flowtester.write(flow)
            return flowtester.python(file, "run", variables=variables)

        return run

    def test_spans_of_steps_are_children_of_their_attempt(self, start, collector):
        done = start(WITH_SPANS, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).check()
        spans = collector.spans()
        assert set(spans) == {
            *("run F", "step start", "step end", "task start", "task end"),
            *("load", "parse"),
        }
        assert spans["load"].parent_span_id == spans["task start"].span_id
        assert spans["parse"].parent_span_id == spans["load"].span_id
        assert {s.trace_id for s in spans.values()} == {spans["run F"].trace_id}
        assert collector.metrics() >= {"flow.task.duration", "flow.task.cpu_time"}
        assert "tracing:" not in done.stdout + done.stderr

    def test_only_the_context_is_given_where_that_is_wished(self, start, flowtester, collector):
        flow = WITH_SPANS.replace(
            "        self.next",
            "        context = trace.get_current_span().get_span_context()\n"
            "        print(f'{context.span_id:016x}')\n"
            "        self.next",
        )
        start(flow, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, FLOW_TRACING_SPANS="false").check()
        spans = collector.spans()
        assert "load" not in spans
        assert flowtester.left(1).output("start").strip() == spans["task start"].span_id.hex()

    def test_the_variable_names_the_attempt(self, start, flowtester, collector):
        flow = LINEAR.format(body="import os; print(os.environ['TRACEPARENT'])")
        start(flow, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces").check()
        parent = flowtester.left(1).output("start").strip()
        span = collector.spans()["task start"]
        assert parent.startswith(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-")
        assert collector.metrics() == set()

    def test_a_run_of_a_pipeline(self, start, collector):
        start(
            LINEAR.format(body="pass"),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            TRACEPARENT=f"00-{'ab' * 16}-{'cd' * 8}-01",
            OTEL_SERVICE_NAME="nightly",
        ).check()
        run = collector.spans()["run F"]
        assert (run.trace_id.hex(), run.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
        assert any(b"nightly" in body for _, body in collector.requests)

    def test_a_collector_that_refuses_is_told_once(self, start, collector):
        collector.status = 401
        done = start(LINEAR.format(body="pass"), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).check()
        (line,) = [n for n in (done.stdout + done.stderr).splitlines() if "tracing:" in n]
        assert "tracing: not all of the trace could be sent: " in line
        assert "401" in line
        assert "Traceback" not in done.stderr

    def test_nobody_listens(self, start):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            done = start(
                LINEAR.format(body="pass"),
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{taken.getsockname()[1]}",
                FLOW_TRACING_PATIENCE="1",
            ).check()
        assert "not all of the trace could be sent: Connection refused\n" in done.stdout

    def test_a_collector_that_hangs_costs_the_patience_and_no_more(self, start):
        with socket.socket() as hanging:
            hanging.bind(("127.0.0.1", 0))
            hanging.listen()
            began = time.monotonic()
            done = start(
                LINEAR.format(body="pass"),
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{hanging.getsockname()[1]}",
                FLOW_TRACING_PATIENCE="0.3",
                OTEL_EXPORTER_OTLP_TIMEOUT="200",
            ).check()
            assert time.monotonic() - began < 45
        assert "not all of the trace could be sent: no answer within 0.3 s" in done.stdout

    def test_an_exporter_that_there_is_not(self, start):
        done = start(LINEAR.format(body="pass"), OTEL_TRACES_EXPORTER="consle")
        assert done.returncode == 2
        assert done.error["error"] == "OpenTelemetry has no exporter 'consle' for traces"
        assert "did you mean 'console'" in done.error["try"]

    def test_nothing_is_loaded_where_nothing_is_configured(self, start, flowtester):
        body = "import sys; print([m for m in sys.modules if m.startswith('opentelemetry')])"
        start(LINEAR.format(body=body)).check()
        assert flowtester.left(1).output("start") == "[]\n"

    def test_the_sdk_is_loaded_in_no_task_that_has_no_spans(self, start, flowtester, collector):
        body = "import sys; print('opentelemetry.sdk' in sys.modules, 'requests' in sys.modules)"
        start(LINEAR.format(body=body), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url).check()
        assert flowtester.left(1).output("start") == "False False\n"


def test_the_hook_module_loads_nothing_of_opentelemetry():
    code = (
        "import sys, flow_tracing.plugin\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
