"""Attempts that outlive their launcher: the fake keeps all promises, and the suite finds broken ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_core.interfaces import Compute, Exited, Update
from flow_core.records import TaskSpec
from flow_core.testing import ComputeSuite, DetachedCompute, failures


class TestDetached(ComputeSuite):
    @pytest.fixture
    def compute(self, tmp_path: Path) -> Compute:
        return DetachedCompute(tmp_path / "cluster")

    @pytest.fixture
    def another(self, tmp_path: Path) -> Compute:
        return DetachedCompute(tmp_path / "cluster")


class AdoptsNothing(DetachedCompute):
    def adopt(self, tasks: Sequence[TaskSpec]) -> list[str | None]:
        return [None for _ in tasks]


class AdoptsAll(DetachedCompute):
    """Takes what has ended, too: somebody would wait for it for ever."""

    def adopt(self, tasks: Sequence[TaskSpec]) -> list[str | None]:
        found = super().adopt(tasks)
        return [handle or f"lost {number}" for number, handle in enumerate(found)]


class NeverTellsTheEnd(DetachedCompute):
    def poll(self, timeout: float) -> Sequence[Update]:
        return [u for u in super().poll(timeout) if not isinstance(u, Exited)]


class KeepsNoLogs(DetachedCompute):
    def _end(self, job: Any) -> Exited:
        job.output = lambda stream: b""
        return super()._end(job)


class LogsUnderItsOwnRun(DetachedCompute):
    def _end(self, job: Any) -> Exited:
        job.task = job.task._replace(run="2")
        return super()._end(job)


class LeavesWhatItAdopted(DetachedCompute):
    def close(self) -> None:
        self._jobs.clear()


class EndsEverything(DetachedCompute):
    """Takes the whole cluster for its own."""

    def close(self) -> None:
        for place in self.folder.glob("SuiteFlow-1-*"):
            task, attempt = place.name.split("-")[3:]
            spec = TaskSpec("SuiteFlow", "1", place.name.split("-")[2], int(task), int(attempt))
            self.adopt([spec])
        super().close()


class NeedsSomething(DetachedCompute):
    """Breaks where nothing is to be adopted."""

    def adopt(self, tasks: Sequence[TaskSpec]) -> list[str | None]:
        assert tasks
        return super().adopt(tasks)


@pytest.mark.parametrize(
    ("broken", "case"),
    [
        (AdoptsNothing, "test_adopts_what_still_runs"),
        (AdoptsAll, "test_adopts_what_still_runs"),
        (NeverTellsTheEnd, "test_the_end_of_what_was_adopted"),
        (KeepsNoLogs, "test_the_end_of_what_was_adopted"),
        (LogsUnderItsOwnRun, "test_the_end_of_what_was_adopted"),
        (LeavesWhatItAdopted, "test_close_ends_what_was_adopted_and_nothing_else"),
        (EndsEverything, "test_close_ends_what_was_adopted_and_nothing_else"),
        (NeedsSomething, "test_adopts_nothing_where_nothing_is_asked_for"),
    ],
)
def test_a_broken_promise_is_found(broken: type[DetachedCompute], case: str) -> None:
    class TestBroken(TestDetached):
        patience = 8.0

        @pytest.fixture
        def another(self, tmp_path: Path) -> Compute:
            return broken(tmp_path / "cluster")

    assert case in failures(TestBroken, case)


def test_an_attempt_is_never_started_twice(tmp_path: Path) -> None:
    """So that whoever tests a launcher with it sees that at once."""
    from flow_core.errors import FlowError
    from flow_core.interfaces import TaskCommand
    from flow_core.testing import MemoryStore
    from flow_core.testing.compute_steps import StepsRuntime
    from flow_core.testing.compute_suite import Bench

    bench = Bench(DetachedCompute(tmp_path), MemoryStore(), StepsRuntime())
    task = TaskSpec("SuiteFlow", "1", "nothing", 1)
    bench.wait(bench.launch("nothing", task))
    with pytest.raises(FlowError, match="SuiteFlow-1-nothing-1-0 was started twice"):
        bench.compute.launch(task, TaskCommand())
    bench.compute.close()
    assert (tmp_path / "started").read_text() == "SuiteFlow-1-nothing-1-0\n"
    assert os.path.exists(tmp_path / "SuiteFlow-1-nothing-1-0" / "ended")
