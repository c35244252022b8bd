"""What a test server is told when it starts."""

from __future__ import annotations

from typing import NamedTuple


class NodeSettings(NamedTuple):
    """Some nodes that are alike.

    Attributes:
        number: how many.
        cpu, memory, gpus, pods: what each has.
        labels: of each.
        taints: of each, such as ``{"key": "gpu", "value": "yes", "effect": "NoSchedule"}``.
    """

    number: int = 2
    cpu: str = "64"
    memory: str = "256Gi"
    gpus: int = 0
    pods: int = 2000
    labels: dict[str, str] = {}
    taints: tuple[dict[str, str], ...] = ()


class Settings(NamedTuple):
    """All of it; times in seconds. Real clusters have the times in brackets.

    Attributes:
        nodes: those of the cluster; who starts one may write them as dictionaries.
        job_backoff: before the first new pod of a job whose pod has failed; it doubles (10).
        crash_backoff: before a container is started again; it doubles (10).
        pull_backoff: before an image is tried again; it doubles (10).
        quota_backoff: before a job's pod that a quota refused is tried again; it doubles (1).
        node_monitor_grace: after which a silent node is NotReady (40).
        eviction_wait: longest time that pods stay on a lost node, whatever they tolerate (300).
        bookmarks: between bookmarks of a watch (60).
        podman: variables by which podman is found, which then runs the containers, from real images;
            empty = they are processes of this machine.
        memory_check: between looks at the memory of containers that have a limit; 0 = never.
    """

    nodes: tuple[NodeSettings, ...] = (NodeSettings(),)
    job_backoff: float = 0.3
    crash_backoff: float = 0.3
    pull_backoff: float = 0.3
    quota_backoff: float = 0.2
    node_monitor_grace: float = 0.5
    eviction_wait: float = 1.0
    bookmarks: float = 2.0
    memory_check: float = 0.3
    podman: dict[str, str] = {}

    @classmethod
    def read(cls, told: dict[str, object]) -> Settings:
        """Return what `Settings._asdict` was, after a way through JSON; a node may be a dictionary."""
        nodes = told.pop("nodes", None)
        settings = cls(**told)  # type: ignore[arg-type]
        if isinstance(nodes, list):
            made = tuple(
                NodeSettings(**each) if isinstance(each, dict) else NodeSettings(*each)
                for each in nodes
            )
            settings = settings._replace(nodes=made)
        return settings
