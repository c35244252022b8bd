"""The backend against an API server: jobs run, wait, end in every way there is, and are found again."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from kube_jobs import SLEEP, Bench, job
from servers.kubernetes.handle import Cluster, kubectl

from flow_core.api import FlowError
from flow_kubernetes.rbac_command import RULES
from flow_remote.backend import Ended, Refused, Running, Waiting

OTHER = "trainflow-12-train-8-0"


@pytest.fixture
def asks_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a cluster be asked soon why jobs hang, not after the seconds that most of them need."""
    for name in ("EVERY", "PODLESS", "SLOW", "FIRST_QUESTION"):
        monkeypatch.setattr(f"flow_kubernetes.patrol._{name}", 0.3)
    monkeypatch.setattr("flow_kubernetes.tracking._AFTER_DELETION", 1.0)


def with_settings(**values: Any) -> Any:
    return pytest.mark.parametrize("bench", [values], indirect=True)


# --- how jobs end by themselves -----------------------------------------------------------------


def test_a_job_runs_and_ends(bench: Bench) -> None:
    script = 'test "$NAME" = A && cd && touch file'
    (id,) = bench.submit(job(("/bin/sh", "-c", script), variables=({"NAME": "A"},)))
    running = bench.wait(Running)
    assert (running.id, running.member) == (id, 0)
    assert running.node
    assert bench.wait(Ended) == Ended(id, 0, 0)


def test_an_exit_status(bench: Bench) -> None:
    bench.submit(job(("/bin/sh", "-c", "echo out of cheese >&2; exit 3")))
    ended = bench.wait(Ended)
    assert (ended.code, ended.signal, ended.cause) == (3, None, "")
    assert ended.log == "out of cheese\n"


def test_a_signal(bench: Bench) -> None:
    bench.submit(job(("/bin/sh", "-c", "kill -9 $$")))
    ended = bench.wait(Ended)
    assert (ended.code, ended.signal, ended.cause) == (None, 9, "")


def test_a_command_that_is_not_there(bench: Bench) -> None:
    bench.submit(job(("/no/such/program",)))
    ended = bench.wait(Ended)
    assert ended.cause == "launch"
    assert "/no/such/program" in ended.message
    assert "no such file" in ended.message


def test_many_at_once(bench: Bench) -> None:
    jobs = [
        job(("/bin/sh", "-c", f"exit {n % 3}"), name=f"trainflow-12-train-{n}-0", task=n)
        for n in range(20)
    ]
    ids = bench.submit(*jobs)
    ended = {e.id: e.code for e in bench.wait_all(Ended, 20)}
    assert ended == {id: n % 3 for n, id in enumerate(ids)}


# --- why they wait ------------------------------------------------------------------------------


def test_no_node_is_large_enough(bench: Bench) -> None:
    bench.submit(job(("true",), resources={"cpu": 5000}))
    waiting = bench.wait(Waiting)
    assert waiting.why.startswith("Unschedulable: 0/")
    assert "Insufficient cpu" in waiting.why


@with_settings(kubernetes_pending_timeout=1)
def test_a_limit_for_the_wait_for_a_node(bench: Bench) -> None:
    bench.submit(job(("true",), options={"node_selector": "no=such"}))
    ended = bench.wait(Ended)
    assert ended.cause == "launch"
    assert "didn't match Pod's node affinity/selector" in ended.message
    bench.sees_no_jobs()
    command, _, _ = ended.hint.partition(" shows ")
    words = [kubectl(), *shlex.split(command)[1:]]
    environment = {**os.environ, **bench.cluster.environment()}
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert "FailedScheduling" in told.stdout, "it can be read after the pod is gone"


@with_settings(kubernetes_start_timeout=2)
def test_an_image_that_is_not_there(bench: Bench) -> None:
    if not bench.cluster.is_real:
        bench.cluster.image("no-such-image:1", missing=True)
    bench.submit(job(("true",), options={"image": "no-such-image:1"}))
    waiting = bench.wait(Waiting)
    assert waiting.why.startswith("ErrImagePull: ")
    assert "no-such-image:1" in waiting.why
    ended = bench.wait(Ended)
    assert ended.cause == "launch"
    assert ended.message.startswith("ErrImagePull: ")
    assert "image_pull_secrets" in ended.hint
    assert len([n for n in bench.heard if isinstance(n, Waiting)]) == 1, (
        "told once, not at each try"
    )
    bench.sees_no_jobs()


def test_an_image_that_cannot_be_ends_at_once(bench: Bench) -> None:
    bench.submit(job(("true",), options={"image": "Not/An:Image:At:All"}))
    ended = bench.wait(Ended)
    assert ended.cause == "launch"
    assert ended.message.startswith("InvalidImageName: ")


@with_settings(kubernetes_start_timeout=2)
def test_a_secret_that_is_not_there(bench: Bench) -> None:
    bench.submit(job(("true",), options={"secrets": "nobody"}))
    waiting = bench.wait(Waiting)
    assert waiting.why == 'CreateContainerConfigError: secret "nobody" not found'
    ended = bench.wait(Ended)
    assert ended.cause == "launch"
    assert "get secrets" in ended.hint


@pytest.mark.usefixtures("asks_soon")
def test_a_claim_that_is_not_there(bench: Bench) -> None:
    bench.submit(job(("true",), options={"persistent_volume_claims": {"models": "/models"}}))
    waiting = bench.wait(Waiting)
    assert 'persistentvolumeclaim "models" not found' in waiting.why


def test_a_secret_becomes_variables(bench: Bench) -> None:
    secret = {"metadata": {"name": "db"}, "stringData": {"DB_PASSWORD": "hunter2"}}
    bench.cluster.core().create_namespaced_secret(bench.cluster.namespace, secret)
    command = "test ${#DB_PASSWORD} = 7"
    bench.submit(job(("/bin/sh", "-c", command), options={"secrets": "db"}))
    assert bench.wait(Ended).code == 0
    manifest = json.dumps(bench.job_objects())
    assert "hunter2" not in manifest


# --- how others end them ------------------------------------------------------------------------


def running_pod(bench: Bench) -> str:
    """Start a job that runs on; return the name of its pod."""
    bench.submit(job(SLEEP))
    bench.wait(Running)
    (pod,) = bench.pods()
    return pod


def test_out_of_memory(bench: Bench) -> None:
    eat = "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo survived"
    bench.submit(job(("/bin/sh", "-c", eat), resources={"memory": 60}))
    ended = bench.wait(Ended)
    assert ended.cause == "out-of-memory"
    assert ended.signal == 9
    assert ended.message == "OOMKilled: the container used more memory than its limit, 60M"
    assert ended.hint == "@kubernetes(memory=120)"


def test_evicted(bench: Bench) -> None:
    bench.cluster.evict(running_pod(bench))
    ended = bench.wait(Ended)
    assert ended.cause == "evicted"
    assert "The node was low on resource: memory" in ended.message


def test_preempted(bench: Bench) -> None:
    bench.cluster.preempt(running_pod(bench))
    ended = bench.wait(Ended)
    assert ended.cause == "preempted"
    assert "preempting to accommodate a higher priority pod" in ended.message


def test_drained(bench: Bench) -> None:
    pod = running_pod(bench)
    body = {"metadata": {"name": pod, "namespace": bench.cluster.namespace}}
    bench.cluster.core().create_namespaced_pod_eviction(pod, bench.cluster.namespace, body)
    ended = bench.wait(Ended)
    assert ended.cause == "evicted"
    assert "EvictionByEvictionAPI" in ended.message


def test_somebody_deletes_the_pod(bench: Bench) -> None:
    pod = running_pod(bench)
    bench.cluster.core().delete_namespaced_pod(pod, bench.cluster.namespace)
    ended = bench.wait(Ended)
    assert ended.cause == "cancelled"
    assert ended.message == f"somebody deleted the pod {pod}"


def test_somebody_deletes_the_job(bench: Bench) -> None:
    pod = running_pod(bench)
    bench.cluster.batch().delete_namespaced_job(
        job(SLEEP).name, bench.cluster.namespace, propagation_policy="Background"
    )
    ended = bench.wait(Ended)
    assert ended.cause == "cancelled"
    assert pod in ended.message


@pytest.mark.usefixtures("asks_soon")
def test_a_job_without_pods_is_deleted(bench: Bench) -> None:
    bench.quota("pods", {"pods": "0"})
    bench.submit(job(SLEEP))
    waiting = bench.wait(Waiting)
    assert "exceeded quota: pods" in waiting.why
    bench.cluster.batch().delete_namespaced_job(job(SLEEP).name, bench.cluster.namespace)
    ended = bench.wait(Ended)
    assert ended.cause == "cancelled"
    assert "somebody deleted the job" in ended.message


@with_settings(kubernetes_deadline_margin=0)
def test_the_cluster_ends_what_takes_too_long(bench: Bench) -> None:
    bench.submit(job(SLEEP, timeout=1))
    ended = bench.wait(Ended)
    assert ended.cause == "timeout"
    assert ended.message.startswith("DeadlineExceeded: ")


def test_a_lost_node(new_kubernetes: Callable[..., Cluster]) -> None:
    cluster = new_kubernetes()
    bench = Bench(cluster, kubernetes_eviction_grace=1)
    bench.submit(job(SLEEP))
    node = bench.wait(Running).node
    cluster.lose_node(node)
    waiting = bench.wait(Waiting)
    assert "deleting due to NoExecute taint" in waiting.why
    assert node in waiting.why
    ended = bench.wait(Ended)
    assert ended.cause == "lost"
    assert ended.message.endswith("its node does not answer")
    assert ended.hint == f"kubectl describe node {node}"
    bench.close()


# --- what a cluster refuses ---------------------------------------------------------------------


def refused(bench: Bench, **more: Any) -> Refused:
    (answer,) = bench.backend.submit([job(("true",), **more)])
    assert isinstance(answer, Refused), answer
    return answer


def test_a_quota_of_jobs_is_refused_for_now(bench: Bench) -> None:
    bench.quota("few", {"count/jobs.batch": "0"})
    answer = refused(bench)
    assert answer.transient
    assert "exceeded quota: few" in answer.message


@pytest.mark.usefixtures("asks_soon")
def test_a_quota_of_pods_is_told(bench: Bench) -> None:
    bench.quota("small", {"requests.cpu": "1"})
    bench.submit(job(("true",), resources={"cpu": 2}))
    waiting = bench.wait(Waiting)
    assert "exceeded quota: small" in waiting.why
    assert "requests.cpu=2" in waiting.why


def test_what_the_server_finds_invalid(bench: Bench) -> None:
    answer = refused(bench, options={"extended_resources": {"vendor.com/fpga": "0.5"}})
    assert not answer.transient
    assert "is invalid" in answer.message
    assert "must be an integer" in answer.message


def test_a_namespace_that_is_not_there(bench: Bench) -> None:
    answer = refused(bench, options={"namespace": "no-such-namespace"})
    assert 'namespaces "no-such-namespace" not found' in answer.message
    assert answer.hint == "kubectl create namespace no-such-namespace"


def test_a_right_that_is_missing(bench: Bench) -> None:
    bench.cluster.deny("create", "jobs")
    answer = refused(bench)
    assert not answer.transient
    assert 'cannot create resource "jobs" in API group "batch"' in answer.message
    assert answer.hint.startswith(
        f"flow kubernetes rbac --namespace {bench.cluster.namespace} --user"
    )


# --- a bad day of the API server ----------------------------------------------------------------


def test_a_busy_server_is_asked_again(bench: Bench) -> None:
    bench.cluster.fault(times=2, code=429, verbs=["create"], resources=["jobs"], retry_after=1)
    began = time.monotonic()
    bench.submit(job(("true",)))
    assert time.monotonic() - began >= 2, "Retry-After is honoured"
    assert bench.wait(Ended).code == 0


def test_an_answer_that_is_lost_starts_nothing_twice(bench: Bench) -> None:
    bench.cluster.fault(times=1, code=500, after=True, verbs=["create"], resources=["jobs"])
    bench.submit(job(("true",)))
    assert bench.wait(Ended).code == 0
    assert len(bench.pods()) == 1


def test_a_watch_that_breaks_misses_nothing(bench: Bench) -> None:
    bench.submit(job(SLEEP), job(SLEEP, name=OTHER))
    bench.wait_all(Running, 2)
    assert bench.cluster.drop_watches() == 1
    for pod in bench.pods():
        bench.cluster.kill(pod)
    assert {e.signal for e in bench.wait_all(Ended, 2)} == {9}


def test_a_watch_that_is_too_old_begins_anew(bench: Bench) -> None:
    bench.submit(job(SLEEP), job(SLEEP, name=OTHER))
    bench.wait_all(Running, 2)
    bench.cluster.expire(watches=2)
    killed, deleted = bench.pods()
    bench.cluster.kill(killed)
    core = bench.cluster.core()
    core.delete_namespaced_pod(deleted, bench.cluster.namespace, grace_period_seconds=0)
    causes = {e.cause or e.signal for e in bench.wait_all(Ended, 2)}
    assert causes == {9, "cancelled"}


def test_a_server_that_restarts(new_kubernetes: Callable[..., Cluster]) -> None:
    cluster = new_kubernetes()
    bench = Bench(cluster)
    bench.submit(job(("/bin/sh", "-c", "sleep 3")))
    bench.wait(Running)
    cluster.restart(seconds=2)
    assert bench.wait(Ended).code == 0
    (again,) = bench.submit(job(("true",), name=OTHER))
    assert bench.wait(Ended).id == again
    bench.close()


@pytest.mark.parametrize("module", ["backend", "patrol"])
def test_an_error_that_nobody_has_foreseen_is_raised_where_it_is_seen(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(
        f"flow_kubernetes.{module}." + {"backend": "look", "patrol": "_hanging"}[module], fail
    )
    bench.submit(job(SLEEP, resources={"cpu": 5000}))
    with pytest.raises(KeyError, match="odd"):
        bench.wait(Ended, seconds=10)


def test_an_answer_that_is_none_of_kubernetes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow_kubernetes.backend._FIRST_WORD", 1.0)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Please log in</html>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        file = tmp_path / "config"
        file.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{server.server_port}", {})))
        error = opened(kubernetes_config=file)
        server.shutdown()
    assert error.what == "The Kubernetes cluster cannot be reached"
    assert "no object of Kubernetes: <html>Please log in</html>" in (error.why or "")


# --- ended by us --------------------------------------------------------------------------------


def test_cancelled(bench: Bench) -> None:
    (id,) = bench.submit(job(SLEEP))
    bench.wait(Running)
    bench.backend.cancel([id], grace=5)
    ended = bench.wait(Ended)
    assert (ended.id, ended.cause, ended.message) == (id, "cancelled", "")
    bench.sees_no_jobs()


def test_one_that_does_not_want_to_end_is_killed(bench: Bench) -> None:
    script = "trap '' TERM; echo begun; while true; do sleep 1; done"
    (id,) = bench.submit(job(("/bin/sh", "-c", script)))
    bench.wait(Running)
    (pod,) = bench.pods()
    bench.sees(lambda: bench.log(pod) == "begun\n", "the shell has begun")
    began = time.monotonic()
    bench.backend.cancel([id], grace=1)
    assert bench.wait(Ended).cause == "cancelled"
    assert 0.9 < time.monotonic() - began < 25, "Kubernetes itself gives thirty seconds"


def test_cancelled_while_it_waits(bench: Bench) -> None:
    (id,) = bench.submit(job(SLEEP, resources={"cpu": 5000}))
    bench.wait(Waiting)
    bench.backend.cancel([id], grace=5)
    assert bench.wait(Ended).cause == "cancelled"


def test_cancelled_while_the_server_is_busy(bench: Bench) -> None:
    (id,) = bench.submit(job(SLEEP))
    bench.wait(Running)
    bench.cluster.fault(times=4, code=500, verbs=["deletecollection"])
    bench.backend.cancel([id], grace=1)
    assert bench.wait(Ended).cause == "cancelled"


def test_the_end_of_a_run_leaves_nothing(bench: Bench) -> None:
    bench.submit(job(SLEEP), job(SLEEP, name=OTHER), job(("true",), name="done"))
    bench.wait_all(Running, 2)
    bench.wait(Ended)
    bench.backend.close()
    bench.backend.close()
    bench.sees_no_pods()
    if not bench.cluster.is_real:
        bench.sees(lambda: not bench.cluster.processes(), "no process is left")


def test_what_has_ended_stays_for_its_logs(bench: Bench) -> None:
    bench.submit(job(("/bin/sh", "-c", "echo hi")))
    bench.wait(Ended)
    bench.backend.close()
    (pod,) = bench.pods()
    assert bench.log(pod) == "hi\n"


# --- found again --------------------------------------------------------------------------------


def test_another_launcher_adopts_what_runs(bench: Bench) -> None:
    script = "trap 'exit 143' TERM; sleep 3 & wait; exit 5"
    mine = job(("/bin/sh", "-c", script))
    done = job(("true",), name="done")
    bench.submit(done)
    bench.wait(Ended)
    other = Bench(bench.cluster, run="13")  # a resumed run has a number of its own
    (id,) = bench.submit(mine)
    bench.wait(Running)
    assert other.backend.find([mine.name, done.name, "never-was"]) == {mine.name: id}
    assert other.wait(Running).id == id
    ended = other.wait(Ended)
    assert (ended.id, ended.code) == (id, 5)
    other.close()


def test_a_name_that_runs_already_is_not_started_twice(bench: Bench) -> None:
    (id,) = bench.submit(job(SLEEP))
    bench.wait(Running)
    other = Bench(bench.cluster)
    assert other.submit(job(SLEEP)) == [id]
    assert other.wait(Running).id == id
    assert len(bench.pods()) == 1
    other.close()


# --- gangs --------------------------------------------------------------------------------------


def test_a_gang(bench: Bench) -> None:
    commands = [("/bin/sh", "-c", f'test "$NODE_RANK" = {n} && exit {n + 3}') for n in range(2)]
    (id,) = bench.submit(job(*commands))
    assert {r.member for r in bench.wait_all(Running, 2)} <= {0, 1}
    first = bench.wait(Ended)
    assert first.code == first.member + 3
    assert bench.wait(Ended).id == id
    bench.sees(lambda: not bench.services(), "the service goes with the gang")


def test_the_others_end_when_a_member_fails(bench: Bench) -> None:
    commands = [("/bin/sh", "-c", "sleep 2; exit 3"), SLEEP]
    bench.submit(job(*commands))
    bench.wait_all(Running, 2)
    ended = {e.member: e for e in bench.wait_all(Ended, 2)}
    assert ended[0].code == 3
    assert ended[1].cause == "cancelled"
    assert ended[1].message == "Kubernetes ended it, since another member of the gang failed"


def test_a_gang_is_cancelled(bench: Bench) -> None:
    (id,) = bench.submit(job(SLEEP, SLEEP))
    bench.wait_all(Running, 2)
    bench.backend.cancel([id], grace=5)
    assert {e.cause for e in bench.wait_all(Ended, 2)} == {"cancelled"}
    assert not bench.services()


# --- where the cluster is -----------------------------------------------------------------------


def opened(**values: Any) -> FlowError:
    """Return the error of a backend that cannot begin."""
    from kube_jobs import open_backend

    with pytest.raises(FlowError) as caught:
        open_backend(**values)
    return caught.value


def test_no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    error = opened()
    assert error.what == "There is no Kubernetes cluster"
    assert error.where == str(tmp_path / ".kube/config")
    assert error.why == "there is no kubeconfig, and this is no pod of a cluster"
    assert "FLOW_KUBERNETES_CONFIG=PATH" in (error.hint or "")


def test_a_context_that_is_not_there(kubernetes: Cluster) -> None:
    error = opened(kubernetes_config=kubernetes.kubeconfig, kubernetes_context="test")
    assert error.what == "There is no Kubernetes context 'test'"
    assert error.hint == "did you mean 'tests'?"


def test_a_kubeconfig_that_is_none(tmp_path: Any) -> None:
    file = tmp_path / "config"
    file.write_text("nonsense")
    error = opened(kubernetes_config=file)
    assert error.what == "The kubeconfig cannot be used"
    assert error.where == str(file)
    assert error.why


def test_a_program_that_gives_no_token(tmp_path: Any) -> None:
    file = tmp_path / "config"
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-program"}}
    file.write_text(json.dumps(kubeconfig("http://127.0.0.1:1", user)))
    error = opened(kubernetes_config=file)
    assert error.what == "The kubeconfig gives no credentials"
    assert "no-such-program" in (error.why or "")


def test_a_server_that_is_not_there(tmp_path: Any) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(kubeconfig("http://127.0.0.1:1", {})))
    began = time.monotonic()
    error = opened(kubernetes_config=file)
    assert time.monotonic() - began < 12
    assert error.what == "The Kubernetes cluster cannot be reached"
    assert error.where == f"http://127.0.0.1:1, of {file}"
    assert "Connection refused" in (error.why or "")
    assert "kubectl get pods must work first" in (error.hint or "")


def test_no_right_to_list_jobs(kubernetes: Cluster) -> None:
    kubernetes.deny("list", "jobs")
    error = opened(kubernetes_config=kubernetes.kubeconfig)
    assert error.what == "The Kubernetes cluster does not allow this"
    assert 'cannot list resource "jobs"' in (error.why or "")
    assert (error.hint or "").startswith("flow kubernetes rbac --namespace flow-tests-")


def kubeconfig(server: str, user: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": server}}],
        "users": [{"name": "a", "user": user}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    }


# --- what it costs ------------------------------------------------------------------------------


def test_few_requests_for_a_task(bench: Bench) -> None:
    jobs = [job(("true",), name=f"job-{n}", task=n) for n in range(10)]
    bench.submit(*jobs)
    bench.wait_all(Ended, 10)
    counts = dict(bench.calls)
    assert counts == {"list jobs": 1, "list pods": 1, "watch pods": 1, "create jobs": 10}


@pytest.mark.slow
def test_a_thousand_pods(kubernetes: Cluster) -> None:
    kubernetes.simulate(seconds=1)
    bench = Bench(kubernetes)
    jobs = [job(("true",), name=f"job-{n}", task=n) for n in range(1000)]
    began = time.process_time()
    for start in range(0, 1000, 100):
        bench.submit(*jobs[start : start + 100])
    bench.wait_all(Ended, 1000, seconds=240)
    used = time.process_time() - began
    calls = sum(bench.calls.values())
    assert calls <= 4 * 1000
    assert calls <= 1100, "one request for each, and few for all"
    assert used / 1000 < 0.005, f"{used:.2f} s of processor time for 1000 tasks"
    bench.close()


def resident() -> float:
    """Return the megabytes that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
def test_two_thousand_pods_take_little_memory(kubernetes: Cluster) -> None:
    kubernetes.simulate(seconds=1000)
    bench = Bench(kubernetes, kubernetes_cpu=0.01, kubernetes_memory=10)
    jobs = [job(("true",), name=f"job-{n}", task=n) for n in range(2000)]
    before = resident()
    ids = [id for n in range(0, 2000, 100) for id in bench.submit(*jobs[n : n + 100])]
    bench.wait_all(Running, 2000, seconds=120)
    assert resident() - before < 40
    bench.backend.cancel(ids, grace=0)
    assert {ended.cause for ended in bench.wait_all(Ended, 2000, seconds=120)} == {"cancelled"}
    bench.close()


@pytest.mark.usefixtures("asks_soon")
def test_the_rights_that_are_told_are_all_that_is_used(bench: Bench) -> None:
    if bench.cluster.is_real:
        pytest.skip("a real cluster does not count requests")
    other = Bench(bench.cluster)
    bench.submit(job(("true",), name="gang-0", gang=True), job(SLEEP))
    bench.wait(Ended)
    other.submit(job(SLEEP))
    other.backend.find([OTHER])
    (id,) = other.submit(job(SLEEP, name=OTHER, resources={"cpu": 5000}))
    other.submit(job(SLEEP, name="hangs", options={"persistent_volume_claims": {"no": "/no"}}))
    other.sees(lambda: "list events" in other.calls, "it asks why a pod hangs")
    other.backend.cancel([id], grace=1)
    other.close()
    bench.sees(lambda: "delete services" in bench.calls, "the service is deleted")
    allowed = {f"{verb} {resource}" for _, resource, verbs in RULES for verb in verbs}
    used = {*bench.calls, *other.calls}
    assert used <= allowed
    assert allowed - used == {"get pods/log"}, "only flow kubernetes logs reads logs"
