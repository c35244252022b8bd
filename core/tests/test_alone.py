"""One attempt outside of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flow_core.api import (
    Exited,
    LoneAttempt,
    NotFound,
    Output,
    PlanDraft,
    RunRequest,
    RunState,
    Started,
    TaskCommand,
    TaskSpec,
    Update,
    UsageError,
    adopt_parameters,
    again,
    find_attempt,
    hookimpl,
    task_command,
)
from flow_core.testing import FlowTester, InProcessCompute, RunOutcome

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=2)

        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.train, foreach="items")

        @step
        def train(self):
            self.score = self.input * self.alpha
            if self.input == 2 and self.alpha == 3:
                raise ValueError("no")
            self.next(self.join)

        @step
        def join(self, inputs):
            self.scores = [i.score for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.fixture
def good(flowtester: FlowTester) -> RunOutcome:
    return flowtester.run(FLOW)


def find(outcome: RunOutcome, pathspec: str, flow: str | None = "F") -> str:
    return find_attempt(outcome.metadata, outcome.store, pathspec, flow).manifest.pathspec


class TestFind:
    @pytest.mark.parametrize(
        ("pathspec", "found"),
        [
            ("train", "F/1/train/2"),
            ("1", "F/1/start/1"),
            ("F/1", "F/1/start/1"),
            ("1/train", "F/1/train/2"),
            ("1/train/4", "F/1/train/4"),
            ("F/1/join/5", "F/1/join/5"),
        ],
    )
    def test_forms(self, good: RunOutcome, pathspec: str, found: str) -> None:
        assert find(good, pathspec) == found

    def test_of_many_tasks_one_that_failed(self, flowtester: FlowTester) -> None:
        bad = flowtester.run(FLOW, parameters={"alpha": 3})
        earlier = find_attempt(bad.metadata, bad.store, "F/1")
        assert earlier.manifest.pathspec == "F/1/train/3"
        assert earlier.others > 0

    @pytest.mark.parametrize(
        ("pathspec", "kind", "text"),
        [
            ("G/1/train", UsageError, "belongs to another flow"),
            ("1/train/x", UsageError, "names no task"),
            ("1/2/3/4", UsageError, "names no task"),
            ("", UsageError, "names no task"),
            ("9/train", NotFound, "latest runs: 1"),
            ("1/trian", NotFound, "did you mean 'train'?"),
            ("trian", NotFound, "did you mean 'train'?"),
            ("1/train/99", NotFound, "its first tasks: 2, 3, 4"),
        ],
    )
    def test_what_is_not_there(
        self, good: RunOutcome, pathspec: str, kind: type[Exception], text: str
    ) -> None:
        with pytest.raises(kind) as raised:
            find(good, pathspec)
        assert text in str(raised.value)

    def test_without_a_flow_it_must_be_named(self, good: RunOutcome) -> None:
        with pytest.raises(UsageError, match="names no task"):
            find(good, "train", None)

    def test_a_flow_that_never_ran(self, good: RunOutcome) -> None:
        with pytest.raises(NotFound, match="There is no run of G"):
            find(good, "start", "G")

    def test_a_task_without_a_record(self, good: RunOutcome) -> None:
        good.store.delete(["runs/F/1/join/5/0/manifest"])
        with pytest.raises(NotFound, match="has left no record"):
            find(good, "1/join")


class Lone:
    """Runs steps of a finished run again, each in a run of its own in the same store."""

    def __init__(self, flowtester: FlowTester, compute: Any = None, modules: Any = ()) -> None:
        self.session = flowtester.session(
            flowtester.load(FLOW),
            modules=modules,
            providers={("compute", "local"): compute or InProcessCompute()},
        )
        self.session.execute(RunRequest())
        self.output: list[tuple[str, bytes]] = []

    def again(self, pathspec: str, **parameters: Any) -> Any:
        session = self.session
        manifest = find_attempt(session.metadata, session.store, pathspec, "F").manifest
        document = session.run_document("F", manifest.run)
        adopted = adopt_parameters(session, document, parameters)
        with LoneAttempt(session, manifest.step) as alone:
            made = alone.register(adopted._replace(origin="F/77"))  # in another store
            for ref in manifest.inputs:  # here in the run itself; a command uses a store over it
                key = f"{ref.step}/{ref.first}/0/manifest"
                raw = next(iter(session.store.read([f"runs/F/{manifest.run}/{key}"])))
                session.store.write([(f"runs/F/{made.run}/{key}", raw or b"")])
            return alone.run(again(manifest, made.run), lambda *what: self.output.append(what))


class TestLone:
    def test_a_task_on_its_earlier_inputs(self, flowtester: FlowTester) -> None:
        lone = Lone(flowtester)
        manifest = lone.again("1/train/4", alpha=10)
        assert manifest.ok
        assert lone.session.artifacts.load(manifest.artifacts["score"], "score") == 30
        record = lone.session.metadata.run("F", "2")
        assert record is not None
        assert record.state is RunState.SUCCEEDED
        assert [s.step for s in lone.session.metadata.steps("F", "2")] == ["train"]

    def test_a_failure_is_recorded(self, flowtester: FlowTester) -> None:
        lone = Lone(flowtester)
        manifest = lone.again("1/train/3", alpha=3)
        assert manifest.failure.summary == "ValueError: no"
        record = lone.session.metadata.run("F", "2")
        assert record is not None
        assert (record.state, record.message) == (RunState.FAILED, "ValueError: no")

    def test_hooks_of_tasks_are_called_and_those_of_runs_are_not(
        self, flowtester: FlowTester
    ) -> None:
        heard: list[str] = []

        class Hooks:
            @hookimpl
            def flow_run_started(self) -> None:
                heard.append("run")

            @hookimpl
            def flow_task_command(self, command: TaskCommand) -> None:
                command.variables["COLOUR"] = "blue"

            @hookimpl
            def flow_task_finished(self, task: TaskSpec) -> None:
                heard.append(task.pathspec)

        lone = Lone(flowtester, modules=[Hooks()])
        heard.clear()
        lone.again("1/join")
        assert heard == ["F/2/join/5"]
        command = task_command(lone.session, TaskSpec("F", "2", "join", 5))
        assert command.variables["COLOUR"] == "blue"

    def test_a_process_that_dies_leaves_a_record_all_the_same(self, flowtester: FlowTester) -> None:
        lone = Lone(flowtester)
        lone.session._computes["local"] = compute = Dying()
        manifest = lone.again("1/join")
        assert manifest.failure.summary == "the process was killed by SIGKILL"
        assert lone.output == [("stdout", b"last words\n")]
        assert compute.closed

    def test_ctrl_c_ends_it_and_is_recorded(self, flowtester: FlowTester) -> None:
        lone = Lone(flowtester)
        lone.session._computes["local"] = compute = Dying(interrupted=True)
        with pytest.raises(KeyboardInterrupt):
            lone.again("1/join")
        assert compute.cancelled == [1]
        record = lone.session.metadata.run("F", "2")
        assert record is not None
        assert record.state is RunState.INTERRUPTED

    def test_one_that_takes_too_long_is_ended_by_force(self, flowtester: FlowTester) -> None:
        class Hooks:
            @hookimpl
            def flow_plan_step(self, draft: PlanDraft) -> None:
                draft.timeout, draft.timeout_grace = 0.001, 0.0

        lone = Lone(flowtester, modules=[Hooks()])
        lone.session._computes["local"] = compute = Dying(endless=True)
        manifest = lone.again("1/join")
        assert compute.cancelled == [1]
        assert manifest.failure.cause == "timeout"
        assert manifest.failure.message == "it took longer than 0.001 s and was ended by force"

    def test_a_member_of_a_gang_cannot_run_by_itself(self, good: RunOutcome) -> None:
        manifest = find_attempt(good.metadata, good.store, "1/train/3", "F").manifest
        member = manifest._replace(foreach=(manifest.foreach[0]._replace(artifact=""),))
        with pytest.raises(UsageError, match="cannot run by itself"):
            again(member)


class Dying(InProcessCompute):
    """A provider whose tasks write something and are killed; perhaps after Ctrl-C."""

    def __init__(self, interrupted: bool = False, endless: bool = False) -> None:
        super().__init__()
        self.interrupted = interrupted
        self.endless = endless
        self.closed = False
        self.cancelled: list[Any] = []

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        return 1

    def poll(self, timeout: float) -> Sequence[Update]:
        if self.interrupted and not self.cancelled:
            raise KeyboardInterrupt
        if self.endless and not self.cancelled:
            return [Started(1, "1", 1.0)]
        cause = "cancelled" if self.cancelled else "killed"
        other = Output(2, "stdout", b"of nobody", 1.0)
        return [other, Output(1, "stdout", b"last words\n", 1.0), Exited(1, None, 9, cause)]

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        self.cancelled.extend(handles)

    def close(self) -> None:
        self.closed = True
