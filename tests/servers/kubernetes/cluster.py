"""All parts of the test cluster, put together."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from servers.kubernetes.access import Access
from servers.kubernetes.api import Api
from servers.kubernetes.events import Recorder
from servers.kubernetes.faults import Faults
from servers.kubernetes.garbage import (
    GarbageCollector,
    NamespaceController,
    PodCollector,
    QuotaController,
)
from servers.kubernetes.http import Listener
from servers.kubernetes.jobs import JobController
from servers.kubernetes.kinds import NAMESPACE
from servers.kubernetes.kubelet import Kubelet, Parts
from servers.kubernetes.nodes import NodeController, make_nodes
from servers.kubernetes.podmanruntime import PodmanRuntime
from servers.kubernetes.podrequests import PodRequests
from servers.kubernetes.processes import Processes
from servers.kubernetes.registry import Registry
from servers.kubernetes.runtime import Runtime
from servers.kubernetes.scheduler import Scheduler
from servers.kubernetes.settings import Settings
from servers.kubernetes.simulated import Simulation
from servers.kubernetes.store import Store


class Cluster:
    """A cluster in this process.

    Args:
        port: of its API server.
        folder: of its files.
        settings: of it.
    """

    def __init__(self, port: int, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.store = Store()
        self.registry = Registry(self.store)
        self.recorder = Recorder(self.registry)
        self.missing_images: set[str] = set()
        self.simulations: dict[str, Simulation] = {}
        self.faults, self.access = Faults(), Access()
        self.skews: dict[str, float] = {}
        self.scheduler = Scheduler(self.registry, self.recorder)
        self.jobs = JobController(self.registry, self.recorder, settings)
        self.nodes = NodeController(self.registry, self.recorder, settings)
        self.garbage = GarbageCollector(self.registry)
        self.namespaces = NamespaceController(self.registry, self._forget_namespace)
        self.pod_collector = PodCollector(self.registry, settings.node_monitor_grace)
        self.quotas = QuotaController(self.registry)
        self.kubelet = Kubelet(
            Parts(
                self.registry,
                self.recorder,
                settings,
                self.missing_images,
                _runtime(settings),
                self.simulations,
                folder,
                port,
                self.skews,
            )
        )
        pod_requests = PodRequests(self.registry, self.kubelet)
        self.api = Api(self.registry, settings, self.faults, self.access, pod_requests)
        self.listener = Listener(port, self.api.handle)

    async def start(self) -> None:
        """Make what every cluster has, and listen."""
        for name in ("default", "kube-system", "kube-public"):
            self.registry.create(NAMESPACE, "", {"metadata": {"name": name}})
        make_nodes(self.registry, self.settings.nodes)
        await self.listener.open()

    async def run(self) -> None:
        """Serve until SIGTERM comes; `bury` what the pods run then."""
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, over.set)
        await over.wait()
        self.listener.close()

    def _forget_namespace(self, name: str) -> None:
        self.faults.heal(name)
        self.faults.reset_counts(name)
        self.access.allow_all(name)
        self.simulations.pop(name, None)


def _runtime(settings: Settings) -> Runtime:
    if settings.podman:
        return PodmanRuntime(settings.podman)
    return Processes(settings.memory_check)
