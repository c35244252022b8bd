"""What can be said of a step: ``@kubernetes``, its options, and which of them Kubernetes would refuse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow_core.api import DefinitionError, Options, StepDecorator, option
from flow_kubernetes import checks
from flow_kubernetes.settings import GPU_VENDORS, PULL_POLICIES, QOS


@dataclass(frozen=True)
class KubernetesOptions(Options):
    """Run each task of the step as a job of a Kubernetes cluster.

    What is not said here is as the setting ``kubernetes_<option>`` says, such as
    ``FLOW_KUBERNETES_NAMESPACE``. Of an amount that ``@resources`` asks for too, the larger counts.
    Names with values may be a text, ``"disk=ssd,zone=a"``, and so may lists, ``"a,b"``. Since 0.1.
    """

    chooses = "compute"

    cpu: float | None = option(None, "Processors; parts of one are allowed.")
    memory: float | None = option(None, "Megabytes of memory; a task that takes more is ended.")
    disk: float | None = option(None, "Megabytes of disk for what a task writes beside its store.")
    gpu: int | None = option(None, "Graphics processors.")
    gpu_vendor: str | None = option(None, "Whose: nvidia or amd.")
    image: str | None = option(
        None, "Container image with a Python; if none is set: python:MAJOR.MINOR, the launcher's."
    )
    image_pull_policy: str | None = option(None, "Always, IfNotPresent or Never.")
    image_pull_secrets: Sequence[str] | str | None = option(
        None, "Names of secrets of the cluster with passwords of image registries."
    )
    service_account: str | None = option(
        None, "Service account of the pod; only then it gets a token of the cluster."
    )
    secrets: Sequence[str] | str | None = option(
        None, "Names of secrets of the cluster: each of their keys is a variable of the task."
    )
    namespace: str | None = option(
        None, "Namespace of the job; if none is set: that of the context, or default."
    )
    node_selector: Mapping[str, str] | str | None = option(
        None, "Labels that the node must have: {'disk': 'ssd'}."
    )
    tolerations: Sequence[Mapping[str, Any]] | str | None = option(
        None, "Taints that are tolerated: [{'key': 'gpu', 'operator': 'Exists'}]."
    )
    labels: Mapping[str, str] | str | None = option(
        None, "Labels of job and pod, beside those of the setting and flow-core's own."
    )
    annotations: Mapping[str, str] | str | None = option(
        None, "Annotations of job and pod, beside those of the setting."
    )
    use_tmpfs: bool | None = option(None, "Whether a folder in memory is mounted at tmpfs_path.")
    tmpfs_tempdir: bool | None = option(
        None, "Whether that folder is the one for temporary files (TMPDIR)."
    )
    tmpfs_size: float | None = option(
        None,
        "Megabytes that it may hold, of the task's memory; 0 = half of that. Implies use_tmpfs.",
    )
    tmpfs_path: str | None = option(None, "Where it is mounted.")
    persistent_volume_claims: Mapping[str, str] | str | None = option(
        None, "Claims and where they are mounted: {'models': '/models'}."
    )
    volumes: Mapping[str, Mapping[str, Any]] | str | None = option(
        None,
        "Other volumes by their mount path, as Kubernetes writes them: "
        "{'/conf': {'configMap': {'name': 'conf'}}}.",
    )
    shared_memory: float | None = option(
        None, "Megabytes of shared memory (/dev/shm); 0 = what the cluster gives, mostly 64."
    )
    port: int | None = option(
        None, "A port that the container has open; in a gang, that of MASTER_PORT. 0 = none."
    )
    compute_pool: str | None = option(
        None, "Pool of nodes: those with the label kubernetes_compute_pool_label of this value."
    )
    executable: str | None = option(
        None, "Path of the Python in the image; if none is set, it is looked for."
    )
    hostname_resolution_timeout: float | None = option(
        None, "Seconds in which the members of a gang must find their main one by its name."
    )
    qos: str | None = option(
        None,
        "burstable: processors that nobody else needs may be used, too; "
        "guaranteed: exactly those asked for, and ended last when a node is short of memory.",
    )
    extended_resources: Mapping[str, float | str] | str | None = option(
        None, "Further resources of nodes and how much of them: {'vendor.com/fpga': 1}."
    )
    security_context: Mapping[str, Any] | str | None = option(
        None, "Changes to how the container is confined: {'run_as_user': 2000}."
    )
    topology_spread: Sequence[Mapping[str, Any]] | str | None = option(
        None,
        "How the pods of a step spread: a key of nodes, 'topology.kubernetes.io/zone', "
        "or constraints as Kubernetes writes them.",
    )
    priority_class: str | None = option(None, "Priority class of the pod.")

    def validate(self) -> None:
        """Refuse what Kubernetes would not take, with its own rules."""
        self._check_amounts()
        self._check_words()
        self._check_labels()
        self._check_places()
        for one in checks.tables("tolerations", self.tolerations):
            _check_toleration(one)
        self._check_context()
        spreads(self.topology_spread)

    def _check_amounts(self) -> None:
        for name in ("cpu", "memory", "disk"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise DefinitionError(
                    f"Option '{name}' must be more than 0, not {value:g}",
                    hint="@kubernetes(cpu=2, memory=8000)",
                )
        for name in ("gpu", "tmpfs_size", "shared_memory", "hostname_resolution_timeout"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise DefinitionError(
                    f"Option '{name}' must be 0 or more, not {value:g}",
                    hint=f"@kubernetes({name}=1)",
                )
        if self.port is not None and not 0 <= self.port <= 65535:
            raise DefinitionError(
                f"Option 'port' must be a number from 1 to 65535, not {self.port}",
                hint="@kubernetes(port=8080)",
            )
        found = checks.pairs("extended_resources", self.extended_resources)
        for key, amount in found.items():
            checks.key_of_label("extended_resources", key)
            checks.quantity("extended_resources", key, amount)

    def _check_words(self) -> None:
        checks.choice("gpu_vendor", self.gpu_vendor, GPU_VENDORS)
        checks.choice("image_pull_policy", self.image_pull_policy, PULL_POLICIES)
        checks.choice("qos", self.qos, QOS)
        for name in ("service_account", "namespace", "priority_class"):
            checks.subdomain(name, getattr(self, name))
        for name in ("secrets", "image_pull_secrets"):
            for word in checks.words(getattr(self, name)):
                checks.subdomain(name, word)
        if self.image is not None and (not self.image or any(c.isspace() for c in self.image)):
            raise DefinitionError(
                f"Option 'image' is no image: {self.image!r}",
                hint='@kubernetes(image="python:3.12")',
            )

    def _check_labels(self) -> None:
        for name in ("labels", "node_selector"):
            found = checks.pairs(name, getattr(self, name))
            checks.labels(name, found)
        annotations = checks.pairs("annotations", self.annotations)
        for key in annotations:
            checks.key_of_label("annotations", key)
        checks.not_ours("labels", checks.pairs("labels", self.labels))
        checks.not_ours("annotations", annotations)
        if self.compute_pool is not None:
            checks.labels("compute_pool", {"pool": self.compute_pool})

    def _check_places(self) -> None:
        if self.tmpfs_path is not None:
            checks.absolute("tmpfs_path", self.tmpfs_path)
        claims = checks.pairs("persistent_volume_claims", self.persistent_volume_claims)
        for claim, path in claims.items():
            checks.subdomain("persistent_volume_claims", claim)
            checks.absolute("persistent_volume_claims", path)
        for path, source in checks.table("volumes", self.volumes).items():
            checks.absolute("volumes", path)
            if not isinstance(source, Mapping) or len(source) != 1:
                raise DefinitionError(
                    f"Option 'volumes' must have one source for '{path}', not {source!r}",
                    hint="volumes={'/conf': {'configMap': {'name': 'conf'}}}",
                )
            checks.known_keys("volumes", source, checks.VOLUME_KEYS)

    def _check_context(self) -> None:
        known = (*checks.CONTAINER_SECURITY_KEYS, *checks.POD_SECURITY_KEYS)
        found = checks.table("security_context", self.security_context)
        checks.known_keys("security_context", found, known)


def _check_toleration(toleration: Mapping[str, Any]) -> None:
    checks.known_keys("tolerations", toleration, checks.TOLERATION_KEYS)
    operator = toleration.get("operator", "Equal")
    checks.choice("operator", operator, ("Exists", "Equal", "Gt", "Lt"))
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    checks.choice("effect", toleration.get("effect"), effects)
    if operator == "Exists" and toleration.get("value"):
        raise DefinitionError(
            f"Option 'tolerations' has a value beside the operator Exists: {dict(toleration)}",
            why="Kubernetes: value must be empty when `operator` is 'Exists'",
            hint="leave the value out, or take the operator Equal",
        )


def spreads(value: Sequence[Mapping[str, Any]] | str | None) -> list[dict[str, Any]]:
    """Return the constraints of ``topology_spread``, without the selector of pods.

    Raises:
        DefinitionError: Kubernetes would not take them.
    """
    name = "topology_spread"
    if isinstance(value, str) and value.strip() and value.lstrip()[0] not in "[{":
        found: list[dict[str, Any]] = [{"topologyKey": key} for key in checks.words(value)]
    else:
        found = checks.tables(name, value)
    for one in found:
        checks.known_keys(name, one, checks.SPREAD_KEYS)
        if "topologyKey" not in one:
            raise DefinitionError(
                f"Option '{name}' has a constraint without 'topologyKey': {one}",
                hint=f'{name}="topology.kubernetes.io/zone"',
            )
        checks.key_of_label(name, one["topologyKey"])
        choices = ("DoNotSchedule", "ScheduleAnyway")
        checks.choice("whenUnsatisfiable", one.get("whenUnsatisfiable"), choices)
    return [{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", **one} for one in found]


kubernetes = StepDecorator("kubernetes", KubernetesOptions)
