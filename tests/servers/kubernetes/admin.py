"""The door for tests: what they let happen in the cluster, and what they count there.

It is a port of its own, which answers also while the API server is down. Each function is a method of
`Admin` that is called by ``POST /<name>`` with its arguments as JSON; `servers.kubernetes.handle` calls it.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import traceback
from collections.abc import Awaitable
from typing import Any

from servers.kubernetes.cluster import Cluster
from servers.kubernetes.faults import Fault
from servers.kubernetes.http import Answer, Reply, Request
from servers.kubernetes.kinds import POD
from servers.kubernetes.podworker import PodWorker
from servers.kubernetes.processes import pids_of
from servers.kubernetes.scheduler import preempt
from servers.kubernetes.simulated import Simulation
from servers.kubernetes.watches import Watch

_LOW_MEMORY = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 52Mi. Container main "
    "was using 812Mi, request is 512Mi, has larger consumption of memory. "
)


class Admin:
    """What tests may do.

    Args:
        cluster: to which.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def handle(self, request: Request) -> Reply | Awaitable[Reply]:
        """Call the method that a request names."""
        method = getattr(self, request.path.strip("/"), None)
        if method is None or request.path.startswith("/_"):
            return Answer.of(f"no {request.path}", 404)
        try:
            return Answer.of(method(**json.loads(request.body or b"{}")))
        except Exception as error:  # the test is told, and fails
            traceback.print_exc()
            return Answer.of(f"{type(error).__name__}: {error}", 400)

    # Pods.

    def oom(self, namespace: str, pod: str, container: str = "") -> None:
        """Kill the containers of a pod, or one, as the kernel does when memory is used up."""
        self._worker(namespace, pod).kill(container, out_of_memory=True)

    def kill(self, namespace: str, pod: str, container: str = "") -> None:
        """Kill the processes of a pod."""
        self._worker(namespace, pod).kill(container)

    def evict(self, namespace: str, pod: str, grace: float = 0, message: str = "") -> None:
        """End a pod as its kubelet does when a node lacks memory."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": message or _LOW_MEMORY,
        }
        self._worker(namespace, pod).fail("Evicted", message or _LOW_MEMORY, condition, grace)

    def preempt(self, namespace: str, pod: str) -> None:
        """Delete a pod as the scheduler does for a more important one."""
        preempt(self._cluster.registry, self._cluster.registry.get(POD, namespace, pod))

    def processes(self, namespace: str, pod: str = "") -> list[int]:
        """Return the ids of all processes of a namespace's pods, also of pods that are gone."""
        return pids_of(f"{namespace}/{pod}/" if pod else f"{namespace}/")

    # Nodes.

    def lose_node(self, name: str, kills: bool = True) -> None:
        """Let a node fall silent; with ``kills`` its processes end, else they run on."""
        self._cluster.kubelet.silence(name, kills=kills)
        self._cluster.nodes.lose(name)

    def find_node(self, name: str) -> None:
        """Let a node come back."""
        self._cluster.nodes.find_again(name)
        self._cluster.kubelet.wake(name)

    def skew_clock(self, name: str, seconds: float) -> None:
        """Let a node's clock be wrong."""
        self._cluster.skews[name] = seconds

    # The API server.

    def fault(self, namespace: str, **told: Any) -> None:
        """Let requests go wrong; see `servers.kubernetes.faults.Fault`."""
        self._cluster.faults.add(namespace, Fault(**told))

    def heal(self, namespace: str) -> None:
        """End all faults of a namespace."""
        self._cluster.faults.heal(namespace)

    def drop_watches(self, namespace: str) -> int:
        """Break the connections of all watches of a namespace; return how many."""
        chosen = self._watches(namespace)
        for watch in chosen:
            watch.cut()
        return len(chosen)

    def expire(self, namespace: str, watches: int) -> int:
        """Forget all changes so far, and end all watches by a 410; the next some get a 410 at once."""
        self._cluster.store.forget(namespace)
        chosen = self._watches(namespace)
        for watch in chosen:
            watch.expire()
        self._cluster.faults.refuse_watches(namespace, watches)
        return len(chosen)

    def restart(self, seconds: float) -> None:
        """Stop the API server for a while: connections break, objects and pods stay."""
        self._cluster.listener.close()
        self._cluster.store.forget()
        loop = asyncio.get_running_loop()
        self._reopening = loop.call_later(
            seconds, lambda: loop.create_task(self._cluster.listener.open())
        )

    def deny(self, namespace: str, verb: str, resource: str) -> None:
        """Deny a verb on a resource."""
        self._cluster.access.deny(namespace, verb, resource)

    def allow_all(self, namespace: str) -> None:
        """Allow everything again."""
        self._cluster.access.allow_all(namespace)

    def counts(self, namespace: str) -> dict[str, int]:
        """Return how often each request came."""
        return self._cluster.faults.counts(namespace)

    def reset_counts(self, namespace: str) -> None:
        """Count from nought."""
        self._cluster.faults.reset_counts(namespace)

    def usage(self) -> dict[str, float]:
        """Return what the server has used itself: seconds of CPU, bytes of memory."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return {
            "cpu": own.ru_utime + own.ru_stime,
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        }

    def stop(self) -> None:
        """End the server."""
        os.kill(os.getpid(), signal.SIGTERM)

    # What pods run.

    def image(self, name: str, missing: bool) -> None:
        """Say whether the registry lacks an image."""
        if missing:
            self._cluster.missing_images.add(name)
        else:
            self._cluster.missing_images.discard(name)

    def simulate(self, namespace: str, **told: Any) -> None:
        """Simulate the pods of a namespace; see `servers.kubernetes.simulated.Simulation`."""
        self._cluster.simulations[namespace] = Simulation(**told)

    def _watches(self, namespace: str) -> list[Watch]:
        return [each for each in self._cluster.api.watches if each.namespace == namespace]

    def _worker(self, namespace: str, pod: str) -> PodWorker:
        uid = self._cluster.registry.get(POD, namespace, pod).uid
        if uid not in self._cluster.kubelet.workers:
            raise ValueError(f"pod {pod} is on no node")
        return self._cluster.kubelet.workers[uid]
