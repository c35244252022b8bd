"""Azurite: Azure Blob Storage on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from servers.sharing import absent, serve, shared

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the emulator: the same everywhere."""

_PROGRAM = Path(sys.prefix, "azurite/node_modules/azurite/dist/src/azurite.js")
_VERSION = "2021-12-02"


class Container(NamedTuple):
    """A place on an Azure server, and how to reach it; see `servers.s3.Bucket`."""

    endpoint: str
    name: str
    prefix: str = ""
    key: str = KEY

    @property
    def root(self) -> str:
        """``container/prefix``: what a store takes."""
        return f"{self.name}/{self.prefix}" if self.prefix else self.name

    def environment(self) -> dict[str, str]:
        """Return the variables by which the Azure tools find it."""
        account = f"AccountName={ACCOUNT};AccountKey={self.key}"
        text = f"{account};BlobEndpoint={self.endpoint}/{ACCOUNT}"
        return {"AZURE_STORAGE_CONNECTION_STRING": text}


class AzureServer:
    """A running Azurite.

    Args:
        port: on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    @classmethod
    def shared(cls) -> AzureServer:
        """Return the one of this run of pytest."""
        if not _PROGRAM.exists() or not shutil.which("node"):
            absent("no Azurite here: make azurite (it needs npm)")
        return cls(**shared("azure", _start))

    def make_container(self, name: str) -> Container:
        """Make a container."""
        status = self.put(f"/{ACCOUNT}/{name}", "restype", "container")
        assert status == 201, f"status {status}"
        return Container(self.endpoint, name)

    def put(self, path: str, name: str, value: str) -> int:
        """Send a signed PUT without content, with one argument; return the status."""
        headers = {
            "x-ms-date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
            "x-ms-version": _VERSION,
        }
        lines = "".join(f"{header}:{text}\n" for header, text in headers.items())
        to_sign = "PUT" + "\n" * 12 + f"{lines}/{ACCOUNT}{path}\n{name}:{value}"
        digest = hmac.new(base64.b64decode(KEY), to_sign.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        headers["Content-Length"] = "0"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("PUT", f"{path}?{name}={value}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


def _start(folder: Path) -> dict[str, Any]:
    def command(ports: list[int]) -> list[str]:
        words = ["node", str(_PROGRAM), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        for kind, port in zip(("blob", "queue", "table"), ports, strict=True):
            words += [f"--{kind}Host", "127.0.0.1", f"--{kind}Port", str(port)]
        return [*words, "--location", str(folder / "data")]

    def ready(port: int) -> bool:
        path = f"/{ACCOUNT}/ready-or-not"
        return AzureServer(port).put(path, "restype", "container") in (201, 409)

    return {"port": serve(folder, command, 3, ready)[0]}
