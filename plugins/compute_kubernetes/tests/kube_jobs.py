"""Jobs for the tests: attempts, and gangs of them."""

from __future__ import annotations

from typing import Any

from flow_core.api import GangMember, Settings, TaskSpec
from flow_kubernetes.choices import Choices, Defaults, choose
from flow_kubernetes.manifests import Manifest, Origin
from flow_kubernetes.settings import declare
from flow_remote.backend import Job

ORIGIN = Origin("ada", "s3://bucket/flows")


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
