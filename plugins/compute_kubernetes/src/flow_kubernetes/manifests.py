"""Jobs, and services of gangs, as Kubernetes takes them: plain data, made without a cluster."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_kubernetes import checks, gangs, names

if TYPE_CHECKING:
    from flow_kubernetes.choices import Choices
    from flow_remote.backend import Job

CONTAINER = "task"
HOME = "/home/flow"
_POD = "FLOW_POD"  # variable with the name of the pod
_UID = 1000  # any but root's; the folders below belong to it

Manifest = dict[str, Any]


class Origin(NamedTuple):
    """Whose jobs these are.

    Attributes:
        user: who has started the run.
        place: URL of the datastore.
    """

    user: str
    place: str


def job_manifest(job: Job, choices: Choices, origin: Origin) -> Manifest:
    """Return the Job of an attempt, or of all members of a gang. It has no namespace: who creates it
    says where."""
    labels, annotations = _marks(job, choices, origin)
    spec: Manifest = {
        "backoffLimit": 0,  # retries are the launcher's
        "ttlSecondsAfterFinished": choices.ttl,
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": _pod(job, choices),
        },
    }
    if job.is_gang:
        size = len(job.tasks)
        spec |= {"completionMode": "Indexed", "completions": size, "parallelism": size}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job.name, "labels": labels, "annotations": annotations},
        "spec": spec,
    }


def pod_manifest(job: Manifest) -> Manifest:
    """Return the pod of a Job as one of its own, for what runs pods alone: ``podman play kube``."""
    template = job["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": job["metadata"]["name"], **template["metadata"]},
        "spec": template["spec"],
    }


def service_manifest(job: Manifest, uid: str = "") -> Manifest:
    """Return the service by which the members of a gang find each other by name.

    Args:
        job: the Job of the gang.
        uid: the Job's, once it is created: the service then goes with it.
    """
    meta = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": meta["name"], "uid": uid}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": meta["name"],
            "labels": meta["labels"],
            **({"ownerReferences": [owner]} if uid else {}),
        },
        "spec": {
            "clusterIP": "None",  # no address of its own: the name of each pod leads to that pod
            "publishNotReadyAddresses": True,
            "selector": {names.NAME: meta["labels"][names.NAME]} | _of_run(meta["labels"]),
        },
    }


# --- marks --------------------------------------------------------------------------------------


def _marks(job: Job, choices: Choices, origin: Origin) -> tuple[dict[str, str], dict[str, str]]:
    """Return labels, by which objects are found, and annotations, which have the texts in full."""
    task = job.tasks[0]
    full = {
        names.FLOW: task.flow,
        names.RUN: task.run,
        names.STEP: task.step,
        names.TASK: str(task.task),
        names.ATTEMPT: str(task.attempt),
        names.USER: origin.user,
    }
    labels = {key: names.label(text) for key, text in full.items()}
    labels |= {names.STORE: names.digest(origin.place), names.NAME: job.name}
    return {**choices.labels, **labels}, {**choices.annotations, **full}


def _of_run(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: labels[key] for key in (names.STORE, names.FLOW, names.RUN)}


def run_selector(flow: str, runs: list[str], place: str) -> str:
    """Return the selector of all that belongs to runs of a flow."""
    labels = ",".join(sorted(map(names.label, runs)))
    return (
        f"{names.STORE}={names.digest(place)},{names.FLOW}={names.label(flow)},"
        f"{names.RUN} in ({labels})"
    )


# --- the pod ------------------------------------------------------------------------------------


def _pod(job: Job, choices: Choices) -> Manifest:
    volumes = {volume.path: volume for volume in _volumes(choices)}.values()
    container: Manifest = {
        "name": CONTAINER,
        "image": choices.image,
        "command": _command(job, choices),
        "workingDir": job.folder or HOME,
        "env": _env(job, choices),
        "resources": _resources(choices),
        "securityContext": _container_context(choices),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": v.name, "mountPath": v.path} for v in volumes],
    }
    if choices.image_pull_policy:
        container["imagePullPolicy"] = choices.image_pull_policy
    if choices.secrets:
        container["envFrom"] = [{"secretRef": {"name": secret}} for secret in choices.secrets]
    if choices.port:
        container["ports"] = [{"containerPort": choices.port}]
    return {
        "restartPolicy": "Never",
        "enableServiceLinks": False,  # else each service of the namespace is some variables
        "automountServiceAccountToken": bool(choices.service_account),
        "terminationGracePeriodSeconds": choices.eviction_grace,
        "securityContext": _pod_context(choices),
        **_placement(job, choices),
        "containers": [container],
        "volumes": [{"name": v.name, **v.source} for v in volumes],
    }


def _command(job: Job, choices: Choices) -> list[str]:
    if job.is_gang:
        words = gangs.command(job, choices.hostname_resolution_timeout)
    else:
        words = list(job.commands[0])
    known = _variables(job, choices)
    return [_literal(word, known) for word in words]


def _literal(text: str, known: Collection[str]) -> str:
    """Return ``text`` so that it stays as it is: Kubernetes puts ``$`` in place of ``$$``, and the
    value of a variable in place of ``$(NAME)``, but leaves names alone that it does not know.

    Whatever is not in danger is not touched: podman knows neither.
    """
    if "$" not in text:
        return text
    text = text.replace("$$", "$$$$")
    return re.sub(r"\$\((\w+)\)", lambda m: "$" * (m[1] in known) + m[0], text)


def _env(job: Job, choices: Choices) -> list[dict[str, Any]]:
    variables = _variables(job, choices)
    named = [{"name": n, "value": _literal(value, variables)} for n, value in variables.items()]
    return [*named, {"name": _POD, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]


def _variables(job: Job, choices: Choices) -> dict[str, str]:
    variables = {"HOME": HOME, "USER": "flow"}  # the image need not know the user
    if choices.tmpfs_size and choices.tmpfs_tempdir:
        variables["TMPDIR"] = choices.tmpfs_path
    if choices.executable:
        variables["FLOW_PYTHON"] = choices.executable
    if job.is_gang:
        variables |= gangs.place(job.name, choices.port)
    return {**variables, **gangs.common_variables(job)}


def _resources(choices: Choices) -> Manifest:
    amounts = {
        "cpu": _cpu(choices.cpu),
        "memory": _megabytes(choices.memory),
        "ephemeral-storage": _megabytes(choices.disk),
    }
    if choices.gpu:
        amounts[f"{choices.gpu_vendor}.com/gpu"] = str(choices.gpu)
    amounts |= choices.extended_resources
    limits = dict(amounts)
    if choices.qos == "burstable":
        del limits["cpu"]  # what nobody else needs may be used, too
    return {"requests": amounts, "limits": limits}


def _cpu(amount: float) -> str:
    return str(int(amount)) if amount == int(amount) else f"{max(1, round(amount * 1000))}m"


def _megabytes(amount: float) -> str:
    return f"{math.ceil(amount)}M"


def _container_context(choices: Choices) -> Manifest:
    asked = choices.security_context
    own = {key: value for key, value in asked.items() if key not in checks.POD_SECURITY_KEYS}
    context = {
        "runAsNonRoot": True,
        "runAsUser": _UID,
        "runAsGroup": _UID,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        **own,
    }
    if context["runAsUser"] == 0 and "runAsNonRoot" not in asked:
        context["runAsNonRoot"] = False  # who asks for root means it
    if context.get("privileged") and "allowPrivilegeEscalation" not in asked:
        del context["allowPrivilegeEscalation"]  # Kubernetes refuses the two together
    return context


def _pod_context(choices: Choices) -> Manifest:
    asked = choices.security_context
    own = {key: value for key, value in asked.items() if key in checks.POD_SECURITY_KEYS}
    group = asked.get("runAsGroup", _UID)  # volumes belong to it, so that the task may write there
    return {"fsGroup": group, "seccompProfile": {"type": "RuntimeDefault"}, **own}


def _placement(job: Job, choices: Choices) -> Manifest:
    selector, tolerations = dict(choices.node_selector), list(choices.tolerations)
    if choices.compute_pool:
        selector[choices.pool_label] = choices.compute_pool
        pool = {"key": choices.pool_label, "operator": "Equal", "value": choices.compute_pool}
        tolerations.append(pool)
    task = job.tasks[0]
    same = {names.FLOW: names.label(task.flow), names.RUN: names.label(task.run)}
    same[names.STEP] = names.label(task.step)
    found: Manifest = {
        "serviceAccountName": choices.service_account,
        "imagePullSecrets": [{"name": secret} for secret in choices.image_pull_secrets],
        "nodeSelector": selector,
        "tolerations": tolerations,
        "priorityClassName": choices.priority_class,
        "topologySpreadConstraints": [
            {"labelSelector": {"matchLabels": same}, **one} for one in choices.topology_spread
        ],
        "subdomain": job.name if job.is_gang else "",
    }
    if job.timeout is not None:
        # Of the pod, not of the Job: there the time in which it waits for a node counts, too.
        found["activeDeadlineSeconds"] = math.ceil(job.timeout + choices.deadline_margin)
    return {key: value for key, value in found.items() if value}


class _Volume(NamedTuple):
    name: str
    path: str
    source: Manifest


def _volumes(choices: Choices) -> Iterator[_Volume]:
    yield _Volume("home", HOME, {"emptyDir": {}})
    yield _Volume("tmp", "/tmp", {"emptyDir": {}})
    if choices.tmpfs_size:
        yield _Volume("tmpfs", choices.tmpfs_path, _memory(choices.tmpfs_size))
    if choices.shared_memory:
        yield _Volume("shm", "/dev/shm", _memory(choices.shared_memory))
    for number, (claim, path) in enumerate(choices.persistent_volume_claims.items()):
        source = {"persistentVolumeClaim": {"claimName": claim}}
        yield _Volume(f"claim-{number}", path, source)
    for number, (path, source) in enumerate(choices.volumes.items()):
        yield _Volume(f"volume-{number}", path, source)


def _memory(size: float) -> Manifest:
    return {"emptyDir": {"medium": "Memory", "sizeLimit": _megabytes(size)}}
