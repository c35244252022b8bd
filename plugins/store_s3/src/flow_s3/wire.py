"""Requests to S3 that obstore does not make: signed, over kept connections."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from flow_objectstore.faults import Fault, RequestFailed, response_fault
from flow_s3.certificates import context_of
from flow_s3.place import Place
from flow_s3.signing import sign

_CONNECT = 3.0
_SILENCE = 60.0
"""Seconds within which some of a request or of its answer has to move."""
_UNSIGNED = "UNSIGNED-PAYLOAD"
_AGENT = "flow-s3"


class Answer(NamedTuple):
    """What the service answered, when it did as it was asked."""

    headers: Mapping[str, str]
    body: str


class Content(NamedTuple):
    """The body of a request, and what the service verifies of it.

    Attributes:
        body: the bytes.
        digest: their SHA-256 in hexadecimal, or what stands for it.
        checksum: their SHA-256 in base64, or ``""`` if none is sent along.
    """

    body: bytes
    digest: str
    checksum: str = ""


class Wire:
    """Requests to one bucket, by several threads; each has a connection while it needs one.

    Args:
        place: endpoint, region, credentials.
        bucket: name of the bucket.
    """

    def __init__(self, place: Place, bucket: str) -> None:
        self._place = place
        base = urlsplit(place.url_of(bucket))
        self._secure = base.scheme == "https"
        self._host = base.netloc
        self._path = base.path.rstrip("/")
        self._base = f"{base.scheme}://{base.netloc}"
        self._proxy = _proxy_for(base.scheme, base.hostname or "")
        self._context = (
            context_of(place.ca_bundle, verify=place.settings["s3_verify"])
            if self._secure
            else None
        )
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    def content(self, body: bytes) -> Content:
        """Return a body with what the service is to verify of it, computed once."""
        kind = self._place.settings["s3_checksum"]
        if kind == "none" and self._secure:
            return Content(body, _UNSIGNED)
        digest = hashlib.sha256(body)
        checksum = b64encode(digest.digest()).decode() if kind == "sha256" else ""
        return Content(body, digest.hexdigest(), checksum)

    def request(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        content: Content | None = None,
    ) -> Answer:
        """Make one request for an object.

        Args:
            method: ``PUT``, …
            key: in the bucket.
            query: arguments in the URL.
            headers: further headers.
            content: what is sent; None = nothing.

        Raises:
            RequestFailed: it did not succeed, or no answer came.
        """
        sent = content or Content(b"", hashlib.sha256(b"").hexdigest())
        asked = "&".join(f"{quote(n, '')}={quote(v, '')}" for n, v in sorted(query.items()))
        target = f"{self._path}/{quote(key, '/~')}" + (f"?{asked}" if asked else "")
        all_headers = self._headers(method, target, headers or {}, sent)
        connection = self._take()
        try:
            answer = self._exchange(connection, method, target, all_headers, sent.body)
        except BaseException:
            self._drop(connection)
            raise
        self._give_back(connection)
        return answer

    def close(self) -> None:
        """Cut all connections: also those on which a request is on its way, which then fails."""
        with self._lock:
            self._closed = True
            for connection in self._busy:
                if connection.sock is not None:
                    _cut(connection.sock)
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def _headers(
        self, method: str, target: str, headers: Mapping[str, str], sent: Content
    ) -> dict[str, str]:
        place = self._place
        wanted = {"x-amz-content-sha256": sent.digest, **headers}
        if place.settings["s3_requester_pays"]:
            wanted["x-amz-request-payer"] = "requester"
        if place.provider is not None:
            keys = place.provider.keys()
            wanted = sign(
                keys,
                method,
                self._base + target,
                "s3",
                place.region,
                headers=wanted,
                digest=sent.digest,
            )
        return {**wanted, "host": self._host, "user-agent": _AGENT}

    # --- connections ----------------------------------------------------------------------------

    def _take(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._closed:
                raise RequestFailed(Fault("other", "the upload has ended"))
            connection = self._idle.pop() if self._idle else self._make()
            self._busy.add(connection)
        return connection

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def _make(self) -> http.client.HTTPConnection:
        proxy = urlsplit(self._proxy) if self._proxy else None
        host = proxy.netloc.rpartition("@")[2] if proxy else self._host
        if self._context is None:
            return http.client.HTTPConnection(host, timeout=_CONNECT)
        made = http.client.HTTPSConnection(host, timeout=_CONNECT, context=self._context)
        if proxy:
            made.set_tunnel(self._host)
        return made

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> Answer:
        connecting = connection.sock is None
        try:
            if connecting:
                connection.connect()
                connecting = False
                connection.sock.settimeout(_SILENCE)
            if self._proxy and self._context is None:
                target = self._base + target
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("content-length", str(len(body)))
            # It may have refused before it had read all, and have said why.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body or None)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise RequestFailed(_fault(error, connecting)) from error
        if answer.length is None and not answer.chunked:
            # Its size is missing: it ended among the headers, which the library does not mind.
            raise RequestFailed(Fault("truncated", "half an answer"))
        if answer.will_close:
            connection.close()
        if not 200 <= answer.status < 300:
            raise RequestFailed(response_fault(answer.status, text))
        return Answer({name.lower(): value for name, value in answer.getheaders()}, text)


def _proxy_for(scheme: str, host: str) -> str | None:
    found = None if proxy_bypass(host) else getproxies().get(scheme)
    return f"http://{found}" if found and "://" not in found else found


def _fault(error: BaseException, connecting: bool) -> Fault:
    """Return what an exception of a connection tells."""
    said = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLCertVerificationError) or (
        connecting and isinstance(error, ssl.SSLError)
    ):
        return Fault("tls", said)
    if isinstance(error, socket.gaierror):
        return Fault("unknown-host", said)
    if isinstance(error, ConnectionRefusedError):
        return Fault("refused", said)
    if isinstance(error, TimeoutError):
        return Fault("no-answer" if connecting else "timeout", said)
    if isinstance(error, http.client.IncompleteRead):
        return Fault("truncated", said)
    if connecting and not isinstance(error, ConnectionError):
        return Fault("no-answer", said)
    return Fault("reset", said)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is not connected any more
