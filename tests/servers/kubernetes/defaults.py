"""What an API server fills in where an object says nothing."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from typing import Any

from servers.kubernetes.kinds import (
    CLAIM,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    SECRET,
    SERVICE,
    Kind,
)
from servers.kubernetes.quantities import amount

Object = dict[str, Any]

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names: no vowels, so that no words come about."""


def suffix() -> str:
    """Return the end of a generated name."""
    return "".join(random.choices(_LETTERS, k=5))


def fill_in(kind: Kind, content: Object) -> Object:
    """Return an object as it is stored: what it does not say is as the documentation promises."""
    fill = _FILLERS.get(kind)
    return fill(content) if fill else content


def pod_spec(spec: Object) -> Object:
    """Return the specification of a pod with all that it does not say."""
    full = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        **spec,
    }
    for place in ("initContainers", "containers"):
        if place in spec:
            full[place] = [_container(each) for each in spec[place]]
    if "volumes" in spec:
        full["volumes"] = [_volume(each) for each in spec["volumes"]]
    if "serviceAccount" in full and "serviceAccountName" not in full:
        full["serviceAccountName"] = full["serviceAccount"]
    if "serviceAccountName" in full:
        full["serviceAccount"] = full["serviceAccountName"]
    return full


def _container(container: Object) -> Object:
    image = container.get("image", "")
    tag = image.rpartition("/")[2].partition(":")[2]
    policy = "Always" if tag == "latest" or not (tag or "@" in image) else "IfNotPresent"
    full = {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": policy,
        **container,
    }
    limits = full["resources"].get("limits")
    if limits:
        requests = {**limits, **full["resources"].get("requests", {})}
        full["resources"] = {**full["resources"], "requests": requests}
    if "ports" in full:
        full["ports"] = [{"protocol": "TCP", **port} for port in full["ports"]]
    if "env" in full:
        full["env"] = [_variable(each) for each in full["env"]]
    return full


def _variable(variable: Object) -> Object:
    reference = variable.get("valueFrom", {}).get("fieldRef")
    if reference is None:
        return variable
    return {**variable, "valueFrom": {"fieldRef": {"apiVersion": "v1", **reference}}}


def _volume(volume: Object) -> Object:
    if len(volume) == 1:
        return {**volume, "emptyDir": {}}
    full = dict(volume)
    for name in ("secret", "configMap", "projected", "downwardAPI"):
        if name in full:
            full[name] = {"defaultMode": 420, **full[name]}
    return full


def _pod(content: Object) -> Object:
    spec = pod_spec(content.get("spec", {}))
    spec = {"enableServiceLinks": True, **spec}
    status = {"phase": "Pending", "qosClass": _quality(spec)}
    return {**content, "spec": spec, "status": status}


def _quality(spec: Object) -> str:
    """Return the pod's class of service: who is evicted first."""
    containers = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    found = [
        amount(each.get("resources", {}).get(field, {}).get(name, "0"))
        for each in containers
        for name in ("cpu", "memory")
        for field in ("requests", "limits")
    ]
    if not any(found):
        return "BestEffort"
    return "Guaranteed" if all(found) and found[::2] == found[1::2] else "Burstable"


def _job(content: Object) -> Object:
    given = content.get("spec", {})
    spec: Object = {"completionMode": "NonIndexed", "suspend": False, **given}
    if "completions" not in given and "parallelism" not in given:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in given else 6)
    failed_only = "podFailurePolicy" in given
    spec.setdefault("podReplacementPolicy", "Failed" if failed_only else "TerminatingOrFailed")
    if "podFailurePolicy" in given:
        spec["podFailurePolicy"] = _failure_policy(given["podFailurePolicy"])
    template = given.get("template", {})
    spec["template"] = {
        "metadata": template.get("metadata", {}),
        "spec": pod_spec(template.get("spec", {})),
    }
    return {**content, "spec": spec, "status": {}}


def _failure_policy(policy: Object) -> Object:
    return {**policy, "rules": [_failure_rule(rule) for rule in policy.get("rules", ())]}


def _failure_rule(rule: Object) -> Object:
    if "onPodConditions" not in rule:
        return rule
    return {**rule, "onPodConditions": [{"status": "True", **c} for c in rule["onPodConditions"]]}


def _namespace(content: Object) -> Object:
    metadata = content["metadata"]
    labels = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {
        **content,
        "metadata": {**metadata, "labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _node(content: Object) -> Object:
    return {"spec": {}, "status": {}, **content}


def _secret(content: Object) -> Object:
    plain = content.get("stringData")
    if plain:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        content = {**content, "data": {**content.get("data", {}), **data}}
        del content["stringData"]
    return {"type": "Opaque", **content}


def _service(content: Object) -> Object:
    spec = {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        **content.get("spec", {}),
    }
    if "ports" in spec:
        spec["ports"] = [
            {"protocol": "TCP", "targetPort": port.get("port"), **port} for port in spec["ports"]
        ]
    spec.setdefault("clusterIP", f"10.96.{random.randrange(256)}.{random.randrange(1, 255)}")
    spec["clusterIPs"] = [spec["clusterIP"]]
    return {**content, "spec": spec, "status": {"loadBalancer": {}}}


def _claim(content: Object) -> Object:
    spec = {"volumeMode": "Filesystem", **content.get("spec", {})}
    wanted = spec.get("resources", {}).get("requests", {})
    status = {"phase": "Bound", "accessModes": spec.get("accessModes", []), "capacity": wanted}
    return {**content, "spec": spec, "status": status}


_FILLERS: dict[Kind, Callable[[Object], Object]] = {
    POD: _pod,
    JOB: _job,
    NAMESPACE: _namespace,
    NODE: _node,
    SECRET: _secret,
    SERVICE: _service,
    CLAIM: _claim,
}
