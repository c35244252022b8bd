"""A launcher that is a pod itself: it finds the cluster around it, by the files of its service account."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import incluster_config
from servers.tls import make_certificates

from flow_core.api import FlowError
from flow_kubernetes import client
from flow_kubernetes.client import Connection


class Server(http.server.ThreadingHTTPServer):
    """An API server in as far as it notes who asks for what."""

    asked: list[tuple[str, str]]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"kind": "JobList", "metadata": {}, "items": []}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the service account of a pod, and no kubeconfig."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "token").write_text("first-token")
    (folder / "namespace").write_text("team\n")
    monkeypatch.setattr(client, "_ACCOUNT", str(folder))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(folder / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(folder / "ca.crt"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return folder


@pytest.fixture
def server(account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """What the variables of the pod lead to, over TLS."""
    authority, own = make_certificates(tmp_path)
    authority.rename(account / "ca.crt")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.socket = context.wrap_socket(server.socket, server_side=True)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


def setting(_: str) -> Any:
    return ""


def test_the_cluster_around_it(account: Path, server: Server) -> None:
    connection = Connection(setting)
    try:
        place = connection.place
        assert place.server == f"https://127.0.0.1:{server.server_port}"
        assert (place.namespace, place.source) == ("team", "the pod's service account")
        path = "/apis/batch/v1/namespaces/team/jobs"
        assert connection.ask("list", path)["items"] == []
        assert server.asked == [(path, "bearer first-token")]
    finally:
        connection.close()


def test_a_pod_without_an_account(account: Path, server: Server) -> None:
    (account / "token").unlink()
    with pytest.raises(FlowError) as caught:
        Connection(setting)
    assert caught.value.what == "The cluster around this pod cannot be used"
    assert caught.value.where == str(account)
    assert "flow kubernetes rbac" in (caught.value.hint or "")
