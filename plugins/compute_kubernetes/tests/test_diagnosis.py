"""What ``flow doctor`` says of Kubernetes."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kube_jobs import settings
from servers.kubernetes.handle import Cluster, kubeconfig

from flow_core.api import Diagnosis
from flow_core.testing import FlowTester
from flow_kubernetes.diagnosis import diagnose


def told(**values: Any) -> list[Diagnosis]:
    session: Any = SimpleNamespace(settings=settings(**values), load_hooks=lambda decorators: False)
    return list(diagnose(session))


def test_a_cluster_that_answers(kubernetes: Cluster, flowtester: FlowTester) -> None:
    (found,) = told(kubernetes_config=kubernetes.kubeconfig)
    assert (found.subject, found.status) == ("kubernetes", "ok")
    assert found.text.startswith("Kubernetes v1.")
    assert found.text.endswith(f", namespace {kubernetes.namespace}")
    if not kubernetes.is_real:
        assert " answers: context tests, " in found.text
    flowtester.more_plugins = ["kubernetes"]
    said = flowtester.flow("doctor", variables=kubernetes.environment()).stdout
    assert f"kubernetes  {found.text}\n" in said


def test_a_cluster_that_does_not_allow_it(kubernetes: Cluster) -> None:
    kubernetes.deny("list", "jobs")
    (found,) = told(kubernetes_config=kubernetes.kubeconfig)
    assert (found.status, found.text) == ("warn", "The Kubernetes cluster does not allow this")
    assert 'cannot list resource "jobs"' in found.why
    assert found.hint.startswith(f"flow kubernetes rbac --namespace {kubernetes.namespace} ")


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """A kubeconfig whose server takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        yield _written(tmp_path, endpoint)


def test_a_cluster_that_does_not_answer(silent: str) -> None:
    (found,) = told(kubernetes_config=silent)
    assert (found.status, found.text) == ("warn", "The Kubernetes cluster cannot be reached")
    assert f"of {silent}: the API server at http://127.0.0.1:" in found.why
    assert found.why.endswith(" does not answer: no answer within 1.5 s")
    assert found.hint.startswith("kubectl get pods must work first")


def test_a_cluster_that_is_gone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (found,) = told(kubernetes_config=_written(tmp_path, f"http://127.0.0.1:{port}"))
    assert found.text == "The Kubernetes cluster cannot be reached"
    assert "Connection refused" in found.why


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    path = _written(tmp_path, "http://127.0.0.1:1")
    (found,) = told(kubernetes_config=path, kubernetes_context="test")
    assert found.text == "There is no Kubernetes context 'test'"
    assert (found.why, found.hint) == (path, "did you mean 'tests'?")


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    (found,) = told(kubernetes_config=f"{tmp_path}/none")
    assert (found.status, found.text) == ("warn", "There is no Kubernetes cluster")
    assert found.why.startswith(f"{tmp_path}/none: ")


def test_nobody_has_named_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert told() == []


def test_a_pod_without_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (found,) = told()
    assert (found.status, found.text) == ("warn", "The cluster around this pod cannot be used")
    assert "flow kubernetes rbac" in found.hint


def _written(folder: Path, endpoint: str) -> str:
    path = folder / "kubeconfig"
    path.write_text(json.dumps(kubeconfig(endpoint, "default")))
    return str(path)
