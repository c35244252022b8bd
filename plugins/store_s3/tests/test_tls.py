"""Services whose certificate is not everybody's."""

from __future__ import annotations

import ipaddress
import select
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flow_core.api import StoreError
from flow_s3.filesystem import filesystem
from flow_s3.place import find_place
from flow_s3.store import S3Store

CONTENT = bytes(20 << 20)


def _signed(
    name: str, issuer: x509.Name | None, key: Any, signing: Any, *extensions: Any
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder(
        issuer or subject,
        subject,
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(hours=1),
        now + timedelta(days=1),
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
    )
    for extension in extensions:
        of_authority = isinstance(extension, (x509.BasicConstraints, x509.KeyUsage))
        builder = builder.add_extension(extension, critical=of_authority)
    return builder.sign(signing, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> tuple[Path, Path]:
    """Give the files of a certificate authority, and of a server that it vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    own, of_server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    # Python 3.13 asks for all that the standard does.
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    root = _signed("the team's own", None, own, own, x509.BasicConstraints(True, None), signs)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([address])
    server = _signed("127.0.0.1", root.subject, of_server, own, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    private = of_server.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + server.public_bytes(pem))
    return folder / "ca.pem", folder / "server.pem"


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
