"""``flow kubernetes list``, ``kill`` and ``logs``, and manifests, against an API server."""

from __future__ import annotations

import json
import subprocess

import pytest
from kube_jobs import SLEEP, Bench, job
from servers.kubernetes.handle import Cluster, kubectl

from flow_core.testing import FlowTester
from flow_core.testing.flowtester import ProcessResult
from flow_remote.backend import Ended, Running, Waiting

FLOW = """
    from flow_core import FlowSpec, kubernetes, parallel, step

    class F(FlowSpec):
        @kubernetes(cpu=0.1, memory=100, disk=10, labels="team=search", gpu=0)
        @step
        def start(self):
            self.next(self.train, num_parallel=2)

        @kubernetes(cpu=0.1)
        @parallel
        @step
        def train(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


PLAIN = """
    from flow_core import FlowSpec, step

    class Plain(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.fixture
def lab(flowtester: FlowTester, kubernetes: Cluster) -> Lab:
    return Lab(flowtester, kubernetes)


class Lab:
    """Runs commands that find the cluster as kubectl does."""

    def __init__(self, tester: FlowTester, cluster: Cluster) -> None:
        tester.more_plugins = ["kubernetes", "parallel"]
        self.tester, self.cluster = tester, cluster

    def kubernetes(self, *words: str, user: str = "ada") -> ProcessResult:
        variables = {**self.cluster.environment(), "FLOW_USER": user}
        return self.tester.flow("kubernetes", *words, variables=variables)


def test_what_runs_and_waits_is_listed(bench: Bench, lab: Lab) -> None:
    big = job(("true",), name="trainflow-12-train-8-0", task=8, resources={"cpu": 5000})
    bench.submit(job(SLEEP), big)
    bench.wait(Running)
    bench.wait(Waiting)
    shown = lab.kubernetes("list").check().stdout.splitlines()
    assert shown[0].split() == ["TASK", "ATTEMPT", "STATE", "AGE", "NODE", "JOB"]
    (running,) = (line for line in shown if "TrainFlow/12/train/7" in line)
    assert " runs " in running
    (waiting,) = (n for n, line in enumerate(shown) if "TrainFlow/12/train/8" in line)
    assert " waits " in shown[waiting]
    assert shown[waiting + 1].startswith("  Unschedulable: 0/")
    told = json.loads(lab.kubernetes("list", "TrainFlow/12", "--json", user="bob").check().stdout)
    assert sorted((one["task"], one["state"]) for one in told) == [("7", "runs"), ("8", "waits")]
    assert lab.kubernetes("list", user="bob").check().stdout == (
        f"no jobs of yours in namespace {bench.cluster.namespace}\n"
    )
    assert "TrainFlow" in lab.kubernetes("list", "--all", user="bob").check().stdout
    assert (
        lab.kubernetes("list", "TrainFlow/12", "--user", "bob").check().stdout.startswith("no jobs")
    )


def test_how_jobs_have_ended_is_listed(bench: Bench, lab: Lab) -> None:
    bench.submit(job(("true",)), job(("/bin/sh", "-c", "exit 3"), name="other", task=8))
    bench.wait_all(Ended, 2)

    def states() -> list[tuple[str, str, str]]:
        told = json.loads(lab.kubernetes("list", "--ended", "--json").check().stdout)
        return sorted((one["task"], one["state"], one["why"]) for one in told)

    bench.sees(
        lambda: states() == [("7", "done", ""), ("8", "failed", "exit status 3")], "both are over"
    )
    assert lab.kubernetes("list").check().stdout.startswith("no jobs of yours in namespace ")


def test_jobs_are_ended(bench: Bench, lab: Lab) -> None:
    other = job(SLEEP, name="trainflow-12-other-8-0", step="other", task=8)
    first, second = bench.submit(job(SLEEP), other)
    bench.wait_all(Running, 2)
    done = lab.kubernetes("kill", "TrainFlow/12", "--step", "other").check()
    assert done.stdout == f"ended TrainFlow/12/other/8, job {second}\n"
    ended = bench.wait(Ended)
    assert (ended.id, ended.cause) == (second, "cancelled")
    told = json.loads(
        lab.kubernetes("kill", "--user", "ada", "--grace", "1", "--json").check().stdout
    )
    assert [one["task"] for one in told] == ["7"]
    assert bench.wait(Ended).id == first
    bench.sees_no_jobs()


def test_a_run_without_jobs(lab: Lab) -> None:
    file = lab.tester.write(PLAIN, "plain.py")
    lab.tester.flow("run", str(file)).check()
    namespace = lab.cluster.namespace
    for words in (["Plain/1"], ["Plain"], ["Plain/1/start"], ["Plain/1", "--step", "start"]):
        said = lab.kubernetes("kill", *words).check().stdout
        assert said == f"no such job waits or runs in namespace {namespace}\n"
        said = lab.kubernetes("list", *words).check().stdout
        assert said == f"no jobs in namespace {namespace}\n"
    error = lab.kubernetes("logs", "Plain/1/start/1").error
    assert error["error"] == "'Plain/1/start/1' has no pod in the cluster"


def test_a_run_that_is_not_there(bench: Bench, lab: Lab) -> None:
    bench.submit(job(("true",)))
    for words in (["list"], ["kill"]):
        done = lab.kubernetes(*words, "TrainFlow/13")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.error["error"] == "There is no run TrainFlow/13"
        assert done.error["where"].endswith(f", namespace {lab.cluster.namespace}")
        assert "the cluster has no job of it" in done.error["why"]
        assert done.error["try"] == "did you mean 'TrainFlow/12'?"
    assert (
        lab.kubernetes("logs", "TrainFlow/13/train/7").error["error"].startswith("There is no run")
    )
    error = lab.kubernetes("kill", "TranFlow").error
    assert (error["error"], error["try"]) == (
        "There is no run of a flow 'TranFlow'",
        "did you mean 'TrainFlow'?",
    )


def test_it_must_be_said_which(lab: Lab) -> None:
    error = lab.kubernetes("kill").error
    assert error["error"] == "Which jobs?"
    assert "flow kubernetes kill MyFlow/12" in error["try"]
    assert lab.kubernetes("list", "a/b/c/d/e").error["error"] == "'a/b/c/d/e' names no run"


def test_the_log_of_a_pod(bench: Bench, lab: Lab) -> None:
    bench.submit(job(("/bin/sh", "-c", "echo one; echo two; exit 1")))
    bench.wait(Ended)
    assert lab.kubernetes("logs", "TrainFlow/12/train/7").check().stdout == "one\ntwo\n"
    assert lab.kubernetes("logs", job(SLEEP).name, "--tail", "1").check().stdout == "two\n"
    error = lab.kubernetes("logs", "TrainFlow/12/train/8").error
    assert error["error"] == "'TrainFlow/12/train/8' has no pod in the cluster"
    assert "flow logs" in error["try"]


def test_the_log_of_each_member_of_a_gang(bench: Bench, lab: Lab) -> None:
    # The others find the main one, before they begin, only as long as it runs.
    commands = [("/bin/sh", "-c", f"sleep 3; echo member {n}") for n in range(2)]
    bench.submit(job(*commands))
    bench.wait_all(Ended, 2)
    assert lab.kubernetes("logs", "TrainFlow/12/train/8").check().stdout == "member 1\n"
    assert "no pod" in lab.kubernetes("logs", "TrainFlow/12/train/9").error["error"]


def test_a_right_that_is_missing(bench: Bench, lab: Lab) -> None:
    bench.cluster.deny("get", "pods/log")
    bench.submit(job(("/bin/sh", "-c", "echo hi")))
    bench.wait(Ended)
    error = lab.kubernetes("logs", "TrainFlow/12/train/7").error
    assert error["error"] == "The Kubernetes cluster does not allow this"
    assert 'cannot get resource "pods/log"' in error["why"]


# --- manifests ----------------------------------------------------------------------------------


def apply(lab: Lab, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [kubectl(), "apply", *words, "-f", "-"],
        input=text,
        env={**lab.cluster.environment(), "HOME": str(lab.tester.path)},  # it keeps a cache there
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("step", ["start", "train"])
def test_kubectl_takes_manifests(lab: Lab, step: str) -> None:
    file = lab.tester.write(FLOW)
    text = lab.kubernetes("manifest", str(file), step).check().stdout
    done = apply(lab, text, "--dry-run=server")
    assert done.returncode == 0, done.stderr
    assert "created (server dry run)" in done.stdout


def test_kubectl_takes_the_rights(lab: Lab) -> None:
    text = lab.kubernetes("rbac", "--namespace", lab.cluster.namespace).check().stdout
    done = apply(lab, text, "--dry-run=client", "--validate=false")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("created (dry run)") == 3


def test_a_trial_says_whether_a_task_could_run(lab: Lab, bench: Bench) -> None:
    file = lab.tester.write(FLOW)
    text = lab.kubernetes("manifest", str(file), "start").check().stdout
    assert apply(lab, text).returncode == 0

    def log() -> str:
        return lab.kubernetes("logs", "F/trial/start/0").stdout

    bench.sees(lambda: "a task could run here" in log(), "the trial's last line")
    assert "Python 3." in log()
