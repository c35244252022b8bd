"""What an object must fulfil beyond its fields, in the words of a real API server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from servers.kubernetes.errors import (
    Cause,
    duplicate,
    forbidden_field,
    invalid,
    required,
    unsupported,
)
from servers.kubernetes.kinds import (
    CONFIG_MAP,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    PRIORITY_CLASS,
    SECRET,
    SERVICE,
    Kind,
)
from servers.kubernetes.quantities import amount

Object = dict[str, Any]
Causes = Iterator[Cause]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SERVICE = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_NAME})?"

_IS_LABEL, _IS_SUBDOMAIN = re.compile(_LABEL), re.compile(_SUBDOMAIN)
_IS_SERVICE, _IS_NAME, _IS_VALUE = re.compile(_SERVICE), re.compile(_NAME), re.compile(_VALUE)

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
    "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    f"validation is '{_LABEL}')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    f"validation is '{_SUBDOMAIN}')"
)
_SERVICE_WORDS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"regex used for validation is '{_SERVICE}')"
)
_NAME_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_NAME}')"
)
_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    f"regex used for validation is '{_VALUE}')"
)
_POD_UPDATES = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
    "previously negative)"
)
_CHANGING = ("activeDeadlineSeconds", "tolerations", "schedulingGates")
_NOT_NEGATIVE = "must be greater than or equal to 0"
_IMMUTABLE = "field is immutable"
_ANNOTATIONS = 256 * 1024


def wrong(kind: Kind, content: Object) -> list[Cause]:
    """Return all that is wrong with a new object."""
    causes = list(_metadata(kind, content["metadata"]))
    check = _CHECKS.get(kind)
    return [*causes, *(check(content) if check else ())]


def wrong_change(kind: Kind, before: Object, after: Object) -> list[Cause]:
    """Return all that is wrong with a new version of an object, and with the change to it."""
    causes = list(_metadata(kind, after["metadata"]))
    check = _CHANGES.get(kind)
    return [*causes, *(check(before, after) if check else ())]


def _metadata(kind: Kind, metadata: Object) -> Causes:
    yield from _name(kind, metadata["name"])
    for key, value in (metadata.get("labels") or {}).items():
        yield from _label("metadata.labels", key, value)
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        yield from _key("metadata.annotations", key.lower())
    if sum(len(key) + len(value) for key, value in annotations.items()) > _ANNOTATIONS:
        words = f"Too long: may not be more than {_ANNOTATIONS} bytes"
        yield Cause("metadata.annotations", "FieldValueTooLong", words)
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield invalid(f"metadata.ownerReferences[{index}].{field}", "", "must not be empty")


def _name(kind: Kind, name: str) -> Causes:
    form, words, longest = _IS_SUBDOMAIN, _SUBDOMAIN_WORDS, 253
    if kind is NAMESPACE:
        form, words, longest = _IS_LABEL, _LABEL_WORDS, 63
    if kind is SERVICE:
        form, words, longest = _IS_SERVICE, _SERVICE_WORDS, 63
    if kind.group == "rbac.authorization.k8s.io":
        return
    if len(name) > longest:
        yield invalid("metadata.name", name, f"must be no more than {longest} characters")
    if not form.fullmatch(name):
        yield invalid("metadata.name", name, words)


def _label(path: str, key: str, value: str) -> Causes:
    yield from _key(path, key)
    if len(value) > 63:
        yield invalid(path, value, "must be no more than 63 characters")
    if not _IS_VALUE.fullmatch(value):
        yield invalid(path, value, _VALUE_WORDS)


def _key(path: str, key: str) -> Causes:
    prefix, slash, name = key.rpartition("/")
    if slash and not prefix:
        yield invalid(path, key, "prefix part must be non-empty")
    elif slash and not _IS_SUBDOMAIN.fullmatch(prefix):
        yield invalid(path, key, f"prefix part {_SUBDOMAIN_WORDS}")
    if not name:
        yield invalid(path, key, "name part must be non-empty")
    elif len(name) > 63:
        yield invalid(path, key, "name part must be no more than 63 characters")
    elif not _IS_NAME.fullmatch(name):
        yield invalid(path, key, _NAME_WORDS)


def _pod(content: Object) -> Causes:
    yield from _pod_spec(content.get("spec", {}), "spec")


def _pod_spec(spec: Object, path: str) -> Causes:
    yield from _volumes(spec, path)
    known = {volume.get("name", "") for volume in spec.get("volumes") or ()}
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for place in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(place) or ()):
            where = f"{path}.{place}[{index}]"
            yield from _container(container, where, known)
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))
    policy = spec.get("restartPolicy", "Always")
    if policy not in ("Always", "OnFailure", "Never"):
        yield unsupported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))
    if spec.get("activeDeadlineSeconds", 1) < 1:
        words = "must be between 1 and 2147483647, inclusive"
        yield invalid(f"{path}.activeDeadlineSeconds", spec["activeDeadlineSeconds"], words)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        value = spec["terminationGracePeriodSeconds"]
        yield invalid(f"{path}.terminationGracePeriodSeconds", value, _NOT_NEGATIVE)
    for field in ("hostname", "subdomain"):
        if field in spec and not _IS_LABEL.fullmatch(spec[field]):
            yield invalid(f"{path}.{field}", spec[field], _LABEL_WORDS)
        elif len(spec.get(field, "")) > 63:
            yield invalid(f"{path}.{field}", spec[field], "must be no more than 63 characters")
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from _label(f"{path}.nodeSelector", key, value)
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, f"{path}.tolerations[{index}]")
    if "serviceAccountName" in spec and not _IS_SUBDOMAIN.fullmatch(spec["serviceAccountName"]):
        yield invalid(f"{path}.serviceAccountName", spec["serviceAccountName"], _SUBDOMAIN_WORDS)


def _volumes(spec: Object, path: str) -> Causes:
    seen: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        where = f"{path}.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif not _IS_LABEL.fullmatch(name):
            yield invalid(f"{where}.name", name, _LABEL_WORDS)
        elif name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)
        sources = [key for key in volume if key != "name"]
        for extra in sources[1:]:
            yield forbidden_field(f"{where}.{extra}", "may not specify more than 1 volume type")
        empty = volume.get("emptyDir", {})
        if empty.get("medium", "") not in ("", "Memory") and not empty["medium"].startswith(
            "HugePages"
        ):
            yield unsupported(f"{where}.emptyDir.medium", empty["medium"], ("", "Memory"))


def _container(container: Object, path: str, volumes: set[str]) -> Causes:
    name = container.get("name", "")
    if not name:
        yield required(f"{path}.name")
    elif len(name) > 63:
        yield invalid(f"{path}.name", name, "must be no more than 63 characters")
    elif not _IS_LABEL.fullmatch(name):
        yield invalid(f"{path}.name", name, _LABEL_WORDS)
    if not container.get("image"):
        yield required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        words = "must not have leading or trailing whitespace"
        yield invalid(f"{path}.image", container["image"], words)
    policy = container.get("imagePullPolicy", "Always")
    if policy not in ("Always", "IfNotPresent", "Never"):
        yield unsupported(f"{path}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never"))
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        if not variable.get("name"):
            yield required(f"{where}.name")
        elif "=" in variable["name"]:
            words = "environment variable names must be printable ASCII except '='"
            yield invalid(f"{where}.name", variable["name"], words)
        if variable.get("value") and "valueFrom" in variable:
            yield invalid(
                f"{where}.valueFrom", "", "may not be specified when `value` is not empty"
            )
    yield from _mounts(container, path, volumes)
    yield from _resources(container.get("resources", {}), f"{path}.resources")


def _mounts(container: Object, path: str, volumes: set[str]) -> Causes:
    seen = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{index}]"
        if mount.get("name", "") not in volumes:
            words = f'Not found: "{mount.get("name", "")}"'
            yield Cause(f"{where}.name", "FieldValueNotFound", words)
        if not mount.get("mountPath"):
            yield required(f"{where}.mountPath")
        elif mount["mountPath"] in seen:
            yield invalid(f"{where}.mountPath", mount["mountPath"], "must be unique")
        seen.add(mount.get("mountPath"))


def _resources(resources: Object, path: str) -> Causes:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for field, texts in (("limits", limits), ("requests", requests)):
        for name, text in texts.items():
            where = f"{path}.{field}"
            if amount(text) < 0:
                yield invalid(f"{where}[{name}]", text, _NOT_NEGATIVE)
            if "/" in name:
                if amount(text).denominator != 1:
                    yield invalid(f"{where}[{name}]", text, "must be an integer")
            elif not _is_native(name):
                words = "must be a standard resource for containers"
                yield invalid(where, name, "must be a standard resource type or fully qualified")
                yield invalid(where, name, words)
    for name, text in requests.items():
        if name not in limits:
            if "/" in name:
                yield required(
                    f"{path}.limits", "Limit must be set for non overcommitable resources"
                )
        elif "/" in name and amount(text) != amount(limits[name]):
            yield invalid(
                f"{path}.requests", text, f"must be equal to {name} limit of {limits[name]}"
            )
        elif amount(text) > amount(limits[name]):
            words = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", text, words)


def _is_native(name: str) -> bool:
    return name in ("cpu", "memory", "ephemeral-storage") or name.startswith("hugepages-")


def _toleration(toleration: Object, path: str) -> Causes:
    operator = toleration.get("operator", "Equal")
    if operator not in ("Equal", "Exists", "Lt", "Gt"):
        yield unsupported(f"{path}.operator", operator, ("Equal", "Exists"))
    if operator == "Exists" and toleration.get("value"):
        words = "value must be empty when `operator` is 'Exists'"
        yield invalid(f"{path}.operator", toleration["value"], words)
    if not toleration.get("key") and operator != "Exists":
        words = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid(f"{path}.operator", operator, words)
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    if toleration.get("effect", "") not in ("", *effects):
        yield unsupported(f"{path}.effect", toleration["effect"], effects)
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        words = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{path}.effect", toleration.get("effect", ""), words)


def _job(content: Object) -> Causes:
    spec = content.get("spec", {})
    for field in (
        *("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds"),
        *("ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"),
    ):
        if spec.get(field, 0) < 0:
            yield invalid(f"spec.{field}", spec[field], _NOT_NEGATIVE)
    yield from _indexed(content["metadata"]["name"], spec)
    yield from _failure_policy(spec)
    template = spec.get("template", {})
    for key, value in (template.get("metadata", {}).get("labels") or {}).items():
        yield from _label("spec.template.labels", key, value)
    pod = template.get("spec", {})
    yield from _pod_spec(pod, "spec.template.spec")
    if pod.get("restartPolicy") == "Always":  # as is filled in where a job does not say it
        words = 'valid values: "OnFailure", "Never"'
        yield required("spec.template.spec.restartPolicy", words)


def _indexed(name: str, spec: Object) -> Causes:
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in ("NonIndexed", "Indexed"):
        yield unsupported("spec.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        if "completions" not in spec:
            yield required("spec.completions", "when completion mode is Indexed")
            return
        host = f"{name}-{max(spec['completions'] - 1, 0)}"
        if len(host) > 63 or not _IS_LABEL.fullmatch(host):
            words = f"will not able to create pod with invalid DNS label: {host}"
            yield invalid("metadata.name", name, words)
        return
    if "backoffLimitPerIndex" in spec:
        words = "requires indexed completion mode"
        yield invalid("spec.backoffLimitPerIndex", spec["backoffLimitPerIndex"], words)


def _failure_policy(spec: Object) -> Causes:
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    if spec.get("template", {}).get("spec", {}).get("restartPolicy") != "Never":
        found = spec.get("template", {}).get("spec", {}).get("restartPolicy", "")
        words = 'only "Never" is supported when podFailurePolicy is specified'
        yield invalid("spec.template.spec.restartPolicy", found, words)
    actions = ("Count", "FailIndex", "FailJob", "Ignore")
    for index, rule in enumerate(policy.get("rules", ())):
        where = f"spec.podFailurePolicy.rules[{index}]"
        if rule.get("action") not in actions:
            yield unsupported(f"{where}.action", rule.get("action", ""), actions)
        if ("onExitCodes" in rule) == ("onPodConditions" in rule):
            words = "specifying one of OnExitCodes and OnPodConditions is required"
            yield invalid(where, "", words)
        codes = rule.get("onExitCodes", {})
        if codes and codes.get("operator") not in ("In", "NotIn"):
            yield unsupported(
                f"{where}.onExitCodes.operator", codes.get("operator"), ("In", "NotIn")
            )
        if codes.get("operator") == "In" and 0 in codes.get("values", ()):
            yield invalid(f"{where}.onExitCodes.values[0]", 0, "must not be 0 for the In operator")


def _job_change(before: Object, after: Object) -> Causes:
    old, new = before["spec"], after["spec"]
    yield from _job({**after, "spec": {**new, "template": old["template"]}})
    for field in (
        "completions",
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
    ):
        if old.get(field) != new.get(field):
            yield invalid(f"spec.{field}", str(new.get(field)), _IMMUTABLE)
    may_change = old.get("suspend") and not before.get("status", {}).get("startTime")
    if old["template"] != new["template"] and not may_change:
        yield invalid("spec.template", str(new["template"]), _IMMUTABLE)


def _pod_change(before: Object, after: Object) -> Causes:
    if _lasting(before["spec"]) != _lasting(after["spec"]):
        yield forbidden_field("spec", _POD_UPDATES)
    old, new = (each["spec"].get("tolerations", []) for each in (before, after))
    if any(each not in new for each in old):
        words = "existing toleration can not be modified except its tolerationSeconds"
        yield forbidden_field("spec.tolerations", words)
    old, new = (each["spec"].get("schedulingGates", []) for each in (before, after))
    for gate in new:
        if gate not in old:
            words = f"only deletion is allowed, but found new scheduling gate '{gate['name']}'"
            yield forbidden_field("spec.schedulingGates", words)


def _lasting(spec: Object) -> Object:
    """Return what of a pod can never change."""
    kept = {key: value for key, value in spec.items() if key not in _CHANGING}
    for place in ("containers", "initContainers"):
        if place in kept:
            kept[place] = [{**each, "image": ""} for each in kept[place]]
    return kept


def _data_change(before: Object, after: Object) -> Causes:
    if before.get("immutable") and (
        before.get("data") != after.get("data") or not after.get("immutable")
    ):
        yield forbidden_field("data", "field is immutable when `immutable` is set")


def _node(content: Object) -> Causes:
    for index, taint in enumerate(content.get("spec", {}).get("taints") or ()):
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        if taint.get("effect") not in effects:
            yield unsupported(f"metadata.taints[{index}].effect", taint.get("effect", ""), effects)


def _priority(content: Object) -> Causes:
    if content.get("value", 0) > 1_000_000_000:
        words = "maximum allowed value of a user defined priority is 1000000000"
        yield forbidden_field("value", words)


_CHECKS: dict[Kind, Callable[[Object], Causes]] = {
    POD: _pod,
    JOB: _job,
    NODE: _node,
    PRIORITY_CLASS: _priority,
}

_CHANGES: dict[Kind, Callable[[Object, Object], Causes]] = {
    POD: _pod_change,
    JOB: _job_change,
    NODE: lambda before, after: _node(after),
    CONFIG_MAP: _data_change,
    SECRET: _data_change,
}
