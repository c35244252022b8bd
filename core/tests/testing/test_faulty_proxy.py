"""The proxy passes on what it is given, and spoils what it is told to."""

from __future__ import annotations

import collections
import contextlib
import http.client
import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from flow_core.errors import UsageError
from flow_core.testing import FaultyProxy

CONTENT = bytes(range(256)) * 40


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it got: a body, or the headers as text."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        pass

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append(
            (self.command, self.requestline.split()[1], dict(self.headers), body)
        )
        content = body or CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_HEAD = do_POST = _answer


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    made.heard = []
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def proxy(server) -> Iterator[FaultyProxy]:
    with FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}", seed=1) as made:
        yield made


def ask(proxy, method="GET", path="/a/b?c=d", body=None, headers=None, timeout=5):
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_passes_on_what_it_is_given(proxy, server):
    assert ask(proxy) == (200, CONTENT)
    assert ask(proxy, "PUT", "//odd%2F/../x", b"sent", {"Host": "signed.example:80"}) == (
        200,
        b"sent",
    )
    assert ask(proxy, "HEAD") == (200, b"")
    assert ask(proxy, "POST", body=iter([b"one", b"two"])) == (200, b"onetwo")
    assert [heard[:2] for heard in server.heard] == [
        ("GET", "/a/b?c=d"),
        ("PUT", "//odd%2F/../x"),
        ("HEAD", "/a/b?c=d"),
        ("POST", "/a/b?c=d"),
    ]
    assert server.heard[1][2]["Host"] == "signed.example:80", "what was signed stays"


def test_one_connection_serves_many_requests(proxy):
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read() == CONTENT
    connection.close()
    assert proxy.counts() == {"GET": 3}


def test_it_counts(proxy):
    ask(proxy)
    ask(proxy, path="/?prefix=x&list-type=2")
    ask(proxy, "PUT", "/k", b"x")
    assert proxy.counts() == {"GET": 2, "PUT": 1}
    assert proxy.kinds() == {"GET ?c": 1, "GET ?list-type&prefix": 1, "PUT": 1}
    assert proxy.seen[0] == ("GET", "/a/b", "c=d", 200, "")


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("error", 500, b"InternalError"),
        ("slow-down", 503, b"SlowDown"),
        ("expired", 400, b"ExpiredToken"),
        ("forbidden", 403, b"AccessDenied"),
    ],
)
def test_answers_of_its_own(proxy, server, kind, status, code):
    proxy.fail(kind)
    found, said = ask(proxy)
    assert (found, code in said) == (status, True)
    assert server.heard == [], "the server never hears of it"
    assert ask(proxy) == (200, CONTENT)
    assert [r.fault for r in proxy.seen] == [kind, ""]


@pytest.mark.parametrize(("kind", "heard"), [("reset", 0), ("lose", 1)])
def test_connections_that_break(proxy, server, kind, heard):
    proxy.fail(kind)
    with pytest.raises(ConnectionError):
        ask(proxy)
    assert len(server.heard) == heard
    assert proxy.seen[0].status == 0


def test_answer_that_ends_early(proxy):
    proxy.fail("truncate")
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(proxy)
    assert caught.value.partial == CONTENT[: len(CONTENT) // 2]


@pytest.mark.parametrize("body", [None, b"sent content"])
def test_flipped_bit(proxy, server, body):
    proxy.fail("flip")
    sent = body or CONTENT
    _, found = ask(proxy, "PUT" if body else "GET", body=body)
    assert sum(a != b for a, b in zip(found, sent, strict=True)) == 1
    assert ask(proxy) == (200, CONTENT)


def test_answer_that_stalls(proxy):
    proxy.fail("stall", seconds=30)
    with pytest.raises(TimeoutError):
        ask(proxy, timeout=0.2)


def test_delay(proxy):
    proxy.fail("delay", seconds=0.2)
    begin = time.monotonic()
    assert ask(proxy) == (200, CONTENT)
    assert time.monotonic() - begin >= 0.2


def test_what_is_spoilt_can_be_chosen(proxy):
    proxy.fail("error", method="PUT", path="/a/*", query="", after=1, times=2)
    wanted = [("GET", "/a/b", 200), ("PUT", "/b", 200), ("PUT", "/a/b?x=1", 200)]
    wanted += [("PUT", "/a/b", status) for status in (200, 500, 500, 200)]
    for method, path, status in wanted:
        assert ask(proxy, method, path, b"x")[0] == status, (method, path)


def test_chance_has_a_seed(server):
    def statuses():
        with FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}", seed=7) as made:
            made.fail("error", times=None, probability=0.5)
            return [ask(made)[0] for _ in range(20)]

    first = statuses()
    assert {200, 500} == set(first)
    assert statuses() == first


def test_all_kinds_come_at_random(server):
    def faults(seed):
        with FaultyProxy(f"http://127.0.0.1:{server.server_address[1]}", seed=seed) as made:
            made.fail_at_random(0.6, seconds=0.0)
            for _ in range(100):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    ask(made, "PUT", body=b"some content")
            return [request.fault for request in made.seen]

    found = collections.Counter(faults("one"))
    assert 25 <= found.pop("") <= 55
    assert set(found) == {"reset", "lose", "error", "slow-down", "truncate", "stall", "flip"}
    assert faults("one") == faults("one") != faults("another")


def test_it_heals(proxy):
    proxy.fail("error", times=None)
    assert ask(proxy)[0] == 500
    proxy.heal()
    assert ask(proxy)[0] == 200


def test_closing_ends_what_waits(proxy, no_leaks):
    proxy.fail("stall", seconds=600)
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=5)
    connection.request("GET", "/")
    time.sleep(0.1)
    begin = time.monotonic()
    proxy.close()
    assert time.monotonic() - begin < 2
    connection.close()


def test_mistakes_are_explained(proxy):
    with pytest.raises(UsageError, match="A proxy cannot 'truncated'") as caught:
        proxy.fail("truncated")
    assert "truncate" in caught.value.hint
    with pytest.raises(UsageError, match="no proxy for 'localhost:80'"):
        FaultyProxy("localhost:80")
