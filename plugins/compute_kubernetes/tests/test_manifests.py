"""Jobs and services as plain data: what Kubernetes' own models say of them, and what is in them."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kube_jobs import ORIGIN, check, chosen, job

from flow_kubernetes import names
from flow_kubernetes.choices import Choices
from flow_kubernetes.manifests import (
    Manifest,
    job_manifest,
    pod_manifest,
    run_selector,
    service_manifest,
)
from flow_remote.backend import Job

EVERYTHING: dict[str, Any] = {
    "gpu_vendor": "amd",
    "image": "python:3.12",
    "image_pull_policy": "Always",
    "image_pull_secrets": "registry",
    "service_account": "trainer",
    "secrets": ["db", "tokens"],
    "node_selector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "toleration_seconds": 60}],
    "labels": {"example.com/team": "search"},
    "annotations": {"note": "any text, öäü"},
    "use_tmpfs": True,
    "tmpfs_path": "/fast",
    "persistent_volume_claims": {"models": "/models"},
    "volumes": {"/conf": {"configMap": {"name": "conf"}}},
    "port": 8080,
    "compute_pool": "big",
    "executable": "/opt/python/bin/python",
    "qos": "guaranteed",
    "extended_resources": {"vendor.com/fpga": 2},
    "security_context": {"run_as_user": 2000, "run_as_group": 2000, "fs_group": 3000},
    "topology_spread": "topology.kubernetes.io/zone",
    "priority_class": "batch",
    "resources": {"cpu": 2.5, "memory": 500, "disk": 100, "gpu": 2, "shared_memory": 64},
}


def made(job: Job, choices: Choices | None = None) -> Manifest:
    """Return the manifest of a job, which Kubernetes' own model takes as it is."""
    manifest = job_manifest(job, choices or chosen(), ORIGIN)
    check("V1Job", manifest)
    return manifest


def pod_of(manifest: Manifest) -> Manifest:
    pod = manifest["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def container_of(manifest: Manifest) -> Manifest:
    (container,) = pod_of(manifest)["containers"]
    assert isinstance(container, dict)
    return container


# --- one attempt --------------------------------------------------------------------------------


def test_the_job_of_an_attempt():
    manifest = made(job(("/bin/sh", "-c", "echo hi"), variables=({"A": "b"},), timeout=60))
    assert manifest["metadata"]["name"] == "trainflow-12-train-7-0"
    spec = manifest["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["ttlSecondsAfterFinished"] == 7 * 24 * 3600
    assert "completions" not in spec
    pod = pod_of(manifest)
    assert pod["restartPolicy"] == "Never"
    assert pod["activeDeadlineSeconds"] == 660
    container = container_of(manifest)
    assert container["command"] == ["/bin/sh", "-c", "echo hi"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert {"name": "A", "value": "b"} in container["env"]
    labels = manifest["metadata"]["labels"]
    assert labels["flow-core/flow"] == "TrainFlow"
    assert labels["flow-core/run"] == "12"
    assert labels["flow-core/step"] == "train"
    assert labels["flow-core/task"] == "7"
    assert labels["flow-core/attempt"] == "0"
    assert labels["flow-core/user"] == "ada"
    assert manifest["spec"]["template"]["metadata"]["labels"] == labels


def test_it_is_confined_unless_asked_otherwise():
    pod = pod_of(made(job(("true",))))
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["securityContext"] == {
        "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    writable = {m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    assert writable == {"/home/flow", "/tmp"}
    assert "activeDeadlineSeconds" not in pod


def test_whoever_asks_for_root_gets_it():
    context = container_of(made(job(("true",)), chosen(security_context={"run_as_user": 0})))
    assert context["securityContext"]["runAsNonRoot"] is False
    privileged = chosen(security_context={"privileged": True})
    context = container_of(made(job(("true",)), privileged))["securityContext"]
    assert "allowPrivilegeEscalation" not in context, "Kubernetes refuses it beside privileged"


def test_all_options_are_there():
    manifest = made(job(("true",)), chosen(**EVERYTHING))
    pod, container = pod_of(manifest), container_of(manifest)
    amounts = {
        "cpu": "2500m",
        "memory": "500M",
        "ephemeral-storage": "100M",
        "amd.com/gpu": "2",
        "vendor.com/fpga": "2",
    }
    assert container["resources"] == {"requests": amounts, "limits": amounts}
    assert container["imagePullPolicy"] == "Always"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["automountServiceAccountToken"] is True
    assert container["envFrom"] == [{"secretRef": {"name": n}} for n in ("db", "tokens")]
    assert pod["nodeSelector"] == {"disk": "ssd", "flow-core/compute-pool": "big"}
    assert pod["tolerations"] == [
        {"key": "gpu", "operator": "Exists", "tolerationSeconds": 60},
        {"key": "flow-core/compute-pool", "operator": "Equal", "value": "big"},
    ]
    assert manifest["metadata"]["labels"]["example.com/team"] == "search"
    assert manifest["metadata"]["annotations"]["note"] == "any text, öäü"
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["mountPath"]: volumes[m["name"]] for m in container["volumeMounts"]}
    assert mounts["/fast"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "250M"}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "64M"}
    assert mounts["/models"]["persistentVolumeClaim"] == {"claimName": "models"}
    assert mounts["/conf"]["configMap"] == {"name": "conf"}
    assert {"name": "TMPDIR", "value": "/fast"} in container["env"]
    assert {"name": "FLOW_PYTHON", "value": "/opt/python/bin/python"} in container["env"]
    assert container["ports"] == [{"containerPort": 8080}]
    assert container["securityContext"]["runAsUser"] == 2000
    assert pod["securityContext"]["fsGroup"] == 3000
    assert pod["priorityClassName"] == "batch"
    assert pod["topologySpreadConstraints"] == [
        {
            "labelSelector": {
                "matchLabels": {
                    "flow-core/flow": "TrainFlow",
                    "flow-core/run": "12",
                    "flow-core/step": "train",
                }
            },
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "topologyKey": "topology.kubernetes.io/zone",
        }
    ]


def test_processors_have_no_limit_where_the_pod_is_burstable():
    resources = container_of(made(job(("true",)), chosen(resources={"cpu": 2})))["resources"]
    assert resources["requests"]["cpu"] == "2"
    assert "cpu" not in resources["limits"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"] == "4096M"


def test_a_volume_of_ones_own_takes_the_place_of_ours():
    manifest = made(job(("true",)), chosen(persistent_volume_claims={"scratch": "/tmp"}))
    mounts = container_of(manifest)["volumeMounts"]
    assert [m["name"] for m in mounts if m["mountPath"] == "/tmp"] == ["claim-0"]


def test_a_pod_of_its_own():
    pod = pod_manifest(made(job(("true",))))
    check("V1Pod", pod)
    assert pod["kind"] == "Pod"
    assert pod["spec"]["containers"]


# --- names and labels ---------------------------------------------------------------------------


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_becomes_a_label_of_its_own(one: str, other: str) -> None:
    from flow_kubernetes import checks

    checks.labels("labels", {"x": names.label(one)})
    if one != other:
        assert names.label(one) != names.label(other)


def test_a_text_that_is_no_label_stands_in_full_beside_it():
    user = "Ada Löve <ada@example.com>"
    manifest = job_manifest(job(("true",)), chosen(), ORIGIN._replace(user=user))
    assert manifest["metadata"]["labels"]["flow-core/user"].startswith("Ada-L-ve-ada-example-com-")
    assert manifest["metadata"]["annotations"]["flow-core/user"] == user


def test_runs_of_two_datastores_do_not_meet():
    other = ORIGIN._replace(place="s3://bucket/others")
    mine, theirs = (job_manifest(job(("true",)), chosen(), o)["metadata"] for o in (ORIGIN, other))
    assert mine["labels"]["flow-core/store"] != theirs["labels"]["flow-core/store"]
    selector = run_selector("TrainFlow", ["12", "7"], ORIGIN.place)
    assert selector == (
        f"flow-core/store={mine['labels']['flow-core/store']},flow-core/flow=TrainFlow,"
        "flow-core/run in (12,7)"
    )


# --- what Kubernetes would replace --------------------------------------------------------------


def expanded(text: str, variables: dict[str, str]) -> str:
    """Return what Kubernetes makes of a word of a command: its rules, by the letter."""
    out, rest = [], text
    while rest:
        before, dollar, rest = rest.partition("$")
        out.append(before)
        if not dollar:
            break
        if rest.startswith("$"):
            out.append("$")
            rest = rest[1:]
        elif rest.startswith("(") and ")" in rest:
            name, _, rest = rest[1:].partition(")")
            out.append(variables.get(name, f"$({name})"))
        else:
            out.append("$")
    return "".join(out)


@given(st.text(alphabet="$(){}AHOME x", max_size=30))
def test_words_and_values_arrive_as_they_are(text: str) -> None:
    manifest = job_manifest(job(("echo", text), variables=({"A": text},)), chosen(), ORIGIN)
    container = container_of(manifest)
    env = {v["name"]: v.get("value", "pod") for v in container["env"]}
    assert expanded(container["command"][1], env) == text
    assert expanded(env["A"], env) == text


def test_what_is_in_no_danger_is_left_alone():
    script = 'x=$(command -v python3); n=$((n + 1)); echo "${x:-none} $n $(pwd)"'
    assert container_of(made(job(("sh", "-c", script))))["command"][2] == script


# --- gangs --------------------------------------------------------------------------------------


def gang() -> Job:
    commands = tuple(("/bin/sh", "-c", f'echo "{n} $TASK $SAME"') for n in range(3))
    own = tuple({"TASK": f"it's {n}", "SAME": "yes"} for n in range(3))
    return job(*commands, variables=own)


def test_a_gang_is_one_indexed_job_with_a_service():
    manifest = made(gang())
    spec = manifest["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 3
    name = manifest["metadata"]["name"]
    assert pod_of(manifest)["subdomain"] == name
    env = {v["name"]: v.get("value") for v in container_of(manifest)["env"]}
    assert env["MASTER_ADDR"] == f"{name}-0.{name}"
    assert 20000 <= int(env["MASTER_PORT"]) < 30000
    assert env["SAME"] == "yes"
    assert "TASK" not in env
    service = service_manifest(manifest, "the-uid")
    check("V1Service", service)
    assert service["metadata"]["name"] == name
    assert service["metadata"]["ownerReferences"][0]["uid"] == "the-uid"
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert len(name) + len("-999") <= 63, "the name of a pod is its host's"


def test_each_member_finds_its_own_command_and_variables():
    container = container_of(made(gang(), chosen(port=1234)))
    env = {v["name"]: v.get("value", "pod") for v in container["env"]}
    assert env["MASTER_PORT"] == "1234"
    for index in range(3):
        own = {**env, "JOB_COMPLETION_INDEX": str(index), "MASTER_ADDR": "localhost"}
        words = [expanded(word, env) for word in container["command"]]
        script = words[2].replace('eval "$mine"', 'eval "env; $mine"')
        done = subprocess.run(
            [*words[:2], script, *words[3:]],
            env={"PATH": os.environ["PATH"], **own},
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        assert lines[-1] == f"{index} it's {index} yes"


def test_a_member_that_never_finds_the_main_one_says_so_and_goes_on():
    container = container_of(made(gang(), chosen(hostname_resolution_timeout=0)))
    done = subprocess.run(
        container["command"],
        env={
            "PATH": os.environ["PATH"],
            "JOB_COMPLETION_INDEX": "1",
            "MASTER_ADDR": "nowhere.invalid",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "1 it's 1 \n", "it may not need the main one, which may have ended"
    assert done.stderr == (
        "the main member of the gang, nowhere.invalid, has no address after 0 s\n"
    )


def test_a_gang_of_one_is_a_gang():
    manifest = made(job(("true",), gang=True))
    assert manifest["spec"]["completions"] == 1


# --- secrets ------------------------------------------------------------------------------------


def test_secrets_stand_there_by_name_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("FLOW_S3_SECRET_KEY", "hunter3")
    text = json.dumps(made(gang(), chosen(secrets=["db"])))
    assert "hunter" not in text
    assert '"secretRef": {"name": "db"}' in text
