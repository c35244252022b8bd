"""The Kubernetes server of the tests does what a cluster does, for the official client and kubectl."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from servers.kubernetes.handle import kubectl


def job(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return a job with one container that runs a script of the shell."""
    container = {"name": "main", "image": "busybox:1", "command": ["/bin/sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def pod(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return a pod with one container that runs a script of the shell."""
    container = {"name": "main", "image": "busybox:1", "command": ["/bin/sh", "-c", script]}
    spec = {"restartPolicy": "Never", "containers": [container], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what a function says as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)
    return found


@pytest.fixture
def core(kubernetes):
    api = kubernetes.core()
    yield api
    api.api_client.close()


@pytest.fixture
def batch(kubernetes):
    api = kubernetes.batch()
    yield api
    api.api_client.close()


@pytest.fixture
def run(kubernetes, tmp_path):
    """Return a function that runs kubectl, with what it reads, and returns what it says."""
    program = kubectl()

    def call(*words: str, give: Any = None, code: int = 0) -> str:
        done = subprocess.run(
            [program, "--cache-dir", str(tmp_path / "cache"), *words],
            check=False,
            input=json.dumps(give) if give is not None else None,
            env=kubernetes.environment() | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return call


def ended(core, namespace: str, name: str) -> Any:
    """Return a pod when it has ended."""

    def look() -> Any:
        found = core.read_namespaced_pod(name, namespace)
        return found if found.status.phase in ("Succeeded", "Failed") else None

    return until(look)


def test_a_job_runs_its_command_and_tells_its_end(kubernetes, core, batch):
    batch.create_namespaced_job(kubernetes.namespace, job("hello", "echo hello; exit 3"))
    until(lambda: batch.read_namespaced_job("hello", kubernetes.namespace).status.conditions)
    [found] = core.list_namespaced_pod(kubernetes.namespace, label_selector="job-name=hello").items
    state = found.status.container_statuses[0].state.terminated
    assert (found.status.phase, state.exit_code, state.reason) == ("Failed", 3, "Error")
    assert core.read_namespaced_pod_log(found.metadata.name, kubernetes.namespace) == "hello\n"
    told = until(
        lambda: [
            each.reason
            for each in batch.read_namespaced_job("hello", kubernetes.namespace).status.conditions
            if each.type == "Failed"
        ]
    )
    assert told == ["BackoffLimitExceeded"]


def test_kubectl_applies_waits_shows_and_deletes(run):
    assert "created" in run("apply", "-f", "-", give=job("one", "echo said"))
    run("wait", "--for=condition=complete", "job/one", "--timeout=20s")
    assert "1/1" in run("get", "jobs")
    assert "Completed" in run("get", "pods")
    assert run("logs", "job/one") == "said\n"
    assert "SuccessfulCreate" in run("describe", "job", "one")
    run("delete", "job", "one")
    until(lambda: run("get", "pods", "-o", "name") == "")


def test_a_cluster_of_ones_own_can_be_stopped(new_kubernetes):
    cluster = new_kubernetes(job_backoff=0.1)
    with cluster.client() as connection:
        from kubernetes import client

        core = client.CoreV1Api(connection)
        core.create_namespaced_pod(cluster.namespace, pod("long", "sleep 60 & sleep 60"))
        until(lambda: len(cluster.processes()) == 3)
