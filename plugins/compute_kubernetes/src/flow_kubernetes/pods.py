"""What the status of a pod means: it waits, it runs, it has ended, and why. In Kubernetes' own words.

Pure functions over what the API server sends, of which only a few fields are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from signal import Signals
from typing import Any, NamedTuple

from flow_kubernetes import names
from flow_remote.backend import Ended

INDEX = "batch.kubernetes.io/job-completion-index"

NODE, START, QUOTA, PAUSE = "node", "start", "quota", "pause"
"""Kinds of waiting: for a node; for an image or a configuration, which may never come; for a quota; for
somebody who lets the job go on."""

_FAILS_TO_START = frozenset(
    (
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "PostStartHookError",
        "PreCreateHookError",
        "RegistryUnavailable",
        "RunContainerError",
        "SignatureValidationFailed",
    )
)
_NEVER_STARTS = frozenset(("InvalidImageName", "ErrImageNeverPull"))
_COULD_NOT_START = frozenset(("ContainerCannotRun", "StartError"))

_SIGNALS = frozenset(map(int, Signals))

_DISRUPTIONS = {
    "PreemptionByScheduler": "preempted",
    "DeletionByTaintManager": "lost",
    "DeletionByPodGC": "lost",
    "EvictionByEvictionAPI": "evicted",
    "TerminationByKubelet": "evicted",
}
"""Reason of the condition DisruptionTarget → cause."""

_REASONS = {
    "Evicted": "evicted",
    "Preempting": "preempted",
    "Preempted": "preempted",
    "NodeShutdown": "evicted",
    "Shutdown": "evicted",
    "Terminated": "evicted",
    "NodeLost": "lost",
    "DeadlineExceeded": "timeout",
}
"""Reason of a pod that has failed as a whole → cause."""


class Sight(NamedTuple):
    """What is seen of a pod at one moment.

    Attributes:
        job: name of its Job.
        member: its index in a gang, or 0.
        name: its own.
        version: its ``resourceVersion``.
        node: where it is, or ``""``.
        runs: whether its container runs.
        waits: why it waits, one line; ``""`` = it does not, or nothing is said.
        kind: of the waiting: one of those above, or ``""``.
        hopeless: whether what it waits for cannot come.
        begins: whether it has a node, and its container is being prepared.
        leaving: seconds in which it should be gone, since it is being deleted; None = it is not.
        ended: how it ended; None = it has not.
    """

    job: str
    member: int
    name: str
    version: str
    node: str = ""
    runs: bool = False
    waits: str = ""
    kind: str = ""
    hopeless: bool = False
    begins: bool = False
    leaving: float | None = None
    ended: Ended | None = None


def look(pod: Mapping[str, Any], id: str, *, gone: bool = False) -> Sight:
    """Return what is seen of a pod.

    Args:
        pod: as the API server sends it.
        id: of its job, for `Ended`.
        gone: whether it was deleted, and is no more.
    """
    meta, status = pod["metadata"], pod.get("status", {})
    index = meta.get("annotations", {}).get(INDEX, "0")
    sight = Sight(
        job=meta.get("labels", {}).get(names.NAME, ""),
        member=int(index),
        name=meta["name"],
        version=meta.get("resourceVersion", ""),
        node=pod.get("spec", {}).get("nodeName", ""),
    )
    is_leaving = "deletionTimestamp" in meta
    never_began = is_leaving and not sight.node
    if gone or never_began or status.get("phase") in ("Succeeded", "Failed"):
        return sight._replace(ended=_end(pod, id, sight.member, gone))
    if is_leaving:
        sight = sight._replace(leaving=float(meta.get("deletionGracePeriodSeconds") or 0))
        for condition in _conditions(status, "DisruptionTarget"):
            why = _line(condition.get("reason", ""), condition.get("message", ""))
            sight = sight._replace(waits=f"{why} (node {sight.node})")
        return sight
    container = _container(status)
    if "running" in container:
        return sight._replace(runs=True)
    reason, message = _waiting(status, container)
    if reason in _FAILS_TO_START:
        hopeless = reason in _NEVER_STARTS
        return sight._replace(waits=_line(reason, message), kind=START, hopeless=hopeless)
    if reason:
        kind = PAUSE if reason == "SchedulingGated" else NODE
        return sight._replace(waits=_line(reason, message), kind=kind)
    return sight._replace(begins=bool(sight.node))


def _container(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of the container, or nothing."""
    for one in status.get("containerStatuses", ()):
        state: Mapping[str, Any] = one.get("state", {})
        return state
    return {}


def _waiting(status: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[str, str]:
    """Return why a pod waits: reason and message; empty where Kubernetes says nothing of note."""
    waiting = container.get("waiting", {})
    if waiting.get("reason") in _FAILS_TO_START:
        return waiting["reason"], waiting.get("message", "")
    for condition in _conditions(status, "PodScheduled"):
        if condition.get("status") == "False":
            return condition.get("reason", "Unschedulable"), condition.get("message", "")
    return "", ""


def _conditions(status: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    return (c for c in status.get("conditions") or () if c.get("type") == kind)


def silent(sight: Sight, id: str) -> Sight:
    """Return how a pod ended that is being deleted, while nobody says that it is gone."""
    message = f"the pod {sight.name} is being deleted, and its node {sight.node} does not answer"
    if sight.waits:
        message = f"{sight.waits}: its node does not answer"
    hint = f"kubectl describe node {sight.node}"
    ended = Ended(id, sight.member, cause="lost", message=message, hint=hint)
    return sight._replace(ended=ended)


def _line(reason: str, message: str) -> str:
    message = " ".join(message.split())
    return f"{reason}: {message}" if message else reason


# --- how it ended -------------------------------------------------------------------------------


def _end(pod: Mapping[str, Any], id: str, member: int, gone: bool) -> Ended:
    """Return how a pod ended that has a last phase, or is no more."""
    meta, status = pod["metadata"], pod.get("status", {})
    terminated = _container(status).get("terminated", {})
    code, signal = _exit(terminated)
    ended = Ended(id, member, code, signal, log=terminated.get("message", ""))
    if status.get("phase") == "Succeeded":
        return ended._replace(code=0)
    reason, message = status.get("reason", ""), " ".join(status.get("message", "").split())
    for condition in _conditions(status, "DisruptionTarget"):
        if condition.get("status") == "True":
            return _disrupted(ended, condition, pod, _line(reason, message) if reason else "")
    if reason in _REASONS:
        return ended._replace(cause=_REASONS[reason], message=_line(reason, message))
    why = terminated.get("reason", "")
    if why == "OOMKilled":
        return _out_of_memory(ended, pod)
    if why in _COULD_NOT_START:
        said = _line(why, terminated.get("message", ""))
        return ended._replace(code=None, signal=None, cause="launch", message=said, log="")
    if why == "ContainerStatusUnknown":
        return ended._replace(cause="lost", message=_line(why, terminated.get("message", "")))
    if "deletionTimestamp" in meta or (gone and status.get("phase") != "Failed"):
        return ended._replace(cause="cancelled", message=f"somebody deleted the pod {meta['name']}")
    if not terminated:  # a kubelet that does not take the pod: OutOfcpu, UnexpectedAdmissionError
        return ended._replace(cause="launch", message=_line(reason or "Failed", message))
    return ended


def _exit(terminated: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return exit status and signal of a container: as shells do, a runtime adds 128 to a signal."""
    code = terminated.get("exitCode")
    signal = terminated.get("signal") or 0
    if not signal and code is not None and code > 128:
        signal = code - 128
    if signal in _SIGNALS:
        return None, signal
    return code, None


def _disrupted(
    ended: Ended, condition: Mapping[str, Any], pod: Mapping[str, Any], status: str
) -> Ended:
    reason = condition.get("reason", "")
    said = _line(reason, condition.get("message", ""))
    if status and status not in said:
        said = f"{status} ({said})"
    node = pod.get("spec", {}).get("nodeName", "")
    cause = _DISRUPTIONS.get(reason, "evicted")
    hint = f"kubectl describe node {node}" if node and cause != "preempted" else ""
    return ended._replace(cause=cause, message=said, hint=hint)


def _out_of_memory(ended: Ended, pod: Mapping[str, Any]) -> Ended:
    limit = ""
    for container in pod.get("spec", {}).get("containers", ()):
        limit = container.get("resources", {}).get("limits", {}).get("memory", "")
    more = f", {limit}" if limit else ""
    return ended._replace(
        cause="out-of-memory",
        message=f"OOMKilled: the container used more memory than its limit{more}",
        hint=f"@kubernetes(memory={_twice(limit)})",
    )


def _twice(limit: str) -> str:
    digits = limit.removesuffix("M")
    return str(2 * int(digits)) if digits.isdigit() else "…"
