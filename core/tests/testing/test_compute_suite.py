"""The suite for compute providers finds each promise that a provider breaks.

Here without processes; what needs them is in the tests of flow-compute-local.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import pytest

from flow_core.interfaces import Compute, Exited, Output, Started, TaskCommand, Update
from flow_core.records import TaskSpec
from flow_core.testing import ComputeSuite, InProcessCompute, failures


class StatesNothing(InProcessCompute):
    capabilities = None  # type: ignore[assignment]


class AllIsWell(InProcessCompute):
    """Says of each attempt that it succeeded."""

    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(timeout)
        return [u._replace(code=0) if isinstance(u, Exited) else u for u in found]


class LosesFailures(InProcessCompute):
    """Never tells of an attempt that failed: its task is lost."""

    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(min(timeout, 0.1))
        return [u for u in found if not (isinstance(u, Exited) and u.code)]


class TellsTwice(InProcessCompute):
    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(timeout)
        return [u for u in found for _ in range(2 if isinstance(u, Started) else 1)]


class EndFirst(InProcessCompute):
    """Tells of the end before the output."""

    def poll(self, timeout: float) -> Sequence[Update]:
        return sorted(super().poll(timeout), key=lambda u: isinstance(u, Output))


class KeepsOutput(InProcessCompute):
    """Tells nothing of what is written."""

    def poll(self, timeout: float) -> Sequence[Update]:
        return [u for u in super().poll(timeout) if not isinstance(u, Output)]


class OutputIsText(InProcessCompute):
    """Takes output for text."""

    def _outputs(self, number: int, task: TaskSpec, written: Any) -> Any:
        for raw in written.values():
            text = raw.getvalue().decode(errors="replace")
            raw.seek(0)
            raw.truncate()
            raw.write(text.encode())
        return super()._outputs(number, task, written)


class EmptyLogs(InProcessCompute):
    """Writes a log where nothing was said."""

    def _outputs(self, number: int, task: TaskSpec, written: Any) -> Any:
        assert self._store is not None
        place = f"runs/{task.flow}/{task.run}/{task.step}/{task.task}/{task.attempt}/"
        self._store.write([(place + stream, b"") for stream in written])
        yield from super()._outputs(number, task, written)


class WholeLogs(InProcessCompute):
    """Gives the whole log whatever the reader has of it already."""

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        return super().logs(task, stream)


class LeavesVariables(InProcessCompute):
    """Leaves the variables of a task behind."""

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        os.environ.update(command.variables)
        return super().launch(task, command)


class NoVariables(InProcessCompute):
    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        command.variables = {}
        return super().launch(task, command)


class OwnFolder(InProcessCompute):
    """Runs a task wherever it is itself."""

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        command.folder = None
        return super().launch(task, command)


class ForgetsFailure(InProcessCompute):
    """Does not tell an attempt why the one before failed."""

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        return super().launch(task._replace(previous=None), command)


class CancelsSilently(InProcessCompute):
    """Takes what is cancelled away, and never tells of its end."""

    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(min(timeout, 0.1))
        return [u for u in found if not (isinstance(u, Exited) and u.cause == "cancelled")]


class CancelledIsFailed(InProcessCompute):
    """Does not say that an end was wanted."""

    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(timeout)
        return [u._replace(cause="exit") if isinstance(u, Exited) else u for u in found]


class Spins(InProcessCompute):
    """Does not wait for news."""

    def poll(self, timeout: float) -> Sequence[Update]:
        return super().poll(0.0)


class Sleeps(InProcessCompute):
    """Waits longer than asked."""

    def poll(self, timeout: float) -> Sequence[Update]:
        return super().poll(timeout + 4.0)


class UsesHandlesAgain(InProcessCompute):
    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        self._last %= 10
        return super().launch(task, command)


class ClosesOnce(InProcessCompute):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("It is closed already")
        self.closed = True
        super().close()


class ManyMeetingPlaces(InProcessCompute):
    """Gives each member of a gang a place of its own."""

    def launch_gang(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[int]:
        handles = super().launch_gang(members)
        for number, (_, command) in enumerate(members):
            command.variables = {**command.variables, "MASTER_PORT": str(2000 + number)}
        return handles


class OtherClock(InProcessCompute):
    """Tells times of a clock that is not the world's."""

    def poll(self, timeout: float) -> Sequence[Update]:
        found = super().poll(timeout)
        return [u._replace(at=time.monotonic()) if isinstance(u, Exited) else u for u in found]


class NeverReadable(InProcessCompute):
    """Has a descriptor on which nothing is ever heard."""

    def __init__(self) -> None:
        super().__init__()
        self._pipe = os.pipe()

    def fileno(self) -> int | None:
        return self._pipe[0]

    def close(self) -> None:
        super().close()
        for number in self._pipe:
            os.close(number)
        self._pipe = ()  # type: ignore[assignment]


class KnowsRunningOnly(InProcessCompute):
    """Cannot cancel what has ended."""

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        known = [number for number, *_ in self._waiting]
        for handle in handles:
            known.remove(handle)
        super().cancel(handles, grace)


class ClosesWhatIsOpen(InProcessCompute):
    """Cannot be closed where it was not opened."""

    def close(self) -> None:
        assert self._store is not None
        super().close()


class LeavesPipes(InProcessCompute):
    def prepare(self, runtime: Any) -> None:
        super().prepare(runtime)
        _OPEN.extend(os.pipe())


_OPEN: list[int] = []

BROKEN: list[tuple[type[InProcessCompute], str]] = [
    (StatesNothing, "test_capabilities_are_stated"),
    (AllIsWell, "test_status_of_a_failure"),
    (AllIsWell, "test_nothing_stays_between_attempts"),
    (LosesFailures, "test_unhandled_exception"),
    (TellsTwice, "test_success"),
    (TellsTwice, "test_each_is_told_once"),
    (EndFirst, "test_output_comes_before_the_end"),
    (KeepsOutput, "test_both_streams"),
    (KeepsOutput, "test_much_output"),
    (OutputIsText, "test_output_that_is_no_text"),
    (EmptyLogs, "test_no_log_without_output"),
    (WholeLogs, "test_logs_after_the_end"),
    (LeavesVariables, "test_variables"),
    (NoVariables, "test_variables"),
    (OwnFolder, "test_folder"),
    (ForgetsFailure, "test_the_task_arrives_whole"),
    (CancelsSilently, "test_cancel_before_the_first_poll"),
    (CancelledIsFailed, "test_cancel_before_the_first_poll"),
    (Spins, "test_poll_waits_no_longer_than_asked"),
    (Sleeps, "test_poll_waits_no_longer_than_asked"),
    (UsesHandlesAgain, "test_many_at_once"),
    (ClosesOnce, "test_close_twice"),
    (ManyMeetingPlaces, "test_a_gang_has_one_meeting_place"),
    (OtherClock, "test_times_and_usage"),
    (LeavesPipes, "test_success"),
    (NeverReadable, "test_descriptor_is_readable_at_news"),
    (KnowsRunningOnly, "test_cancel_after_the_end"),
    (ClosesWhatIsOpen, "test_close_without_anything"),
    (InProcessCompute, "test_output_below_python"),
    (InProcessCompute, "test_order_within_a_stream"),
]


def suite(provider: type[InProcessCompute]) -> type[ComputeSuite]:
    class TestIt(ComputeSuite):
        isolates = provider is InProcessCompute  # as if it did
        patience = 1.0

        @pytest.fixture
        def compute(self) -> Compute:
            return provider()

    return TestIt


@pytest.mark.parametrize(("provider", "case"), BROKEN)
def test_it_finds(provider: type[InProcessCompute], case: str) -> None:
    try:
        assert [*failures(suite(provider), case)] == [case]
    finally:
        while _OPEN:
            os.close(_OPEN.pop())
        os.environ.pop("SUITE_VARIABLE", None)
