"""Whole flows on a real Slurm, by the command line: also when something is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_core.testing import core_wheels, write_wheel

from .conftest import controller_away, eventually, processes_with

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

FLOW = """
import os, time
from flow_core import FlowSpec, Parameter, current, retry, slurm, step

class HybridFlow(FlowSpec):
    mode = Parameter("mode", default="")

    @step
    def start(self):
        self.numbers = list(range(4))
        self.here = os.environ.get("SLURM_JOB_ID")
        self.next(self.work, foreach="numbers")

    @slurm(memory=300)
    @retry(times=1, delay=0, on=["lost", "preempted", "out-of-memory"])
    @step
    def work(self):
        print("number", self.input, flush=True)
        open(f"began-{self.input}-{current.retry_count}", "w").close()
        while self.mode == "hold" and not os.path.exists("go"):
            time.sleep(0.05)
        again = current.retry_count > 0
        if self.input == 1 and (self.mode == "more" or self.mode == "memory" and not again):
            waste = bytearray(500_000_000)
            time.sleep(0 if again else 60)
        self.memory = os.environ["SLURM_MEM_PER_NODE"]
        self.square = self.input ** 2
        self.job = os.environ["SLURM_JOB_ID"]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.squares = [i.square for i in inputs]
        self.jobs = sorted({i.job for i in inputs})
        print("memory", *sorted({i.memory for i in inputs}))
        self.here = inputs[0].here
        self.next(self.end)

    @step
    def end(self):
        print("squares", self.squares, len(self.jobs), self.here)
"""

GANG = """
import os
from flow_core import FlowSpec, current, parallel, slurm, step

class GangFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.train, num_parallel=3)

    @slurm(memory=200, nodes=3)
    @parallel
    @step
    def train(self):
        self.place = (current.parallel.node_index, current.parallel.num_nodes)
        self.node = os.environ["SLURMD_NODENAME"]
        self.job = os.environ["SLURM_JOB_ID"]
        self.next(self.join)

    @step
    def join(self, inputs):
        print("places", sorted(i.place for i in inputs))
        print("nodes", len({i.node for i in inputs}), "jobs", len({i.job for i in inputs}))
        self.next(self.end)

    @step
    def end(self):
        pass
"""


class Runs:
    """A folder with flows; commands run in it, against a cluster."""

    def __init__(self, folder: Path, cluster: Sandbox) -> None:
        self.folder = folder
        self.cluster = cluster
        (folder / "hybrid_flow.py").write_text(FLOW)
        (folder / "gang_flow.py").write_text(GANG)
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith("FLOW_")}
        self.variables |= {"HOME": str(folder), "FLOW_SLURM_POLL": "1", **cluster.variables}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flow_core", *words],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def flow(self, *words: str, status: int = 0) -> str:
        process = self.start(*words)
        said, _ = process.communicate(timeout=240)
        assert process.returncode == status, said
        return said

    def wait_for(self, pattern: str, number: int = 1, seconds: float = 60) -> None:
        eventually(
            lambda: len(list(self.folder.glob(pattern))) >= number,
            seconds,
            lambda: list(self.folder.glob("*")),
        )

    def held(self) -> subprocess.Popen[str]:
        """Start a run whose four tasks are at work until `go`."""
        process = self.start("run", "hybrid_flow.py", "--mode", "hold")
        self.wait_for("began-*", 4)
        return process

    def go(self) -> None:
        """Let the tasks of `held` end."""
        (self.folder / "go").touch()

    def assert_no_orphans(self) -> None:
        """Nothing of these runs waits or runs in Slurm, no process is left, nor a file of a job."""
        eventually(lambda: not self._alive(), said=self._alive)
        assert list((self.folder / ".flow").glob("slurm/*")) == []

    def _alive(self) -> list[Any]:
        told = self.cluster.run("squeue", "-h", "-o", "%i %T %o").stdout.splitlines()
        jobs: list[Any] = [line for line in told if str(self.folder) in line]
        # The folder is in the environment of all processes of its tasks.
        return jobs + processes_with(f"{self.folder}/")


def heard(process: subprocess.Popen[str], text: str, times: int = 1) -> str:
    """Return what a process says until some lines have held a text."""
    assert process.stdout is not None
    said = ""
    while times:
        line = process.stdout.readline()
        said += line
        assert line, said
        times -= text in line
    return said


@pytest.fixture
def runs(slurm: Sandbox, tmp_path: Path) -> Iterator[Runs]:
    """A folder with flows, on the shared cluster."""
    made = Runs(tmp_path, slurm)
    yield made
    made.assert_no_orphans()


@pytest.fixture
def own_runs(new_slurm: Callable[..., Sandbox], tmp_path: Path) -> Runs:
    """A folder with flows, on a cluster of two nodes that may be disturbed."""
    return Runs(tmp_path, new_slurm(2))


def test_a_hybrid_flow(runs: Runs) -> None:
    said = runs.flow("run", "hybrid_flow.py")
    assert "squares [0, 1, 4, 9] 4 None" in said
    assert "number 3" in said
    assert runs.flow("logs", "HybridFlow/1/work", "--stdout").count("number ") == 4


def test_all_steps_by_an_option(runs: Runs) -> None:
    said = runs.flow("run", "hybrid_flow.py", "--with", "slurm:partition=main,memory=300")
    assert "squares [0, 1, 4, 9] 4 None" not in said
    assert "squares [0, 1, 4, 9] 4 " in said


def test_a_gang_is_one_job_of_several_machines(runs: Runs) -> None:
    said = runs.flow("run", "gang_flow.py")
    assert "places [(0, 3), (1, 3), (2, 3)]" in said
    assert "nodes 3 jobs 1" in said


def test_a_wrong_partition_is_answered(runs: Runs) -> None:
    said = runs.flow("run", "hybrid_flow.py", "--with", "slurm:partition=mian", status=1)
    assert "sbatch: invalid partition specified: mian" in said
    assert "partitions here: main" in said
    assert "Traceback" not in said


def test_memory_that_is_used_up_is_a_cause_of_its_own(runs: Runs) -> None:
    said = runs.flow("run", "hybrid_flow.py", "--mode", "memory")
    assert "exceeded" in said
    assert "memory limit" in said
    assert "squares [0, 1, 4, 9]" in said  # tried again
    assert "memory 300\n" in said  # with no more than it had


def test_ctrl_c_ends_all_jobs(runs: Runs) -> None:
    process = runs.held()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, said
    assert "Interrupted: HybridFlow/1" in said
    assert "4 cancelled" in said
    runs.assert_no_orphans()


@pytest.mark.chaos
def test_a_killed_task_is_told(runs: Runs) -> None:
    process = runs.held()
    jobs = json.loads(runs.flow("slurm", "list", "HybridFlow", "--json"))
    own = [job for job in jobs if job["folder"].startswith(str(runs.folder))]
    assert len(own) == 4
    runs.flow("slurm", "kill", own[0]["job"])
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "by somebody else" in said


@pytest.mark.chaos
def test_a_node_that_is_gone(own_runs: Runs) -> None:
    process = own_runs.held()
    own_runs.cluster.stop_node("node1")
    # Slurm would see it by itself, some minutes later: see test_backend.py.
    own_runs.cluster.run("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=gone")
    own_runs.go()
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "NODE_FAIL" in said
    assert "squares [0, 1, 4, 9]" in said
    own_runs.assert_no_orphans()


@pytest.mark.chaos
def test_a_controller_that_is_started_anew(own_runs: Runs) -> None:
    process = own_runs.held()
    with controller_away(own_runs.cluster):
        heard(process, "Slurm does not answer, its jobs go on")
    own_runs.go()
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "squares [0, 1, 4, 9]" in said
    assert len(list(own_runs.folder.glob("began-*"))) == 4  # none was tried again
    own_runs.assert_no_orphans()


@pytest.mark.chaos
def test_a_killed_launcher_and_resume(runs: Runs) -> None:
    process = runs.held()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    process = runs.start("resume", "hybrid_flow.py")
    heard(process, "Task still runs as HybridFlow/1/work/", 4)
    runs.go()
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    assert "squares [0, 1, 4, 9]" in said
    assert len(list(runs.folder.glob("began-*"))) == 4  # none was started again


PYPI = """
import os, sys
from flow_core import FlowSpec, pypi, slurm, step

class TinyFlow(FlowSpec):
    @slurm(memory=300)
    @pypi(packages={"tiny": "2.*"})
    @step
    def start(self):
        import tiny

        self.version, self.python = tiny.VERSION, sys.executable
        self.job = os.environ["SLURM_JOB_ID"]
        self.next(self.end)

    @step
    def end(self):
        print("with", self.version, "in", self.python)
"""


@pytest.mark.slow
def test_a_step_with_packages_of_its_own(runs: Runs, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        write_wheel(wheels, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    core_wheels(wheels)
    (tmp_path / "tiny_flow.py").write_text(PYPI)
    runs.variables |= {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "UV_PYTHON_DOWNLOADS": "never",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    said = runs.flow("run", "tiny_flow.py")
    assert f"with 2.0 in {tmp_path}/cache/flow/environments/pypi" in said


def test_a_task_that_needs_more_memory_gets_it(runs: Runs) -> None:
    flow = FLOW.replace("retry(times=1,", "retry(times=1, memory_factor=6,")
    (runs.folder / "hybrid_flow.py").write_text(flow)
    said = runs.flow("run", "hybrid_flow.py", "--mode", "more")
    assert "memory limit" in said
    assert "memory 1800 300\n" in said
    assert "squares [0, 1, 4, 9]" in said
    assert len(list(runs.folder.glob("began-1-*"))) == 2
