"""What a job's ``podFailurePolicy`` says of a pod that has failed."""

from __future__ import annotations

from typing import NamedTuple

from servers.kubernetes.store import Object


class Decision(NamedTuple):
    """What to do: ``Count``, ``Ignore``, ``FailJob`` or ``FailIndex``, and why."""

    action: str
    message: str = ""


def decide(policy: Object | None, pod: Object) -> Decision:
    """Return what the first rule that meets a failed pod says."""
    name = f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}"
    for index, rule in enumerate((policy or {}).get("rules", ())):
        met = _by_code(rule, pod, name) or _by_condition(rule, pod, name)
        if met:
            action = rule["action"]
            return Decision(action, f"{met} matching {action} rule at index {index}")
    return Decision("Count")


def _by_code(rule: Object, pod: Object, name: str) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    status = pod["status"]
    both = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
    for each in both:
        code = each["state"].get("terminated", {}).get("exitCode", 0)
        if code == 0 or wanted.get("containerName", each["name"]) != each["name"]:
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            return f"Container {each['name']} for pod {name} failed with exit code {code}"
    return ""


def _by_condition(rule: Object, pod: Object, name: str) -> str:
    for wanted in rule.get("onPodConditions", ()):
        for each in pod["status"].get("conditions", ()):
            if (each["type"], each["status"]) == (wanted["type"], wanted["status"]):
                return f"Pod {name} has condition {each['type']}"
    return ""
