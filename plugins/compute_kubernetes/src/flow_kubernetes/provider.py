"""The compute provider ``kubernetes``."""

from __future__ import annotations

from collections.abc import Iterable

from flow_core.api import FlowError, RunRecord, Runtime, Session, Store
from flow_kubernetes.backend import KubernetesBackend
from flow_kubernetes.settings import PREFIX
from flow_remote.provider import RemoteCompute


class KubernetesCompute(RemoteCompute):
    """Runs attempts as jobs of a Kubernetes cluster. Options: `flow_kubernetes.KubernetesOptions`.

    Since 0.1.
    """

    name = "kubernetes"
    capabilities = RemoteCompute.capabilities._replace(environments=True)

    def __init__(self) -> None:
        super().__init__()
        self._cluster = KubernetesBackend()

    def make_backend(self) -> KubernetesBackend:
        """Return the cluster's part."""
        return self._cluster

    def prepare(self, runtime: Runtime) -> None:
        """Note on what machines tasks run, and in which namespaces."""
        super().prepare(runtime)
        self.capabilities = self.capabilities._replace(
            platform=runtime.setting(PREFIX + "platform"),
            workers=runtime.setting(PREFIX + "workers"),
        )
        if isinstance(runtime, Session):
            self._cluster.namespaces = _namespaces(runtime)

    def open(self, run: RunRecord, store: Store) -> None:
        """Ask the cluster whether it would run jobs for this datastore."""
        self._cluster.place = store.url
        super().open(run, store)

    def close(self) -> None:
        """End what still runs.

        Raises:
            FlowError: the cluster did not answer, so that jobs may still run.
        """
        super().close()
        left, self._cluster.left = self._cluster.left, []
        if left:
            raise FlowError(
                f"{len(left)} job{'s' * (len(left) > 1)} may still run in the cluster",
                where=", ".join(left[:5]) + (", …" if len(left) > 5 else ""),
                why=self._cluster.why_left,
                hint="when it answers again: flow kubernetes kill, with FLOW/RUN",
            )


def _namespaces(session: Session) -> list[str]:
    """Return the namespaces that steps name."""
    options: Iterable[dict[str, str]] = (
        plan.options.get("kubernetes", {}) for plan in session.plans.values()
    )
    return sorted({o["namespace"] for o in options if o.get("namespace")})
