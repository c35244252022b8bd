"""The scheduler: puts each pod on a node that has room for it, makes room, or says why none has."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from fractions import Fraction
from typing import NamedTuple

from servers.kubernetes.admission import pod_requests
from servers.kubernetes.clock import timestamp
from servers.kubernetes.events import Recorder
from servers.kubernetes.kinds import NODE, POD
from servers.kubernetes.quantities import Amounts, amounts
from servers.kubernetes.registry import Registry
from servers.kubernetes.selectors import matches
from servers.kubernetes.store import Entry, Event, Object


class Used(NamedTuple):
    """What the pods on a node have taken of it.

    Attributes:
        amounts: together.
        pods: namespace and name of each, by its uid.
    """

    amounts: Amounts
    pods: dict[str, tuple[str, str]]


class Scheduler:
    """Binds pods to nodes.

    Args:
        registry: the way to pods and nodes.
        recorder: for what people should know.
    """

    def __init__(self, registry: Registry, recorder: Recorder) -> None:
        self._registry, self._recorder = registry, recorder
        self._waiting: dict[str, tuple[str, str]] = {}
        self._used: dict[str, Used] = defaultdict(lambda: Used(defaultdict(Fraction), {}))
        self._requests: dict[str, Amounts] = {}
        self._is_planned = False
        registry.store.listen(POD, self._pod_changed)
        registry.store.listen(NODE, self._node_changed)

    def _pod_changed(self, event: Event) -> None:
        pod = event.entry
        ended = event.type == "DELETED" or pod.object["status"].get("phase") in (
            "Succeeded",
            "Failed",
        )
        node = pod.object["spec"].get("nodeName")
        if node:
            self._waiting.pop(pod.uid, None)
            if ended:
                self._give_back(node, pod)
            else:
                self._take(node, pod)
        elif ended:
            self._waiting.pop(pod.uid, None)
        elif "deletionTimestamp" not in pod.object["metadata"]:
            before = event.before.object["spec"] if event.before else {}
            if pod.uid not in self._waiting or before != pod.object["spec"]:
                self._waiting[pod.uid] = (pod.namespace, pod.name)
                self._plan()

    def _take(self, node: str, pod: Entry) -> None:
        used = self._used[node]
        if pod.uid in used.pods:
            return
        used.pods[pod.uid] = (pod.namespace, pod.name)
        self._requests[pod.uid] = pod_requests(pod.object["spec"])
        for name, value in self._requests[pod.uid].items():
            used.amounts[name] += value

    def _give_back(self, node: str, pod: Entry) -> None:
        used = self._used[node]
        if pod.uid not in used.pods:
            return
        del used.pods[pod.uid]
        for name, value in self._requests.pop(pod.uid).items():
            used.amounts[name] -= value
        self._plan()

    def _node_changed(self, event: Event) -> None:
        if event.type == "DELETED":
            self._used.pop(event.entry.name, None)
        self._plan()

    def _plan(self) -> None:
        if not self._is_planned and self._waiting:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """Look at all pods that wait, the most important first; those alike meet the same answer."""
        self._is_planned = False
        nodes = self._registry.store.entries(NODE)
        hopeless: dict[str, str] = {}
        for uid, key in sorted(self._waiting.items(), key=self._rank):
            pod = self._registry.store.find(POD, *key)
            if pod is None or pod.uid != uid:
                self._waiting.pop(uid, None)
                continue
            spec = pod.object["spec"]
            if spec.get("schedulingGates") or spec["schedulerName"] != "default-scheduler":
                continue
            kind = _likeness(spec)
            message = hopeless.get(kind)
            if message is None:
                message = self._place(pod, nodes)
            if message:
                hopeless[kind] = message
                self._tell_hopeless(pod, message)

    def _rank(self, item: tuple[str, tuple[str, str]]) -> int:
        pod = self._registry.store.find(POD, *item[1])
        return -int(pod.object["spec"].get("priority", 0)) if pod else 0

    def _place(self, pod: Entry, nodes: list[Entry]) -> str:
        """Bind a pod to the node with the most room; return why none has any, or ``""``."""
        wanted = pod_requests(pod.object["spec"])
        fitting: list[tuple[int, str]] = []
        reasons: Counter[str] = Counter()
        for node in nodes:
            why = self._why_not(pod.object["spec"], wanted, node)
            if why:
                reasons.update(why)
            else:
                fitting.append((len(self._used[node.name].pods), node.name))
        if fitting:
            self._bind(pod, min(fitting)[1])
            return ""
        if not nodes:
            return "no nodes available to schedule pods"
        message = f"0/{len(nodes)} nodes are available: {_counted(reasons)}."
        helpless = self._preempt(pod, wanted, nodes)
        if not helpless:
            return message
        return f"{message} preemption: 0/{len(nodes)} nodes are available: {_counted(helpless)}."

    def _preempt(self, pod: Entry, wanted: Amounts, nodes: list[Entry]) -> Counter[str]:
        """Delete less important pods where that makes room; return why it does so nowhere."""
        spec = pod.object["spec"]
        helpless: Counter[str] = Counter()
        chosen: list[tuple[int, int, str, list[Entry]]] = []
        for node in nodes:
            if spec.get("preemptionPolicy") == "Never" or any(
                why.startswith("node(s)") for why in self._why_not(spec, wanted, node)
            ):
                helpless["Preemption is not helpful for scheduling"] += 1
            elif (victims := self._victims(spec, wanted, node)) is None:
                helpless["No preemption victims found for incoming pod"] += 1
            else:
                highest = max(each.object["spec"].get("priority", 0) for each in victims)
                chosen.append((highest, len(victims), node.name, victims))
        if not chosen:
            return helpless
        *_, name, victims = min(chosen, key=lambda each: each[:3])
        for victim in victims:
            if "deletionTimestamp" not in victim.object["metadata"]:
                preempt(self._registry, victim)
                message = f"Preempted by pod {pod.uid} on node {name}"
                self._recorder.record(victim, "default-scheduler", "Preempted", message)
        self._registry.put_status(pod, nominatedNodeName=name)
        return Counter()

    def _victims(self, spec: Object, wanted: Amounts, node: Entry) -> list[Entry] | None:
        """Return pods of a node that are less important, and whose end makes room; None = there are
        none. Those that end already come first."""
        used, room = self._used[node.name], amounts(node.object["status"].get("allocatable", {}))
        pods = [self._registry.get(POD, *key) for key in used.pods.values()]
        lower = [
            each
            for each in pods
            if each.object["spec"].get("priority", 0) < spec.get("priority", 0)
        ]
        lower.sort(
            key=lambda each: (
                "deletionTimestamp" not in each.object["metadata"],
                each.object["spec"].get("priority", 0),
            )
        )
        victims: list[Entry] = []
        taken = dict(used.amounts)
        for each in lower:
            victims.append(each)
            for name, value in self._requests[each.uid].items():
                taken[name] -= value
            fits = all(
                taken.get(name, 0) + value <= room.get(name, 0) for name, value in wanted.items()
            )
            if fits and len(used.pods) - len(victims) < room.get("pods", 110):
                return victims
        return None

    def _why_not(self, spec: Object, wanted: Amounts, node: Entry) -> list[str]:
        """Return all reasons for which a node does not do."""
        content = node.object
        if content["spec"].get("unschedulable"):
            return ["node(s) were unschedulable"]
        for taint in content["spec"].get("taints", ()):
            if taint["effect"] != "PreferNoSchedule" and not tolerates(spec, taint):
                value = taint.get("value", "")
                return [f"node(s) had untolerated taint {{{taint['key']}: {value}}}"]
        if not _selected(spec, content):
            return ["node(s) didn't match Pod's node affinity/selector"]
        room = amounts(content["status"].get("allocatable", {}))
        used = self._used[node.name]
        why = [
            f"Insufficient {name}"
            for name, value in wanted.items()
            if value > 0 and used.amounts.get(name, 0) + value > room.get(name, 0)
        ]
        return ["Too many pods", *why] if len(used.pods) + 1 > room.get("pods", 110) else why

    def _bind(self, pod: Entry, node: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "True",
            "lastTransitionTime": timestamp(),
        }
        status = {**pod.object["status"], "conditions": [condition]}
        spec = {**pod.object["spec"], "nodeName": node}
        bound = self._registry.put(pod, {**pod.object, "spec": spec, "status": status})
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self._recorder.record(bound, "default-scheduler", "Scheduled", message)

    def _tell_hopeless(self, pod: Entry, message: str) -> None:
        conditions = pod.object["status"].get("conditions", [])
        if any(each.get("message") == message for each in conditions):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": timestamp(),
        }
        pod = self._registry.get(POD, pod.namespace, pod.name)
        told = self._registry.put_status(pod, conditions=[condition])
        self._recorder.record(told, "default-scheduler", "FailedScheduling", message, warns=True)


def preempt(registry: Registry, pod: Entry) -> None:
    """Delete a pod since a more important one needs its place."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "PreemptionByScheduler",
        "message": "default-scheduler: preempting to accommodate a higher priority pod",
        "lastTransitionTime": timestamp(),
    }
    conditions = [*pod.object["status"].get("conditions", []), condition]
    registry.delete(registry.put_status(pod, conditions=conditions))


def tolerates(spec: Object, taint: Object) -> bool:
    """Say whether a pod tolerates a taint."""
    return any(toleration_meets(each, taint) for each in spec.get("tolerations", ()))


def toleration_meets(toleration: Object, taint: Object) -> bool:
    """Say whether a toleration is about a taint."""
    if toleration.get("effect", "") not in ("", taint["effect"]):
        return False
    if toleration.get("key", "") not in ("", taint["key"]):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("value", "") == taint.get("value", ""))


def _selected(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get(
        "nodeSelectorTerms"
    )
    if terms is None:
        return True
    return any(matches(term, labels) for term in terms)


def _counted(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def _likeness(spec: Object) -> str:
    """Return a text that pods share which fit on the same nodes."""
    resources = [
        each.get("resources", {}) for each in (*spec["containers"], *spec.get("initContainers", ()))
    ]
    names = ("nodeSelector", "affinity", "tolerations", "priority", "preemptionPolicy")
    rest = [spec.get(name) for name in names]
    return json.dumps([resources, rest], sort_keys=True)
