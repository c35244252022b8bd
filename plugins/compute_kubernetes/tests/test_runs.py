"""Whole runs whose tasks are jobs of a cluster: they share a bucket with their launcher, and nothing else.

In a real cluster they run where ``FLOW_TEST_S3_URL`` names a bucket that it reaches, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.kubernetes.handle import Cluster
from servers.s3 import GIVEN

from flow_core.testing import FlowTester, core_wheels, installed_wheel, write_wheel
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
            time.sleep({seconds})
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

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
        """Wait until something is so; in a real cluster for longer."""
        seconds = max(seconds, self.patience) if self.cluster.is_real else seconds
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            time.sleep(0.2)


@pytest.fixture
def lab(flowtester: FlowTester, kubernetes: Cluster, request: pytest.FixtureRequest) -> Lab:
    if kubernetes.is_real and GIVEN not in os.environ:
        pytest.skip(f"a real cluster does not reach the bucket of the tests: {GIVEN} names another")
    return Lab(flowtester, request.getfixturevalue("bucket_for_all"), kubernetes)


def test_local_and_remote_steps_in_one_run(lab: Lab) -> None:
    done = lab.run(FLOW.replace("{seconds}", "0")).check()
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
        FLOW.replace("{seconds}", "0"),
        FLOW_KUBERNETES_IMAGE="no-such-image:1",
        FLOW_KUBERNETES_START_TIMEOUT="1",
    )
    assert done.returncode == 1
    told = done.stdout + done.stderr
    assert "ErrImagePull" in told
    assert "no-such-image:1: not found" in told
    assert "image_pull_secrets" in told


def test_a_local_store_is_refused(lab: Lab) -> None:
    done = lab.run(FLOW.replace("{seconds}", "0"), FLOW_DATASTORE="local")
    assert done.returncode != 0
    assert "shared store" in done.error["error"]


def test_no_cluster_ends_the_run_at_once(lab: Lab) -> None:
    done = lab.run(FLOW.replace("{seconds}", "0"), KUBECONFIG="/nowhere/config")
    assert done.returncode == 1
    assert done.error["error"] == "There is no Kubernetes cluster"


def test_an_interrupt_ends_all_jobs(lab: Lab) -> None:
    process = lab.begin(FLOW.replace("{seconds}", "300"), "run")
    try:
        running = lambda: [p for p in lab.pods() if p.status.phase == "Running"]  # noqa: E731
        lab.until(lambda: len(running()) == 3, "three pods run")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode not in (0, None), output
    lab.until(lambda: not running(), "no pod runs", 20)
    assert lab.cluster.is_real or not lab.cluster.processes()
    assert not lab.cluster.batch().list_namespaced_job(lab.cluster.namespace).items


def test_a_resumed_run_adopts_what_runs(lab: Lab) -> None:
    source = FLOW.replace("{seconds}", "12")
    process = lab.begin(source, "run")
    try:
        running = lambda: [p for p in lab.pods() if p.status.phase == "Running"]  # noqa: E731
        lab.until(lambda: len(running()) == 3, "three pods run")
    finally:
        process.kill()
        process.communicate()
    names = {pod.metadata.name for pod in running()}
    assert len(names) == 3, "nobody has ended them"
    done = lab.run(source, "resume").check()
    assert "total 14 of 3 pods" in done.stdout
    assert {pod.metadata.name for pod in lab.pods()} == names, "no other pod was started"


PYPI = """
    import sys

    from flow_core import FlowSpec, kubernetes, pypi, step

    class F(FlowSpec):
        @kubernetes(cpu=0.1)
        @pypi(packages={"tiny": "2.*"})
        @step
        def start(self):
            import tiny

            self.version, self.python = tiny.VERSION, sys.executable
            self.next(self.end)

        @step
        def end(self):
            print("with", self.version, "of", self.python)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def wheels() -> Iterator[Path]:
    """Wheels in a folder that pods see, too: their /tmp is their own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        for version in ("1.0", "2.0"):
            write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
        core_wheels(folder)
        for name in ("obstore", "typing-extensions"):  # what the store needs at the task
            installed_wheel(folder, name)
        yield folder


@pytest.mark.slow
def test_a_step_with_packages_of_its_own(lab: Lab, wheels: Path) -> None:
    if lab.cluster.is_real:
        pytest.skip("its pods do not see the folder of wheels on this machine")
    without_index = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    secret = {"metadata": {"name": "packages"}, "stringData": without_index}
    lab.cluster.core().create_namespaced_secret(lab.cluster.namespace, secret)
    lab.tester.more_plugins += ["pypi"]
    done = lab.run(PYPI, **without_index, FLOW_KUBERNETES_SECRETS="bucket,packages").check()
    assert "with 2.0 of /home/flow/.cache/flow/environments/pypi" in done.stdout
