"""What a pod will be: the options of a step over the settings, and the amounts of its plan."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flow_kubernetes import checks
from flow_kubernetes.options import spreads
from flow_kubernetes.settings import PREFIX, options_of


class Choices(NamedTuple):
    """All that is to choose of a job, settled. The fields are the options of ``@kubernetes`` in their
    long form, and the settings that concern a job.

    Attributes:
        cpu: processors. So are ``memory``, ``disk``, ``tmpfs_size`` and ``shared_memory`` megabytes.
        image: with its registry.
        namespace: ``""`` = that of the connection.
        tmpfs_size: 0 = no tmpfs.
        port: 0 = none.
        pool_label: what ``compute_pool`` stands for.
        ttl: seconds after its end from which on the cluster deletes a job.
        deadline_margin: seconds after the step's time limit from which on the cluster ends its pod.
        eviction_grace: seconds from SIGTERM to SIGKILL.
    """

    cpu: float
    memory: float
    disk: float
    gpu: int
    gpu_vendor: str
    image: str
    image_pull_policy: str
    image_pull_secrets: tuple[str, ...]
    service_account: str
    secrets: tuple[str, ...]
    namespace: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    labels: dict[str, str]
    annotations: dict[str, str]
    tmpfs_tempdir: bool
    tmpfs_size: float
    tmpfs_path: str
    persistent_volume_claims: dict[str, str]
    volumes: dict[str, Any]
    shared_memory: float
    port: int
    compute_pool: str
    executable: str
    hostname_resolution_timeout: float
    qos: str
    extended_resources: dict[str, str]
    security_context: dict[str, Any]
    topology_spread: list[dict[str, Any]]
    priority_class: str
    pool_label: str
    ttl: int
    deadline_margin: float
    eviction_grace: int


class Defaults(NamedTuple):
    """What the settings say, read once for a run.

    Attributes:
        options: option → its default.
        registry: put before images that name none.
        pool_label, ttl, deadline_margin, eviction_grace: see `Choices`.
    """

    options: Mapping[str, Any]
    registry: str
    pool_label: str
    ttl: int
    deadline_margin: float
    eviction_grace: int

    @classmethod
    def read(cls, setting: Callable[[str], Any]) -> Defaults:
        """Read the settings; ``setting`` returns the value of one.

        Raises:
            SettingsError: one has a value that it cannot have.
        """
        return cls(
            options=options_of(setting),
            registry=setting(PREFIX + "image_registry"),
            pool_label=setting(PREFIX + "compute_pool_label"),
            ttl=setting(PREFIX + "job_ttl"),
            deadline_margin=setting(PREFIX + "deadline_margin"),
            eviction_grace=setting(PREFIX + "eviction_grace"),
        )


def choose(defaults: Defaults, asked: Mapping[str, Any], resources: Mapping[str, float]) -> Choices:
    """Settle what a job will be.

    Args:
        defaults: the settings.
        asked: what the step says: `TaskPlan.options` of this provider.
        resources: `TaskPlan.resources`; an amount that is not there is that of the settings.
    """
    chosen = {**defaults.options, **asked, **resources}
    amount = {n: float(chosen[n]) for n in ("cpu", "memory", "disk", "shared_memory")}

    def pairs(name: str) -> dict[str, str]:
        return checks.pairs(name, chosen.get(name))

    def added(name: str) -> dict[str, str]:
        return {**checks.pairs(name, defaults.options.get(name)), **pairs(name)}

    return Choices(
        cpu=amount["cpu"],
        memory=amount["memory"],
        disk=amount["disk"],
        gpu=int(chosen["gpu"]),
        gpu_vendor=chosen["gpu_vendor"],
        image=_image(chosen.get("image", ""), defaults.registry),
        image_pull_policy=chosen.get("image_pull_policy", ""),
        image_pull_secrets=checks.words(chosen.get("image_pull_secrets")),
        service_account=chosen.get("service_account", ""),
        secrets=checks.words(chosen.get("secrets")),
        namespace=chosen.get("namespace", ""),
        node_selector=pairs("node_selector"),
        tolerations=checks.tables("tolerations", chosen.get("tolerations")),
        labels=added("labels"),
        annotations=added("annotations"),
        tmpfs_tempdir=chosen["tmpfs_tempdir"],
        tmpfs_size=_tmpfs(chosen, amount["memory"]),
        tmpfs_path=chosen["tmpfs_path"],
        persistent_volume_claims=pairs("persistent_volume_claims"),
        volumes=checks.table("volumes", chosen.get("volumes")),
        shared_memory=amount["shared_memory"],
        port=chosen["port"],
        compute_pool=chosen.get("compute_pool", ""),
        executable=chosen.get("executable", ""),
        hostname_resolution_timeout=chosen["hostname_resolution_timeout"],
        qos=chosen["qos"],
        extended_resources=pairs("extended_resources"),
        security_context=checks.table("security_context", chosen.get("security_context")),
        topology_spread=spreads(chosen.get("topology_spread")),
        priority_class=chosen.get("priority_class", ""),
        pool_label=defaults.pool_label,
        ttl=defaults.ttl,
        deadline_margin=defaults.deadline_margin,
        eviction_grace=defaults.eviction_grace,
    )


def _tmpfs(chosen: Mapping[str, Any], memory: float) -> float:
    size = float(chosen["tmpfs_size"])
    return size or (memory / 2 if chosen["use_tmpfs"] else 0.0)


def _image(image: str, registry: str) -> str:
    """Return an image with its registry, which is what stands before the first ``/`` and looks like a
    host."""
    image = image or "python:{}.{}".format(*sys.version_info)
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return image if named or not registry else f"{registry.rstrip('/')}/{image}"
