"""The settings of this plugin: a default for each option of ``@kubernetes``, and those of the cluster.

Every session declares them, so nothing is imported here that takes time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.api import Settings

PREFIX = "kubernetes_"

GPU_VENDORS = ("nvidia", "amd")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
QOS = ("burstable", "guaranteed")

DEFAULTS: dict[str, Any] = {
    "cpu": 1.0,
    "memory": 4096.0,
    "disk": 10240.0,
    "gpu": 0,
    "gpu_vendor": "nvidia",
    "image": "",
    "image_pull_policy": "",
    "image_pull_secrets": "",
    "service_account": "",
    "secrets": "",
    "namespace": "",
    "node_selector": "",
    "tolerations": "",
    "labels": "",
    "annotations": "",
    "use_tmpfs": False,
    "tmpfs_tempdir": True,
    "tmpfs_size": 0.0,
    "tmpfs_path": "/flow_tmpfs",
    "persistent_volume_claims": "",
    "volumes": "",
    "shared_memory": 0.0,
    "port": 0,
    "compute_pool": "",
    "executable": "",
    "hostname_resolution_timeout": 600.0,
    "qos": "burstable",
    "extended_resources": "",
    "security_context": "",
    "topology_spread": "",
    "priority_class": "",
}
"""The option of ``@kubernetes`` → what counts where nobody says anything. Empty = nothing."""

_CHOICES = {"gpu_vendor": GPU_VENDORS, "qos": QOS, "image_pull_policy": ("", *PULL_POLICIES)}
_MINIMA = {"gpu": 0, "port": 0, "tmpfs_size": 0, "shared_memory": 0}


def declare(settings: Settings) -> None:
    """Declare all settings."""
    for name, default in DEFAULTS.items():
        settings.declare(
            PREFIX + name,
            default,
            f"Default of the option {name} of @kubernetes.",
            choices=_CHOICES.get(name, ()),
            minimum=_MINIMA.get(name),
        )
    _declare_cluster(settings)
    _declare_times(settings)


def _declare_cluster(settings: Settings) -> None:
    settings.declare(
        "kubernetes_config", "", "Path of the kubeconfig; default: KUBECONFIG, or ~/.kube/config."
    )
    settings.declare(
        "kubernetes_context", "", "Context of the kubeconfig; default: its current one."
    )
    settings.declare(
        "kubernetes_platform",
        "linux-x86_64",
        "System and processor of the nodes, for the environments of steps: linux-x86_64, linux-aarch64.",
    )
    settings.declare(
        "kubernetes_workers",
        100,
        "Tasks that are jobs at a time where nobody has set max_workers.",
        minimum=1,
    )
    settings.declare(
        "kubernetes_image_registry", "", "Registry that is put before images that name none."
    )
    settings.declare(
        "kubernetes_compute_pool_label",
        "flow-core/compute-pool",
        "Label of nodes, and key of their taints, that the option compute_pool stands for.",
    )


def _declare_times(settings: Settings) -> None:
    settings.declare(
        "kubernetes_job_ttl",
        7 * 86400,
        "Seconds after its end from which on the cluster deletes a job.",
        minimum=0,
    )
    settings.declare(
        "kubernetes_start_timeout",
        300.0,
        "Seconds that a container may fail to start, for its image or its configuration, before "
        "the attempt ends.",
        minimum=0,
    )
    settings.declare(
        "kubernetes_pending_timeout",
        0.0,
        "Seconds that a pod may wait for a node before the attempt ends; 0 = any.",
        minimum=0,
    )
    settings.declare(
        "kubernetes_deadline_margin",
        600.0,
        "Seconds after a step's own time limit from which on the cluster ends its pod.",
        minimum=0,
    )
    settings.declare(
        "kubernetes_eviction_grace",
        30,
        "Seconds from SIGTERM to SIGKILL when the cluster ends a pod.",
        minimum=0,
    )


def kubeconfigs(setting: Callable[[str], Any]) -> tuple[str, list[str]]:
    """Return where a kubeconfig may be, as it was said, and the paths of its files.

    Args:
        setting: returns a setting's value.
    """
    said = setting(PREFIX + "config") or os.environ.get("KUBECONFIG") or "~/.kube/config"
    return said, [os.path.expanduser(part) for part in said.split(os.pathsep) if part]


def is_inside(setting: Callable[[str], Any]) -> bool:
    """Whether this is a pod whose own cluster counts where there is no kubeconfig.

    Args:
        setting: returns a setting's value.
    """
    return not setting(PREFIX + "config") and "KUBERNETES_SERVICE_HOST" in os.environ


def options_of(setting: Callable[[str], Any]) -> dict[str, Any]:
    """Return what the settings say of the options: name → value, where they say anything.

    Args:
        setting: returns a setting's value.

    Raises:
        SettingsError: a value is none that the option may have.
    """
    from flow_core.api import DefinitionError
    from flow_kubernetes.options import KubernetesOptions
    from flow_remote.refusals import refused_setting

    found = {name: setting(PREFIX + name) for name in DEFAULTS}
    found = {name: value for name, value in found.items() if value != ""}
    for name, value in found.items():
        if value == DEFAULTS[name]:
            continue
        try:
            KubernetesOptions(**{name: value})
        except DefinitionError as error:
            raise refused_setting(error, name, PREFIX + name) from None
    return found
