"""The kubelets of all nodes: each pod that is bound to a node gets a worker, which runs it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from servers.kubernetes.events import Recorder
from servers.kubernetes.kinds import NODE, POD
from servers.kubernetes.logs import Log
from servers.kubernetes.names import Names
from servers.kubernetes.nodes import HOST
from servers.kubernetes.podworker import PodWorker
from servers.kubernetes.registry import Registry
from servers.kubernetes.runtime import Runtime
from servers.kubernetes.settings import Settings
from servers.kubernetes.simulated import Simulation
from servers.kubernetes.store import Entry, Event


class Parts(NamedTuple):
    """What kubelet and workers need of the cluster."""

    registry: Registry
    recorder: Recorder
    settings: Settings
    missing_images: set[str]
    runtime: Runtime
    simulations: dict[str, Simulation]
    folder: Path
    port: int
    skews: dict[str, float]


class Kubelet:
    """Runs the pods of all nodes.

    Args:
        parts: of the cluster.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.workers: dict[str, PodWorker] = {}
        self.silent: set[str] = set()
        self.names = Names(parts.registry.store, parts.folder / "hosts")
        self._addresses = 0
        parts.registry.store.listen(POD, self._look)

    def logs(self, pod: Entry) -> dict[tuple[str, bool], Log]:
        """Return the logs of a pod by container; with True those of the run before."""
        worker = self.workers.get(pod.uid)
        return worker.logs if worker else {}

    def silence(self, node: str, *, kills: bool) -> None:
        """Let a node's kubelet tell nothing any more; with ``kills`` its processes are gone too."""
        self.silent.add(node)
        if kills:
            for worker in self.workers.values():
                if worker.node == node:
                    worker.kill()

    def wake(self, node: str) -> None:
        """Let a node come back: it tells what has become of its pods, and ends those to delete."""
        self.silent.discard(node)
        for worker in list(self.workers.values()):
            if worker.node == node:
                worker.come_back()

    def new_address(self) -> str:
        """Return an address of its own for a pod: on Linux all of 127/8 is this machine."""
        self._addresses += 1
        high, low = divmod(self._addresses, 250)
        return f"127.{10 + high // 250 % 200}.{high % 250}.{low + 1}"

    def environment(self) -> dict[str, str]:
        """Return the variables that every container has."""
        return {
            "KUBERNETES_SERVICE_HOST": HOST,
            "KUBERNETES_SERVICE_PORT": str(self.parts.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(self.parts.port),
        }

    def clock(self, node: str) -> float:
        """Return the time as a node's clock has it."""
        return time.time() + self.parts.skews.get(node, 0)

    def _look(self, event: Event) -> None:
        pod = event.entry
        node = pod.object["spec"].get("nodeName")
        if not node:
            return
        worker = self.workers.get(pod.uid)
        if event.type == "DELETED":
            if worker:
                worker.forget()
        elif worker is None:
            ended = pod.object["status"].get("phase") in ("Succeeded", "Failed")
            if not ended and self.parts.registry.store.find(NODE, "", node):
                self.workers[pod.uid] = PodWorker(self, pod)
        elif "deletionTimestamp" in pod.object["metadata"]:
            asyncio.get_running_loop().call_soon(worker.terminate)
