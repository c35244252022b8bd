"""The conformance suite for compute providers."""

from __future__ import annotations

import itertools
import json
import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from flow_core.interfaces import (
    AdoptingCompute,
    Begun,
    Compute,
    ComputeCapabilities,
    Exited,
    GangCompute,
    Output,
    Runtime,
    Started,
    Store,
    TaskCommand,
    Update,
)
from flow_core.logs import AttemptLogs
from flow_core.records import (
    CAUSES,
    Failure,
    ForeachFrame,
    GangMember,
    InputRange,
    RunRecord,
    RunState,
    TaskSpec,
)
from flow_core.records import attempt_prefix as prefix_of
from flow_core.testing.compute_steps import StepsRuntime


class Bench:
    """A compute provider that was prepared and opened, and a record of all that it told.

    Attributes:
        updates: all updates so far.
        exited: handle → its `Exited`.
        tasks: handle → its `TaskSpec`.
    """

    def __init__(
        self,
        compute: Compute,
        store: Store,
        runtime: Runtime,
        patience: float = 60.0,
        run: str = "1",
    ) -> None:
        self.compute = compute
        self.patience = patience
        self.store = store
        self.updates: list[Update] = []
        self.exited: dict[Any, Exited] = {}
        self.tasks: dict[Any, TaskSpec] = {}
        self._numbers = itertools.count(1)
        compute.prepare(runtime)
        compute.open(RunRecord("SuiteFlow", run, RunState.RUNNING, time.time()), store)

    def launch(self, step: str, task: TaskSpec | None = None, **command: Any) -> Any:
        """Launch an attempt of ``step``; ``command`` are attributes of the `TaskCommand`."""
        task = task or TaskSpec("SuiteFlow", "1", step, next(self._numbers))
        order = TaskCommand()
        for name, value in command.items():
            setattr(order, name, value)
        handle = self.compute.launch(task, order)
        self.tasks[handle] = task
        return handle

    def adopt(self, *tasks: TaskSpec) -> list[Any]:
        """Adopt attempts that another launcher has started."""
        handles = cast("AdoptingCompute", self.compute).adopt(tasks)
        self.tasks.update(zip(handles, tasks, strict=True))
        return handles

    def launch_gang(self, step: str, size: int, **variables: str) -> list[Any]:
        """Launch ``size`` attempts of ``step`` as one gang."""
        first = next(self._numbers)
        numbers = [first, *(next(self._numbers) for _ in range(size - 1))]
        members = []
        for index, number in enumerate(numbers):
            place = GangMember(size, index, first)
            order = TaskCommand()
            order.variables = dict(variables)
            members.append((TaskSpec("SuiteFlow", "1", step, number, gang=place), order))
        handles = cast("GangCompute", self.compute).launch_gang(members)
        self.tasks.update(zip(handles, (task for task, _ in members), strict=True))
        return handles

    def poll(self, timeout: float = 0.5) -> list[Update]:
        """Poll once and remember what came."""
        new = list(self.compute.poll(timeout))
        self.updates += new
        ended = [u for u in new if isinstance(u, Exited)]
        assert all(u.cause in CAUSES for u in ended), f"unknown causes: {ended}"
        self.exited.update({u.handle: u for u in ended})
        return new

    def wait(self, *handles: Any) -> list[Exited]:
        """Poll until all of ``handles`` have exited; return their `Exited`, in order."""
        self.until(lambda: all(handle in self.exited for handle in handles))
        return [self.exited[handle] for handle in handles]

    def until(self, condition: Callable[[], bool]) -> None:
        """Poll until ``condition`` holds."""
        deadline = time.monotonic() + self.patience
        while not condition():
            waited = f"not within {self.patience} s; told so far: {self.updates}"
            assert time.monotonic() < deadline, waited
            self.poll()

    def run(self, step: str, **command: Any) -> Exited:
        """Launch an attempt and wait for its end."""
        return self.wait(self.launch(step, **command))[0]

    def shown(self, handle: Any, stream: str) -> bytes:
        """Return what was told of a stream by `Output` updates."""
        wanted = (handle, stream)
        told = [u for u in self.updates if isinstance(u, Output)]
        return b"".join(u.data for u in told if (u.handle, u.stream) == wanted)

    def stored(self, handle: Any, stream: str) -> bytes | None:
        """Return the log that lies in the store."""
        task = self.tasks[handle]
        prefix = prefix_of(task.flow, task.run, task.step, task.task, task.attempt)
        content = AttemptLogs(self.store, prefix).read(stream)
        there = content or any(self.store.exists([prefix + stream]))
        return content if there else None


@pytest.mark.usefixtures("no_leaks")
class ComputeSuite:
    """Inherit it, and give a fixture ``compute`` that returns your provider, not yet prepared.

        class TestMyCompute(ComputeSuite):
            @pytest.fixture
            def compute(self):
                return MyCompute()

    Override the fixture ``store`` when yours needs a store that is not in memory.

    Attributes:
        isolates: each attempt is a process of its own, which may crash, be killed, and write below
            Python. False leaves those tests out.
        patience: seconds after which a test gives up waiting for something to be told.
        many: how many attempts run at the same time in the test that starts most of them.

    Since 0.1.
    """

    isolates = True
    patience = 60.0
    many = 50

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """Return the store in which logs are to be found."""
        from flow_core.testing import MemoryStore

        return MemoryStore()

    @pytest.fixture
    def runtime(self) -> Runtime:
        """Return the session: its steps are the functions of `flow_core.testing.compute_steps`."""
        return StepsRuntime()

    @pytest.fixture
    def bench(self, compute: Compute, store: Store, runtime: Runtime) -> Iterator[Bench]:
        """Return the provider at work."""
        bench = Bench(compute, store, runtime, self.patience)
        yield bench
        compute.close()

    @pytest.fixture
    def another(self) -> Compute | None:
        """Return a second provider that sees what the first one has started, as that of the next
        launcher does; None = attempts end with their launcher."""
        return None

    @pytest.fixture
    def heir(
        self, bench: Bench, another: Compute | None, store: Store, runtime: Runtime
    ) -> Iterator[Bench]:
        """Return the second provider at work for another run."""
        if another is None:
            pytest.skip("what this provider has started ends with its launcher")
        heir = Bench(another, store, runtime, self.patience, run="2")
        yield heir
        another.close()

    def needs_isolation(self) -> None:
        """Skip a test that needs a process for each task."""
        if not self.isolates:
            pytest.skip("this provider does not isolate tasks")

    # --- ends ---

    def test_capabilities_are_stated(self, compute: Compute) -> None:
        stated = compute.capabilities
        compute.close()
        assert isinstance(stated, ComputeCapabilities)
        assert stated.workers is None or stated.workers > 0

    def test_success(self, bench: Bench) -> None:
        handle = bench.launch("nothing")
        (end,) = bench.wait(handle)
        assert (end.code, end.signal) == (0, None)
        kinds = [type(u) for u in bench.updates if u.handle == handle]
        assert (kinds[0], kinds[-1], len(kinds)) == (Started, Exited, 2)

    def test_status_of_a_failure(self, bench: Bench) -> None:
        end = bench.run("fail")
        assert (end.code, end.signal) == (1, None)

    def test_unhandled_exception(self, bench: Bench) -> None:
        handle = bench.launch("raise_error")
        (end,) = bench.wait(handle)
        assert (end.code, end.signal, end.cause) == (1, None, "exit")
        assert b"ValueError: this is wrong" in (bench.stored(handle, "stderr") or b"")

    def test_killed_by_signal(self, bench: Bench) -> None:
        self.needs_isolation()
        end = bench.run("die_by_signal")
        assert (end.code, end.signal, end.cause) == (None, 9, "killed")
        assert "SIGKILL" in end.message

    def test_process_ends_by_itself(self, bench: Bench) -> None:
        self.needs_isolation()
        end = bench.run("leave_early")
        assert (end.code, end.signal, end.cause) == (3, None, "exit")
        assert "3" in end.message

    def test_times_and_usage(self, bench: Bench) -> None:
        before = time.time()
        end = bench.run("write_much")
        assert before - 1 <= end.at <= time.time() + 1
        assert 0 <= end.cpu_seconds < self.patience
        assert end.peak_memory >= 0

    def test_the_begin_of_the_body_is_told_where_time_counts(self, bench: Bench) -> None:
        if not bench.compute.capabilities.tells_begin:
            pytest.skip("this provider does not tell when a body begins")
        timed, other = bench.launch("wait_long", timed=True), bench.launch("write_both")
        bench.until(lambda: any(isinstance(u, Begun) for u in bench.updates))
        bench.wait(other)
        kinds = [type(u) for u in bench.updates if u.handle == timed and not isinstance(u, Output)]
        assert kinds == [Started, Begun]
        assert not any(isinstance(u, Begun) and u.handle == other for u in bench.updates)
        bench.compute.cancel([timed], 0.0)
        bench.wait(timed)
        assert bench.launch("leave_early", timed=True)  # nothing hangs on who ends early
        bench.wait(*bench.tasks)

    def test_nothing_stays_between_attempts(self, bench: Bench) -> None:
        for _ in range(2):
            assert bench.run("raise_error").code == 1
            assert bench.run("nothing").code == 0

    # --- gangs ---

    def test_a_gang_has_one_meeting_place(self, bench: Bench) -> None:
        if not bench.compute.capabilities.gang:
            pytest.skip("this provider cannot start gangs")
        first = bench.launch_gang("tell_meeting_place", 3)
        second = bench.launch_gang("tell_meeting_place", 2, MASTER_PORT="29500")
        assert {end.code for end in bench.wait(*first, *second)} == {0}
        places = [self._place(bench, handle) for handle in first]
        assert places[0]["MASTER_ADDR"]
        assert 0 < int(places[0]["MASTER_PORT"]) < 65536
        assert all(p["MASTER_ADDR"] == places[0]["MASTER_ADDR"] for p in places)
        assert all(p["MASTER_PORT"] == places[0]["MASTER_PORT"] for p in places)
        ranks = {(p["NODE_RANK"], p["LOCAL_RANK"]) for p in places}
        assert len(ranks) == 3
        assert all(int(p["LOCAL_RANK"]) < int(p["LOCAL_WORLD_SIZE"]) for p in places)
        assert {self._place(bench, h)["MASTER_PORT"] for h in second} == {"29500"}

    def _place(self, bench: Bench, handle: Any) -> dict[str, str]:
        found: dict[str, str] = json.loads(bench.stored(handle, "stdout") or b"{}")
        return found

    def test_the_members_of_a_gang_run_at_the_same_time(self, bench: Bench) -> None:
        self.needs_isolation()
        if not bench.compute.capabilities.gang:
            pytest.skip("this provider cannot start gangs")
        handles = bench.launch_gang("wait_long", 3)
        bench.until(
            lambda: {u.handle for u in bench.updates if isinstance(u, Started)} == set(handles)
        )
        assert not bench.exited
        bench.compute.cancel(handles, 0.0)
        assert {end.cause for end in bench.wait(*handles)} == {"cancelled"}

    # --- output ---

    def test_both_streams(self, bench: Bench) -> None:
        handle = bench.launch("write_both")
        bench.wait(handle)
        for stream in ("stdout", "stderr"):
            assert bench.shown(handle, stream) == f"to {stream}\n".encode()
            assert bench.stored(handle, stream) == f"to {stream}\n".encode()

    def test_no_log_without_output(self, bench: Bench) -> None:
        handle = bench.launch("nothing")
        bench.wait(handle)
        assert bench.stored(handle, "stdout") is None
        assert bench.stored(handle, "stderr") is None

    def test_output_below_python(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("write_below_python")
        bench.wait(handle)
        assert bench.stored(handle, "stdout") == b"from C\nfrom a child\n"
        assert bench.stored(handle, "stderr") == b"error from C\nerror from a child\n"

    def test_order_within_a_stream(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("write_in_order")
        bench.wait(handle)
        lines = [[f"{n}", f"raw {n}"] if n % 3 == 0 else [f"{n}"] for n in range(200)]
        expected = "".join(f"{line}\n" for line in itertools.chain(*lines)).encode()
        assert bench.shown(handle, "stdout") == expected
        assert bench.stored(handle, "stdout") == expected

    def test_much_output(self, bench: Bench) -> None:
        handle = bench.launch("write_much")
        bench.wait(handle)
        expected = (b"x" * 99 + b"\n") * 50_000
        assert bench.stored(handle, "stdout") == expected
        assert bench.shown(handle, "stdout") == expected

    def test_output_that_is_no_text(self, bench: Bench) -> None:
        handle = bench.launch("write_bytes")
        bench.wait(handle)
        assert bench.stored(handle, "stdout") == b"\x00\xff\xfe no end"

    def test_output_comes_before_the_end(self, bench: Bench) -> None:
        handle = bench.launch("write_both")
        bench.wait(handle)
        last = [u for u in bench.updates if u.handle == handle][-1]
        assert isinstance(last, Exited)

    def test_logs_after_the_end(self, bench: Bench) -> None:
        handle = bench.launch("write_both")
        bench.wait(handle)
        task = bench.tasks[handle]
        assert bench.compute.logs(task, "stdout") == b"to stdout\n"
        assert bench.compute.logs(task, "stdout", 3) == b"stdout\n"
        assert bench.compute.logs(task, "stdout", 100) == b""

    def test_logs_while_running(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("wait_long")
        task = bench.tasks[handle]
        bench.until(lambda: bench.compute.logs(task, "stdout") == b"ready\n")
        assert bench.compute.logs(task, "stdout", 2) == b"ady\n"
        assert handle not in bench.exited

    def test_output_is_shown_while_running(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("wait_long")
        bench.until(lambda: bench.shown(handle, "stdout") == b"ready\n")
        assert handle not in bench.exited

    # --- what a task is told ---

    def test_variables(self, bench: Bench) -> None:
        handle = bench.launch("tell_surroundings", variables={"SUITE_VARIABLE": "ü = 1"})
        bench.wait(handle)
        assert (bench.stored(handle, "stdout") or b"").decode().endswith("\nü = 1\n")
        assert "SUITE_VARIABLE" not in os.environ

    def test_folder(self, bench: Bench, tmp_path: Path) -> None:
        here = os.getcwd()
        handle = bench.launch("tell_surroundings", folder=str(tmp_path))
        bench.wait(handle)
        folder = (bench.stored(handle, "stdout") or b"").decode().splitlines()[0]
        assert os.path.realpath(folder) == os.path.realpath(tmp_path)
        assert os.getcwd() == here

    def test_the_task_arrives_whole(self, bench: Bench) -> None:
        task = TaskSpec(
            flow="SuiteFlow",
            run="1",
            step="tell_task",
            task=7,
            attempt=2,
            inputs=(InputRange("before", 1, 5, 0), InputRange("before", 6, 6, 1)),
            foreach=(ForeachFrame("split", 1, 0, "ü", 3, 10),),
            previous=Failure("error", "ValueError", "it's wrong\n", "Traceback"),
            fallback=True,
            iteration=4,
        )
        handle = bench.launch("tell_task", task)
        bench.wait(handle)
        assert bench.stored(handle, "stdout") == f"{task.to_json()}\n".encode()

    # --- many ---

    def test_many_at_once(self, bench: Bench) -> None:
        handles = [bench.launch("write_both") for _ in range(self.many)]
        assert len(set(handles)) == self.many
        ends = bench.wait(*handles)
        assert {end.code for end in ends} == {0}
        assert all(bench.stored(handle, "stdout") == b"to stdout\n" for handle in handles)

    def test_each_is_told_once(self, bench: Bench) -> None:
        handles = [bench.launch("nothing") for _ in range(10)]
        bench.wait(*handles)
        bench.poll(0.2)
        for kind in (Started, Exited):
            told = [u.handle for u in bench.updates if isinstance(u, kind)]
            assert sorted(told, key=handles.index) == handles

    # --- waiting ---

    def test_poll_waits_no_longer_than_asked(self, bench: Bench) -> None:
        before = time.monotonic()
        assert list(bench.compute.poll(0.3)) == []
        assert 0.2 < time.monotonic() - before < 4.0
        assert list(bench.compute.poll(0.0)) == []

    def test_descriptor_is_readable_at_news(self, bench: Bench) -> None:
        number = bench.compute.fileno()
        if number is None:
            pytest.skip("this provider is polled regularly")
        handle = bench.launch("write_both")
        deadline = time.monotonic() + self.patience
        while handle not in bench.exited and time.monotonic() < deadline:
            ready, _, _ = select.select([number], [], [], self.patience)
            assert ready, "nothing is heard of the task, or poll() does not empty the descriptor"
            bench.poll(0.0)
        assert bench.exited[handle].code == 0

    # --- what an earlier launcher has started ---

    def test_adopts_what_still_runs(self, bench: Bench, heir: Bench) -> None:
        runs, over = bench.launch("wait_long"), bench.launch("write_both")
        self._when_ready(bench, runs)
        bench.wait(over)
        never = TaskSpec("SuiteFlow", "1", "nothing", 99)
        adopted, *others = heir.adopt(bench.tasks[runs], bench.tasks[over], never)
        assert adopted is not None
        assert others == [None, None]
        heir.until(lambda: any(isinstance(u, Started) for u in heir.updates))
        assert heir.compute.logs(bench.tasks[runs], "stdout") == b"ready\n"
        assert not heir.exited
        heir.compute.cancel([adopted], 20.0)
        assert heir.wait(adopted)[0].cause == "cancelled"

    def test_the_end_of_what_was_adopted(self, bench: Bench, heir: Bench) -> None:
        handle = bench.launch("wait_a_moment")
        self._when_ready(bench, handle)
        (adopted,) = heir.adopt(bench.tasks[handle])
        (end,) = heir.wait(adopted)
        assert (end.code, end.signal) == (0, None)
        assert heir.stored(adopted, "stdout") == b"ready\ndone\n"

    def test_close_ends_what_was_adopted_and_nothing_else(self, bench: Bench, heir: Bench) -> None:
        wanted, other = bench.launch("wait_long"), bench.launch("wait_long")
        self._when_ready(bench, wanted, other)
        heir.adopt(bench.tasks[wanted])
        heir.compute.close()
        bench.wait(wanted)
        for _ in range(3):
            bench.poll(0.2)
        assert other not in bench.exited

    def test_adopts_nothing_where_nothing_is_asked_for(self, heir: Bench) -> None:
        assert heir.adopt() == []
        assert heir.run("nothing", task=TaskSpec("SuiteFlow", "2", "nothing", 1)).code == 0

    # --- ending by force ---

    def test_cancel(self, bench: Bench) -> None:
        self.needs_isolation()
        handles = [bench.launch("wait_long") for _ in range(3)]
        other = bench.launch("wait_long")
        self._when_ready(bench, *handles, other)
        # A grace that is over when the test has long given up: they end since they are asked to.
        bench.compute.cancel(handles, 5 * self.patience)
        ends = bench.wait(*handles)
        assert {end.cause for end in ends} == {"cancelled"}
        for _ in range(3):
            bench.poll(0.2)  # what was hit as well may end a little later
        assert other not in bench.exited

    def test_cancel_ends_by_force_after_the_grace(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("be_stubborn")
        self._when_ready(bench, handle)
        before = time.monotonic()
        bench.compute.cancel([handle], 0.5)
        (end,) = bench.wait(handle)
        assert end.cause == "cancelled"
        assert time.monotonic() - before > 0.4

    def test_cancel_before_the_first_poll(self, bench: Bench) -> None:
        handle = bench.launch("wait_long")
        bench.compute.cancel([handle], 1.0)
        assert bench.wait(handle)[0].cause == "cancelled"

    def test_cancel_after_the_end(self, bench: Bench) -> None:
        handle = bench.launch("nothing")
        bench.wait(handle)
        bench.compute.cancel([handle], 0.1)
        assert bench.run("nothing").code == 0

    def test_close_ends_what_runs(self, bench: Bench) -> None:
        self.needs_isolation()
        handle = bench.launch("be_stubborn")
        self._when_ready(bench, handle)
        (pid,) = [u.pid for u in bench.updates if isinstance(u, Started)]
        bench.compute.close()
        if pid.isdigit():  # a process of this machine
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)

    def test_close_twice(self, bench: Bench) -> None:
        bench.compute.close()
        bench.compute.close()

    def test_close_without_anything(self, compute: Compute) -> None:
        compute.close()

    def _when_ready(self, bench: Bench, *handles: Any) -> None:
        def ready() -> bool:
            tasks = [bench.tasks[handle] for handle in handles]
            return all(bench.compute.logs(task, "stdout") == b"ready\n" for task in tasks)

        bench.until(ready)
        bench.until(lambda: {u.handle for u in bench.updates} >= set(handles))
