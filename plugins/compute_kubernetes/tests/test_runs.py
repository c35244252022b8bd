"""Whole runs whose tasks are jobs of a cluster: they share a bucket with their launcher, and nothing else.

In a real cluster they run where ``FLOW_TEST_S3_URL`` names a bucket that it reaches, too.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packages import WITH_PACKAGES, from_wheels, write_wheels
from servers.kubernetes.handle import Cluster
from servers.s3 import GIVEN
from watching import wait_for

from flow_core.testing import FlowTester, installed_wheel
from flow_core.testing.flowtester import ProcessResult

FLOW = """
    import os
    import time

    import own_helper
    from flow_core import FlowSpec, kubernetes, retry, step

    class F(FlowSpec):
        @step
        def start(self):
            self.here = os.getpid()
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @kubernetes(cpu=0.1)
        @step
        def work(self):
            print("working on", self.input, "in", os.environ.get("FLOW_POD"))
            begun = time.monotonic()
            while {waits}:
                time.sleep(0.1)
            self.square = own_helper.square(self.input)
            self.pod = os.environ["FLOW_POD"]
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.square for i in inputs)
            self.pods = len({i.pod for i in inputs})
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total, "of", self.pods, "pods")

    if __name__ == "__main__":
        F()
"""

FAILING = """
    import time
    from flow_core import FlowSpec, kubernetes, retry, step

    class F(FlowSpec):
        @retry(times=1, delay=0, on=["out-of-memory"], memory_factor=2)
        @kubernetes(cpu=0.1, memory=150)
        @step
        def start(self):
            kept = [b"x" * 50_000_000 for _ in range(8)]
            time.sleep(5)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(waits: str = "False") -> str:
    """Return the flow, whose pods wait as long as a condition holds."""
    return FLOW.replace("{waits}", waits)


class Lab:
    """A folder for flows, a bucket, and a cluster whose secret ``bucket`` opens it."""

    def __init__(self, tester: FlowTester, bucket: Any, cluster: Cluster) -> None:
        tester.more_plugins = ["kubernetes", "remote", "s3", "objectstore"]
        secret = {"metadata": {"name": "bucket"}, "stringData": bucket.environment()}
        cluster.core().create_namespaced_secret(cluster.namespace, secret)
        self.tester, self.bucket, self.cluster = tester, bucket, cluster
        self.patience = 900 if cluster.is_real else 120  # seconds: images must be fetched first
        self.variables = {
            **bucket.environment(),
            **cluster.environment(),
            "FLOW_DATASTORE": bucket.url,
            "FLOW_KUBERNETES_SECRETS": "bucket",
            "FLOW_KUBERNETES_CPU": "0.1",
            "FLOW_KUBERNETES_MEMORY": "300",
            "FLOW_KUBERNETES_DISK": "100",
        }
        tester.write("def square(x):\n    return x * x\n", "own_helper.py")

    def run(self, source: str, *words: str, **more: str) -> ProcessResult:
        """Run a flow."""
        file = self.tester.write(source)
        return self.tester.python(
            file, *(words or ("run",)), variables={**self.variables, **more}, timeout=self.patience
        )

    def begin(self, source: str, *words: str) -> subprocess.Popen[str]:
        """Begin to run a flow."""
        return subprocess.Popen(
            [sys.executable, str(self.tester.write(source)), *words],
            cwd=self.tester.path,
            env=self.tester.environment(None, self.variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pods(self) -> list[Any]:
        """Return all pods."""
        return list(self.cluster.core().list_namespaced_pod(self.cluster.namespace).items)

    def running(self) -> list[Any]:
        """Return the pods that run."""
        return [pod for pod in self.pods() if pod.status.phase == "Running"]

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
        """Wait until something is so; in a real cluster for longer."""
        seconds = max(seconds, self.patience) if self.cluster.is_real else seconds
        wait_for(condition, seconds, what)


@pytest.fixture
def lab(flowtester: FlowTester, kubernetes: Cluster, request: pytest.FixtureRequest) -> Lab:
    if kubernetes.is_real and GIVEN not in os.environ:
        pytest.skip(f"a real cluster does not reach the bucket of the tests: {GIVEN} names another")
    return Lab(flowtester, request.getfixturevalue("bucket_for_all"), kubernetes)


def test_local_and_remote_steps_in_one_run(lab: Lab) -> None:
    done = lab.run(flow()).check()
    assert "working on 2 in f-1-work-" in done.stdout
    assert "total 14 of 3 pods" in done.stdout
    names = [pod.metadata.labels["flow-core/step"] for pod in lab.pods()]
    assert names == ["work"] * 3, "local steps stay here"
    for pod in lab.pods():
        text = str(pod)
        for name, value in lab.bucket.environment().items():
            if "SECRET" in name:
                assert value not in text, "a secret is in a pod's manifest"


def test_too_little_memory_is_told_and_tried_again(lab: Lab) -> None:
    done = lab.run(FAILING)
    assert done.returncode == 1
    assert (
        "OOMKilled: the container used more memory than its limit, 150M"
        in done.stdout + done.stderr
    )
    limits = {}
    for pod in lab.pods():
        attempt = pod.metadata.labels["flow-core/attempt"]
        limits[attempt] = pod.spec.containers[0].resources.limits["memory"]
    assert limits == {"0": "150M", "1": "300M"}


def test_an_image_that_is_not_there_ends_the_run_with_kubernetes_words(lab: Lab) -> None:
    lab.cluster.image("no-such-image:1", missing=True)
    done = lab.run(
        flow(),
        FLOW_KUBERNETES_IMAGE="no-such-image:1",
        FLOW_KUBERNETES_START_TIMEOUT="1",
    )
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "ErrImagePull" in told
    assert "no-such-image:1: not found" in told
    assert "image_pull_secrets" in told


def test_a_local_store_is_refused(lab: Lab) -> None:
    done = lab.run(flow(), FLOW_DATASTORE="local")
    assert done.returncode != 0
    assert "shared store" in done.error["error"]


def test_no_cluster_ends_the_run_at_once(lab: Lab) -> None:
    done = lab.run(flow(), KUBECONFIG="/nowhere/config")
    assert done.returncode == 1
    assert done.error["error"] == "There is no Kubernetes cluster"


def test_an_interrupt_ends_all_jobs(lab: Lab) -> None:
    process = lab.begin(flow("True"), "run")
    try:
        lab.until(lambda: len(lab.running()) == 3, "three pods run")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, None), output
    lab.until(lambda: not lab.running(), "no pod runs", 20)
    assert lab.cluster.is_real or not lab.cluster.processes()
    assert not lab.cluster.batch().list_namespaced_job(lab.cluster.namespace).items


def test_a_resumed_run_adopts_what_runs(lab: Lab, folder_for_pods: Path) -> None:
    go = folder_for_pods / "go"
    waits = f"not os.path.exists({str(go)!r})"
    source = flow("time.monotonic() < begun + 12" if lab.cluster.is_real else waits)
    process = lab.begin(source, "run")
    try:
        lab.until(lambda: len(lab.running()) == 3, "three pods run")
    finally:
        process.kill()
        process.communicate()
    names = {pod.metadata.name for pod in lab.running()}
    assert len(names) == 3, "nobody has ended them"
    process = lab.begin(source, "resume")
    assert process.stdout is not None
    told = "".join(itertools.takewhile(lambda line: "still run" not in line, process.stdout))
    go.touch()
    told += process.communicate(timeout=60)[0]
    assert process.returncode == 0, told
    assert "total 14 of 3 pods" in told
    assert {pod.metadata.name for pod in lab.pods()} == names, "no other pod was started"


@pytest.mark.slow
def test_a_step_with_packages_of_its_own(lab: Lab, folder_for_pods: Path) -> None:
    if lab.cluster.is_real:
        pytest.skip("its pods do not see the folder of wheels on this machine")
    write_wheels(folder_for_pods)
    for name in ("obstore", "typing-extensions"):  # what the store needs at the task
        installed_wheel(folder_for_pods, name)
    index = from_wheels(folder_for_pods)
    secret = {"metadata": {"name": "packages"}, "stringData": index}
    lab.cluster.core().create_namespaced_secret(lab.cluster.namespace, secret)
    lab.tester.more_plugins += ["pypi"]
    source = WITH_PACKAGES.replace("@pypi", "@kubernetes\n        @pypi")
    source = source.replace("import FlowSpec", "import FlowSpec, kubernetes")
    done = lab.run(source, **index, FLOW_KUBERNETES_SECRETS="bucket,packages").check()
    assert "with 2.0 of /home/flow/.cache/flow/environments/pypi" in done.stdout
