"""Objects as tables, as kubectl shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from servers.kubernetes.clock import seconds_of
from servers.kubernetes.kinds import EVENT, JOB, NAMESPACE, NODE, POD, QUOTA, Kind
from servers.kubernetes.store import Entry, Object

Column = tuple[str, Callable[[Object], Any]]


def table(
    kind: Kind, entries: list[Entry], query: dict[str, str], metadata: dict[str, Any]
) -> dict[str, Any]:
    """Return objects as a ``Table``.

    Args:
        kind: of them.
        entries: the objects.
        query: of the request: ``includeObject`` says how much of each object goes along.
        metadata: of the list.
    """
    columns = [("Name", _name), *_COLUMNS.get(kind, ()), ("Age", _age)]
    definitions = [
        {"name": name, "type": "string", "format": "name" if name == "Name" else "", **_FILLING}
        for name, _ in columns
    ]
    rows = [
        {
            "cells": [cell(entry.object) for _, cell in columns],
            "object": _included(entry, query.get("includeObject", "Metadata")),
        }
        for entry in entries
    ]
    head = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**head, "columnDefinitions": definitions, "rows": rows}


def shape_of_watch(kind: Kind, query: dict[str, str]) -> Callable[[Entry], bytes]:
    """Return what makes the JSON of an object in a watch of tables."""

    def shape(entry: Entry) -> bytes:
        version = {"resourceVersion": str(entry.version)}
        return json.dumps(table(kind, [entry], query, version)).encode()

    return shape


_FILLING = {"description": "", "priority": 0}


def _included(entry: Entry, how: str) -> Object | None:
    if how == "None":
        return None
    if how == "Object":
        return {"kind": entry.kind.name, "apiVersion": entry.kind.api_version, **entry.object}
    head = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
    return {**head, "metadata": entry.object["metadata"]}


def _name(content: Object) -> str:
    return str(content["metadata"]["name"])


def _age(content: Object) -> str:
    return _short_time(time.time() - seconds_of(content["metadata"]["creationTimestamp"]))


def _short_time(seconds: float) -> str:
    """Return a time as kubectl shows it: ``12s``, ``3m5s``, ``4h``, ``2d``."""
    whole = max(int(seconds), 0)
    if whole < 120:
        return f"{whole}s"
    if whole < 600:
        return f"{whole // 60}m{whole % 60}s" if whole % 60 else f"{whole // 60}m"
    if whole < 3 * 3600:
        return f"{whole // 60}m"
    return f"{whole // 3600}h" if whole < 48 * 3600 else f"{whole // 86400}d"


def _pod_state(pod: Object) -> str:
    """Return the word that kubectl shows for a pod: ``Running``, ``OOMKilled``, ``Init:0/1``, …"""
    status = pod["status"]
    word = str(status.get("reason") or status.get("phase", ""))
    first = status.get("initContainerStatuses", ())
    for index, each in enumerate(first):
        ended = each["state"].get("terminated")
        if ended and ended["exitCode"] == 0:
            continue
        waiting = each["state"].get("waiting", {}).get("reason", "PodInitializing")
        shown = ended["reason"] if ended else waiting
        plain = shown == "PodInitializing" and not ended
        word = f"Init:{index}/{len(first)}" if plain else f"Init:{shown}"
        break
    else:
        for each in reversed(status.get("containerStatuses", ())):
            for state in ("waiting", "terminated"):
                if each["state"].get(state, {}).get("reason"):
                    word = each["state"][state]["reason"]
    if "deletionTimestamp" in pod["metadata"] and status.get("phase") not in (
        "Succeeded",
        "Failed",
    ):
        return "Terminating"
    return word


def _ready(pod: Object) -> str:
    statuses = pod["status"].get("containerStatuses", ())
    ready = sum(each.get("ready", False) for each in statuses)
    return f"{ready}/{len(pod['spec']['containers'])}"


def _restarts(pod: Object) -> str:
    return str(sum(each["restartCount"] for each in pod["status"].get("containerStatuses", ())))


def _completions(job: Object) -> str:
    spec = job["spec"]
    wanted = spec.get("completions")
    shown = wanted if wanted is not None else f"1 of {spec.get('parallelism', 1)}"
    return f"{job['status'].get('succeeded', 0)}/{shown}"


def _duration(job: Object) -> str:
    status = job["status"]
    if "startTime" not in status:
        return ""
    ended = [
        each for each in status.get("conditions", ()) if each["type"] in ("Complete", "Failed")
    ]
    end = status.get("completionTime") or (ended[0]["lastTransitionTime"] if ended else None)
    until = seconds_of(end) if end else time.time()
    return _short_time(until - seconds_of(status["startTime"]))


def _job_state(job: Object) -> str:
    for condition in job["status"].get("conditions", ()):
        if (
            condition["type"] in ("Complete", "Failed", "Suspended")
            and condition["status"] == "True"
        ):
            return str(condition["type"])
    return "Terminating" if "deletionTimestamp" in job["metadata"] else "Running"


def _node_state(node: Object) -> str:
    conditions = node.get("status", {}).get("conditions", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    disabled = ",SchedulingDisabled" if node["spec"].get("unschedulable") else ""
    return ("Ready" if ready else "NotReady") + disabled


def _object_of_event(event: Object) -> str:
    about = event.get("involvedObject", {})
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _quota(field: str) -> Callable[[Object], str]:
    def shown(quota: Object) -> str:
        hard = quota.get("status", {}).get("hard", {})
        used = quota.get("status", {}).get("used", {})
        keys = [key for key in sorted(hard) if key.startswith("limits.") == (field == "Limit")]
        return ", ".join(f"{key}: {used.get(key, '0')}/{hard[key]}" for key in keys)

    return shown


_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    POD: (("Ready", _ready), ("Status", _pod_state), ("Restarts", _restarts)),
    JOB: (("Status", _job_state), ("Completions", _completions), ("Duration", _duration)),
    NODE: (
        ("Status", _node_state),
        ("Roles", lambda node: "<none>"),
        ("Version", lambda node: node["status"].get("nodeInfo", {}).get("kubeletVersion", "")),
    ),
    NAMESPACE: (("Status", lambda namespace: namespace["status"]["phase"]),),
    EVENT: (
        ("Type", lambda event: event.get("type", "")),
        ("Reason", lambda event: event.get("reason", "")),
        ("Object", _object_of_event),
        ("Message", lambda event: event.get("message", "")),
    ),
    QUOTA: (("Request", _quota("Request")), ("Limit", _quota("Limit"))),
}
