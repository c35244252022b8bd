"""What every metadata provider must do. Subclass `MetadataSuite`; give it a fixture ``metadata``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow_core.errors import FlowError, NotFound, StateError, UsageError
from flow_core.interfaces import Metadata
from flow_core.records import (
    ArtifactRef,
    AttemptRecord,
    AttemptState,
    Failure,
    ForeachFrame,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    TagRevision,
    manifest_key,
    result_key,
    run_key,
)
from flow_core.testing.fakes import MemoryStore
from flow_core.testing.processes import in_children

QUEUED, RUNNING = AttemptState.QUEUED, AttemptState.RUNNING
SUCCEEDED, FAILED = AttemptState.SUCCEEDED, AttemptState.FAILED

FULL_RUN = RunRecord(
    flow="Flöw",
    run="7",
    state=RunState.RUNNING,
    created_at=1700000000.25,
    finished_at=1700000100.5,
    user="ada",
    host="engine",
    pid=42,
    origin="Flöw/6",
    tags=("a tag", "b"),
    system_tags=("runtime:dev", "user:ada"),
    heartbeat_at=1700000050.75,
    message="it's \"quoted\"; -- and 'escaped'",
    parameters=(("alpha", "3"), ("größe", '"x\'y"')),
)
FULL_ATTEMPT = AttemptRecord(
    flow="F",
    run="1",
    step="train",
    task=3,
    attempt=1,
    state=FAILED,
    indices=(2, 0, 11),
    started_at=1700000000.125,
    finished_at=1700000001.5,
    cpu_seconds=0.75,
    peak_memory=5_000_000_000,
    origin="F/0/train/3/0",
    cause="error",
    message="ValueError: größer; 'x'",
)


def new_run(run: str = "1", flow: str = "F", created_at: float = 1000.0) -> RunRecord:
    """Return a run with defaults for all that a test does not look at."""
    return RunRecord(flow, run, RunState.CREATED, created_at)


def new_attempt(
    task: int,
    attempt: int = 0,
    *,
    step: str = "work",
    state: AttemptState = SUCCEEDED,
    run: str = "1",
    started: float | None = None,
    finished: float | None = None,
) -> AttemptRecord:
    """Return an attempt with defaults for all that a test does not look at."""
    return AttemptRecord(
        "F", run, step, task, attempt, state, started_at=started, finished_at=finished
    )


def places(records: list[AttemptRecord]) -> list[tuple[int, int]]:
    """Return (task, attempt) of each record."""
    return [(record.task, record.attempt) for record in records]


def names(runs: list[RunRecord]) -> list[str]:
    """Return the ids of runs."""
    return [run.run for run in runs]


@pytest.mark.usefixtures("no_leaks")
class MetadataSuite:
    """Inherit it as ``class TestMine(MetadataSuite)`` with a fixture ``metadata`` giving an empty one.

    Attributes:
        in_process: True when other processes cannot see the content: what needs them is skipped.
        writers: how many threads and processes write at the same time.
    """

    in_process = False
    writers = 8

    @pytest.fixture
    def metadata(self) -> Iterator[Metadata]:
        """Give an empty index, and close it afterwards. Override this."""
        raise NotImplementedError("the subclass of MetadataSuite must define 'metadata'")

    def reopen(self, metadata: Metadata) -> Metadata:
        """Return another instance on the same content: by default, made from the URL."""
        _, _, root = metadata.url.partition("://")
        return type(metadata)(root)  # type: ignore[call-arg] # the protocol has no constructor

    # --- empty ------------------------------------------------------------------------------

    def test_empty_index_gives_empty_answers(self, metadata: Metadata) -> None:
        assert metadata.flows() == []
        assert metadata.run("F", "1") is None
        assert metadata.runs("F") == []
        assert metadata.steps("F", "1") == []
        assert metadata.attempts("F", "1") == []

    def test_changes_of_an_unknown_run_are_refused(self, metadata: Metadata) -> None:
        for change in (
            lambda: metadata.update_run("F", "1", message="x"),
            lambda: metadata.change_tags("F", "1", add=["x"]),
            lambda: metadata.write_attempts([new_attempt(0)]),
        ):
            with pytest.raises(NotFound, match="F/1"):
                change()
        assert metadata.flows() == [], "a refused change leaves nothing behind"

    # --- runs -------------------------------------------------------------------------------

    def test_run_round_trip(self, metadata: Metadata) -> None:
        metadata.register_run(FULL_RUN)
        assert metadata.run("Flöw", "7") == FULL_RUN

    def test_run_of_defaults_round_trip(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        assert metadata.run("F", "1") == new_run()
        assert metadata.run("F", "2") is None
        assert metadata.run("G", "1") is None

    def test_tags_come_back_sorted_and_once(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(tags=("b", "a", "b"), system_tags=("z", "y")))
        found = metadata.run("F", "1")
        assert found is not None
        assert (found.tags, found.system_tags) == (("a", "b"), ("y", "z"))

    def test_run_is_registered_once(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        with pytest.raises(FlowError, match="F/1"):
            metadata.register_run(new_run(created_at=2000.0))
        assert metadata.run("F", "1") == new_run(), "the first registration stands"

    def test_flows_are_sorted(self, metadata: Metadata) -> None:
        for flow in ("Zoo", "Ant", "Bee", "Ant"):
            metadata.register_run(new_run(run=f"{len(metadata.runs(flow))}", flow=flow))
        assert metadata.flows() == ["Ant", "Bee", "Zoo"]

    def test_update_changes_what_is_given(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.update_run("F", "1", heartbeat_at=5.0)
        metadata.update_run("F", "1", message="hello")
        metadata.update_run("F", "1", state=RunState.RUNNING)
        metadata.update_run("F", "1", finished_at=9.0)
        expected = new_run()._replace(
            heartbeat_at=5.0, message="hello", state=RunState.RUNNING, finished_at=9.0
        )
        assert metadata.run("F", "1") == expected

    def test_update_of_nothing(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.update_run("F", "1")
        assert metadata.run("F", "1") == new_run()

    def test_update_may_clear_the_message(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(message="old"))
        metadata.update_run("F", "1", message="")
        found = metadata.run("F", "1")
        assert found is not None
        assert found.message == "", "'' is a value, None means unchanged"

    def test_illegal_transition_changes_nothing(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(state=RunState.SUCCEEDED))
        with pytest.raises(StateError):
            metadata.update_run("F", "1", state=RunState.RUNNING, message="changed")
        assert metadata.run("F", "1") == new_run()._replace(state=RunState.SUCCEEDED)

    def test_only_one_ends_a_run(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(state=RunState.RUNNING))

        start = threading.Barrier(self.writers)

        def end(_: int) -> bool:
            start.wait()
            try:
                metadata.update_run("F", "1", state=RunState.FAILED)
            except StateError:
                return False
            return True

        with ThreadPoolExecutor(self.writers) as pool:
            ended = list(pool.map(end, range(self.writers)))
        assert sum(ended) == 1, "the check of the old state and the change are one"

    def test_runs_newest_first(self, metadata: Metadata) -> None:
        for run, created in (("1", 10.0), ("2", 30.0), ("3", 20.0)):
            metadata.register_run(new_run(run, created_at=created))
        metadata.register_run(new_run("9", flow="Other"))
        assert names(metadata.runs("F")) == ["2", "3", "1"]
        assert names(metadata.runs("F", limit=2)) == ["2", "3"]

    def test_pages_of_runs(self, metadata: Metadata) -> None:
        # Several runs of one instant must neither be lost nor come twice at the edge of a page.
        for number in range(20):
            metadata.register_run(new_run(f"{number:02}", created_at=float(number // 6)))
        everything = metadata.runs("F")
        assert len(everything) == 20
        for size in (1, 3, 7, 20, 50):
            pages: list[RunRecord] = []
            while page := metadata.runs("F", limit=size, before=pages[-1] if pages else None):
                assert len(page) <= size
                pages += page
            assert pages == everything, f"pages of {size} put together are the whole list"

    def test_runs_by_state(self, metadata: Metadata) -> None:
        states = list(RunState)
        for number, state in enumerate(states):
            run = new_run(str(number), created_at=float(number))
            metadata.register_run(run._replace(state=state))
        found = metadata.runs("F", states=[RunState.FAILED, RunState.RUNNING])
        assert {run.state for run in found} == {RunState.FAILED, RunState.RUNNING}
        assert len(metadata.runs("F", states=[])) == len(states), "no states means any state"

    def test_runs_by_tags(self, metadata: Metadata) -> None:
        for run, tags in (("1", ("a",)), ("2", ("a", "b")), ("3", ("b",))):
            record = new_run(run, created_at=float(run))
            metadata.register_run(record._replace(tags=tags, system_tags=(f"user:{run}",)))
        assert names(metadata.runs("F", tags=["a"])) == ["2", "1"]
        assert names(metadata.runs("F", tags=["a", "b"])) == ["2"]
        assert names(metadata.runs("F", tags=["b", "user:3"])) == ["3"]
        assert names(metadata.runs("F", tags=["c"])) == []
        assert names(metadata.runs("F", tags=["a"], limit=1)) == ["2"], "the limit comes last"

    def test_runs_by_time(self, metadata: Metadata) -> None:
        for number in range(5):
            metadata.register_run(new_run(str(number), created_at=float(number)))
        assert names(metadata.runs("F", since=2.0)) == ["4", "3", "2"], "since is included"
        assert names(metadata.runs("F", until=2.0)) == ["1", "0"], "until is not"
        assert names(metadata.runs("F", since=1.0, until=4.0, limit=2)) == ["3", "2"]

    def test_runs_by_user(self, metadata: Metadata) -> None:
        for number, user in enumerate(("ada", "bob", "ada")):
            run = new_run(str(number), created_at=float(number))
            metadata.register_run(run._replace(user=user))
        assert names(metadata.runs("F", user="ada")) == ["2", "0"]
        assert names(metadata.runs("F", user="eve")) == []

    def test_runs_by_parameters(self, metadata: Metadata) -> None:
        for number, alpha in enumerate(("3", '"3"', "4")):
            given = (("alpha", alpha), ("mode", '"fast"'))
            run = new_run(str(number), created_at=float(number))
            metadata.register_run(run._replace(parameters=given))
        metadata.register_run(new_run("9", created_at=9.0))
        assert names(metadata.runs("F", parameters={"alpha": ["3"]})) == ["0"]
        assert names(metadata.runs("F", parameters={"alpha": ["3", '"3"']})) == ["1", "0"]
        both = {"alpha": ["3", "4"], "mode": ['"fast"']}
        assert names(metadata.runs("F", parameters=both)) == ["2", "0"]
        assert names(metadata.runs("F", parameters={"beta": ["3"]})) == []

    def test_pages_stay_while_runs_are_added(self, metadata: Metadata) -> None:
        for number in range(6):
            metadata.register_run(new_run(str(number), created_at=float(number)))
        first = metadata.runs("F", limit=3)
        metadata.register_run(new_run("7", created_at=7.0))
        assert names(first + metadata.runs("F", limit=3, before=first[-1])) == list("543210")

    def test_remove_run(self, metadata: Metadata) -> None:
        for run in ("1", "2"):
            given = (("alpha", "3"),)
            metadata.register_run(new_run(run)._replace(tags=("t",), parameters=given))
        metadata.write_attempts([new_attempt(0), new_attempt(0, run="2")])
        assert metadata.remove_run("F", "1")
        assert not metadata.remove_run("F", "1"), "it is gone already"
        assert (metadata.run("F", "1"), metadata.attempts("F", "1")) == (None, [])
        assert names(metadata.runs("F", tags=["t"], parameters={"alpha": ["3"]})) == ["2"]
        assert places(metadata.attempts("F", "2")) == [(0, 0)]
        metadata.register_run(new_run())
        assert metadata.run("F", "1") == new_run(), "nothing is left of the one before"
        assert metadata.attempts("F", "1") == []

    # --- tags -------------------------------------------------------------------------------

    def test_change_tags(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(tags=("a", "b"), system_tags=("user:x",)))
        assert metadata.change_tags("F", "1", add=["d", "c"], remove=["a", "no"]) == ("b", "c", "d")
        assert metadata.change_tags("F", "1") == ("b", "c", "d")
        found = metadata.run("F", "1")
        assert found is not None
        assert (found.tags, found.system_tags) == (("b", "c", "d"), ("user:x",))

    def test_system_tags_are_not_the_users_to_change(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(system_tags=("user:x",)))
        assert metadata.change_tags("F", "1", add=["user:x"], remove=[]) == ("user:x",)
        assert metadata.change_tags("F", "1", remove=["user:x"]) == ()
        found = metadata.run("F", "1")
        assert found is not None
        assert found.system_tags == ("user:x",)

    def test_added_and_removed_is_added(self, metadata: Metadata) -> None:
        metadata.register_run(new_run()._replace(tags=("a",)))
        assert metadata.change_tags("F", "1", add=["a"], remove=["a"]) == ("a",)

    @pytest.mark.parametrize("tag", ["", "x" * 501])
    def test_tag_of_a_bad_length_is_refused(self, metadata: Metadata, tag: str) -> None:
        metadata.register_run(new_run())
        with pytest.raises(UsageError, match="500"):
            metadata.change_tags("F", "1", add=["good", tag])
        with pytest.raises(UsageError, match="500"):
            metadata.register_run(new_run("2")._replace(tags=(tag,)))
        assert metadata.runs("F") == [new_run()], "all or nothing"

    def test_longest_tag(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        assert metadata.change_tags("F", "1", add=["ü" * 500]) == ("ü" * 500,)

    def test_number_of_tags_is_limited(self, metadata: Metadata) -> None:
        fifty = [f"{i:02}" for i in range(50)]
        metadata.register_run(new_run())
        assert len(metadata.change_tags("F", "1", add=fifty)) == 50
        with pytest.raises(UsageError, match="50"):
            metadata.change_tags("F", "1", add=["more"])
        assert len(metadata.change_tags("F", "1", add=["more"], remove=["00"])) == 50
        with pytest.raises(UsageError, match="50"):
            metadata.register_run(new_run("2")._replace(tags=(*fifty, "more")))

    def test_threads_change_tags(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        with ThreadPoolExecutor(self.writers) as pool:
            list(pool.map(lambda i: metadata.change_tags("F", "1", add=[f"t{i}"]), range(20)))
        found = metadata.run("F", "1")
        assert found is not None
        assert len(found.tags) == 20, "no change of another thread is overwritten"

    # --- attempts ---------------------------------------------------------------------------

    def test_attempt_round_trip(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([FULL_ATTEMPT])
        assert metadata.attempts("F", "1") == [FULL_ATTEMPT]

    @pytest.mark.parametrize("state", list(AttemptState))
    def test_attempt_of_each_state(self, metadata: Metadata, state: AttemptState) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(0, state=state)])
        assert metadata.attempts("F", "1", states=[state]) == [new_attempt(0, state=state)]

    def test_attempt_is_replaced(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(0, state=QUEUED)])
        metadata.write_attempts([new_attempt(0, state=RUNNING, started=5.0)])
        last = new_attempt(0, started=5.0, finished=6.0)._replace(peak_memory=7, message="m")
        metadata.write_attempts([last])
        assert metadata.attempts("F", "1", all_attempts=True) == [last]

    def test_last_record_of_a_batch_wins(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(0, state=QUEUED), new_attempt(0, state=FAILED)])
        assert metadata.attempts("F", "1") == [new_attempt(0, state=FAILED)]

    def test_empty_batch(self, metadata: Metadata) -> None:
        metadata.write_attempts([])
        assert metadata.flows() == []

    def test_batch_is_all_or_nothing(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        with pytest.raises(NotFound):
            metadata.write_attempts([new_attempt(0), new_attempt(1, run="unknown")])
        assert metadata.attempts("F", "1") == []

    def test_batch_over_several_runs(self, metadata: Metadata) -> None:
        for run in ("1", "2"):
            metadata.register_run(new_run(run))
        metadata.write_attempts([new_attempt(0), new_attempt(0, run="2", state=FAILED)])
        assert metadata.attempts("F", "1") == [new_attempt(0)]
        assert metadata.attempts("F", "2") == [new_attempt(0, run="2", state=FAILED)]

    def test_last_attempt_stands_for_the_task(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        batch = [new_attempt(0, n, state=SUCCEEDED if n == 10 else FAILED) for n in range(11)]
        metadata.write_attempts([*batch, new_attempt(1)])
        assert places(metadata.attempts("F", "1")) == [(0, 10), (1, 0)]
        everything = [(0, n) for n in range(11)] + [(1, 0)]
        assert places(metadata.attempts("F", "1", all_attempts=True)) == everything

    def test_attempts_may_arrive_in_any_order(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        for number in (1, 0, 2, 1):
            metadata.write_attempts([new_attempt(0, number)])
        assert places(metadata.attempts("F", "1")) == [(0, 2)]
        metadata.write_attempts([new_attempt(5, 1), new_attempt(5, 0)])
        assert places(metadata.attempts("F", "1")) == [(0, 2), (5, 1)]

    def test_attempts_of_a_step(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(i, step="ab"[i % 2]) for i in range(6)])
        assert places(metadata.attempts("F", "1", step="b")) == [(1, 0), (3, 0), (5, 0)]
        assert places(metadata.attempts("F", "1", step="b", after=1)) == [(3, 0), (5, 0)]
        assert metadata.attempts("F", "1", step="c") == []

    def test_attempts_of_a_task(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(t, a) for t in range(3) for a in range(2)])
        assert places(metadata.attempts("F", "1", task=1)) == [(1, 1)]
        assert places(metadata.attempts("F", "1", task=1, all_attempts=True)) == [(1, 0), (1, 1)]
        assert metadata.attempts("F", "1", task=9) == []
        assert metadata.attempts("F", "1", task=1, step="other") == []

    def test_state_filters_what_would_be_returned(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts(
            [new_attempt(0, 0, state=FAILED), new_attempt(0, 1), new_attempt(1, state=FAILED)]
        )
        assert places(metadata.attempts("F", "1", states=[FAILED])) == [(1, 0)]
        found = metadata.attempts("F", "1", states=[FAILED], all_attempts=True)
        assert places(found) == [(0, 0), (1, 0)]
        found = metadata.attempts("F", "1", states=[FAILED, SUCCEEDED, FAILED])
        assert places(found) == [(0, 1), (1, 0)]

    def test_steps_are_merged_by_task(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        batch = [new_attempt(i, step=f"step{7 - i % 7}") for i in range(30)]
        metadata.write_attempts(batch[::-1])
        assert metadata.attempts("F", "1") == batch

    def test_limit_counts_tasks(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(t, a) for t in range(5) for a in range(3)])
        found = metadata.attempts("F", "1", all_attempts=True, limit=2)
        assert places(found) == [(t, a) for t in range(2) for a in range(3)]
        assert places(metadata.attempts("F", "1", limit=2)) == [(0, 2), (1, 2)]
        assert metadata.attempts("F", "1", limit=0) == []

    @pytest.mark.parametrize("all_attempts", [False, True])
    @pytest.mark.parametrize("states", [(), (FAILED,), (FAILED, SUCCEEDED)])
    def test_pages_of_attempts(
        self, metadata: Metadata, all_attempts: bool, states: tuple[AttemptState, ...]
    ) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts(
            [
                new_attempt(t * 2, a, step=f"s{t % 3}", state=FAILED if (t + a) % 4 else SUCCEEDED)
                for t in range(30)
                for a in range(1 + t % 3)
            ]
        )
        everything = metadata.attempts("F", "1", all_attempts=all_attempts, states=states)
        for size in (1, 4, 30):
            pages: list[AttemptRecord] = []
            while page := metadata.attempts(
                "F",
                "1",
                all_attempts=all_attempts,
                states=states,
                limit=size,
                after=pages[-1].task if pages else -1,
            ):
                pages += page
            assert pages == everything, f"pages of {size} put together are the whole list"
            pages = []
            while page := metadata.attempts(
                "F",
                "1",
                all_attempts=all_attempts,
                states=states,
                limit=size,
                newest_first=True,
                before=pages[-1].task if pages else None,
            ):
                pages += page
            assert pages == everything[::-1], f"pages of {size} downwards are the list reversed"

    def test_tasks_between_two_others(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts([new_attempt(task) for task in range(6)])
        found = metadata.attempts("F", "1", after=1, before=4)
        assert [r.task for r in found] == [2, 3], "both bounds are excluded"

    def test_brief_records_say_which_attempts_there_are(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts(
            [
                new_attempt(1),
                new_attempt(2)._replace(indices=(5,)),
                new_attempt(3)._replace(indices=(3, 7), step="other"),
            ]
        )
        for step in (None, "other"):
            complete = metadata.attempts("F", "1", step=step)
            brief = metadata.attempts("F", "1", step=step, brief=True)
            assert [r[:7] for r in brief] == [r[:7] for r in complete], "up to the indices"

    # --- steps ------------------------------------------------------------------------------

    def test_steps_in_the_order_of_their_start(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        starts = {"zoo": 1.0, "mid": 2.0, "end": 3.0}
        metadata.write_attempts(
            [new_attempt(i, step=s, started=at) for i, (s, at) in enumerate(starts.items())]
        )
        assert [s.step for s in metadata.steps("F", "1")] == ["zoo", "mid", "end"]

    def test_step_that_waits_comes_last(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts(
            [
                new_attempt(2, step="b", state=QUEUED),
                new_attempt(3, step="a", state=QUEUED),
                new_attempt(1, step="start", started=5.0),
            ]
        )
        found = metadata.steps("F", "1")
        assert [s.step for s in found] == ["start", "b", "a"]
        assert (found[1].started_at, found[1].finished_at) == (None, None)

    def test_step_counts_tasks_by_the_state_of_their_last_attempt(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.write_attempts(
            [
                new_attempt(0, 0, state=FAILED, started=1.0, finished=2.0),
                new_attempt(0, 1, started=3.0, finished=9.0),
                new_attempt(1, started=4.0, finished=5.0),
                new_attempt(2, state=FAILED, started=4.0, finished=6.0),
                new_attempt(3, state=RUNNING, started=5.0),
            ]
        )
        (step,) = metadata.steps("F", "1")
        assert (step.step, step.tasks) == ("work", 4)
        assert step.states == {"succeeded": 2, "failed": 1, "running": 1}
        assert (step.started_at, step.finished_at) == (1.0, 9.0), "superseded attempts count too"

    def test_step_counts_follow_replacements(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        for state in (QUEUED, RUNNING, SUCCEEDED):
            metadata.write_attempts([new_attempt(i, state=state) for i in range(3)])
            (step,) = metadata.steps("F", "1")
            assert step.states == {state.value: 3}

    def test_runs_do_not_mix(self, metadata: Metadata) -> None:
        for run in ("1", "11"):
            metadata.register_run(new_run(run))
            metadata.write_attempts([new_attempt(0, run=run, step=f"s{run}")])
        assert [s.step for s in metadata.steps("F", "1")] == ["s1"]
        assert [s.step for s in metadata.steps("F", "11")] == ["s11"]

    # --- several at once --------------------------------------------------------------------

    def test_threads_write(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())

        def write(number: int) -> None:
            for i in range(20):
                metadata.write_attempts([new_attempt(number * 100 + i)])
                metadata.update_run("F", "1", heartbeat_at=float(i))

        with ThreadPoolExecutor(self.writers) as pool:
            list(pool.map(write, range(self.writers)))
        assert len(metadata.attempts("F", "1")) == 20 * self.writers, "no row is lost"

    def test_processes_write(self, metadata: Metadata) -> None:
        self._needs_processes()

        def write(number: int) -> None:
            mine = self.reopen(metadata)
            mine.register_run(new_run(str(number)))
            for i in range(10):
                mine.write_attempts([new_attempt(i, run=str(number))])
                mine.change_tags("F", str(number), add=[f"t{i}"])
            mine.close()

        in_children(self.writers, write)
        assert len(metadata.runs("F")) == self.writers, "no run is lost"
        for number in range(self.writers):
            assert len(metadata.attempts("F", str(number))) == 10, "no row is lost"

    def test_processes_register_the_same_run(self, metadata: Metadata) -> None:
        self._needs_processes()

        def register(number: int) -> bool:
            mine = self.reopen(metadata)
            try:
                mine.register_run(new_run()._replace(user=str(number)))
            except FlowError:
                return False
            finally:
                mine.close()
            return True

        won = in_children(self.writers, register)
        assert sum(won) == 1, "one registration wins, the others are refused"
        found = metadata.run("F", "1")
        assert found is not None
        assert found.user == str(won.index(True))

    def test_use_in_a_forked_child(self, metadata: Metadata) -> None:
        self._needs_processes()
        metadata.register_run(new_run())

        def write(number: int) -> int:
            metadata.write_attempts([new_attempt(number)])
            return len(metadata.runs("F"))

        assert in_children(3, write) == [1, 1, 1]
        metadata.write_attempts([new_attempt(3)])
        assert len(metadata.attempts("F", "1")) == 4, "the parent's instance works on"

    def test_url_opens_the_same_index(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        other = self.reopen(metadata)
        try:
            assert other.url == metadata.url
            assert other.run("F", "1") == new_run()
        finally:
            if other is not metadata:
                other.close()

    def test_use_after_close(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        metadata.close()
        metadata.close()
        assert metadata.run("F", "1") == new_run(), "the next use opens it again"

    # --- rebuild ----------------------------------------------------------------------------

    def test_rebuild_of_an_empty_store(self, metadata: Metadata) -> None:
        metadata.register_run(new_run())
        assert metadata.rebuild(MemoryStore()) == 0
        assert metadata.flows() == [], "what the store does not have is no longer indexed"

    def test_rebuild_finds_runs_and_attempts(self, metadata: Metadata) -> None:
        assert metadata.rebuild(filled_store()) == 2
        assert metadata.flows() == ["F"]
        finished = metadata.run("F", "1")
        assert finished == RunRecord(
            "F",
            "1",
            RunState.FAILED,
            1000.0,
            finished_at=1010.0,
            user="ada",
            origin="F/0",
            tags=("t",),
            system_tags=("user:ada",),
            message="a step failed",
            parameters=(("alpha", "3"), ("list", "[1, 2]")),
        )
        running = metadata.run("F", "2")
        assert running is not None
        assert (running.state, running.finished_at) == (RunState.RUNNING, None)
        assert metadata.attempts("F", "1", all_attempts=True) == [
            AttemptRecord("F", "1", "start", 0, 0, SUCCEEDED, (), 1001.0, 1002.0, 0.5, 1000),
            AttemptRecord(
                "F", "1", "work", 1, 0, FAILED, (4,), 1003.0, 1004.0,
                cause="error", message="it broke",
            ),
            AttemptRecord("F", "1", "work", 1, 1, FAILED, (4,), 1005.0, 1006.0),
        ]  # fmt: skip
        assert places(metadata.attempts("F", "1")) == [(0, 0), (1, 1)]
        assert [(s.step, s.tasks) for s in metadata.steps("F", "1")] == [("start", 1), ("work", 1)]

    def test_rebuild_of_every_kind_of_end(self, metadata: Metadata) -> None:
        store = filled_store()
        failure = Failure("error", "ValueError", "it broke")
        frames = (ForeachFrame("start", 0, 0, "items", 1, 2), ForeachFrame("a", 1, 0, "", 2, 3))
        ends = [state for state in AttemptState if state not in (QUEUED, RUNNING)]
        manifests = [
            Manifest(
                "F",
                "2",
                "all",
                number,
                0,
                state,
                foreach=frames,  # the inner one is that of a gang
                origin="F/1/all/7/0" if state is AttemptState.REUSED else None,
                failure=failure if state in (AttemptState.CAUGHT, FAILED) else None,
                started=float(number),
                finished=number + 1.0,
            )
            for number, state in enumerate(ends)
        ]
        store.write([(manifest.key, manifest.encode()) for manifest in manifests])
        metadata.rebuild(store)
        assert metadata.attempts("F", "2") == [AttemptRecord.from_manifest(m) for m in manifests]
        (reused,) = metadata.attempts("F", "2", states=[AttemptState.REUSED])
        assert (reused.origin, reused.indices) == ("F/1/all/7/0", (1, 2))

    def test_rebuild_again_changes_nothing(self, metadata: Metadata) -> None:
        store = filled_store()
        metadata.rebuild(store)
        before = (metadata.runs("F"), metadata.attempts("F", "1", all_attempts=True))
        assert metadata.rebuild(store) == 2
        after = (metadata.runs("F"), metadata.attempts("F", "1", all_attempts=True))
        assert after == before

    def test_rebuild_leaves_out_what_is_damaged(self, metadata: Metadata) -> None:
        store = filled_store()
        store.write([(manifest_key("F", "1", "work", 1, 1), b"flow-manifest 1 half")])
        store.write([(run_key("F", "2"), b"")])
        store.write([("runs/F/3/lost/0/0/stdout", b"a run without its first record")])
        store.write([("runs/F/1/work/1/0/manifest.txt", b"not a manifest")])
        assert metadata.rebuild(store) == 1
        assert names(metadata.runs("F")) == ["1"]
        assert places(metadata.attempts("F", "1")) == [(0, 0), (1, 0)]
        problems = getattr(metadata, "problems", None)
        if problems is not None:
            assert len(problems) == 3, f"each damaged record is told: {problems}"

    def test_rebuild_keeps_changed_tags(self, metadata: Metadata) -> None:
        store = filled_store()
        metadata.rebuild(store)
        metadata.change_tags("F", "1", add=["mine"], remove=["t"])
        metadata.rebuild(store)
        found = metadata.run("F", "1")
        assert found is not None
        assert found.tags == ("mine",), "nothing in the store says otherwise"

    def test_rebuild_reads_the_tags_of_the_store(self, metadata: Metadata) -> None:
        store = filled_store()
        for number, tags in ((1, ("first",)), (2, ("last", "word"))):
            revision = TagRevision("F", "1", number, tags, 1.0)
            store.write([(revision.key, revision.encode())])
        metadata.rebuild(store)
        metadata.rebuild(store)
        found = metadata.run("F", "1")
        assert found is not None
        assert found.tags == ("last", "word"), "the last revision counts"

    # --- parts ------------------------------------------------------------------------------

    def _needs_processes(self) -> None:
        if self.in_process or not hasattr(os, "fork"):
            pytest.skip("other processes cannot see this index")


def filled_store() -> MemoryStore:
    """Return a store with a failed and a running run of the flow ``F``."""
    store = MemoryStore()
    alpha = ArtifactRef("aa", 1, "int", "json", True, 3)
    listed = ArtifactRef("bb", 9, "list", "pickle", True, "")
    given = {"alpha": alpha, "list": listed}
    document = RunDocument(
        "F", "1", 1000.0, given, {}, None, {}, {}, "F/0", ("t",), ("user:ada",), "ada"
    )._replace(values={"list": "[1, 2]"})
    result = RunResult("F", "1", RunState.FAILED, 1010.0, "a step failed")
    frames = (ForeachFrame("start", 0, 0, "items", 4, 5),)
    failure = Failure("error", "ValueError", "it broke\nand this is why")
    done = Manifest("F", "1", "start", 0, 0, SUCCEEDED)
    first = Manifest("F", "1", "work", 1, 0, FAILED, foreach=frames, failure=failure)
    second = Manifest("F", "1", "work", 1, 1, FAILED, foreach=frames)
    manifests = [
        done._replace(started=1001.0, finished=1002.0, cpu_seconds=0.5, peak_memory=1000),
        first._replace(started=1003.0, finished=1004.0),
        second._replace(started=1005.0, finished=1006.0),
    ]
    store.write([(manifest.key, manifest.encode()) for manifest in manifests])
    store.write([(run_key("F", "1"), document.encode()), (result_key("F", "1"), result.encode())])
    later = document._replace(run="2", created_at=2000.0, origin=None)
    store.write([(run_key("F", "2"), later.encode())])
    return store
