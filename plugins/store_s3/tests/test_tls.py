"""Services whose certificate is not everybody's."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.tls import make_certificates

from flow_core.api import StoreError
from flow_s3.filesystem import filesystem
from flow_s3.place import find_place
from flow_s3.store import S3Store

CONTENT = bytes(20 << 20)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> tuple[Path, Path]:
    """Give the files of a certificate authority, and of a server that it vouches for."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secured(authority) -> Iterator[Callable[[str], str]]:
    """Give a function that puts TLS before a server; it returns the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority[1])
    servers: list[socketserver.ThreadingTCPServer] = []

    def start(url: str) -> str:
        behind = int(url.rpartition(":")[2])

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                try:
                    with (
                        context.wrap_socket(self.request, server_side=True) as outside,
                        socket.create_connection(("127.0.0.1", behind)) as inside,
                    ):
                        _pass_on(outside, inside)
                except OSError:
                    return  # the client does not trust this certificate, or went away

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"https://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _pass_on(outside: ssl.SSLSocket, inside: socket.socket) -> None:
    while True:
        # What TLS has taken in already is not seen by select.
        ready = [outside] if outside.pending() else select.select([outside, inside], [], [])[0]
        for source, target in ((outside, inside), (inside, outside)):
            if source in ready:
                content = source.recv(65536)
                if not content:
                    return
                target.sendall(content)


@pytest.fixture
def url(secured, bucket, s3_server, monkeypatch) -> str:
    """A bucket of the real server behind TLS."""
    found: str = secured(s3_server.endpoint)
    for name, value in bucket.through(found).environment().items():
        monkeypatch.setenv(name, value)
    return found


def test_certificate_of_ones_own(url, bucket, authority, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority[0]))
    store = S3Store(bucket.root)
    assert store.write([("small", b"x")]) == [True]
    assert store.write_stream("large", [CONTENT]), "in parts, by requests of our own"
    assert list(store.read(["small", "large"])) == [b"x", CONTENT]
    assert filesystem().cat_file(f"{bucket.root}/small") == b"x"


def test_certificate_that_is_not_trusted(url, bucket):
    with pytest.raises(StoreError) as caught:
        S3Store(bucket.root).size("a")
    assert (caught.value.why or "").startswith(f"no secure connection to {url}")
    assert "AWS_CA_BUNDLE=file.pem" in (caught.value.hint or "")
    unchecked = S3Store(bucket.root, settings={"s3_verify": False})
    assert unchecked.write_stream("large", [CONTENT])
    assert unchecked.size("large") == len(CONTENT)


def test_http_where_https_is_spoken(url, bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", url.replace("https://", "http://"))
    begun = time.monotonic()
    with pytest.raises(StoreError) as caught:
        S3Store(bucket.root).folders()
    assert time.monotonic() - begun < 5
    assert "does not answer in HTTP" in (caught.value.why or "")
    assert "http:// or https://" in (caught.value.hint or "")


def test_roles_behind_a_certificate_of_ones_own(secured, moto_url, authority, tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nrole_arn = arn:aws:iam::123456789012:role/r\ncredential_source = Environment\n"
    )
    variables = {
        "HOME": str(tmp_path),
        "AWS_ENDPOINT_URL_STS": secured(moto_url),
        "AWS_CA_BUNDLE": str(authority[0]),
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "B",
        "AWS_PROFILE": "default",
    }
    source = find_place({"s3_profile": "default"}, variables).provider
    assert source is not None
    assert source.keys().token
    del variables["AWS_CA_BUNDLE"]
    source = find_place({"s3_profile": "default"}, variables).provider
    assert source is not None
    with pytest.raises(StoreError, match="Cannot assume the role") as caught:
        source.keys()
    assert "certificate" in (caught.value.why or "").lower()
