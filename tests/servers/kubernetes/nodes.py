"""The nodes: how they are made, when one counts as lost, and what becomes of its pods then."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from servers.kubernetes.clock import timestamp
from servers.kubernetes.events import Recorder
from servers.kubernetes.kinds import NODE, POD
from servers.kubernetes.registry import Registry
from servers.kubernetes.scheduler import toleration_meets
from servers.kubernetes.settings import NodeSettings, Settings
from servers.kubernetes.store import Entry, Object

HOST = "127.0.0.1"
"""Address of all nodes."""

UNREACHABLE = "node.kubernetes.io/unreachable"


def make_nodes(registry: Registry, settings: tuple[NodeSettings, ...]) -> None:
    """Make the nodes of the cluster: ``node-1``, ``node-2``, …"""
    number = 0
    for like in settings:
        for _ in range(like.number):
            number += 1
            registry.create(NODE, "", node(f"node-{number}", like))


def node(name: str, like: NodeSettings) -> Object:
    """Return a node that is ready."""
    room = {
        "cpu": like.cpu,
        "memory": like.memory,
        "ephemeral-storage": "500Gi",
        "pods": str(like.pods),
        **({"nvidia.com/gpu": str(like.gpus)} if like.gpus else {}),
    }
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        **like.labels,
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": list(like.taints)} if like.taints else {},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [ready_condition("True")],
            "addresses": [
                {"type": "InternalIP", "address": HOST},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "process://1",
                "kernelVersion": os.uname().release,
                "kubeProxyVersion": "",
                "kubeletVersion": "v1.37.0",
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "",
                "systemUUID": "",
            },
        },
    }


def ready_condition(status: str) -> Object:
    """Return the condition ``Ready`` of a node: True, or Unknown when it is silent."""
    lost = ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    reason, message = (
        lost if status == "Unknown" else ("KubeletReady", "kubelet is posting ready status")
    )
    now = timestamp()
    times = {"lastHeartbeatTime": now, "lastTransitionTime": now}
    return {"type": "Ready", "status": status, "reason": reason, "message": message, **times}


class NodeController:
    """Marks nodes that are silent, and deletes the pods that do not tolerate that.

    Args:
        registry: the way to nodes and pods.
        recorder: for what people should know.
        settings: of the server.
    """

    def __init__(self, registry: Registry, recorder: Recorder, settings: Settings) -> None:
        self._registry, self._recorder, self._settings = registry, recorder, settings
        self._lost: set[str] = set()

    def lose(self, name: str) -> None:
        """A node is silent from now on."""
        self._lost.add(name)
        loop = asyncio.get_running_loop()
        loop.call_later(self._settings.node_monitor_grace, self._mark, name)

    def find_again(self, name: str) -> None:
        """A node tells of itself again."""
        self._lost.discard(name)
        found = self._registry.get(NODE, "", name)
        self._set_ready(found, "True", [])

    def _mark(self, name: str) -> None:
        found = self._registry.store.find(NODE, "", name)
        if found is None or name not in self._lost:
            return
        taints = [
            {"key": UNREACHABLE, "effect": effect, "timeAdded": timestamp()}
            for effect in ("NoSchedule", "NoExecute")
        ]
        found = self._set_ready(found, "Unknown", taints)
        message = f"Node {name} status is now: NodeNotReady"
        self._recorder.record(found, "node-controller", "NodeNotReady", message)
        for pod in self._pods_of(name):
            conditions = [
                {**each, "status": "False"} if each["type"] == "Ready" else each
                for each in pod.object["status"].get("conditions", ())
            ]
            pod = self._registry.put_status(pod, conditions=conditions)
            self._recorder.record(
                pod, "node-controller", "NodeNotReady", "Node is not ready", warns=True
            )
            seconds = self._stays(pod)
            if seconds is not None:
                loop = asyncio.get_running_loop()
                loop.call_later(seconds, self._evict, name, pod.namespace, pod.name, pod.uid)

    def _set_ready(self, found: Entry, status: str, taints: list[Object]) -> Entry:
        content = found.object
        rest = [each for each in content["status"]["conditions"] if each["type"] != "Ready"]
        conditions = [*rest, ready_condition(status)]
        others = [each for each in content["spec"].get("taints", ()) if each["key"] != UNREACHABLE]
        spec: dict[str, Any] = {**content["spec"], "taints": [*others, *taints]}
        if not spec["taints"]:
            del spec["taints"]
        new = {**content, "spec": spec, "status": {**content["status"], "conditions": conditions}}
        return self._registry.put(found, new)

    def _stays(self, pod: Entry) -> float | None:
        """Return the seconds that a pod tolerates a lost node; None = for ever."""
        taint = {"key": UNREACHABLE, "effect": "NoExecute"}
        met = [
            each
            for each in pod.object["spec"].get("tolerations", ())
            if toleration_meets(each, taint)
        ]
        if not met:
            return 0
        limits = [each["tolerationSeconds"] for each in met if "tolerationSeconds" in each]
        return min(*limits, self._settings.eviction_wait) if limits else None

    def _evict(self, node: str, namespace: str, name: str, uid: str) -> None:
        pod = self._registry.store.find(POD, namespace, name)
        if pod is None or pod.uid != uid or node not in self._lost:
            return
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": timestamp(),
        }
        conditions = [*pod.object["status"].get("conditions", []), condition]
        pod = self._registry.put_status(pod, conditions=conditions)
        message = f"Marking for deletion Pod {namespace}/{name}"
        self._recorder.record(pod, "taint-eviction-controller", "TaintManagerEviction", message)
        self._registry.delete(pod)

    def _pods_of(self, node: str) -> list[Entry]:
        return [
            pod
            for pod in self._registry.store.entries(POD)
            if pod.object["spec"].get("nodeName") == node
            and pod.object["status"].get("phase") not in ("Succeeded", "Failed")
        ]
