"""The suite for compute providers finds promises that only one with processes can break."""

import pytest

from flow_compute_local.provider import LocalCompute
from flow_core.api import Begun, Exited, Output
from flow_core.testing import ComputeSuite, failures


class LosesTheKilled(LocalCompute):
    """Never tells of a task whose process was killed: it is lost."""

    def poll(self, timeout):
        found = super().poll(timeout)
        return [u for u in found if not (isinstance(u, Exited) and u.signal)]


class KilledIsFailed(LocalCompute):
    """Does not tell a killed task from a failed one."""

    def poll(self, timeout):
        return [
            u._replace(signal=None, code=1, cause="exit") if isinstance(u, Exited) else u
            for u in super().poll(timeout)
        ]


class CancelsNothing(LocalCompute):
    def cancel(self, handles, grace):
        pass


class CancelsAll(LocalCompute):
    """Ends all tasks when some are cancelled."""

    def __init__(self):
        super().__init__()
        self.known = []

    def launch(self, task, command):
        self.known.append(super().launch(task, command))
        return self.known[-1]

    def cancel(self, handles, grace):
        super().cancel(self.known, grace)


class NoGrace(LocalCompute):
    """Kills at once."""

    def cancel(self, handles, grace):
        super().cancel(handles, 0.0)


class ShowsAtTheEnd(LocalCompute):
    """Tells of output when the task has ended."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def poll(self, timeout):
        told = []
        for update in super().poll(timeout):
            if isinstance(update, Output):
                self.kept.append(update)
                continue
            if isinstance(update, Exited):
                told += [u for u in self.kept if u.handle == update.handle]
            told.append(update)
        return told


class LogsAtTheEnd(LocalCompute):
    """Has a log when the task has ended."""

    def __init__(self):
        super().__init__()
        self.ended = set()

    def poll(self, timeout):
        found = super().poll(timeout)
        self.ended.update(u.handle for u in found if isinstance(u, Exited))
        return found

    def logs(self, task, stream, offset=0):
        return super().logs(task, stream, offset) if self.ended else b""


class AllIsWell(LocalCompute):
    """Says of each task that it succeeded."""

    def poll(self, timeout):
        found = super().poll(timeout)
        return [u._replace(code=0) if isinstance(u, Exited) else u for u in found]


class NoBegin(LocalCompute):
    """Says that it tells when a body begins, and does not."""

    def poll(self, timeout):
        return [u for u in super().poll(min(timeout, 0.1)) if not isinstance(u, Begun)]


class OneMember(LocalCompute):
    """Starts the first member of a gang only."""

    def launch_gang(self, members):
        (first,) = super().launch_gang(members[:1])
        return [first, *range(-1, -len(members), -1)]


class ClosesLate(LocalCompute):
    """Leaves its tasks running when it is closed for the first time."""

    closed = 0

    def close(self):
        self.closed += 1
        if self.closed > 1:
            super().close()


BROKEN = [
    (AllIsWell, "test_process_ends_by_itself"),
    (NoBegin, "test_the_begin_of_the_body_is_told_where_time_counts"),
    (OneMember, "test_the_members_of_a_gang_run_at_the_same_time"),
    (ClosesLate, "test_close_ends_what_runs"),
    (LosesTheKilled, "test_killed_by_signal"),
    (KilledIsFailed, "test_killed_by_signal"),
    (CancelsNothing, "test_cancel"),
    (CancelsAll, "test_cancel"),
    (NoGrace, "test_cancel_ends_by_force_after_the_grace"),
    (ShowsAtTheEnd, "test_output_is_shown_while_running"),
    (LogsAtTheEnd, "test_logs_while_running"),
]


@pytest.mark.parametrize(("provider", "case"), BROKEN)
def test_it_finds(provider, case):
    class TestIt(ComputeSuite):
        patience = 2.0

        @pytest.fixture
        def compute(self):
            return provider()

    assert [*failures(TestIt, case)] == [case]
