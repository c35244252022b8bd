"""What a person is told: which of address, bucket, region or key is wrong, and soon."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flow_core.api import StoreError, UsageError
from flow_objectstore import patience
from flow_s3.store import S3Store


@pytest.fixture
def variables(bucket, monkeypatch) -> Callable[..., None]:
    """Set the variables of the test server, some of them changed."""

    def use(**changes: str) -> None:
        for name, value in {**bucket.environment(), **changes}.items():
            monkeypatch.setenv(name, value)

    use()
    return use


@pytest.fixture
def answering() -> Iterator[Callable[[int, str], str]]:
    """Give a function that starts a server which always gives one answer; it returns the URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: str, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                content = b"" if self.command == "HEAD" else body.encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def told(use: Callable[[], object]) -> StoreError:
    """Return the error, which has four parts and comes long before a minute's patience is over."""
    begun = time.monotonic()
    with pytest.raises(StoreError) as caught:
        use()
    assert time.monotonic() - begun < 30
    assert all((caught.value.what, caught.value.where, caught.value.why, caught.value.hint))
    return caught.value


def uses(root: str) -> list[Callable[[], object]]:
    """Return the ways in which a run meets a store first."""
    return [
        lambda: list(S3Store(root).read(["a"])),
        lambda: S3Store(root).exists(["a"]),
        lambda: S3Store(root).write([("a", b"x")], create_only=True),
        lambda: list(S3Store(root).list()),
        lambda: S3Store(root).folders(),
        lambda: S3Store(root).delete(["a"]),
    ]


def test_bucket_that_is_not_there(variables):
    for number in (0, 1, 3):
        error = told(uses("no-such-bucket/runs")[number])
        assert error.why == "there is no bucket 'no-such-bucket' there"
        assert "aws s3 mb s3://no-such-bucket" in (error.hint or "")


@pytest.mark.parametrize("number", range(6))
def test_secret_that_is_wrong(bucket, variables, number):
    variables(AWS_SECRET_ACCESS_KEY="wrong")
    error = told(uses(bucket.root)[number])
    assert error.why == (
        "the secret key does not belong to the access key (from the variable AWS_ACCESS_KEY_ID)"
    )
    assert "AWS_SECRET_ACCESS_KEY" in (error.hint or "")


@pytest.mark.parametrize("number", range(6))
def test_key_that_is_unknown(bucket, variables, number):
    variables(AWS_ACCESS_KEY_ID="unknown")
    error = told(uses(bucket.root)[number])
    assert error.why is not None
    assert error.why.startswith("the service does not know the access key")


@pytest.mark.parametrize("number", range(6))
def test_nothing_listens(bucket, variables, monkeypatch, number):
    monkeypatch.setattr(patience, "UNREACHED", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        variables(AWS_ENDPOINT_URL=address)
        error = told(uses(bucket.root)[number])
    assert error.why == f"nothing listens at {address}"
    assert "AWS_ENDPOINT_URL_S3" in (error.hint or "")


@pytest.mark.parametrize("number", [2, 3])
def test_something_listens_and_says_nothing(bucket, variables, monkeypatch, number):
    monkeypatch.setattr("os.getloadavg", lambda: (0.5, 0.5, 0.5))  # whatever else is tested now
    monkeypatch.setattr(patience, "FIRST_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        variables(AWS_ENDPOINT_URL=address)
        error = told(uses(bucket.root)[number])
    assert error.why == f"{address} does not answer"
    assert "AWS_ENDPOINT_URL_S3" in (error.hint or "")


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"\0\0\x12\x04\0\0\0\0\0", b""])
@pytest.mark.parametrize("number", [2, 3])
def test_something_listens_that_is_no_web_server(bucket, variables, said, number):
    """Such as ssh, a service of gRPC, and one that hangs up."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        variables(AWS_ENDPOINT_URL=address)
        error = told(uses(bucket.root)[number])
        server.shutdown()
    assert error.why == f"what listens at {address} does not answer in HTTP"
    assert (error.hint or "").startswith("is it http:// or https://, and the right port?")


def test_host_that_does_not_exist(bucket, variables):
    variables(AWS_ENDPOINT_URL="http://no-such-host.invalid:9000")
    error = told(uses(bucket.root)[0])
    assert error.why == "there is no host 'no-such-host.invalid'"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("AWS_ENDPOINT_URL", "127.0.0.1:9000", "'127.0.0.1:9000' cannot be the address"),
        ("AWS_ENDPOINT_URL", "http://", "'http://' cannot be the address"),
        ("AWS_ENDPOINT_URL", "http://a b", "'http://a b' cannot be the address"),
        ("AWS_ENDPOINT_URL", "http://a:b", "'http://a:b' cannot be the address"),
        ("AWS_ENDPOINT_URL", "http://a/?b", "'http://a/?b' cannot be the address"),
        ("AWS_ENDPOINT_URL", "http://u:hush@a", "The address of the S3 service has a name or"),
        ("AWS_REGION", "us-east-1\n", "'us-east-1\\n' cannot be a region"),
        ("AWS_ACCESS_KEY_ID", "key\n", "The access key is no access key"),
        ("AWS_SECRET_ACCESS_KEY", "hush ", "The secret key is no secret key"),
        ("AWS_SESSION_TOKEN", "hush\u00e4", "The session token is no session token"),
    ],
)
def test_what_is_written_wrong(bucket, variables, name, value, what):
    variables(**{name: value})
    with pytest.raises(UsageError) as caught:
        S3Store(bucket.root)
    error = caught.value
    assert error.what.startswith(what)
    assert all((error.where, error.why, error.hint))
    assert "hush" not in f"{error.what}{error.where}{error.why}"


def test_bucket_that_can_have_no_such_name(variables):
    with pytest.raises(UsageError, match="'my bucket' cannot be the name of a bucket"):
        S3Store("my bucket/x")


def test_https_where_http_is_spoken(bucket, variables, s3_server):
    variables(AWS_ENDPOINT_URL=f"https://127.0.0.1:{s3_server.port}")
    error = told(uses(bucket.root)[0])
    assert (error.why or "").startswith("no secure connection to https://127.0.0.1")
    assert (error.why or "").endswith(": what answers there does not speak TLS")
    assert "AWS_CA_BUNDLE" in (error.hint or "")


def test_no_credentials_at_all(bucket, variables, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    error = told(uses(bucket.root)[0])
    assert (error.why or "").startswith("there are no credentials")
    assert "AWS_PROFILE" in (error.hint or "")


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "the bucket is in eu-west-3"),
        (
            400,
            (
                "<Error><Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-west-3'"
                "</Message><Region>eu-west-3</Region></Error>"
            ),
            "the bucket is in eu-west-3",
        ),
        (403, "<Error><Code>ExpiredToken</Code></Error>", "the credentials have expired"),
        (403, "<Error><Code>AccessDenied</Code></Error>", "these credentials may not do this"),
        (403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", "this machine's clock is wrong"),
        (507, "", "the service has no space left"),
        (501, "", "the service cannot do what flows need: HTTP status 501"),
    ],
)
def test_answers_that_are_not_repeated(bucket, variables, answering, status, body, why):
    variables(AWS_ENDPOINT_URL=answering(status, body, x_amz_bucket_region="eu-west-3"))
    error = told(uses(bucket.root)[0])
    assert (error.why or "").startswith(why)
    if "eu-west-3" in why:
        assert error.hint == "export AWS_REGION=eu-west-3"


@pytest.mark.parametrize(
    ("status", "why"), [(500, "the service fails"), (503, "the service is asked too much")]
)
def test_what_does_not_pass_within_the_time(bucket, variables, answering, monkeypatch, status, why):
    monkeypatch.setenv("FLOW_S3_RETRY_TIME", "1")
    variables(AWS_ENDPOINT_URL=answering(status, ""))
    error = told(uses(bucket.root)[0])
    assert (error.why or "").startswith(why)
    assert error.hint == "try again; it was repeated for 1 s (setting s3_retry_time)"


def test_what_answers_is_another_service(bucket, variables, answering):
    url = answering(404, "<html>not found</html>")
    variables(AWS_ENDPOINT_URL=url)
    error = told(uses(bucket.root)[3])
    assert error.why == f"there is no such place: HTTP status 404; is {url} a service of S3?"


def test_store_without_a_root(variables):
    with pytest.raises(UsageError, match="needs a bucket") as caught:
        S3Store()
    assert "FLOW_S3_ROOT" in (caught.value.hint or "")


def test_root_from_the_settings(bucket, variables, monkeypatch):
    monkeypatch.setenv("FLOW_S3_ROOT", bucket.url)
    S3Store().write([("a", b"1")])
    assert S3Store(bucket.root).url == S3Store().url
    assert list(S3Store(bucket.root).read(["a"])) == [b"1"]


def test_a_panic_of_the_client_is_an_error(variables) -> None:
    class PanicException(BaseException):
        """As Rust's is seen here: not to be made in Python."""

    def panic(_: object) -> None:
        raise PanicException("called `Result::unwrap()` on an `Err` value")

    with pytest.raises(StoreError, match="Cannot do it") as caught:
        S3Store("flows/x").ask("Cannot do it", "a", panic)
    assert "unwrap" in caught.value.why


def test_who_ends_the_process_is_not_stopped(variables) -> None:
    def end(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        S3Store("flows/x").ask("Cannot do it", "a", end)
