"""What goes wrong while steps run on a real podman, a real Slurm, or as pods of the Kubernetes test server.

Each run ends right, and nothing of it is left running. Killed launchers and tasks, lost nodes and
control planes that restart are in the tests of each plugin; `plugins/remote` has the same faults on a
cluster of processes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from servers.s3 import Bucket
from servers.sharing import absent
from watching import wait_for

from flow_core.testing import FaultyProxy, FlowTester

pytestmark = [pytest.mark.slow, pytest.mark.chaos]

MEGABYTE = 1_000_000
MOST_MEMORY = 200 * MEGABYTE
"""Of any process of a run whose task writes as much: who keeps what is written has twice that."""

FLOW = """
    import json
    import os
    import time
    from flow_core import FlowSpec, DECORATOR, step

    def peak(process):
        # In bytes. The system's own words: getrusage counts what the process was forked from.
        for line in open(f"/proc/{process}/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024

    class FLOWNAME(FlowSpec):
        @step
        def start(self):
            self.next(self.work)

        @DECORATOR
        @step
        def work(self):
            BODY
            self.clock = time.time()
            self.peaks = [peak("self"), peak(os.getppid())]  # the parent is the supervisor
            self.value = 42
            self.next(self.end)

        @step
        def end(self):
            print("told", json.dumps([self.clock, *self.peaks, self.value]))

    if __name__ == "__main__":
        FLOWNAME()
"""

SHOUT = """
            line = "x" * 99 + chr(10)
            for _ in range(2000):
                print(line * 1000, end="")
            print("the end")
"""

WAIT = """
            print("begun", flush=True)
            time.sleep(6)
"""

SKEWED_PYTHON = """#!/bin/sh
LD_PRELOAD={library} FAKETIME={skew}
export LD_PRELOAD FAKETIME
exec {python} "$@"
"""


class Place(NamedTuple):
    """Where steps run, and what is to be known of it.

    Attributes:
        name: of the compute provider, and its decorator.
        plugins: that it needs beside the default ones.
        variables: of the launcher, with which it finds all.
        let_through: lets tasks get some variables; returns further ones of the launcher for it.
        python: what tasks run on.
        sees_files: whether tasks see a store on the launcher's files.
        left: returns what there is still in the cluster of a flow, whose name it is given in small letters.
    """

    name: str
    plugins: Sequence[str]
    variables: dict[str, str]
    let_through: Callable[[Mapping[str, str]], dict[str, str]]
    python: str
    sees_files: bool
    left: Callable[[str], list[str]]


def on_slurm(request: pytest.FixtureRequest) -> Place:
    cluster = request.getfixturevalue("slurm")

    def left(flow: str) -> list[str]:
        told: list[str] = cluster.run("squeue", "-h", "-o", "%i %T %j").stdout.splitlines()
        return [line for line in told if flow in line.lower()]

    variables = {**cluster.variables, "FLOW_SLURM_MEMORY": "500", "FLOW_SLURM_POLL": "0.5"}

    def let_through(given: Mapping[str, str]) -> dict[str, str]:
        return {"FLOW_SLURM_ENVIRONMENT": ",".join(given)}

    return Place("slurm", ["slurm"], variables, let_through, sys.executable, True, left)


def in_podman(request: pytest.FixtureRequest) -> Place:
    podman = request.getfixturevalue("podman")
    variables = {
        **podman.environment(),
        "XDG_CACHE_HOME": str(podman.folder / "cache"),
        "FLOW_CONTAINER_IMAGE": podman.python_image,
        "FLOW_CONTAINER_PULL": "never",
        "FLOW_CONTAINER_NETWORK": "host",
    }

    def left(flow: str) -> list[str]:
        return [str(c["Names"]) for c in podman.containers() if flow in str(c["Names"]).lower()]

    def let_through(given: Mapping[str, str]) -> dict[str, str]:
        return {"FLOW_CONTAINER_VARIABLES": ",".join(given)}

    return Place("container", ["container"], variables, let_through, "python3", True, left)


def in_pods(request: pytest.FixtureRequest) -> Place:
    cluster = request.getfixturevalue("kubernetes")
    if cluster.is_real:
        pytest.skip("pods of a real cluster do not reach the bucket and the proxy of the tests")
    variables = {
        **cluster.environment(),
        "FLOW_KUBERNETES_CPU": "0.1",
        "FLOW_KUBERNETES_MEMORY": "500",
        "FLOW_KUBERNETES_DISK": "100",
    }

    def left(flow: str) -> list[str]:
        found = [str(process) for process in cluster.processes()]
        pods = cluster.core().list_namespaced_pod(cluster.namespace).items
        ended = ("Succeeded", "Failed")
        found += [p.metadata.name for p in pods if p.status.phase not in ended]
        jobs = cluster.batch().list_namespaced_job(cluster.namespace).items
        return found + [job.metadata.name for job in jobs if job.status.active]

    def let_through(given: Mapping[str, str]) -> dict[str, str]:
        secret = {"metadata": {"name": "given"}, "stringData": dict(given)}
        cluster.core().create_namespaced_secret(cluster.namespace, secret)
        return {"FLOW_KUBERNETES_SECRETS": "given"}

    return Place("kubernetes", ["kubernetes"], variables, let_through, "python3", False, left)


PLACES = {"slurm": on_slurm, "podman": in_podman, "pods": in_pods}


@pytest.fixture(params=[*PLACES])
def place(request: pytest.FixtureRequest) -> Place:
    """Each of the real ones."""
    return PLACES[request.param](request)


class Told(NamedTuple):
    """What a run has told of itself.

    Attributes:
        clock: of the task's machine, in seconds since 1970.
        task, supervisor, launcher: most memory that each process has had, in bytes.
        output: of the launcher.
    """

    clock: float
    task: int
    supervisor: int
    launcher: int
    output: str


class Runs:
    """A folder with one flow whose step ``work`` runs elsewhere, and a bucket that all reach."""

    def __init__(self, tester: FlowTester, place: Place, bucket: Bucket, folder: Path) -> None:
        tester.more_plugins = ["remote", "objectstore", "s3", *place.plugins]
        self.tester, self.place, self.bucket = tester, place, bucket
        self.store, self.folder = bucket.url, folder
        self.flow = f"F{uuid.uuid4().hex[:10]}"  # tells its jobs and processes from all others
        self.for_tasks: dict[str, str] = {}  # variables that tasks get, beside those of the bucket
        self.variables: dict[str, str] = {}  # of the launcher only

    def run(self, body: str, bucket: Bucket | None = None) -> Told:
        """Run the flow, whose step does ``body``; it must succeed.

        Args:
            body: statements, indented as in `FLOW`.
            bucket: where to reach that of the tests, if not at its own address.
        """
        status, launcher, said = self._run(body, bucket or self.bucket)
        assert status == 0, said[-5000:]
        (told,) = re.findall(r"told (\[.*\])", said)
        clock, task, supervisor, value = json.loads(told)
        assert value == 42
        return Told(clock, task, supervisor, launcher, said)

    def fail(self, body: str) -> str:
        """Run the flow, which must fail; return what people see."""
        status, _, said = self._run(body, self.bucket)
        assert status == 1, said[-5000:]
        return said

    def _run(self, body: str, bucket: Bucket) -> tuple[int, int, str]:
        """Return the launcher's status, its most memory in bytes, and its output."""
        text = FLOW.replace("FLOWNAME", self.flow).replace("DECORATOR", self.place.name)
        file = self.tester.write(text.replace("            BODY\n", body.lstrip("\n")))
        given = {**bucket.environment(), **self.for_tasks}
        asked = {**self.place.variables, "FLOW_DATASTORE": self.store, **self.variables}
        asked |= self.place.let_through(given)
        output = self.tester.path / "output.txt"
        with output.open("wb") as opened:
            process = subprocess.Popen(
                [sys.executable, str(file), "run"],
                cwd=self.tester.path,
                env=self.tester.environment(variables={**given, **asked}),
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
            )
            try:
                most = _peak_until_end(process)
            finally:
                process.kill()
                process.wait()
        return process.returncode, most, output.read_text()

    def skew_clock(self, seconds: int) -> None:
        """Let the clock of the task's machine be wrong."""
        folder = self.folder
        self.for_tasks["FLOW_PYTHON"] = skewed_python(folder, self.place.python, seconds)
        self.variables["FLOW_CONTAINER_VOLUMES"] = f"{folder}:{folder}:ro"

    def asked(self, *words: str) -> str:
        """Return what ``flow WORDS`` writes."""
        variables = {**self.bucket.environment(), "FLOW_DATASTORE": self.store}
        return self.tester.flow(*words, variables=variables).check().stdout

    def processes(self) -> list[str]:
        """Return the processes of this flow that live: its name is in what they are told to run."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                seen = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if self.flow.encode() in seen or f"{self.tester.path}/".encode() in seen:
                    found.append(entry.name)
        return found

    def left(self) -> list[str]:
        """Return all that is left of this flow, here and in the cluster."""
        return self.processes() + self.place.left(self.flow.lower())


def _peak_until_end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; return the most memory that it has had, in bytes."""
    most, deadline = 0, time.monotonic() + 120
    while process.poll() is None:
        assert time.monotonic() < deadline, "the run does not end"
        with suppress(OSError):  # it has ended meanwhile
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max([most, *(int(n) * 1024 for n in re.findall(r"VmHWM:\s*(\d+)", status))])
        time.sleep(0.05)
    return most


@pytest.fixture
def runs(
    flowtester: FlowTester, place: Place, bucket: Bucket, folder_for_pods: Path
) -> Iterator[Runs]:
    """A folder with a flow; at the end nothing of it may be left, for which there are some seconds."""
    made = Runs(flowtester, place, bucket, folder_for_pods)
    yield made
    wait_for(lambda: not made.left(), 20, lambda: f"left behind: {made.left()}")


def test_logs_of_200_megabytes_are_cut_and_no_memory_grows(runs: Runs) -> None:
    told = runs.run(SHOUT)
    assert max(told.task, told.supervisor, told.launcher) < MOST_MEMORY, told[:4]
    shown = runs.asked("logs", f"{runs.flow}/1/work", "--stdout")
    stored = shown.replace("[1/work/2] ", "")  # each line names its task
    assert 9.9 * MEGABYTE < len(stored) < 10.1 * MEGABYTE
    assert "[flow: 190.0 MB of output left out here; --max-log-size raises the limit]" in stored
    assert stored.rstrip().endswith("the end")
    assert "[flow: this task writes more than is shown" in told.output
    assert told.output.count("x" * 99) * 100 < 10.1 * MEGABYTE


def test_a_store_that_is_away_for_20_seconds_costs_no_result(runs: Runs) -> None:
    proxies = [FaultyProxy(runs.bucket.endpoint)]
    port = urlsplit(proxies[0].url).port or 0
    seen: list[list[str]] = []

    def go_away() -> None:
        def begun() -> bool:
            return any(request.path.endswith("/live/0") for request in proxies[0].seen)

        wait_for(begun, 60, "the task does not begin")
        seen.append(runs.place.left(runs.flow.lower()))
        seen.append(runs.processes())
        proxies[0].close()
        time.sleep(20)
        proxies.append(FaultyProxy(runs.bucket.endpoint, port=port))

    thread = threading.Thread(target=go_away)
    thread.start()
    began = time.monotonic()
    try:
        runs.run(WAIT, runs.bucket.through(proxies[0].url))
    finally:
        thread.join()
        for proxy in proxies:
            proxy.close()
    assert time.monotonic() - began > 20
    assert "begun" in runs.asked("logs", f"{runs.flow}/1/work", "--stdout")
    assert all(seen), "what counts the orphans does not see what runs"


SKEW = {"slurm": 3600, "container": -3600, "kubernetes": 3600}
"""Seconds by which a clock is wrong; the other way round where a place is tested twice."""


def test_a_clock_that_is_an_hour_off_changes_nothing(runs: Runs) -> None:
    """Where the store lies on files: S3 takes no signature of such a machine (see the next one)."""
    if not runs.place.sees_files:
        pytest.skip("pods have no store but a bucket")
    runs.store = f"local://{runs.tester.path}/.flow"
    skew = -SKEW[runs.place.name]
    runs.skew_clock(skew)
    began = time.time()
    told = runs.run("            pass\n")
    ended = time.time()
    assert began - 1 < told.clock - skew < ended + 1  # it is off
    shown = json.loads(runs.asked("tasks", f"{runs.flow}/1", "--json"))
    assert len(shown) == 3
    for task in shown:
        seconds = task["finished_at"] - task["started_at"]
        assert 0 <= seconds < ended - began, task


def test_a_clock_that_s3_does_not_take_is_told_at_once(runs: Runs) -> None:
    skew = SKEW[runs.place.name]
    runs.skew_clock(skew)
    began = time.monotonic()
    output = runs.fail("            pass\n")
    assert time.monotonic() - began < 50, "requests are repeated for a minute"
    assert "The specification of the task cannot be fetched" in output
    assert "403 RequestTimeTooSkewed" in output
    found = re.search(r"this machine's clock is (\d+) s (ahead|behind)", output)
    assert found is not None
    assert abs(int(found[1]) - 3600) < 60
    assert found[2] == ("ahead" if skew > 0 else "behind")
    assert "set the clock of this machine" in output


def skewed_python(folder: Path, python: str, skew: int) -> str:
    """Make a program that is Python with a wrong clock, in a folder with all that it needs; return its path."""
    program = shutil.which("faketime")
    libraries = [*Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1")] if program else []
    if not libraries:
        absent("no wrong clocks here: apt-get install faketime")
    folder.chmod(0o755)
    shutil.copy(libraries[0], folder)
    path = folder / "python"
    library = folder / libraries[0].name
    path.write_text(SKEWED_PYTHON.format(library=library, skew=f"{skew:+}", python=python))
    path.chmod(0o755)
    return str(path)
