"""The server of cards over HTTP: what it shows, and to whom it does not."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from flow_cards.server import CardServer
from flow_core.api import Session, Settings, UsageError

MANY = """
    from flow_core import FlowSpec, card, current, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = list(range(12))
            self.next(self.work, foreach="items")

        @card(type="blank", id="one")
        @step
        def work(self):
            current.card.append(f"item {self.input}")
            current.card.refresh({"item": self.input})
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which a run has left cards."""
    from flow_core.testing import FlowTester

    tester = FlowTester(tmp_path_factory.mktemp("made"))
    tester.more_plugins = ["cards"]
    tester.python(tester.write(MANY), "run").check()
    return tester


class Client:
    """Asks a server of cards."""

    def __init__(self, server):
        self.server = server

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.text = answer.read().decode()
        connection.close()
        return answer

    def json(self, path):
        return json.loads(self.get(path).text)

    def events(self, path, count, **headers):
        """Return the first events of a stream: name, id, data."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        found, lines = [], {}
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line and ": " in line:
                name, _, value = line.partition(": ")
                lines[name] = value
            elif "event" in lines:
                if lines["event"] != "beat":
                    found.append((lines["event"], lines["id"], json.loads(lines["data"])))
                lines = {}
        answer.close()
        connection.close()
        return found


@contextmanager
def serving(tester, **options):
    settings = Settings(tester.environment(), folder=str(tester.path))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tester.path)
        session = Session(settings=settings)
        server = CardServer(session, port=0, **options)
        with server:
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            try:
                yield Client(server)
            finally:
                server.shutdown()
                thread.join()
        session.close()


@pytest.fixture(scope="module")
def client(made):
    with serving(made, flow="F", most=5) as client:
        yield client


class TestPages:
    def test_the_list_of_the_latest_run(self, client):
        html = client.get("/").text
        assert "12 cards" in html
        assert html.count('<a href="/card/F/1/work/') == 5
        assert "1 to 5 of 12" in html

    def test_axe_finds_nothing_serious_in_the_list(self, client, axe):
        assert axe(client.get("/").text) == {}

    def test_more_cards_than_are_listed_at_a_time(self, client):
        html = client.get("/?step=work&page=3").text
        assert html.count('<a href="/card/F/1/work/') == 2
        assert "11 to 12 of 12" in html
        assert client.get("/?step=work&page=99999999999999").status == 200
        assert client.get("/?step=<script>&page=-1").status == 200

    def test_a_card_is_the_file_as_it_is(self, client, made):
        (file,) = (made.path / ".flow/runs/F/1/work/5/0/cards").glob("*.html")
        assert client.get("/card/F/1/work/5/0").text == file.read_text()
        assert client.get(f"/runs/F/1/work/5/0/cards/{file.name}").text == file.read_text()

    def test_the_same_as_json(self, client):
        run = client.json("/api/latest")
        assert (run["run"], run["state"]) == ("F/1", "succeeded")
        assert run == client.json("/api/run/F/1")
        (work,) = run["steps"]
        assert [card["indices"] for card in work["cards"]] == [[n] for n in range(12)]
        card = client.json("/api" + work["cards"][3]["url"])
        assert (card["state"], card["live"], card["id"], card["data"]) == (
            "succeeded",
            False,
            "one",
            {"item": 3},
        )
        assert client.get(card["file"]).status == 200

    def test_the_card_of_the_whole_run(self, client, made):
        made.flow("card", "run", "F/1").check()
        (card,) = client.json("/api/run/F/1")["cards"]
        assert f'<a href="{card["url"]}">run</a>' in client.get("/run/F/1").text
        html = client.get(card["url"]).text
        link = re.search(r'href="\.\.(/work/5/0/cards/[^"]+)"', html)[1]
        assert client.get(f"/runs/F/1{link}").status == 200

    def test_events_of_what_has_ended(self, client):
        ((name, id, data),) = client.events("/events/card/F/1/work/5/0?v=1", 1)
        assert (name, data["over"], data["sign"]) == ("made", True, "ended")
        ((name, _, data),) = client.events(
            "/events/card/F/1/work/5/0?v=1", 1, **{"Last-Event-ID": id}
        )
        assert name == "same"

    def test_events_bring_only_what_changed(self, client):
        ((name, id, data),) = client.events("/events/latest?v=1", 1)
        assert name == "parts"
        assert "12 cards" in data["parts"][-1][1]
        state = re.search("state&#34;: &#34;([0-9a-f]+)", client.get("/").text)[1]
        assert state == id
        ((name, again, data),) = client.events(f"/events/latest?v=1&state={state}", 1)
        assert (name, again, data) == ("same", id, {"sign": "live"})
        # After a change: what the browser has already is only named.
        ((_, _, data),) = client.events(
            "/events/latest?step=work&page=2", 1, **{"Last-Event-ID": id}
        )
        assert data["parts"][0][1] is not None

    @pytest.mark.parametrize(
        "path",
        [
            "/nothing",
            "/card/F/1/work/999/0",
            "/card/F/9/work/5/0",
            "/card/F/1/work/5/7/x",
            "/run/F/9",
            "/runs/F/1/run.json",
            "/runs/F/1/work/5/0/manifest",
            "/runs/F/1/work/5/0/cards/0.json",
            "/runs/F/1/work/5/0/cards/../manifest",
            "/runs/../../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/script/../server.py",
            "/script/none.js",
            "/runs/F/1/run-cards/run-0123456789abcdef0123.html",
            "/events/nothing",
            "/events/card/F/9/work/5/0",
            "/api/nothing",
        ],
    )
    def test_what_there_is_not(self, client, path):
        answer = client.get(path)
        assert answer.status == 404
        assert "Traceback" not in answer.text


class TestSafety:
    def test_headers(self, client):
        for path in ("/", "/card/F/1/work/5/0", "/api/latest", "/script/base.js", "/nothing"):
            headers = client.get(path).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Frame-Options"] == "DENY"
            assert "Access-Control-Allow-Origin" not in headers
        page = client.get("/card/F/1/work/5/0")
        assert "connect-src" not in page.text + page.headers["Content-Security-Policy"]
        assert "connect-src &#39;self&#39;" in client.get("/").text

    def test_what_goes_wrong_is_said_once_and_the_server_lives_on(
        self, client, monkeypatch, capsys
    ):
        def fail(*_):
            raise RuntimeError("of a provider")

        watch = client.server.run_watch("F", "1")
        monkeypatch.setattr(watch, "look", fail)
        for path in ("/run/F/1", "/api/run/F/1", "/events/run/F/1"):
            answer = client.get(path)
            assert (answer.status, answer.text) == (500, "Sorry: RuntimeError: of a provider\n")
        assert capsys.readouterr().err == "card server: RuntimeError: of a provider\n"
        assert client.get("/").status == 200

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
    def test_only_reading(self, client, method):
        assert client.get("/", method).status == 405

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8324", "[", "127.0.0.1.evil"])
    def test_names_of_others_are_refused(self, client, host):
        answer = client.get("/", Host=host)
        assert answer.status == 403
        assert "answers under no other name" in answer.text

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8324"])
    def test_its_own_names(self, client, host):
        assert client.get("/", Host=host).status == 200

    def test_other_sites_cannot_read_along(self, client):
        for path in ("/api/latest", "/events/latest"):
            assert client.get(path, Sec_Fetch_Site="cross-site").status == 403

    def test_a_token(self, made):
        with serving(made, flow="F", token="s3cret") as client:
            assert client.server.url.endswith("/?token=s3cret")
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "x=s3cret"}):
                for path in ("/", "/api/latest", "/events/latest", "/card/F/1/work/5/0"):
                    answer = client.get(path, **headers)
                    assert answer.status == 403
                    assert "This needs the token" in answer.text
            assert client.get("/?token=wrong").status == 403
            assert client.get("/api/latest", Authorization="Bearer s3cret").status == 200
            first = client.get("//evil.example/?token=s3cret&page=2")
            assert first.status == 303
            assert first.headers["Location"] == "/evil.example/?page=2"
            cookie = first.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Lax" in cookie
            assert client.get("/", Cookie=cookie.partition(";")[0]).status == 200
            # Who has the token may use any name: no page of another one knows it.
            assert client.get("/", Cookie=cookie.partition(";")[0], Host="gpu.lan").status == 200


def command(tester, *arguments):
    code = "import sys; from flow_core.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "card", "server", *arguments],
        cwd=tester.path,
        env=tester.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
class TestCommand:
    def test_it_ends_by_ctrl_c_also_while_somebody_listens(self, made):
        process = command(made, "--port", "0", "F")
        line = process.stdout.readline()
        found = re.fullmatch(r"Cards of the latest run of F: http://127\.0\.0\.1:(\d+)/\n", line)
        assert found, line
        listening = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        listening.request("GET", "/events/latest")
        answer = listening.getresponse()
        assert answer.status == 200
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "Ctrl-C ends it.\n"
        process.communicate(timeout=20)
        assert process.returncode == 0
        assert time.monotonic() - began < 10
        answer.close()
        listening.close()

    def test_a_port_that_is_taken(self, made, client):
        port = client.server.server_port
        done = made.flow("card", "server", "--port", str(port))
        assert done.returncode == 2
        assert done.error == {
            "error": f"The server of cards cannot listen at 127.0.0.1:{port}",
            "where": "--host, --port",
            "why": "Address already in use: maybe another one runs there",
            "try": f"--port {port + 1}, or --port 0 for any free one",
        }

    @pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
    def test_a_host_that_is_not_this_machine(self, made, host):
        shown = made.flow("card", "server", "--host", host).error
        assert shown["error"] == f"The server of cards cannot listen at {host}:8324"
        assert shown["where"] == "--host"
        assert "another one runs" not in shown["why"]
        assert shown["try"].startswith("--host 127.0.0.1")

    def test_others_need_a_token(self, made):
        done = made.flow("card", "server", "--host", "0.0.0.0", "--no-token")
        assert done.returncode == 2
        assert done.error["error"] == "At 0.0.0.0 others could see the cards without a token"
        process = command(made, "--host", "0.0.0.0", "--port", "0", "F/1")
        line = process.stdout.readline()
        process.terminate()
        assert re.fullmatch(r"Cards of F/1: http://\S+:\d+/\?token=[\w-]{32}\n", line), line
        process.communicate(timeout=20)
        assert process.returncode == 0

    def test_a_run_that_there_is_not(self, made):
        done = made.flow("card", "server", "F/7")
        assert done.error["error"] == "There is no run F/7"
        process = command(made, "--port", "0", "G")
        process.stdout.readline()
        assert process.stdout.readline() == "There is no run of G yet: known names: F\n"
        process.terminate()
        process.communicate(timeout=20)
        done = made.flow("card", "server", "F/1/work")
        assert done.error["error"] == "'F/1/work' is no run"


def test_a_port_that_nobody_has(made):
    with pytest.raises(UsageError, match="cannot listen at"), serving(made, host="192.0.2.1"):
        pass


def test_nothing_has_run_yet(tester):
    with serving(tester) as client:
        assert "no run yet" in client.get("/").text
        assert client.json("/api/latest")["run"] is None


RETRIED = """
    import os, time
    from flow_core import FlowSpec, card, current, retry, step

    class F(FlowSpec):
        @retry(times=1, minutes_between_retries=0)
        @card(type="blank")
        @step
        def start(self):
            current.card.append(f"try {current.retry_count}")
            current.card.refresh()
            while not os.path.exists(f"stop{current.retry_count}"):
                time.sleep(0.05)
            if not current.retry_count:
                raise OSError("first try")
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_a_page_follows_to_the_next_attempt(tester):
    process = subprocess.Popen(
        [sys.executable, str(tester.write(RETRIED)), "run"],
        cwd=tester.path,
        env=tester.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        with serving(tester) as client:
            deadline = time.monotonic() + 30
            while not client.json("/api/latest")["steps"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            told = threading.Thread(target=lambda: (time.sleep(2), (tester.path / "stop0").touch()))
            told.start()
            seen = []
            while "try 1" not in str(seen):
                last = {"Last-Event-ID": seen[-1][1]} if seen else {}
                seen += client.events("/events/card/F/1/start/1/0", 1, **last)
                assert time.monotonic() < deadline + 30
            told.join()
            assert "try 0" in str(seen)
            assert "live: attempt 1, after" in str(seen[-1])
            assert "first try" in seen[-1][2]["sign"]
            (tester.path / "stop1").touch()
            assert process.wait(60) == 0
            while client.json("/api/latest")["state"] == "running":
                time.sleep(0.1)
            ((card,),) = [step["cards"] for step in client.json("/api/latest")["steps"]]
            assert (card["attempt"], card["state"], card["live"]) == (1, "succeeded", False)
            assert "try 1" in client.get(card["url"]).text
    finally:
        for number in range(2):
            (tester.path / f"stop{number}").touch()
        process.wait(60)
