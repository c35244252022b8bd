"""Notices of runs, at a real server that answers, refuses, fails, is slow, or hangs."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flow_core.api import Message, RunFinished, RunState, SettingsError

TOKEN = "T0K3N-of-the-team"
FLOW = """
from flow_core import FlowSpec, step, catch, retry
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


class Webhook:
    """A server that keeps what it gets, and answers as it is told."""

    def __init__(self):
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.headers.append(dict(self.headers))
                webhook.paths.append(self.path)
                answer = webhook.answers.pop(0) if webhook.answers else 200
                if answer == "slow":
                    webhook.released.wait(5)
                    return
                webhook.bodies.append(json.loads(body))
                self.send_response(answer)
                if answer == 302:
                    self.send_header("Location", webhook.url)
                if answer == 429:
                    self.send_header("Retry-After", "1")
                text = b"no_such_channel" if answer != 200 else b"ok"
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.answers, self.bodies, self.headers, self.paths = [], [], [], []
        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.url = f"{self.place}/services/{TOKEN}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01])
        self.thread.start()

    @property
    def events(self):
        return [body["event"] for body in self.bodies]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def webhook():
    made = Webhook()
    yield made
    made.close()


@pytest.fixture
def run(flowtester, webhook):
    """Return a function that runs a flow with this plugin; settings without ``notify_``."""

    def start(body="pass", *, plugins=(), decorators=(), **settings):
        chosen = {"url": webhook.url, "retries": 0, "timeout": 0.5, "patience": 5.0, **settings}
        return flowtester.run(
            FLOW.format(body=body),
            plugins=["notify", *plugins],
            decorators=decorators,
            settings={f"notify_{name}": value for name, value in chosen.items()},
        )

    return start


def warnings(outcome):
    return [e.text for e in outcome.events if isinstance(e, Message) and e.level == "warning"]


class TestWhatIsTold:
    def test_the_end_of_a_run(self, run, webhook):
        outcome = run()
        assert outcome.state is RunState.SUCCEEDED
        (body,) = webhook.bodies
        assert body["event"] == "run_succeeded"
        assert (body["flow"], body["run"], body["user"]) == ("F", "1", "tester")
        assert body["text"].startswith("F/1 succeeded after ")
        assert 0 < body["seconds"] < 60
        assert (body["message"], body["failed"], body["step"]) == ("", [], None)
        assert body["at"].endswith("+00:00")
        assert webhook.paths == [f"/services/{TOKEN}"]
        assert webhook.headers[0]["Content-Type"] == "application/json"
        assert warnings(outcome) == []

    def test_a_failure(self, run, webhook):
        outcome = run("raise KeyError('title')")
        assert outcome.state is RunState.FAILED
        (body,) = webhook.bodies
        assert body["event"] == "run_failed"
        assert body["failed"] == ["F/1/start/1"]
        assert body["text"].endswith(" in start/1: KeyError: 'title'")

    def test_chosen_events(self, run, webhook):
        run("raise KeyError('title')", events="run_started, task_failed")
        assert webhook.events == ["run_started", "task_failed"]
        assert webhook.bodies[1]["text"] == "F/1/start/1 failed: KeyError: 'title'"
        assert [webhook.bodies[1][k] for k in ("step", "task", "attempt")] == ["start", 1, 0]

    def test_all_events_and_retries(self, run, webhook):
        run(
            "1 / 0",
            events="all",
            plugins=["retry", "catch"],
            decorators=["retry:times=1", "catch:print_exception=false"],
        )
        assert webhook.events == ["run_started", "task_retried", "task_caught", "run_succeeded"]
        assert webhook.bodies[1]["retry_in"] == 0
        assert "next attempt in 0 s: ZeroDivisionError" in webhook.bodies[1]["text"]
        assert "and the flow goes on" in webhook.bodies[2]["text"]

    def test_a_template(self, run, webhook):
        run("raise KeyError('title')", template="{flow}/{run} {event}{{}}: {failed} {step}")
        assert webhook.bodies[0]["text"] == "F/1 run_failed{}: F/1/start/1 "

    def test_the_form_of_slack(self, run, webhook):
        run("raise KeyError('<!channel> & <x>')", format="slack")
        ((name, text),) = webhook.bodies[0].items()
        assert name == "text"
        assert text.startswith(":x: F/1 failed after ")
        assert text.endswith("KeyError: '&lt;!channel&gt; &amp; &lt;x&gt;'")

    def test_headers_come_from_a_variable(self, flowtester, webhook):
        file = flowtester.write(FLOW.format(body="pass"))
        flowtester.more_plugins.append("notify")
        done = flowtester.python(
            file,
            "run",
            variables={
                "FLOW_NOTIFY_URL": webhook.url,
                "FLOW_NOTIFY_HEADERS": "TEAM_HEADERS",
                "TEAM_HEADERS": '{"Authorization": "Bearer hunter2"}',
            },
        ).check()
        assert webhook.headers[0]["Authorization"] == "Bearer hunter2"
        assert "hunter2" not in done.stdout + done.stderr
        assert TOKEN not in done.stdout + done.stderr


class TestTrouble:
    """The run goes on, and ends soon; what was not told is said once, without the secret."""

    def check(self, outcome, webhook, why):
        assert outcome.state is RunState.SUCCEEDED
        place = webhook.place
        assert warnings(outcome) == [f"notify: one message did not reach {place}: {why}"]
        assert isinstance(outcome.events[-1], RunFinished)

    def test_an_error_of_the_server(self, run, webhook):
        webhook.answers = [500]
        self.check(run(), webhook, "HTTP 500, no_such_channel")

    def test_a_second_try(self, run, webhook):
        webhook.answers = [500, 503]
        outcome = run(retries=2)
        assert len(webhook.bodies) == 3
        assert warnings(outcome) == []

    def test_a_server_that_asks_to_wait(self, run, webhook):
        webhook.answers = [429]
        began = time.monotonic()
        assert warnings(run(retries=1)) == []
        assert time.monotonic() - began > 1

    def test_a_refusal_is_final(self, run, webhook):
        webhook.answers = [404]
        self.check(run(retries=5), webhook, "HTTP 404, no_such_channel")
        assert len(webhook.bodies) == 1

    def test_a_redirect_is_a_failure(self, run, webhook):
        webhook.answers = [302]
        self.check(run(), webhook, "HTTP 302, no_such_channel")

    def test_a_slow_server(self, run, webhook):
        webhook.answers = ["slow"]
        self.check(run(), webhook, "no answer in time")

    def test_nobody_listens(self, run, webhook):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            webhook.place = f"http://127.0.0.1:{taken.getsockname()[1]}"
            outcome = run(url=f"{webhook.place}/{TOKEN}")
        self.check(outcome, webhook, "Connection refused")

    def test_a_server_that_hangs_costs_the_patience_and_no_more(self, run, webhook):
        with socket.socket() as hanging:
            hanging.bind(("127.0.0.1", 0))
            hanging.listen()
            webhook.place = f"http://127.0.0.1:{hanging.getsockname()[1]}"
            began = time.monotonic()
            outcome = run(url=f"{webhook.place}/{TOKEN}", timeout=5.0, retries=3, patience=0.3)
            assert time.monotonic() - began < 4
        self.check(outcome, webhook, "no answer within 0.3 s")

    def test_a_host_that_there_is_not(self, run, webhook):
        outcome = run(url=f"http://no-such-host.invalid/{TOKEN}")
        (text,) = warnings(outcome)
        assert text.startswith("notify: one message did not reach http://no-such-host.invalid: ")
        assert TOKEN not in text

    def test_many_failures_are_told_once(self, run, webhook):
        webhook.answers = [500] * 10
        (text,) = warnings(run("1 / 0", events="all"))
        assert text.startswith("notify: 3 of 3 messages did not reach ")

    def test_an_answer_that_repeats_the_secret(self, run, webhook, monkeypatch):
        monkeypatch.setattr("flow_notify.sender._refusal", lambda error: f"bad url {webhook.url}")
        webhook.answers = [400]
        self.check(run(), webhook, "bad url ***")

    def test_a_run_does_not_wait_for_the_webhook_between_its_tasks(self, run, webhook):
        webhook.answers = ["slow"] * 10
        began = time.monotonic()
        outcome = run(events="run_started", timeout=5.0, patience=0.0)
        assert outcome.state is RunState.SUCCEEDED
        assert time.monotonic() - began < 4

    def test_a_queue_that_is_full(self):
        from flow_notify import sender

        with socket.socket() as hanging:
            hanging.bind(("127.0.0.1", 0))
            hanging.listen()
            url = f"http://127.0.0.1:{hanging.getsockname()[1]}/x"
            full = sender.Sender(sender.Target(url, {}, 5.0, 0))
            began = time.monotonic()
            for _ in range(1500):
                full.post(b"{}")
            told = full.close(0.1)
            assert time.monotonic() - began < 4
        assert told.startswith("notify: 1500 of 1500 messages did not reach http://127.0.0.1:")
        assert told.endswith("more than 1000 waited")


class TestSettings:
    """What could tell nobody anything is an error before there is a run."""

    @pytest.mark.parametrize(
        ("settings", "what", "hint"),
        [
            ({"url": "hooks.example.com/x"}, "is no URL of a webhook", "FLOW_NOTIFY_URL=https://"),
            ({"url": "file:///etc/passwd"}, "is no URL of a webhook", "FLOW_NOTIFY_URL=https://"),
            ({"url": "http://[x/"}, "is no URL of a webhook", "FLOW_NOTIFY_URL=https://"),
            ({"events": "run_faild"}, "There is no event 'run_faild'", "'run_failed'"),
            ({"template": "{runn}"}, "names {runn}, which no message has", "'run'"),
            ({"template": "{"}, "is no template", "a brace itself is {{"),
            ({"template": "{run.__class__}"}, "names {run.__class__}, which no", "run"),
            ({"template": "{seconds:{x}}"}, "is no template", "{event} {message}"),
            ({"headers": "NOT_THERE"}, "There is no variable 'NOT_THERE'", "NOT_THERE='{"),
        ],
    )
    def test_wrong_ones(self, run, webhook, settings, what, hint):
        outcome = run(**settings)
        assert isinstance(outcome.error, SettingsError)
        assert what in outcome.error.what
        assert hint in outcome.error.hint
        assert not outcome.run
        assert "example.com/x" not in str(outcome.error)
        assert webhook.bodies == []

    @pytest.mark.parametrize("text", ["hunter2", '["hunter2"]', '{"X": 1}', '{"X": "a\\nb"}'])
    def test_a_variable_without_headers(self, flowtester, text):
        file = flowtester.write(FLOW.format(body="pass"))
        flowtester.more_plugins.append("notify")
        variables = {"FLOW_NOTIFY_URL": "http://x.invalid/", "FLOW_NOTIFY_HEADERS": "H", "H": text}
        done = flowtester.python(file, "run", variables=variables)
        assert done.error["error"] == "The variable 'H' holds no HTTP headers"
        assert done.returncode == 2
        assert "hunter2" not in done.stderr

    def test_nothing_happens_without_a_url(self, run, webhook, monkeypatch):
        monkeypatch.delitem(__import__("sys").modules, "flow_notify.sender", raising=False)
        assert run(url="").error is None
        assert "flow_notify.sender" not in __import__("sys").modules
        assert webhook.bodies == []
