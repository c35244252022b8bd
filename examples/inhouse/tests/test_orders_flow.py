"""The flow of the example, with everything: Arrow, a webhook, a collector of traces, audit, costs."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flow_core.testing import FlowTester, ProcessResult

EXAMPLE = Path(__file__).parents[1]


class Server(ThreadingHTTPServer):
    """Takes whatever is posted, as a webhook and as a collector would."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.posted: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, path: str) -> list[bytes]:
        return [body for place, body in self.posted if place == path]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    """Return a folder with the files of the example."""
    tester = FlowTester(tmp_path_factory.mktemp("orders"))
    tester.more_plugins = ["acme", "arrow", "notify", "tracing"]
    for name in ("orders_flow.py", "prices.toml", "pyproject.toml"):
        shutil.copy(EXAMPLE / name, tester.path)
    return tester


@pytest.fixture(scope="module")
def done(lab: FlowTester, server: Server) -> ProcessResult:
    """Run the flow once, told to all."""
    return lab.python(
        lab.path / "orders_flow.py",
        "run",
        variables={
            "FLOW_NOTIFY_URL": f"{server.url}/services/T0/a-secret",
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        },
    ).check()


def test_it_sums_up(done: ProcessResult) -> None:
    assert [line.split()[-2:] for line in done.stdout.splitlines() if "[1/end/3" in line][1:4] == [
        ["NL", "225.00"],
        ["PT", "200.00"],
        ["FR", "100.00"],
    ]


@pytest.mark.usefixtures("done")
def test_frames_are_stored_without_pickle(lab: FlowTester) -> None:
    outcome = lab.left(1, "OrdersFlow")
    (start,), (sums,) = outcome.manifests("start"), outcome.manifests("sum_up")
    assert start.artifacts["orders"].serializer == "pandas.arrow"
    assert sums.artifacts["totals"].serializer == "pandas.parquet"


@pytest.mark.usefixtures("done")
def test_the_webhook_is_told(server: Server) -> None:
    (message,) = server.bodies("/services/T0/a-secret")
    text = json.loads(message)["text"]
    assert text.startswith(":white_check_mark: OrdersFlow/1 succeeded after ")


def test_the_secret_is_shown_nowhere(done: ProcessResult, lab: FlowTester) -> None:
    assert "a-secret" not in done.stdout + done.stderr
    files = [file for file in lab.path.rglob("*") if file.is_file()]
    assert [file for file in files if b"a-secret" in file.read_bytes()] == []


@pytest.mark.usefixtures("done")
def test_the_collector_gets_the_spans(server: Server) -> None:
    sent = b"".join(server.bodies("/v1/traces"))
    for span in (b"run OrdersFlow", b"step sum_up", b"task sum_up"):
        assert span in sent


@pytest.mark.usefixtures("done")
def test_what_touches_customers_is_audited(lab: FlowTester) -> None:
    found = [json.loads(line) for line in (lab.path / "audit.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"], line["purpose"]) for line in found] == [
        ("start", "start", "orders of customers"),
        ("end", "start", "orders of customers"),
        ("start", "sum_up", "report to the board"),
        ("end", "sum_up", "report to the board"),
    ]
    assert found[0]["parameters"] == {"week": 47}
    assert found[2]["parameters"] == ["week"]


@pytest.mark.usefixtures("done")
def test_it_costs_something(lab: FlowTester) -> None:
    shown = json.loads(lab.flow("costs", "OrdersFlow/1", "--json").check().stdout)
    assert [row["step"] for row in shown["steps"]] == ["start", "sum_up", "end"]
    assert 0 < shown["cost"] < 0.01


def test_a_webhook_that_is_down_harms_no_run(lab: FlowTester) -> None:
    result = lab.python(
        lab.path / "orders_flow.py",
        "run",
        variables={
            "FLOW_NOTIFY_URL": "http://127.0.0.1:9/services/a-secret",
            "FLOW_NOTIFY_RETRIES": "0",
        },
    ).check()
    assert "notify: one message did not reach http://127.0.0.1:9" in result.stdout
    assert "a-secret" not in result.stdout + result.stderr
