"""The Kubernetes server of the tests does what a cluster does, for the official client and kubectl."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers.kubernetes.handle import Cluster, kubectl
from servers.kubernetes.real import real_cluster


def job(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return a job with one container that runs a script of the shell."""
    container = {"name": "main", "image": "busybox:1", "command": ["/bin/sh", "-c", script]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def pod(name: str, script: str, **more: Any) -> dict[str, Any]:
    """Return a pod with one container that runs a script of the shell."""
    container = {"name": "main", "image": "busybox:1", "command": ["/bin/sh", "-c", script]}
    spec = {"restartPolicy": "Never", "containers": [container], **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def until(holds: Callable[[], Any], seconds: float = 20) -> Any:
    """Return what a function says as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.05)
    return found


@pytest.fixture(autouse=True, scope="module")
def _server_has_no_faults(kubernetes_of_module):
    """Whatever the tests do: the server itself must not stumble."""
    yield
    if not kubernetes_of_module.is_real:
        log = Path(kubernetes_of_module.folder, "log").read_text()
        assert "Traceback" not in log, log


@pytest.fixture
def core(kubernetes):
    api = kubernetes.core()
    yield api
    api.api_client.close()


@pytest.fixture
def batch(kubernetes):
    api = kubernetes.batch()
    yield api
    api.api_client.close()


@pytest.fixture
def run(kubernetes, tmp_path):
    """Return a function that runs kubectl, with what it reads, and returns what it says."""
    program = kubectl()

    def call(*words: str, give: Any = None, code: int = 0) -> str:
        done = subprocess.run(
            [program, "--cache-dir", str(tmp_path / "cache"), *words],
            check=False,
            input=json.dumps(give) if give is not None else None,
            env=kubernetes.environment() | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return call


def ended(core, namespace: str, name: str) -> Any:
    """Return a pod when it has ended."""

    def look() -> Any:
        found = core.read_namespaced_pod(name, namespace)
        return found if found.status.phase in ("Succeeded", "Failed") else None

    return until(look)


def send(cluster: Cluster, content: dict[str, Any], query: str = "") -> tuple[int, Any, Any]:
    """Send a job that the official client itself refuses; return status, answer and headers."""
    if cluster.is_real:
        pytest.skip("sends without the client, which knows how to reach a real cluster")
    connection = http.client.HTTPConnection(cluster.endpoint.removeprefix("http://"), timeout=30)
    path = f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs?{query}"
    connection.request("POST", path, json.dumps(content), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said, answer.headers


def waiting(core, namespace: str, name: str, reason: str) -> Any:
    """Return the state of a pod's container if it waits for this reason."""
    for each in core.read_namespaced_pod(name, namespace).status.container_statuses or ():
        if each.state.waiting and each.state.waiting.reason == reason:
            return each.state.waiting
    return None


def said(core, namespace: str, name: str) -> str:
    """Return the log of a pod, if it runs already."""
    if core.read_namespaced_pod(name, namespace).status.phase != "Running":
        return ""
    return str(core.read_namespaced_pod_log(name, namespace))


def running(core, namespace: str, job: str, but: str = "") -> str | None:
    """Return the name of a pod of a job that runs, other than one."""
    for each in core.list_namespaced_pod(namespace, label_selector=f"job-name={job}").items:
        if each.status.phase == "Running" and each.metadata.name != but:
            return str(each.metadata.name)
    return None


def run_names(core, namespace: str) -> list[str]:
    """Return the names of all pods."""
    return [each.metadata.name for each in core.list_namespaced_pod(namespace).items]


def refused(code: int, call: Callable[..., Any], *arguments: Any, **more: Any) -> dict[str, Any]:
    """Return the ``Status`` with which a call is refused."""
    from kubernetes.client import ApiException

    with pytest.raises(ApiException) as caught:
        call(*arguments, **more)
    assert caught.value.status == code, caught.value.body
    status: dict[str, Any] = json.loads(caught.value.body)
    assert (status["kind"], status["code"]) == ("Status", code)
    return status


def test_a_job_runs_its_command_and_tells_its_end(kubernetes, core, batch):
    batch.create_namespaced_job(kubernetes.namespace, job("hello", "echo hello; exit 3"))
    until(lambda: batch.read_namespaced_job("hello", kubernetes.namespace).status.conditions)
    [found] = core.list_namespaced_pod(kubernetes.namespace, label_selector="job-name=hello").items
    state = found.status.container_statuses[0].state.terminated
    assert (found.status.phase, state.exit_code, state.reason) == ("Failed", 3, "Error")
    assert core.read_namespaced_pod_log(found.metadata.name, kubernetes.namespace) == "hello\n"
    told = until(
        lambda: [
            each.reason
            for each in batch.read_namespaced_job("hello", kubernetes.namespace).status.conditions
            if each.type == "Failed"
        ]
    )
    assert told == ["BackoffLimitExceeded"]


def test_kubectl_applies_waits_shows_and_deletes(run):
    assert "created" in run("apply", "-f", "-", give=job("one", "echo said"))
    run("wait", "--for=condition=complete", "job/one", "--timeout=20s")
    assert "1/1" in run("get", "jobs")
    assert "Completed" in run("get", "pods")
    assert run("logs", "job/one") == "said\n"
    assert "SuccessfulCreate" in run("describe", "job", "one")
    run("delete", "job", "one")
    until(lambda: run("get", "pods", "-o", "name") == "")


class TestObjects:
    def test_versions_guard_against_lost_updates(self, kubernetes, core):
        made = core.create_namespaced_config_map(
            kubernetes.namespace, {"metadata": {"name": "a"}, "data": {"x": "1"}}
        )
        made.data["x"] = "2"
        newer = core.replace_namespaced_config_map("a", kubernetes.namespace, made)
        assert newer.metadata.resource_version != made.metadata.resource_version
        status = refused(409, core.replace_namespaced_config_map, "a", kubernetes.namespace, made)
        assert status["reason"] == "Conflict"
        assert "the object has been modified" in status["message"]

    def test_patches_change_a_part(self, kubernetes, core):
        name = {"metadata": {"name": "a", "labels": {"x": "1", "y": "1"}}, "data": {"k": "v"}}
        core.create_namespaced_config_map(kubernetes.namespace, name)
        patch = {"metadata": {"labels": {"x": None, "z": "1"}}}
        found = core.patch_namespaced_config_map("a", kubernetes.namespace, patch)
        assert found.metadata.labels == {"y": "1", "z": "1"}
        assert found.data == {"k": "v"}

    def test_lists_choose_by_labels_and_fields(self, kubernetes, core):
        for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
            content = {"metadata": {"name": name, "labels": {"color": color}}}
            core.create_namespaced_config_map(kubernetes.namespace, content)

        def names(**chosen: str) -> list[str]:
            found = core.list_namespaced_config_map(kubernetes.namespace, **chosen)
            return [each.metadata.name for each in found.items if each.metadata.name in "abc"]

        assert names(label_selector="color=red") == ["a", "c"]
        assert names(label_selector="color in (red,blue),color!=blue") == ["a", "c"]
        assert names(label_selector="color notin (red)") == ["b"]
        assert names(label_selector="!color") == []
        assert names(field_selector="metadata.name=b") == ["b"]
        status = refused(400, names, field_selector="data.x=1")
        assert "field label not supported: data.x" in status["message"]

    def test_long_lists_come_in_pages_of_one_version(self, kubernetes, core):
        for number in range(5):
            content = {"metadata": {"name": f"p{number}", "labels": {"page": "yes"}}}
            core.create_namespaced_secret(kubernetes.namespace, content)

        def page(token: str = "") -> Any:
            more = {"_continue": token} if token else {}
            return core.list_namespaced_secret(
                kubernetes.namespace, label_selector="page=yes", limit=2, **more
            )

        first = page()
        core.delete_namespaced_secret("p4", kubernetes.namespace)
        second = page(first.metadata._continue)
        third = page(second.metadata._continue)
        found = [each.metadata.name for part in (first, second, third) for each in part.items]
        assert found == ["p0", "p1", "p2", "p3", "p4"]
        assert third.metadata.resource_version == first.metadata.resource_version
        again = page(first.metadata._continue)  # as when the answer was lost
        assert [each.metadata.name for each in again.items] == ["p2", "p3"]
        kubernetes.expire()
        status = refused(410, page, first.metadata._continue)
        assert status["reason"] == "Expired"

    def test_items_of_lists_have_no_kind_as_in_a_real_cluster(self, kubernetes, core):
        core.create_namespaced_secret(kubernetes.namespace, {"metadata": {"name": "a"}})
        found = core.list_namespaced_secret(kubernetes.namespace).items[0]
        assert (found.kind, core.read_namespaced_secret("a", kubernetes.namespace).kind) == (
            None,
            "Secret",
        )

    def test_what_is_not_there_and_what_is_there_already(self, kubernetes, core):
        status = refused(404, core.read_namespaced_pod, "none", kubernetes.namespace)
        assert status["message"] == 'pods "none" not found'
        core.create_namespaced_secret(kubernetes.namespace, {"metadata": {"name": "a"}})
        status = refused(
            409, core.create_namespaced_secret, kubernetes.namespace, {"metadata": {"name": "a"}}
        )
        assert (status["reason"], status["message"]) == (
            "AlreadyExists",
            'secrets "a" already exists',
        )
        status = refused(404, core.create_namespaced_secret, "nowhere", {"metadata": {"name": "a"}})
        assert status["message"] == 'namespaces "nowhere" not found'

    def test_what_belongs_to_an_object_that_is_gone_goes(self, kubernetes, core):
        place = kubernetes.namespace
        owner = core.create_namespaced_secret(place, {"metadata": {"name": "owner"}})
        reference = {
            "apiVersion": "v1",
            "kind": "Secret",
            "name": "owner",
            "uid": owner.metadata.uid,
        }
        core.delete_namespaced_secret("owner", place)
        core.create_namespaced_secret(
            place, {"metadata": {"name": "late", "ownerReferences": [reference]}}
        )
        until(lambda: core.list_namespaced_secret(place).items == [])

    def test_a_trial_changes_nothing(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_secret(place, {"metadata": {"name": "a"}})
        core.create_namespaced_secret(place, {"metadata": {"name": "b"}}, dry_run="All")
        core.patch_namespaced_secret("a", place, {"data": {"k": "eA=="}}, dry_run="All")
        core.delete_namespaced_secret("a", place, dry_run="All")
        core.delete_collection_namespaced_secret(place, dry_run="All")
        [left] = core.list_namespaced_secret(place).items
        assert (left.metadata.name, left.data) == ("a", None)

    def test_a_namespace_takes_all_that_is_in_it_along(self, kubernetes, core, batch):
        name = f"{kubernetes.namespace}-b"
        core.create_namespace({"metadata": {"name": name}})
        batch.create_namespaced_job(name, job("long", "sleep 60"))
        until(lambda: core.list_namespaced_pod(name).items)
        core.delete_namespace(name)
        until(lambda: name not in [each.metadata.name for each in core.list_namespace().items], 60)


class TestValidation:
    def wrong_job(self, kubernetes, batch, code: int = 422, **changes: Any) -> dict[str, Any]:
        content = job("a", "true")
        for path, value in changes.items():
            place: Any = content
            *parts, last = path.split("__")
            for part in parts:
                place = place[int(part) if part.isdigit() else part]
            if value is None:
                del place[last]
            else:
                place[last] = value
        return refused(code, batch.create_namespaced_job, kubernetes.namespace, content)

    def test_names(self, kubernetes, batch):
        status = self.wrong_job(kubernetes, batch, metadata__name="Bad_Name")
        assert status["message"].startswith(
            'Job.batch "Bad_Name" is invalid: metadata.name: Invalid value: "Bad_Name": a lowercase '
            "RFC 1123 subdomain must consist of"
        )
        [cause] = status["details"]["causes"]
        assert (cause["field"], cause["reason"]) == ("metadata.name", "FieldValueInvalid")

    def test_labels(self, kubernetes, batch):
        status = self.wrong_job(kubernetes, batch, metadata__labels={"a": "x" * 64})
        assert "must be no more than 63" in status["message"]
        status = self.wrong_job(kubernetes, batch, metadata__labels={"a": "a b"})
        assert "a valid label must be an empty string or consist of" in status["message"]
        # The pods of a job have its name as a label.
        status = self.wrong_job(kubernetes, batch, metadata__name="x" * 64)
        assert {cause["field"] for cause in status["details"]["causes"]} == {"spec.template.labels"}

    def test_restart_policy(self, kubernetes, batch):
        spec = "spec__template__spec__"
        for policy in (None, "Always"):  # which is what nothing means
            status = self.wrong_job(kubernetes, batch, **{f"{spec}restartPolicy": policy})
            assert status["message"] == (
                'Job.batch "a" is invalid: spec.template.spec.restartPolicy: Required value: valid '
                'values: "OnFailure", "Never"'
            )

    def test_all_that_is_wrong_is_told_at_once(self, kubernetes, batch):
        container = "spec__template__spec__containers__0__"
        status = self.wrong_job(
            kubernetes,
            batch,
            **{
                f"{container}image": None,
                f"{container}resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
                f"{container}volumeMounts": [{"name": "no", "mountPath": "/x"}],
            },
        )
        fields = [cause["field"] for cause in status["details"]["causes"]]
        place = "spec.template.spec.containers[0]"
        assert set(fields) == {
            f"{place}.image",
            f"{place}.resources.requests",
            f"{place}.volumeMounts[0].name",
        }
        assert "must be less than or equal to cpu limit of 1" in status["message"]

    def test_wrong_types_and_quantities_are_not_decoded(self, kubernetes, batch):
        code, status, _ = send(kubernetes, job("a", "true", backoffLimit="three"))
        assert code == 400
        assert status["message"] == (
            'Job in version "v1" cannot be handled as a Job: json: cannot unmarshal string into Go '
            "struct field JobSpec.spec.backoffLimit of type int32"
        )
        resources = "spec__template__spec__containers__0__resources"
        status = self.wrong_job(kubernetes, batch, 400, **{resources: {"limits": {"cpu": "much"}}})
        assert "quantities must match the regular expression" in status["message"]

    def test_unknown_fields_are_refused_warned_of_or_dropped(self, kubernetes):
        content = job("a", "true", retries=3)
        code, status, _ = send(kubernetes, content, "fieldValidation=Strict")
        assert code == 400
        assert status["message"].endswith('strict decoding error: unknown field "spec.retries"')
        code, made, headers = send(kubernetes, content)
        assert (code, "retries" in made["spec"]) == (201, False)
        assert headers["Warning"] == '299 - "unknown field \\"spec.retries\\""'
        content["metadata"]["name"] = "b"
        code, _, headers = send(kubernetes, content, "fieldValidation=Ignore")
        assert (code, headers["Warning"]) == (201, None)

    def test_the_template_of_a_job_cannot_change(self, kubernetes, batch):
        place = kubernetes.namespace
        batch.create_namespaced_job(place, job("a", "sleep 60"))
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "y"}]}}}}
        status = refused(422, batch.patch_namespaced_job, "a", place, patch)
        assert status["details"]["causes"][0]["field"] == "spec.template"
        assert "field is immutable" in status["message"]
        assert (
            batch.patch_namespaced_job("a", place, {"spec": {"parallelism": 2}}).spec.parallelism
            == 2
        )

    def test_gpus_cannot_be_shared(self, kubernetes, batch):
        resources = "spec__template__spec__containers__0__resources"
        status = self.wrong_job(
            kubernetes, batch, **{resources: {"requests": {"nvidia.com/gpu": "1"}}}
        )
        assert "Limit must be set for non overcommitable resources" in status["message"]

    def test_accounts_and_priorities_must_be_there(self, kubernetes, core):
        place = kubernetes.namespace
        status = refused(
            403, core.create_namespaced_pod, place, pod("a", "true", serviceAccountName="nobody")
        )
        assert 'serviceaccount "nobody" not found' in status["message"]
        status = refused(
            403, core.create_namespaced_pod, place, pod("a", "true", priorityClassName="vip")
        )
        assert status["message"].endswith("no PriorityClass with name vip was found")


class TestQuotas:
    QUOTA = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1", "requests.cpu": "2"}}}

    def test_pods_beyond_the_quota_are_refused(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_resource_quota(place, self.QUOTA)
        status = refused(403, core.create_namespaced_pod, place, pod("a", "true"))
        assert status["message"] == (
            'pods "a" is forbidden: failed quota: q: must specify requests.cpu for: main'
        )
        content = pod("a", "sleep 60")
        content["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500m"}}
        core.create_namespaced_pod(place, content)
        content["metadata"]["name"] = "b"
        status = refused(403, core.create_namespaced_pod, place, content)
        assert status["message"] == (
            'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
        )

    def test_a_job_waits_for_the_quota_and_goes_on(self, kubernetes, core, batch):
        place = kubernetes.namespace
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
        core.create_namespaced_resource_quota(place, quota)
        core.create_namespaced_pod(place, pod("first", "sleep 60", terminationGracePeriodSeconds=0))
        batch.create_namespaced_job(place, job("second", "true"))
        told = until(
            lambda: [
                each.message
                for each in core.list_namespaced_event(
                    place, field_selector="involvedObject.name=second"
                ).items
                if each.reason == "FailedCreate"
            ]
        )
        assert "is forbidden: exceeded quota: q" in told[0]
        core.delete_namespaced_pod("first", place, grace_period_seconds=0)
        until(lambda: batch.read_namespaced_job("second", place).status.succeeded == 1)


class TestWatches:
    def test_changes_come_in_order(self, kubernetes, core):
        from kubernetes import watch

        place = kubernetes.namespace
        version = core.list_namespaced_pod(place).metadata.resource_version
        core.create_namespaced_pod(place, pod("a", "true"))
        seen = []
        for event in watch.Watch().stream(
            core.list_namespaced_pod, place, resource_version=version, timeout_seconds=20
        ):
            seen.append((event["type"], event["object"].status.phase))
            if seen[-1][1] == "Succeeded":
                break
        assert seen[0] == ("ADDED", "Pending")
        assert ("MODIFIED", "Running") in seen
        core.delete_namespaced_pod("a", place)
        events = [
            *watch.Watch().stream(
                core.list_namespaced_pod, place, resource_version=version, timeout_seconds=1
            )
        ]
        assert events[-1]["type"] == "DELETED"
        assert len(events) > len(seen)

    def test_an_object_that_leaves_the_choice_is_deleted_for_the_watch(self, kubernetes, core):
        from kubernetes import watch

        place = kubernetes.namespace
        version = core.list_namespaced_secret(place).metadata.resource_version
        core.create_namespaced_secret(place, {"metadata": {"name": "a", "labels": {"x": "1"}}})
        core.patch_namespaced_secret("a", place, {"metadata": {"labels": {"x": "2"}}})
        found = watch.Watch().stream(
            core.list_namespaced_secret,
            place,
            label_selector="x=1",
            resource_version=version,
            timeout_seconds=1,
        )
        assert [event["type"] for event in found] == ["ADDED", "DELETED"]

    def test_bookmarks_tell_versions(self, kubernetes, core):
        answer = core.list_namespaced_pod(
            kubernetes.namespace,
            watch=True,
            allow_watch_bookmarks=True,
            timeout_seconds=3,
            _preload_content=False,
        )
        events = [json.loads(line) for line in answer]
        assert {event["type"] for event in events} == {"BOOKMARK"}
        assert int(events[-1]["object"]["metadata"]["resourceVersion"]) > 0

    def test_a_version_that_is_too_old_is_gone(self, kubernetes, core):
        from kubernetes import watch
        from kubernetes.client import ApiException

        place = kubernetes.namespace
        version = core.list_namespaced_pod(place).metadata.resource_version
        core.create_namespaced_secret(place, {"metadata": {"name": "a"}})
        kubernetes.expire()
        answer = core.list_namespaced_pod(
            place, watch=True, resource_version=version, _preload_content=False
        )
        event = json.loads(next(iter(answer)))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert event["object"]["message"].startswith("too old resource version:")
        kubernetes.expire(watches=1)
        with pytest.raises(ApiException) as caught:
            [*watch.Watch().stream(core.list_namespaced_pod, place, timeout_seconds=1)]
        assert caught.value.status == 410

    def test_watches_break_in_the_middle(self, kubernetes, core):
        from urllib3.exceptions import ProtocolError

        answer = core.list_namespaced_pod(
            kubernetes.namespace, watch=True, _preload_content=False, timeout_seconds=30
        )
        until(lambda: kubernetes.drop_watches() == 1)
        with pytest.raises(ProtocolError):
            answer.read()


class TestPods:
    def test_variables_come_from_everywhere(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_secret(
            place, {"metadata": {"name": "s"}, "stringData": {"password": "geheim"}}
        )
        core.create_namespaced_config_map(
            place, {"metadata": {"name": "c"}, "data": {"A": "1", "B": "2"}}
        )
        content = pod("a", "echo $PLAIN $SECRET $X_A $X_B $NAME $LIMIT $0")
        container = content["spec"]["containers"][0]
        container["args"] = ["$(PLAIN)-$$(PLAIN)-$(NONE)"]
        container["resources"] = {"limits": {"memory": "64Mi", "cpu": "1"}}
        container["envFrom"] = [{"prefix": "X_", "configMapRef": {"name": "c"}}]
        container["env"] = [
            {"name": "BASE", "value": "base"},
            {"name": "PLAIN", "value": "on-$(BASE)"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {
                "name": "LIMIT",
                "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}},
            },
            {
                "name": "MAYBE",
                "valueFrom": {"secretKeyRef": {"name": "no", "key": "no", "optional": True}},
            },
        ]
        core.create_namespaced_pod(place, content)
        assert ended(core, place, "a").status.phase == "Succeeded"
        assert core.read_namespaced_pod_log("a", place) == (
            "on-base geheim 1 2 a 64 on-base-$(PLAIN)-$(NONE)\n"
        )

    def test_what_is_missing_is_waited_for(self, kubernetes, core):
        place = kubernetes.namespace
        content = pod("a", "echo $SECRET")
        reference = {"secretKeyRef": {"name": "s", "key": "k"}}
        content["spec"]["containers"][0]["env"] = [{"name": "SECRET", "valueFrom": reference}]
        core.create_namespaced_pod(place, content)
        state = until(lambda: waiting(core, place, "a", "CreateContainerConfigError"))
        assert state.message == 'secret "s" not found'
        core.create_namespaced_secret(place, {"metadata": {"name": "s"}, "stringData": {"k": "v"}})
        assert ended(core, place, "a").status.phase == "Succeeded"

    def test_init_containers_run_one_by_one_before_all_others(self, kubernetes, core):
        place = kubernetes.namespace
        shared = [{"name": "shared", "mountPath": "/shared"}]
        first = [
            {
                "name": name,
                "image": "busybox:1",
                "command": ["/bin/sh", "-c", f"echo {name} >> /shared/said"],
                "volumeMounts": shared,
            }
            for name in ("one", "two")
        ]
        content = pod(
            "a",
            "cat /shared/said; touch /shared/own",
            initContainers=first,
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
        content["spec"]["containers"][0]["volumeMounts"] = shared
        core.create_namespaced_pod(place, content)
        found = ended(core, place, "a")
        assert found.status.phase == "Succeeded"
        assert core.read_namespaced_pod_log("a", place) == "one\ntwo\n"
        assert [each.state.terminated.reason for each in found.status.init_container_statuses] == [
            "Completed"
        ] * 2
        content["metadata"]["name"] = "b"
        first[1]["command"] = ["/bin/sh", "-c", "exit 4"]
        core.create_namespaced_pod(place, content)
        found = ended(core, place, "b")
        assert found.status.phase == "Failed"
        assert found.status.container_statuses[0].state.waiting.reason == "PodInitializing"

    def test_volumes_are_in_their_places(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_secret(
            place, {"metadata": {"name": "s"}, "stringData": {"key": "geheim"}}
        )
        core.create_namespaced_config_map(
            place, {"metadata": {"name": "c"}, "data": {"a.txt": "text"}}
        )
        content = pod(
            "a",
            "cat /etc/secrets/key /etc/conf/deep/b.txt /run/who/name; pwd; ls -A /tmp | wc -l; "
            "echo x > /etc/secrets/key || echo read-only",
            volumes=[
                {"name": "s", "secret": {"secretName": "s"}},
                {"name": "tmp", "emptyDir": {}},
                {
                    "name": "c",
                    "configMap": {"name": "c", "items": [{"key": "a.txt", "path": "deep/b.txt"}]},
                },
                {
                    "name": "who",
                    "downwardAPI": {
                        "items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]
                    },
                },
            ],
        )
        container = content["spec"]["containers"][0]
        container["volumeMounts"] = [
            {"name": "s", "mountPath": "/etc/secrets", "readOnly": True},
            {"name": "c", "mountPath": "/etc/conf"},
            {"name": "who", "mountPath": "/run/who"},
            {"name": "tmp", "mountPath": "/tmp"},
        ]
        container["workingDir"] = "/etc/conf"
        assert not Path("/etc/conf").exists()
        core.create_namespaced_pod(place, content)
        ended(core, place, "a")
        said = core.read_namespaced_pod_log("a", place)
        assert said.startswith("geheimtexta/etc/conf\n0\n"), said
        assert said.endswith("read-only\n")
        assert not Path("/etc/conf").exists(), "the machine is as it was"

    def test_a_token_is_there_unless_it_is_not_wanted(self, kubernetes, core):
        place = kubernetes.namespace
        made = core.create_namespaced_pod(place, pod("a", "true"))
        assert [each.name.rpartition("-")[0] for each in made.spec.volumes] == ["kube-api-access"]
        content = pod("b", "true", automountServiceAccountToken=False)
        assert core.create_namespaced_pod(place, content).spec.volumes is None

    def test_exit_codes_signals_and_messages(self, kubernetes, core):
        place = kubernetes.namespace
        scripts = {
            "code": "exit 5",
            "killed": "kill -9 $$$$",
            "words": "echo gone > $KUBERNETES_TEST_TERMINATION_LOG; exit 1",
        }
        for name, script in scripts.items():
            core.create_namespaced_pod(place, pod(name, script))
        content = pod("log", "echo the last line; exit 1")
        content["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError"
        core.create_namespaced_pod(place, content)
        found = {}
        for name in (*scripts, "log"):
            state = ended(core, place, name).status.container_statuses[0].state.terminated
            found[name] = (state.exit_code, state.reason, state.message)
        assert found == {
            "code": (5, "Error", None),
            "killed": (137, "Error", None),
            "words": (1, "Error", "gone\n"),
            "log": (1, "Error", "the last line\n"),
        }

    def test_a_program_that_is_not_there(self, kubernetes, core):
        place = kubernetes.namespace
        content = pod("a", "")
        content["spec"]["containers"][0]["command"] = ["nothing-of-this-name"]
        core.create_namespaced_pod(place, content)
        state = ended(core, place, "a").status.container_statuses[0].state.terminated
        assert (state.exit_code, state.reason) == (128, "StartError")
        assert 'exec: "nothing-of-this-name": executable file not found in $PATH' in state.message

    def test_failing_containers_start_again_where_the_pod_says_so(self, kubernetes, core):
        place = kubernetes.namespace
        script = "echo run $(ls /data | wc -l); touch /data/$$$$; [ $(ls /data | wc -l) -gt 2 ]"
        content = pod(
            "a", script, restartPolicy="OnFailure", volumes=[{"name": "data", "emptyDir": {}}]
        )
        content["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        core.create_namespaced_pod(place, content)
        status = ended(core, place, "a").status.container_statuses[0]
        assert (status.restart_count, status.last_state.terminated.exit_code) == (2, 1)
        assert core.read_namespaced_pod_log("a", place) == "run 2\n"
        assert core.read_namespaced_pod_log("a", place, previous=True) == "run 1\n"

    def test_a_deleted_pod_may_end_in_peace(self, kubernetes, core):
        place = kubernetes.namespace
        polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
        stubborn = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
        for name, script in (("polite", polite), ("stubborn", stubborn)):
            core.create_namespaced_pod(place, pod(name, script))
            until(lambda name=name: said(core, place, name))
        follow = core.read_namespaced_pod_log("polite", place, follow=True, _preload_content=False)
        marked = core.delete_namespaced_pod("polite", place)
        assert marked.metadata.deletion_grace_period_seconds == 30
        assert follow.read().endswith(b"bye\n")
        begun = time.monotonic()
        core.delete_namespaced_pod("stubborn", place, grace_period_seconds=1)
        until(lambda: core.list_namespaced_pod(place).items == [])
        assert time.monotonic() - begun > 0.9
        assert kubernetes.processes() == []

    def test_each_container_is_asked_once_to_end(self, kubernetes, core):
        place = kubernetes.namespace
        script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.1; done"
        content = pod("two", script)
        polite = content["spec"]["containers"][0] | {"name": "polite", "command": ["sleep", "60"]}
        content["spec"]["containers"].append(polite)
        core.create_namespaced_pod(place, content)

        def is_ready() -> bool:
            states = core.read_namespaced_pod("two", place).status.container_statuses
            return bool(states) and all(each.ready for each in states)

        until(is_ready)
        until(lambda: core.read_namespaced_pod_log("two", place, container="main") == "ready\n")
        follow = core.read_namespaced_pod_log(
            "two", place, container="main", follow=True, _preload_content=False
        )
        begun = time.monotonic()
        core.delete_namespaced_pod("two", place, grace_period_seconds=2)
        until(lambda: core.list_namespaced_pod(place).items == [])
        said = follow.read().split()
        assert said[:2] == [b"ready", b"asked"]
        assert said[2:] in ([], [b"Killed"])  # what a shell says of its `sleep`, if it dies later
        assert 1.9 < time.monotonic() - begun < 10

    def test_all_processes_end_with_the_first(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_pod(place, pod("a", "setsid sleep 61 & sleep 0.2"))
        ended(core, place, "a")
        until(lambda: kubernetes.processes() == [])

    def test_images_that_are_missing(self, kubernetes, core):
        place = kubernetes.namespace
        image = f"registry.test/{place}:1"
        kubernetes.image(image, missing=True)
        content = pod("a", "true")
        content["spec"]["containers"][0]["image"] = image
        core.create_namespaced_pod(place, content)
        state = until(lambda: waiting(core, place, "a", "ImagePullBackOff"))
        assert state.message.startswith(
            f'Back-off pulling image "{image}": ErrImagePull: failed to pull'
        )
        status = refused(400, core.read_namespaced_pod_log, "a", place)
        assert status["message"] == (
            'container "main" in pod "a" is waiting to start: trying and failing to pull image'
        )
        kubernetes.image(image)
        assert ended(core, place, "a").status.phase == "Succeeded"

    def test_who_must_not_be_root_is_not(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_pod(place, pod("a", "true", securityContext={"runAsNonRoot": True}))
        state = until(lambda: waiting(core, place, "a", "CreateContainerConfigError"))
        assert state.message.startswith("container has runAsNonRoot and image will run as root")
        context = {"runAsNonRoot": True, "runAsUser": 1000}
        core.create_namespaced_pod(place, pod("b", "true", securityContext=context))
        assert ended(core, place, "b").status.phase == "Succeeded"

    def test_memory_is_limited(self, kubernetes, core):
        place = kubernetes.namespace
        content = pod("a", "")
        content["spec"]["containers"][0] |= {
            "command": ["python3", "-c", "import time; x = b'x' * 200_000_000; time.sleep(30)"],
            "resources": {"limits": {"memory": "64Mi"}},
        }
        core.create_namespaced_pod(place, content)
        state = ended(core, place, "a").status.container_statuses[0].state.terminated
        assert (state.exit_code, state.reason) == (137, "OOMKilled")

    def test_pods_find_each_other_by_name(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_service(
            place,
            {"metadata": {"name": "gang"}, "spec": {"clusterIP": "None", "selector": {"a": "b"}}},
        )
        core.create_namespaced_pod(
            place, pod("first", "sleep 30", hostname="first", subdomain="gang")
        )
        address = until(lambda: core.read_namespaced_pod("first", place).status.pod_ip)
        script = "until getent hosts first.gang; do sleep 0.1; done"
        core.create_namespaced_pod(place, pod("second", script, subdomain="gang"))
        ended(core, place, "second")
        assert core.read_namespaced_pod_log("second", place).split()[0] == address


class TestLogs:
    @pytest.fixture
    def lines(self, kubernetes, core):
        core.create_namespaced_pod(
            kubernetes.namespace, pod("a", "seq 1 5; sleep 1.1; seq 6 10; printf end")
        )
        ended(core, kubernetes.namespace, "a")
        return lambda **how: core.read_namespaced_pod_log("a", kubernetes.namespace, **how)

    def test_parts(self, lines):
        assert lines().split() == [*map(str, range(1, 11)), "end"]
        assert lines(tail_lines=3) == "9\n10\nend"
        assert lines(tail_lines=0) == ""
        assert lines(limit_bytes=4) == "1\n2\n"
        assert lines(since_seconds=100).split()[0] == "1"
        first = lines(timestamps=True).splitlines()[0]
        assert first.endswith("Z 1")
        assert first[:3] == "202"

    def test_kubectl_follows(self, run, kubernetes, core):
        core.create_namespaced_pod(
            kubernetes.namespace, pod("b", "for i in 1 2 3; do echo $i; sleep 0.3; done")
        )
        until(lambda: said(core, kubernetes.namespace, "b"))
        assert run("logs", "-f", "b") == "1\n2\n3\n"

    def test_large_ones(self, kubernetes, core):
        script = "yes 0123456789012345678901234567890123456789012345678 | head -c 20000000"
        core.create_namespaced_pod(kubernetes.namespace, pod("big", script))
        ended(core, kubernetes.namespace, "big")
        answer = core.read_namespaced_pod_log("big", kubernetes.namespace, _preload_content=False)
        assert sum(map(len, answer.stream())) == 20_000_000

    def test_which_container_must_be_clear(self, kubernetes, core):
        content = pod("two", "echo main")
        content["spec"]["containers"].append({**content["spec"]["containers"][0], "name": "side"})
        core.create_namespaced_pod(kubernetes.namespace, content)
        ended(core, kubernetes.namespace, "two")
        status = refused(400, core.read_namespaced_pod_log, "two", kubernetes.namespace)
        assert status["message"] == (
            "a container name must be specified for pod two, choose one of: [main side]"
        )
        told = core.read_namespaced_pod_log("two", kubernetes.namespace, container="side")
        assert told == "main\n"


class TestJobs:
    @pytest.fixture
    def make(self, kubernetes, batch):
        """Return a function that makes a job, and one that returns it."""

        def make(name: str, script: str, **more: Any) -> Callable[[], Any]:
            batch.create_namespaced_job(kubernetes.namespace, job(name, script, **more))
            return lambda: batch.read_namespaced_job(name, kubernetes.namespace)

        return make

    def end_of(self, look: Callable[[], Any]) -> tuple[str, str]:
        """Return how a job is over, and why."""

        def found() -> Any:
            for each in look().status.conditions or ():
                if each.type in ("Complete", "Failed") and each.status == "True":
                    return each.type, each.reason
            return None

        end: tuple[str, str] = until(found)
        return end

    def test_failed_pods_are_replaced_until_the_limit(self, kubernetes, core, make):
        look = make("a", "exit 1", backoffLimit=2)
        assert self.end_of(look) == ("Failed", "BackoffLimitExceeded")
        assert look().status.failed == 3
        pods = core.list_namespaced_pod(kubernetes.namespace, label_selector="job-name=a").items
        assert len(pods) == 3
        assert all(each.metadata.finalizers is None for each in pods)

    def test_completions_with_few_at_a_time(self, kubernetes, core, make):
        look = make("a", "sleep 0.2", completions=4, parallelism=2)
        most = 0
        while not look().status.completion_time:
            most = max(most, look().status.active or 0)
        assert (look().status.succeeded, most) == (4, 2)
        assert self.end_of(look) == ("Complete", "CompletionsReached")

    def test_each_pod_has_its_index(self, kubernetes, core, make):
        script = "echo $JOB_COMPLETION_INDEX $HOSTNAME; [ $JOB_COMPLETION_INDEX != 1 ]"
        look = make(
            "a",
            script,
            completions=3,
            parallelism=3,
            completionMode="Indexed",
            backoffLimit=None,
            backoffLimitPerIndex=1,
        )
        assert self.end_of(look) == ("Failed", "FailedIndexes")
        status = look().status
        assert (status.completed_indexes, status.failed_indexes) == ("0,2", "1")
        assert (status.succeeded, status.failed) == (2, 2)
        pods = core.list_namespaced_pod(
            kubernetes.namespace, label_selector="batch.kubernetes.io/job-completion-index=2"
        ).items
        assert pods[0].metadata.name.startswith("a-2-")
        log = core.read_namespaced_pod_log(pods[0].metadata.name, kubernetes.namespace)
        assert log == "2 a-2\n"

    def test_deadlines(self, kubernetes, make):
        look = make("a", "sleep 60", activeDeadlineSeconds=1)
        assert self.end_of(look) == ("Failed", "DeadlineExceeded")
        until(lambda: kubernetes.processes() == [])

    def test_suspended_jobs_wait(self, kubernetes, batch, core, make):
        look = make("a", "sleep 60", backoffLimit=3)
        until(lambda: look().status.active)
        batch.patch_namespaced_job("a", kubernetes.namespace, {"spec": {"suspend": True}})
        until(lambda: core.list_namespaced_pod(kubernetes.namespace).items == [])
        conditions = [(each.type, each.status) for each in look().status.conditions]
        assert conditions == [("Suspended", "True")]
        batch.patch_namespaced_job("a", kubernetes.namespace, {"spec": {"suspend": False}})
        until(lambda: look().status.active)

    def test_finished_jobs_go_in_time_with_their_pods(self, kubernetes, core, batch, make):
        make("a", "true", ttlSecondsAfterFinished=1)
        until(lambda: core.list_namespaced_pod(kubernetes.namespace).items)
        until(lambda: batch.list_namespaced_job(kubernetes.namespace).items == [])
        assert core.list_namespaced_pod(kubernetes.namespace).items == []

    def test_pods_of_a_deleted_job_stay_unless_asked_otherwise(self, kubernetes, core, batch, make):
        for name in ("orphaned", "gone", "waited-for"):
            look = make(name, "sleep 60")
            until(lambda look=look: look().status.ready)

        def pods(name: str) -> list[Any]:
            return list(
                core.list_namespaced_pod(
                    kubernetes.namespace, label_selector=f"job-name={name}"
                ).items
            )

        batch.delete_namespaced_job("orphaned", kubernetes.namespace)
        batch.delete_namespaced_job("gone", kubernetes.namespace, propagation_policy="Background")
        batch.delete_namespaced_job(
            "waited-for", kubernetes.namespace, propagation_policy="Foreground"
        )
        until(lambda: not pods("gone") and not pods("waited-for"))
        until(lambda: batch.list_namespaced_job(kubernetes.namespace).items == [])
        [left] = pods("orphaned")
        assert (left.status.phase, left.metadata.owner_references) == ("Running", None)

    def test_failure_policies(self, kubernetes, core, make):
        rules = [
            {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        ]
        look = make("a", "exit 42", backoffLimit=5, podFailurePolicy={"rules": rules})
        assert self.end_of(look) == ("Failed", "PodFailurePolicy")
        message = next(each.message for each in look().status.conditions if each.type == "Failed")
        assert message.startswith(f"Container main for pod {kubernetes.namespace}/a-")
        assert message.endswith(" failed with exit code 42 matching FailJob rule at index 0")
        look = make("b", "sleep 1.5", backoffLimit=0, podFailurePolicy={"rules": rules})
        name = until(lambda: running(core, kubernetes.namespace, "b"))
        kubernetes.evict(name)
        assert self.end_of(look) == ("Complete", "CompletionsReached")
        assert look().status.failed is None

    def test_a_deleted_pod_is_replaced(self, kubernetes, core, make):
        make("a", "sleep 60", backoffLimit=1)
        first = until(lambda: running(core, kubernetes.namespace, "a"))
        core.delete_namespaced_pod(first, kubernetes.namespace)
        until(lambda: running(core, kubernetes.namespace, "a") not in (None, first))

    def test_long_names_are_cut_for_their_pods(self, kubernetes, core, make):
        name = "x" * 63
        make(name, "true")
        until(lambda: core.list_namespaced_pod(kubernetes.namespace).items)
        [found] = core.list_namespaced_pod(kubernetes.namespace).items
        assert len(found.metadata.name) == 63


class TestScheduling:
    def placed(self, core, cluster: Cluster, name: str) -> tuple[str | None, str]:
        """Return the node of a pod, or None and why it has none."""

        def look() -> Any:
            found = core.read_namespaced_pod(name, cluster.namespace)
            for each in found.status.conditions or ():
                if each.type == "PodScheduled":
                    return found.spec.node_name, each.message
            return None

        place: tuple[str | None, str] = until(look)
        return place

    @pytest.fixture
    def cluster(self, new_kubernetes):
        gpu = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
        return new_kubernetes(
            nodes=[
                {"number": 1, "cpu": "2", "memory": "4Gi", "pods": 3},
                {"number": 1, "cpu": "8", "gpus": 2, "taints": [gpu], "labels": {"kind": "big"}},
            ]
        )

    def test_pods_go_where_there_is_room(self, cluster):
        core = cluster.core()

        def make(name: str, requests: dict[str, str], **more: Any) -> tuple[str | None, str]:
            content = pod(name, "sleep 60", terminationGracePeriodSeconds=0, **more)
            limits = {key: value for key, value in requests.items() if "/" in key}
            resources = {"requests": requests, "limits": limits}
            content["spec"]["containers"][0]["resources"] = resources
            core.create_namespaced_pod(cluster.namespace, content)
            return self.placed(core, cluster, name)

        tolerant = {"tolerations": [{"key": "gpu", "operator": "Exists"}]}
        assert make("a", {"cpu": "1500m"})[0] == "node-1"
        node, message = make("b", {"cpu": "1"})
        assert node is None
        assert message == (
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {gpu: yes}. "
            "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
            "1 Preemption is not helpful for scheduling."
        )
        assert make("c", {"cpu": "1"}, **tolerant)[0] == "node-2"
        assert make("d", {"nvidia.com/gpu": "2"}, **tolerant)[0] == "node-2"
        assert "Insufficient nvidia.com/gpu" in make("e", {"nvidia.com/gpu": "1"}, **tolerant)[1]
        message = make("f", {"cpu": "1"}, nodeSelector={"kind": "none"}, **tolerant)[1]
        assert message.startswith(
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
        )
        core.delete_namespaced_pod("a", cluster.namespace)
        until(lambda: self.placed(core, cluster, "b")[0] == "node-1")
        core.api_client.close()

    def test_important_pods_push_others_out(self, new_kubernetes):
        from kubernetes import client

        cluster = new_kubernetes(nodes=[{"number": 1, "cpu": "2"}])
        core, place = cluster.core(), cluster.namespace
        scheduling = client.SchedulingV1Api(core.api_client)
        scheduling.create_priority_class({"metadata": {"name": "high"}, "value": 1000})
        version = core.list_namespaced_pod(place).metadata.resource_version

        def make(name: str, cpu: str, **more: Any) -> None:
            content = pod(name, "sleep 60", **more)
            resources = {"requests": {"cpu": cpu}}
            content["spec"]["containers"][0]["resources"] = resources
            core.create_namespaced_pod(place, content)

        for name in ("a", "b"):
            make(name, "1")
            until(lambda name=name: core.read_namespaced_pod(name, place).spec.node_name)
        make("vip", "1", priorityClassName="high")
        until(lambda: core.read_namespaced_pod("vip", place).spec.node_name)
        [left] = [name for name in run_names(core, place) if name != "vip"]
        from kubernetes import watch

        events = watch.Watch().stream(
            core.list_namespaced_pod, place, resource_version=version, timeout_seconds=1
        )
        gone = [event["object"] for event in events if event["type"] == "DELETED"]
        reasons = [(each.type, each.reason) for each in gone[0].status.conditions]
        assert ("DisruptionTarget", "PreemptionByScheduler") in reasons
        assert {gone[0].metadata.name, left} == {"a", "b"}
        core.api_client.close()

    def test_a_lost_node_takes_its_pods_along(self, new_kubernetes):
        cluster = new_kubernetes(eviction_wait=0.3, node_monitor_grace=0.3)
        core, batch = cluster.core(), cluster.batch()
        batch.create_namespaced_job(cluster.namespace, job("a", "sleep 60", backoffLimit=3))
        name = until(lambda: running(core, cluster.namespace, "a"))
        node = core.read_namespaced_pod(name, cluster.namespace).spec.node_name
        cluster.lose_node(node, kills=False)

        def conditions(found: Any) -> dict[str, str]:
            return {each.type: each.reason for each in found.status.conditions}

        found = until(
            lambda: (
                (
                    lost := core.read_namespaced_pod(name, cluster.namespace)
                ).metadata.deletion_timestamp
                and lost
            )
        )
        assert conditions(found)["DisruptionTarget"] == "DeletionByTaintManager"
        assert conditions(core.read_node(node))["Ready"] == "NodeStatusUnknown"
        other = until(
            lambda: (new := running(core, cluster.namespace, "a", name)) is not None and new
        )
        assert core.read_namespaced_pod(other, cluster.namespace).spec.node_name != node
        assert cluster.processes(name), "it is cut off, and runs"
        status = refused(500, core.read_namespaced_pod_log, name, cluster.namespace)
        assert "no route to host" in status["message"]
        cluster.find_node(node)
        until(lambda: cluster.processes(name) == [])
        until(lambda: name not in run_names(core, cluster.namespace))
        core.api_client.close()
        batch.api_client.close()

    def test_pods_of_a_deleted_node_are_collected(self, new_kubernetes):
        cluster = new_kubernetes(node_monitor_grace=0.3)
        core = cluster.core()
        core.create_namespaced_pod(cluster.namespace, pod("a", "sleep 60"))
        node = self.placed(core, cluster, "a")[0]
        version = core.list_namespaced_pod(cluster.namespace).metadata.resource_version
        cluster.lose_node(node)
        core.delete_node(node)
        until(lambda: core.list_namespaced_pod(cluster.namespace).items == [])
        from kubernetes import watch

        events = watch.Watch().stream(
            core.list_namespaced_pod, cluster.namespace, resource_version=version, timeout_seconds=1
        )
        last = [event["object"].status for event in events][-1]
        reasons = {each.type: each.reason for each in last.conditions}
        assert (last.phase, reasons["DisruptionTarget"]) == ("Failed", "DeletionByPodGC")
        core.api_client.close()

    def test_gates_keep_pods_from_nodes(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_pod(
            place, pod("a", "true", schedulingGates=[{"name": "tests.flow/wait"}])
        )
        core.create_namespaced_pod(place, pod("b", "true"))
        ended(core, place, "b")
        assert core.read_namespaced_pod("a", place).spec.node_name is None
        remove = [{"op": "remove", "path": "/spec/schedulingGates"}]
        core.patch_namespaced_pod("a", place, remove)
        assert ended(core, place, "a").status.phase == "Succeeded"


class TestFaults:
    def test_oom_evictions_and_preemptions(self, kubernetes, core):
        place = kubernetes.namespace
        for name in ("oom", "evicted", "preempted"):
            core.create_namespaced_pod(place, pod(name, "sleep 60"))
            until(lambda name=name: core.read_namespaced_pod(name, place).status.phase == "Running")
        kubernetes.oom("oom")
        state = ended(core, place, "oom").status.container_statuses[0].state.terminated
        assert (state.reason, state.exit_code) == ("OOMKilled", 137)
        kubernetes.evict("evicted")
        status = ended(core, place, "evicted").status
        assert (status.reason, status.message[:38]) == (
            "Evicted",
            "The node was low on resource: memory. ",
        )
        reasons = {each.type: each.reason for each in status.conditions}
        assert reasons["DisruptionTarget"] == "TerminationByKubelet"
        kubernetes.preempt("preempted")
        until(lambda: "preempted" not in run_names(core, place))

    def test_requests_fail_as_often_as_wanted(self, kubernetes, core):
        place = kubernetes.namespace
        kubernetes.fault(times=1, code=429, retry_after=3, verbs=["create"])
        status = refused(429, core.create_namespaced_pod, place, pod("a", "true"))
        assert status["details"]["retryAfterSeconds"] == 3
        core.create_namespaced_pod(place, pod("a", "true"))
        kubernetes.fault(code=500, resources=["pods"], after=True)
        refused(500, core.create_namespaced_pod, place, pod("b", "true"))
        core.list_namespaced_secret(place)
        kubernetes.heal()
        assert core.read_namespaced_pod("b", place).metadata.name == "b", "it was done all the same"
        kubernetes.fault(times=1, delay=0.5)
        begun = time.monotonic()
        core.list_namespaced_pod(place)
        assert time.monotonic() - begun >= 0.5

    def test_requests_are_counted(self, kubernetes, core):
        place = kubernetes.namespace
        core.create_namespaced_pod(place, pod("a", "true"))
        ended(core, place, "a")
        core.read_namespaced_pod_log("a", place)
        kubernetes.reset_counts()
        core.read_namespaced_pod_log("a", place)
        core.list_namespaced_pod(place)
        assert kubernetes.counts() == {"get pods/log": 1, "list pods": 1}

    def test_what_is_denied(self, kubernetes, core):
        from kubernetes import client

        kubernetes.deny("create", "pods")
        status = refused(403, core.create_namespaced_pod, kubernetes.namespace, pod("a", "true"))
        assert status["message"] == (
            'pods is forbidden: User "flow-tests" cannot create resource "pods" in API group "" in '
            f'the namespace "{kubernetes.namespace}"'
        )

        def may(verb: str) -> bool:
            attributes = {"namespace": kubernetes.namespace, "verb": verb, "resource": "pods"}
            review = {"spec": {"resourceAttributes": attributes}}
            api = client.AuthorizationV1Api(core.api_client)
            return bool(api.create_self_subject_access_review(review).status.allowed)

        assert (may("create"), may("list")) == (False, True)
        kubernetes.allow_all()
        assert may("create")

    def test_the_api_server_comes_back_with_all_that_was(self, new_kubernetes):
        from kubernetes import client
        from urllib3.exceptions import MaxRetryError

        cluster = new_kubernetes()
        connection = cluster.client()
        connection.configuration.retries = False
        core = client.CoreV1Api(connection)
        core.create_namespaced_pod(cluster.namespace, pod("a", "sleep 1; echo through"))
        version = core.list_namespaced_pod(cluster.namespace).metadata.resource_version
        cluster.restart(0.8)
        with pytest.raises((MaxRetryError, OSError)):
            cluster.core().list_namespaced_pod(cluster.namespace, _request_timeout=0.2)

        def back() -> bool:
            try:
                return bool(core.list_namespaced_pod(cluster.namespace).items)
            except (MaxRetryError, OSError, client.ApiException):
                return False

        until(back)
        now = core.list_namespaced_pod(cluster.namespace).metadata.resource_version
        assert int(now) >= int(version)
        ended(core, cluster.namespace, "a")
        assert core.read_namespaced_pod_log("a", cluster.namespace) == "through\n"
        connection.close()

    def test_clocks_of_nodes_may_be_wrong(self, new_kubernetes):
        cluster = new_kubernetes(nodes=[{"number": 1}])
        core = cluster.core()
        cluster.skew_clock("node-1", 3600)
        core.create_namespaced_pod(cluster.namespace, pod("a", "true"))
        found = ended(core, cluster.namespace, "a")
        started = found.status.container_statuses[0].state.terminated.started_at
        assert (started - found.metadata.creation_timestamp).total_seconds() >= 3590
        core.api_client.close()

    def test_thousands_of_pods_can_be_simulated(self, kubernetes, core, tmp_path):
        place = kubernetes.namespace
        (tmp_path / "task.py").write_text(
            "def run(command, environment):\n    return int(environment['CODE'])\n"
        )
        kubernetes.simulate(seconds=0.2, text="simulated\n", function=f"{tmp_path}/task.py:run")
        for number in range(20):
            content = pod(f"p{number}", "exit 1")
            content["spec"]["containers"][0]["env"] = [{"name": "CODE", "value": str(number % 2)}]
            core.create_namespaced_pod(place, content)

        def phases() -> list[str]:
            return [each.status.phase for each in core.list_namespaced_pod(place).items]

        until(lambda: {*phases()} == {"Succeeded", "Failed"})
        assert phases().count("Failed") == 10
        assert core.read_namespaced_pod_log("p0", place) == "simulated\n"


def test_containers_may_be_real_ones(new_kubernetes, podman):
    cluster = new_kubernetes(podman=podman.environment())
    core, place = cluster.core(), cluster.namespace
    core.create_namespaced_config_map(place, {"metadata": {"name": "c"}, "data": {"a": "text"}})

    def make(name: str, script: str, memory: str = "64Mi", **more: Any) -> None:
        content = pod(name, script, volumes=[{"name": "c", "configMap": {"name": "c"}}], **more)
        container = content["spec"]["containers"][0]
        container["image"] = podman.shell_image
        container["volumeMounts"] = [{"name": "c", "mountPath": "/conf"}]
        container["resources"] = {"limits": {"memory": memory}}
        core.create_namespaced_pod(place, content)

    context = {"runAsUser": 1000, "runAsNonRoot": True}
    make("a", "id -u; cat /conf/a; ls /work; exit 3", securityContext=context)
    make("b", "no-such-program-at-all")
    make("c", "sleep 100")
    found = ended(core, place, "a").status.container_statuses[0].state.terminated
    assert (found.exit_code, found.reason) == (3, "Error")
    told = core.read_namespaced_pod_log("a", place)
    assert told.startswith("1000\ntext")
    assert "/work: No such file" in told
    assert ended(core, place, "b").status.container_statuses[0].state.terminated.exit_code == 127
    content = pod("d", "")
    content["spec"]["containers"][0] |= {"image": podman.shell_image, "command": ["/nothing"]}
    core.create_namespaced_pod(place, content)
    found = ended(core, place, "d").status.container_statuses[0].state.terminated
    assert (found.exit_code, found.reason) == (128, "StartError")
    assert "/nothing" in found.message
    until(lambda: core.read_namespaced_pod("c", place).status.phase == "Running")
    core.delete_namespaced_pod("c", place, grace_period_seconds=1)
    until(lambda: "c" not in run_names(core, place))
    assert cluster.processes() == []
    content["metadata"]["name"] = "e"
    content["spec"]["containers"][0]["image"] = "localhost/no-such-image:1"
    core.create_namespaced_pod(place, content)
    until(lambda: waiting(core, place, "e", "ErrImagePull"))
    core.api_client.close()


@pytest.mark.slow
def test_two_thousand_pods_cost_little(new_kubernetes):
    """Each with its job, a watch that sees all, and an end: some milliseconds of CPU for each."""
    count = 2000
    cluster = new_kubernetes()
    cluster.simulate(seconds=2)
    before = cluster.usage()
    connection = http.client.HTTPConnection(cluster.endpoint.removeprefix("http://"), timeout=60)
    place = f"namespaces/{cluster.namespace}"
    watch = http.client.HTTPConnection(cluster.endpoint.removeprefix("http://"), timeout=60)
    watch.request("GET", f"/api/v1/{place}/pods?watch=true")
    events = watch.getresponse()
    for number in range(count):
        text = json.dumps(job(f"job-{number}", "true"))
        connection.request("POST", f"/apis/batch/v1/{place}/jobs", text)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
    succeeded: set[str] = set()
    while len(succeeded) < count:
        told = json.loads(events.readline())["object"]
        if told["status"]["phase"] == "Succeeded":
            succeeded.add(told["metadata"]["name"])
    after = cluster.usage()
    connection.close()
    watch.close()
    assert (after["cpu"] - before["cpu"]) / count < 0.010
    assert after["memory"] < 500e6


def test_nothing_of_a_cluster_is_left_behind(new_kubernetes):
    """Neither when it is stopped nor when it is killed."""
    left = []
    for end in (signal.SIGTERM, signal.SIGKILL):
        cluster = new_kubernetes()
        core = cluster.core()
        content = pod("long", "setsid sleep 62 & sleep 62")
        core.create_namespaced_pod(cluster.namespace, content)
        left += until(lambda cluster=cluster: len(pids := cluster.processes()) >= 3 and pids)
        core.api_client.close()
        os.kill(int(Path(cluster.folder, "pid").read_text()), end)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


def test_the_same_tests_run_on_a_real_cluster(new_kubernetes, tmp_path, monkeypatch):
    """Here the real cluster is one of ours, but nobody knows that."""
    ours = new_kubernetes()
    monkeypatch.setenv("FLOW_TEST_KUBECONFIG", ours.kubeconfig)
    with real_cluster("somewhere", tmp_path) as cluster:
        assert (cluster.is_real, cluster.namespace) == (True, "somewhere")
        core = cluster.core()
        core.create_namespaced_pod("somewhere", pod("a", "echo here"))
        ended(core, "somewhere", "a")
        assert core.read_namespaced_pod_log("a", "somewhere") == "here\n"
        with pytest.raises(pytest.skip.Exception) as skipped:
            cluster.evict("a")
        assert (
            str(skipped.value) == "needs the test server: evict cannot be asked of a real cluster"
        )
        core.api_client.close()
    names = ours.core().list_namespace(field_selector="metadata.name=somewhere").items
    assert [each.status.phase for each in names] in ([], ["Terminating"])
