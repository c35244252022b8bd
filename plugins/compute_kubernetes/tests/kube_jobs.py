"""Jobs for the tests, and a backend at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from servers.kubernetes.handle import Cluster
from watching import wait_for

from flow_core.api import GangMember, RunRecord, RunState, Settings, TaskSpec
from flow_kubernetes.backend import KubernetesBackend
from flow_kubernetes.choices import Choices, Defaults, choose
from flow_kubernetes.manifests import Manifest, Origin
from flow_kubernetes.settings import declare
from flow_remote.backend import Job, News

N = TypeVar("N")

QUICK: dict[str, Any] = {"kubernetes_cpu": 0.1, "kubernetes_memory": 200.0, "kubernetes_disk": 10.0}
"""Settings for pods of which many fit on a small node."""

SLEEP = ("/bin/sh", "-c", "trap 'exit 143' TERM; echo begun; while :; do sleep 600 & wait; done")
"""A command that goes on until it is ended."""

ORIGIN = Origin("ada", "s3://bucket/flows")


def known_settings() -> dict[str, Any]:
    """Return the default of each setting of the plugin."""
    return {setting.name: settings()[setting.name] for setting in settings().declared()}


def settings(**values: Any) -> Settings:
    """Return settings of which only these are set: ``kubernetes_qos="guaranteed"``."""
    found = Settings({"FLOW_" + name.upper(): str(value) for name, value in values.items()})
    declare(found)
    return found


def chosen(*, resources: dict[str, float] | None = None, **asked: Any) -> Choices:
    """Return what comes of the options of a step."""
    return choose(Defaults.read(settings().__getitem__), asked, resources or {})


def job(
    *commands: tuple[str, ...],
    name: str = "trainflow-12-train-7-0",
    step: str = "train",
    task: int = 7,
    gang: bool = False,
    variables: tuple[dict[str, str], ...] = (),
    **more: Any,
) -> Job:
    """Return a job of these commands: one attempt, or, if there are several, a gang."""
    size = len(commands)
    members = [GangMember(size, n, task) if gang or size > 1 else None for n in range(size)]
    return Job(
        name=name,
        tasks=tuple(
            TaskSpec("TrainFlow", "12", step, task + n, gang=m) for n, m in enumerate(members)
        ),
        commands=commands,
        variables=variables or ({},) * size,
        **more,
    )


def check(model: str, manifest: Manifest) -> None:
    """Let the model of the official client read a manifest: nothing is refused, or gets lost."""
    from kubernetes import client

    read = getattr(client, model).from_dict(manifest)
    assert client.ApiClient().sanitize_for_serialization(read) == manifest


class FakeRuntime:
    """What a backend asks of the session: settings."""

    def __init__(self, **values: Any) -> None:
        self._settings = settings(**values)

    def setting(self, name: str) -> Any:
        return self._settings[name]


def open_backend(run: str = "12", **values: Any) -> KubernetesBackend:
    """Return a backend that serves a run, with these settings."""
    backend = KubernetesBackend()
    backend.place = ORIGIN.place
    runtime: Any = FakeRuntime(**values)
    record = RunRecord("TrainFlow", run, RunState.RUNNING, 0.0, user=ORIGIN.user)
    try:
        backend.open(record, runtime, lambda: None)
    except BaseException:
        backend.close()
        raise
    return backend


class Bench:
    """A backend at work: what it tells is collected.

    Attributes:
        cluster: where.
        backend: the backend.
        heard: all news so far.
        calls: how often the backend made each request.
    """

    def __init__(self, cluster: Cluster, run: str = "12", **values: Any) -> None:
        self.cluster = cluster
        values = {"kubernetes_config": cluster.kubeconfig, **QUICK, **values}
        self.backend = open_backend(run, **values)
        self.calls = self.backend.connection.calls
        self.heard: list[News] = []
        self._unheard: list[News] = []

    def close(self) -> None:
        """End all that it has started."""
        self.backend.close()

    def submit(self, *jobs: Job) -> list[str]:
        """Submit jobs, which the cluster must take; return their ids."""
        answers = self.backend.submit(jobs)
        assert all(isinstance(answer, str) for answer in answers), answers
        return [str(answer) for answer in answers]

    def wait(self, kind: type[N], seconds: float = 30) -> N:
        """Wait for news of a kind; others stay for later."""
        return self.wait_all(kind, 1, seconds)[0]

    def wait_all(self, kind: type[N], count: int, seconds: float = 30) -> list[N]:
        """Wait for so many news of a kind."""
        found: list[N] = []
        deadline = time.monotonic() + seconds
        while True:
            fresh = list(self.backend.news())
            self.heard += fresh
            self._unheard += fresh
            for news in list(self._unheard):
                if isinstance(news, kind) and len(found) < count:
                    found.append(news)
                    self._unheard.remove(news)
            if len(found) == count:
                return found
            assert time.monotonic() < deadline, (
                f"{len(found)} of {count} {kind.__name__}; heard: {self.heard[-10:]}"
            )
            time.sleep(0.02)

    def sees(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Wait until something is so."""
        wait_for(condition, seconds, what)

    def sees_no_jobs(self) -> None:
        """Wait until no job is left."""
        self.sees(lambda: not self.job_objects(), "no job is left")

    def sees_no_pods(self) -> None:
        """Wait until no pod runs."""

        def none() -> bool:
            pods = self.cluster.core().list_namespaced_pod(self.cluster.namespace).items
            return not [p for p in pods if p.status.phase in ("Pending", "Running")]

        self.sees(none, "no pod runs")

    def log(self, pod: str) -> str:
        """Return what a pod has written so far."""
        return str(self.cluster.core().read_namespaced_pod_log(pod, self.cluster.namespace))

    def pods(self) -> list[str]:
        """Return the names of all pods."""
        found = self.cluster.core().list_namespaced_pod(self.cluster.namespace)
        return sorted(pod.metadata.name for pod in found.items)

    def services(self) -> list[str]:
        """Return the names of all services."""
        found = self.cluster.core().list_namespaced_service(self.cluster.namespace)
        return [service.metadata.name for service in found.items]

    def job_objects(self) -> list[Any]:
        """Return all jobs as plain data."""
        found = self.cluster.batch().list_namespaced_job(self.cluster.namespace)
        with self.cluster.client() as client:
            return [client.sanitize_for_serialization(one) for one in found.items]

    def quota(self, name: str, hard: dict[str, str]) -> None:
        """Let a quota hold in the namespace."""
        body = {"metadata": {"name": name}, "spec": {"hard": hard}}
        self.cluster.core().create_namespaced_resource_quota(self.cluster.namespace, body)
