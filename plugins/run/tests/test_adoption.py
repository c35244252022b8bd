"""A launcher is killed while its jobs go on, and its run is resumed: nothing runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watching import command_lines, wait_for

from flow_core.api import RunState
from flow_core.testing import FlowTester

CLUSTER = """
from flow_core.testing import DetachedCompute

__flow__ = {"flow.computes": {"detached": "Cluster"}}


class Cluster(DetachedCompute):
    def __init__(self):
        super().__init__(FOLDER)
"""

FLOW = """
    import os, time
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        factor = Parameter("factor", default=10)

        @step
        def start(self):
            self.items = list(range(6))
            self.next(self.work, foreach="items")

        @step
        def work(self):
            with open("begun", "a") as file:
                file.write(f"{self.input}\\n")
            print("working on", self.input)
            while not os.path.exists("go"):
                time.sleep(0.02)
            self.result = self.input * self.factor
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.result for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total)

    if __name__ == "__main__":
        F()
"""


Launcher = subprocess.Popen[bytes]


class Laboratory:
    """A flow whose items wait, a cluster on which they do, and launchers that can be killed."""

    def __init__(self, tester: FlowTester) -> None:
        self.tester = tester
        self.cluster = tester.path / "cluster"
        tester.write(CLUSTER.replace("FOLDER", repr(str(self.cluster))), "detached_cluster.py")
        self.file = tester.write(FLOW)
        self.launchers: list[Launcher] = []

    def launch(self, *words: str, compute: str = "detached") -> Launcher:
        """Start a launcher: with four workers."""
        options = ("-p", "detached_cluster", "--compute", compute)
        with open(self.tester.path / f"told-{len(self.launchers)}", "wb") as told:
            process = subprocess.Popen(
                [sys.executable, str(self.file), *options, *words, "--max-workers", "4"],
                cwd=self.tester.path,
                env=self.tester.environment(),
                stdout=told,
                stderr=told,
            )
        self.launchers.append(process)
        return process

    def told(self, launcher: Launcher) -> str:
        """What a launcher has told so far."""
        return (self.tester.path / f"told-{self.launchers.index(launcher)}").read_text()

    def end(self, launcher: Launcher, status: int = 0) -> str:
        """Wait for the end of a launcher; return all that it told."""
        launcher.wait(timeout=60)
        told = self.told(launcher)
        assert launcher.returncode == status, told
        return told

    def killed(self, *words: str, begun: int = 4) -> None:
        """Start a launcher, and kill it when so many items have begun."""
        process = self.launch(*words)
        self.until(lambda: self.writing() >= begun, process)
        process.kill()
        process.wait()

    def adopting(self, run: int = 2, *words: str) -> Launcher:
        """Start a launcher of a further run, and wait until it has adopted what four items do."""
        process = self.launch("resume", *words)
        still = "Task still runs as F/"
        self.until(lambda: self.told(process).count(still) == 4, process)
        assert (self.tester.path / f".flow/runs/F/{run}").is_dir()
        return process

    def go(self) -> None:
        """Let the items go on."""
        (self.tester.path / "go").touch()

    def begun(self) -> Counter[int]:
        """How often each item was begun."""
        file = self.tester.path / "begun"
        return Counter(map(int, file.read_text().split())) if file.exists() else Counter()

    def writing(self) -> int:
        """How many attempts of items, of all runs, have written something."""
        return sum(path.stat().st_size > 0 for path in self.cluster.glob("F-*-work-*/stdout"))

    def until(self, condition: Callable[[], bool], process: Launcher | None = None) -> None:
        """Wait until something is so, and meanwhile a launcher lives."""

        def happened() -> bool:
            if condition():
                return True
            if process is not None and process.poll() is not None:
                pytest.fail(f"it has ended: {self.told(process)}")
            return False

        wait_for(happened, 40)

    def keepers(self) -> list[int]:
        """The processes that hold attempts of the cluster."""
        place = f"\0{self.cluster}/".encode()
        return [pid for pid, words in command_lines().items() if place in words]

    def job_of(self, item: int, run: int = 1) -> Path:
        """The folder of the attempt that works on an item."""
        for place in self.cluster.glob(f"F-{run}-work-*"):
            if f"working on {item}\n" in (place / "stdout").read_text():
                return place
        raise AssertionError(f"nobody works on item {item}")

    def check(self, run: int, times: dict[int, int] | None = None) -> None:
        """The run has succeeded, all items have run so many times, and nothing runs any more."""
        left = self.tester.left(run)
        assert left.state is RunState.SUCCEEDED
        assert left.artifact("end", "total") == 150
        assert self.begun() == Counter(dict.fromkeys(range(6), 1) | (times or {}))
        self.until(lambda: not self.keepers())


@pytest.fixture
def lab(flowtester: FlowTester) -> Iterator[Laboratory]:
    lab = Laboratory(flowtester)
    yield lab
    lab.go()
    for launcher in lab.launchers:
        launcher.kill()
        launcher.wait()
    lab.until(lambda: not lab.keepers())  # what a killed launcher has left ends by itself


@pytest.mark.slow
class TestResume:
    def test_jobs_that_still_run_are_waited_for(self, lab: Laboratory) -> None:
        lab.killed("run")
        assert len(lab.keepers()) == 4
        resumed = lab.adopting()
        lab.go()
        told = lab.end(resumed)
        lab.check(2)
        assert "4 tasks of F/1 still run: no such task is started twice" in told
        assert told.count("Task still runs as F/1/work/") == 4
        assert "working on 0" in told  # what it writes is shown
        manifests = lab.tester.left(2).manifests("work")
        assert sum(bool(m.origin) for m in manifests) == 4
        logs = lab.tester.flow("logs", f"F/2/work/{manifests[0].task}").check()
        assert logs.stdout == "working on 0\n"
        why = lab.tester.flow("tasks", "F/2/work", "--state", "reused").check()
        assert "from F/1/work/" in why.stdout

    def test_a_job_that_ended_meanwhile(self, lab: Laboratory) -> None:
        lab.killed("run")
        lab.go()
        lab.until(lambda: not lab.keepers())
        told = lab.end(lab.launch("resume"))
        lab.check(2)
        assert "still run" not in told

    def test_a_job_that_dies_runs_again(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.adopting()
        lost = lab.job_of(2)
        keeper = int((lost / "keeper").read_text())
        os.kill(keeper, signal.SIGSTOP)  # so that it does not see the end of its child
        for child in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        lab.until(lambda: lab.begun()[2] == 2, resumed)
        lab.go()
        told = lab.end(resumed)
        lab.check(2, {2: 2})
        assert "and will be tried again: nobody knows how it ended" in told

    def test_the_second_launcher_is_killed_too(self, lab: Laboratory) -> None:
        lab.killed("run")
        second = lab.adopting()
        second.kill()
        second.wait()
        third = lab.adopting(3)
        lab.go()
        lab.end(third)
        lab.check(3)

    def test_ctrl_c_ends_what_was_adopted(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.adopting()
        resumed.send_signal(signal.SIGINT)
        told = lab.end(resumed, 1)
        lab.until(lambda: not lab.keepers())
        assert "Run F/2 was interrupted" in told
        lab.go()
        lab.end(lab.launch("resume"))
        lab.check(3, dict.fromkeys(range(4), 2))

    def test_with_other_parameters_they_are_ended(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume", "--factor", "5")
        lab.until(lambda: lab.writing() >= 8, resumed)
        lab.until(lambda: len(lab.keepers()) == 4, resumed)
        lab.go()
        lab.end(resumed)
        assert lab.tester.left(2).artifact("end", "total") == 75
        lab.until(lambda: not lab.keepers())

    def test_clone_only_leaves_them_to_a_later_resume(self, lab: Laboratory) -> None:
        lab.killed("run")
        lab.end(lab.launch("resume", "--clone-only"))
        assert len(lab.keepers()) == 4
        resumed = lab.adopting(3)
        lab.go()
        lab.end(resumed)
        lab.check(3)

    def test_on_another_compute_people_are_told(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume", compute="local")
        lab.until(lambda: sum(lab.begun().values()) >= 8, resumed)
        lab.go()
        told = lab.end(resumed)
        assert "4 tasks of the earlier run may still run on compute 'detached'" in told

    def test_while_the_launcher_lives_nothing_is_adopted_or_ended(self, lab: Laboratory) -> None:
        first = lab.launch("run")
        lab.until(lambda: lab.writing() >= 4, first)
        second = lab.launch("resume")
        lab.until(lambda: lab.writing() >= 8, second)
        lab.go()
        told = lab.end(second)
        assert "F/1 still goes on: what it has not finished yet runs twice" in told
        lab.end(first)
        assert lab.tester.left(1).state is RunState.SUCCEEDED
        lab.until(lambda: not lab.keepers())
