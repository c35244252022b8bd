"""What a new object must fulfil in its cluster: namespaces, accounts, priorities, quotas."""

from __future__ import annotations

from fractions import Fraction

from servers.kubernetes.defaults import suffix
from servers.kubernetes.errors import forbidden, not_found
from servers.kubernetes.kinds import (
    CLAIM,
    CONFIG_MAP,
    JOB,
    NAMESPACE,
    POD,
    PRIORITY_CLASS,
    QUOTA,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from servers.kubernetes.quantities import Amounts, amounts, largest, total, written
from servers.kubernetes.store import Entry, Object, Store

_COUNTED = {
    "count/pods": POD,
    "pods": POD,
    "count/jobs.batch": JOB,
    "configmaps": CONFIG_MAP,
    "count/configmaps": CONFIG_MAP,
    "secrets": SECRET,
    "count/secrets": SECRET,
    "services": SERVICE,
    "count/services": SERVICE,
    "persistentvolumeclaims": CLAIM,
}

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where containers find the token of their account."""

_SYSTEM_PRIORITIES = {
    "system-cluster-critical": 2_000_000_000,
    "system-node-critical": 2_000_001_000,
}


def check_namespace(store: Store, kind: Kind, namespace: str, name: str) -> None:
    """Refuse what would lie in a namespace that is not there, or not for long."""
    if not kind.namespaced:
        return
    found = store.find(NAMESPACE, "", namespace)
    if found is None:
        raise not_found(NAMESPACE, namespace)
    if "deletionTimestamp" in found.object["metadata"]:
        why = (
            f"unable to create new content in namespace {namespace} because it is being terminated"
        )
        raise forbidden(kind, name, why)


def complete(store: Store, kind: Kind, content: Object) -> Object:
    """Return a new object with what the cluster adds to it."""
    if kind is not POD:
        return content
    metadata, spec = content["metadata"], dict(content.get("spec", {}))
    namespace, name = metadata["namespace"], metadata["name"]
    spec.setdefault("serviceAccountName", spec.get("serviceAccount", "default"))
    account = spec["serviceAccountName"]
    if store.find(SERVICE_ACCOUNT, namespace, account) is None:
        raise forbidden(
            POD,
            name,
            f"error looking up service account {namespace}/{account}: serviceaccount "
            f'"{account}" not found',
        )
    spec |= _priority(store, name, spec)
    for taint in ("not-ready", "unreachable"):
        spec["tolerations"] = _tolerating(
            spec.get("tolerations", []), f"node.kubernetes.io/{taint}"
        )
    if _mounts_token(store, namespace, spec):
        spec = _with_token(spec)
    return {**content, "spec": spec}


def _mounts_token(store: Store, namespace: str, spec: Object) -> bool:
    account = store.find(SERVICE_ACCOUNT, namespace, spec["serviceAccountName"])
    default = account.object.get("automountServiceAccountToken", True) if account else True
    return bool(spec.get("automountServiceAccountToken", default))


def _with_token(spec: Object) -> Object:
    """Return a pod with the token of its account where programs look for it."""
    name = f"kube-api-access-{suffix()}"
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    root = {
        "configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    }
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    own = {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}}
    sources = {"sources": [token, root, own], "defaultMode": 420}
    volumes = [*spec.get("volumes", ()), {"name": name, "projected": sources}]
    spec = {**spec, "volumes": volumes}
    mount = {"name": name, "mountPath": TOKENS, "readOnly": True}
    for place in ("initContainers", "containers"):
        if place in spec:
            spec[place] = [_with_mount(each, mount) for each in spec[place]]
    return spec


def _with_mount(container: Object, mount: Object) -> Object:
    mounts = container.get("volumeMounts", [])
    if any(each.get("mountPath") == TOKENS for each in mounts):
        return container
    return {**container, "volumeMounts": [*mounts, mount]}


def _priority(store: Store, name: str, spec: Object) -> Object:
    class_ = spec.get("priorityClassName", "")
    if class_ in _SYSTEM_PRIORITIES:
        return {"priority": _SYSTEM_PRIORITIES[class_], "preemptionPolicy": "PreemptLowerPriority"}
    if not class_:
        known = (each for each in store.each(PRIORITY_CLASS) if each.object.get("globalDefault"))
        found = next(iter(known), None)
        if found is None:
            return {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
    else:
        found = store.find(PRIORITY_CLASS, "", class_)
        if found is None:
            raise forbidden(POD, name, f"no PriorityClass with name {class_} was found")
    return {
        "priorityClassName": found.name,
        "priority": found.object.get("value", 0),
        "preemptionPolicy": found.object.get("preemptionPolicy", "PreemptLowerPriority"),
    }


def _tolerating(tolerations: list[Object], key: str) -> list[Object]:
    """Return tolerations that let a pod stay on a lost node for five minutes, unless they say more."""
    for each in tolerations:
        if each.get("key", key) == key and each.get("effect", "NoExecute") == "NoExecute":
            return tolerations
    own = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    return [*tolerations, own]


def pod_requests(spec: Object, field: str = "requests") -> Amounts:
    """Return what a pod asks for: all its containers, or the largest of its init containers."""
    together = total(_amounts(each, field) for each in spec.get("containers", ()))
    before = [_amounts(each, field) for each in spec.get("initContainers", ())]
    return largest([together, *before]) if before else together


def _amounts(container: Object, field: str) -> Amounts:
    return amounts(container.get("resources", {}).get(field, {}))


def check_quota(store: Store, kind: Kind, content: Object) -> None:
    """Refuse what is more than the quotas of its namespace allow."""
    namespace, name = content["metadata"].get("namespace", ""), content["metadata"]["name"]
    for quota in store.each(QUOTA, namespace) if namespace else ():
        hard = amounts(quota.object.get("spec", {}).get("hard", {}))
        asked = {key: value for key, value in _usage(kind, content).items() if key in hard}
        if kind is POD:
            _demand_amounts(quota, hard, content)
        if not any(asked.values()):
            continue
        used = amounts(usage_of_quota(store, quota))
        over = sorted(key for key in asked if used.get(key, 0) + asked[key] > hard[key])
        if over:
            told = (
                f"requested: {_listed(asked, over)}, used: {_listed(used, over)}, "
                f"limited: {_listed(hard, over)}"
            )
            raise forbidden(kind, name, f"exceeded quota: {quota.name}, {told}")


def _demand_amounts(quota: Entry, hard: Amounts, content: Object) -> None:
    """Refuse a pod whose containers do not say how much they want of what is limited."""
    lacking: dict[str, list[str]] = {}
    for container in content["spec"].get("containers", ()):
        resources = container.get("resources", {})
        for key in sorted(hard):
            field, _, resource = _split(key)
            if resource in ("cpu", "memory") and resource not in resources.get(field, {}):
                lacking.setdefault(key, []).append(container["name"])
    if lacking:
        told = "; ".join(f"{key} for: {','.join(names)}" for key, names in lacking.items())
        name = content["metadata"]["name"]
        raise forbidden(POD, name, f"failed quota: {quota.name}: must specify {told}")


def _split(key: str) -> tuple[str, str, str]:
    """Return the field and the resource that a limit is about: ``cpu`` is short for its requests."""
    if key.startswith(("requests.", "limits.")):
        return key.partition(".")
    return "requests", ".", key


def _usage(kind: Kind, content: Object) -> Amounts:
    """Return what an object uses of all that quotas limit."""
    usage = {key: Fraction(1) for key, counted in _COUNTED.items() if counted is kind}
    if kind is POD:
        for field in ("requests", "limits"):
            for name, value in pod_requests(content["spec"], field).items():
                usage[f"{field}.{name}"] = value
                if field == "requests":
                    usage[name] = value
    return usage


def usage_of_quota(store: Store, quota: Entry) -> dict[str, str]:
    """Return what the objects of a namespace use together of what a quota limits."""
    parts = []
    for kind in {POD, *_COUNTED.values()}:
        for entry in store.each(kind, quota.namespace):
            ended = entry.object.get("status", {}).get("phase") in ("Succeeded", "Failed")
            if kind is POD and ended:
                parts.append({"count/pods": Fraction(1)})
            else:
                parts.append(_usage(kind, entry.object))
    whole = total(parts)
    hard = quota.object.get("spec", {}).get("hard", {})
    return {key: written(whole.get(key, Fraction(0)), key) for key in hard}


def _listed(values: Amounts, keys: list[str]) -> str:
    return ",".join(f"{key}={written(values.get(key, Fraction(0)), key)}" for key in keys)
