"""A launcher is killed while its jobs go on, and its run is resumed: nothing runs twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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


class Laboratory:
    """A flow whose items wait, a cluster on which they do, and launchers that can be killed."""

    def __init__(self, tester: FlowTester) -> None:
        self.tester = tester
        self.cluster = tester.path / "cluster"
        tester.write(CLUSTER.replace("FOLDER", repr(str(self.cluster))), "detached_cluster.py")
        self.file = tester.write(FLOW)
        self.launchers: list[subprocess.Popen[str]] = []

    def launch(self, *words: str, compute: str = "detached") -> subprocess.Popen[str]:
        """Start a launcher: with four workers."""
        options = ("-p", "detached_cluster", "--compute", compute)
        process = subprocess.Popen(
            [sys.executable, str(self.file), *options, *words, "--max-workers", "4"],
            cwd=self.tester.path,
            env=self.tester.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.launchers.append(process)
        return process

    def killed(self, *words: str, begun: int = 4) -> None:
        """Start a launcher, and kill it when so many items have begun."""
        process = self.launch(*words)
        self.until(lambda: sum(self.begun().values()) >= begun, process)
        time.sleep(0.5)
        process.kill()
        process.communicate()

    def go(self) -> None:
        """Let the items go on."""
        (self.tester.path / "go").touch()

    def begun(self) -> Counter[int]:
        """How often each item was begun."""
        file = self.tester.path / "begun"
        return Counter(map(int, file.read_text().split())) if file.exists() else Counter()

    def until(
        self, condition: Callable[[], bool], process: subprocess.Popen[str] | None = None
    ) -> None:
        deadline = time.monotonic() + 25
        while not condition():
            if process is not None and process.poll() is not None:
                pytest.fail(f"it has ended: {process.communicate()[0]}")
            assert time.monotonic() < deadline, "it did not happen within 25 s"
            time.sleep(0.05)

    def keepers(self) -> list[int]:
        """The processes that hold attempts of the cluster."""
        found = []
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = place.read_bytes().split(b"\0")
                if any(w.startswith(str(self.cluster).encode()) for w in words):
                    found.append(int(place.parent.name))
        return found

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
        assert launcher.stdout is not None
        launcher.stdout.close()
    lab.until(lambda: not lab.keepers())  # what a killed launcher has left ends by itself


@pytest.mark.slow
class TestResume:
    def test_jobs_that_still_run_are_waited_for(self, lab: Laboratory) -> None:
        lab.killed("run")
        assert len(lab.keepers()) == 4
        resumed = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("2"))), resumed)
        time.sleep(0.5)
        lab.go()
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
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
        resumed = lab.launch("resume")
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
        lab.check(2)
        assert "still run" not in told

    def test_a_job_that_dies_runs_again(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("2"))), resumed)
        time.sleep(0.5)
        lost = lab.job_of(2)
        keeper = int((lost / "keeper").read_text())
        os.kill(keeper, signal.SIGSTOP)  # so that it does not see the end of its child
        for child in Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        lab.until(lambda: lab.begun()[2] == 2, resumed)
        lab.go()
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
        lab.check(2, {2: 2})
        assert "and will be tried again: nobody knows how it ended" in told

    def test_the_second_launcher_is_killed_too(self, lab: Laboratory) -> None:
        lab.killed("run")
        second = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("2"))), second)
        time.sleep(1)
        second.kill()
        second.communicate()
        third = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("3"))), third)
        lab.go()
        told = third.communicate(timeout=60)[0]
        assert third.returncode == 0, told
        lab.check(3)

    def test_ctrl_c_ends_what_was_adopted(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("2"))), resumed)
        time.sleep(0.5)
        resumed.send_signal(signal.SIGINT)
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 1
        lab.until(lambda: not lab.keepers())
        assert "Run F/2 was interrupted" in told
        lab.go()
        third = lab.launch("resume")
        told = third.communicate(timeout=60)[0]
        assert third.returncode == 0, told
        lab.check(3, dict.fromkeys(range(4), 2))

    def test_with_other_parameters_they_are_ended(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume", "--factor", "5")
        lab.until(lambda: sum(lab.begun().values()) >= 8, resumed)
        lab.until(lambda: len(lab.keepers()) == 4, resumed)
        lab.go()
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
        assert lab.tester.left(2).artifact("end", "total") == 75
        lab.until(lambda: not lab.keepers())

    def test_clone_only_leaves_them_to_a_later_resume(self, lab: Laboratory) -> None:
        lab.killed("run")
        cloned = lab.launch("resume", "--clone-only")
        told = cloned.communicate(timeout=60)[0]
        assert cloned.returncode == 0, told
        assert len(lab.keepers()) == 4
        resumed = lab.launch("resume")
        lab.until(lambda: bool(list((lab.tester.path / ".flow/runs/F").glob("3"))), resumed)
        lab.go()
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
        lab.check(3)

    def test_on_another_compute_people_are_told(self, lab: Laboratory) -> None:
        lab.killed("run")
        resumed = lab.launch("resume", compute="local")
        lab.until(lambda: sum(lab.begun().values()) >= 8, resumed)
        lab.go()
        told = resumed.communicate(timeout=60)[0]
        assert resumed.returncode == 0, told
        assert "4 tasks of the earlier run may still run on compute 'detached'" in told

    def test_while_the_launcher_lives_nothing_is_adopted_or_ended(self, lab: Laboratory) -> None:
        first = lab.launch("run")
        lab.until(lambda: sum(lab.begun().values()) >= 4, first)
        time.sleep(0.5)
        second = lab.launch("resume")
        lab.until(lambda: sum(lab.begun().values()) >= 8, second)
        lab.go()
        told = second.communicate(timeout=60)[0]
        assert "F/1 still goes on: what it has not finished yet runs twice" in told
        assert second.returncode == 0, told
        first.communicate(timeout=60)
        assert first.returncode == 0
        assert lab.tester.left(1).state is RunState.SUCCEEDED
        lab.until(lambda: not lab.keepers())
