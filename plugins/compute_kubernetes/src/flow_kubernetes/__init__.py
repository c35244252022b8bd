"""flow-kubernetes: runs steps as jobs of a Kubernetes cluster (``@kubernetes``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_kubernetes.options import KubernetesOptions as KubernetesOptions
    from flow_kubernetes.options import kubernetes as kubernetes

_NAMES = ("KubernetesOptions", "kubernetes")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Every session loads the hooks beside; the options cost flows that do not use them nothing.
        if name not in _NAMES:
            raise AttributeError(f"module 'flow_kubernetes' has no attribute '{name}'")
        from flow_kubernetes import options

        return getattr(options, name)
