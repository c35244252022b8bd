"""Gangs in the scheduler: they start together, fail together, and go on together."""

import os
import signal
import time
from collections import deque

import pytest

from flow_core.errors import PluginError, UsageError
from flow_core.gang import is_whole
from flow_core.hookspecs import hookimpl
from flow_core.interfaces import ComputeCapabilities, Exited, Started
from flow_core.plan import RetryPolicy
from flow_core.records import (
    AttemptState,
    Failure,
    ForeachFrame,
    GangMember,
    Manifest,
    Message,
    RunState,
    TaskFinished,
    TaskQueued,
    TaskSpec,
    Transition,
)
from flow_core.run import RunRequest

FLOW = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.train, num_parallel=SIZE)
    @step
    def train(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
"""
BESIDE = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.many, self.before)
    @step
    def many(self):
        self.items = range(7)
        self.next(self.work, foreach="items")
    @step
    def work(self):
        self.next(self.gather)
    @step
    def gather(self, inputs):
        self.next(self.both)
    @step
    def before(self):
        self.next(self.train, num_parallel=3)
    @step
    def train(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.next(self.both)
    @step
    def both(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
"""


class FakeGangs:
    """Says what becomes of each attempt without running it; like that of the scheduler's tests.

    Args:
        ends: a function of the task specification that returns a `Manifest`, None for an attempt
            that dies without one, "hangs" for one that runs until it is cancelled.
        size: the size of every gang, where its source does not say it.
    """

    notice = ""

    def __init__(self, ends=None, size=3, capable=True):
        self.capabilities = ComputeCapabilities(gang=capable)
        self.ends = ends or self.good
        self.size = size
        self.launched = []
        self.gangs = []
        self.beside = []  # how many others ran when a gang was started
        self.cancelled = []
        self.most_at_once = self.alive = self._last = 0
        self._news = deque()
        self._hanging = {}

    def prepare(self, runtime):
        self.graph = runtime.graph

    def open(self, run, store):
        self.store = store

    def good(self, spec):
        node = self.graph[spec.step]
        transition = Transition(node.targets)
        if node.foreach:
            transition = transition._replace(artifact=node.foreach, count=7)
        elif node.num_parallel:
            written = node.num_parallel
            transition = transition._replace(count=int(written) if written.isdigit() else self.size)
        return manifest(spec, AttemptState.SUCCEEDED, transition=transition)

    def launch(self, task, command):
        self._last += 1
        self.alive += 1
        self.most_at_once = max(self.most_at_once, self.alive)
        self.launched.append(task)
        end = self.ends(task)
        self._news.append(Started(self._last, str(self._last), time.time()))
        if end == "hangs":
            self._hanging[self._last] = task
        else:
            if end is not None:
                self.store.write([(end.key, end.encode())])
            exited = Exited(self._last, int(end is None), None, "killed", "", time.time())
            self._news.append(exited._replace(manifest=end))
        return self._last

    def launch_gang(self, members):
        self.beside.append(self.alive)
        self.gangs.append([task for task, _ in members])
        return [self.launch(task, command) for task, command in members]

    def poll(self, timeout):
        if not self._news:
            time.sleep(min(timeout, 0.01))
            return []
        update = self._news.popleft()
        self.alive -= isinstance(update, Exited)
        return [update]

    def fileno(self):
        return None

    def cancel(self, handles, grace):
        self.cancelled.append([self._hanging[h].task for h in handles if h in self._hanging])
        for handle in handles:
            if self._hanging.pop(handle, None):
                message = "the task was cancelled"
                self._news.append(Exited(handle, None, 15, "cancelled", message, time.time()))

    def logs(self, task, stream, offset=0):
        return b""

    def close(self):
        pass


def manifest(spec, state, **fields):
    return Manifest(
        *(spec.flow, spec.run, spec.step, spec.task, spec.attempt, state),
        inputs=spec.inputs,
        foreach=spec.foreach,
        **fields,
    )


def failed(spec):
    return manifest(spec, AttemptState.FAILED, failure=Failure("error", "E", "it broke"))


class Gangs:
    """Makes the step `train` a gang, as a plugin does."""

    def __init__(self, handles_failure=False, **retry):
        self.handles_failure = handles_failure
        self.retry = RetryPolicy(**retry)

    @hookimpl
    def flow_plan_step(self, step, draft):
        if step.name == "train":
            draft.gang = True
            draft.retry = self.retry
            draft.handles_failure = self.handles_failure


def run(flowtester, compute, size="self.n", source=FLOW, modules=None, request=None, **settings):
    return flowtester.run(
        source.replace("SIZE", size),
        modules=modules or [Gangs()],
        settings={"failure_grace": 0.25, "cancel_grace": 0.5, **settings},
        providers={("compute", "local"): compute},
        request=request,
    )


def states(outcome):
    return [(m.task, m.attempt, m.state.value) for m in outcome.manifests("train")]


def told(outcome, step="train"):
    """What was told of the ends of attempts: (task, attempt, state, seconds until the next)."""
    return [
        (e.spec.task, e.spec.attempt, e.manifest.state.value, e.retry_in)
        for e in outcome.events
        if isinstance(e, TaskFinished) and e.spec.step == step
    ]


class TestStart:
    def test_all_members_at_once_each_with_its_place(self, flowtester):
        compute = FakeGangs()
        outcome = run(flowtester, compute, max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        (gang,) = compute.gangs
        assert [t.gang for t in gang] == [GangMember(3, n, 2) for n in range(3)]
        assert [t.task for t in gang] == [2, 3, 4]
        assert [t.foreach for t in gang] == [
            (ForeachFrame("start", 1, 0, "", n, 3),) for n in range(3)
        ]
        assert [t.gang for t in compute.launched if t.step != "train"] == [None] * 3
        (join,) = [t for t in compute.launched if t.step == "join"]
        assert join.inputs == (("train", 2, 4, 0),)
        (queued,) = [e for e in outcome.events if isinstance(e, TaskQueued) and e.gang]
        assert (queued.step, queued.count) == ("train", 3)

    def test_it_waits_until_there_are_workers_for_all(self, flowtester):
        compute = FakeGangs()
        outcome = run(flowtester, compute, source=BESIDE, max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert compute.most_at_once == 3
        assert compute.beside == [0]
        assert len(compute.gangs[0]) == 3

    def test_others_use_the_workers_that_it_leaves(self, flowtester):
        compute = FakeGangs()
        assert run(flowtester, compute, source=BESIDE, max_workers=4).state is RunState.SUCCEEDED
        assert compute.most_at_once == 4

    def test_one_that_waits_is_no_busy_loop(self, flowtester):
        """While a gang waits for a worker, the launcher sleeps."""

        class Slow(FakeGangs):
            """One task of the foreach takes a while; counts how often it is asked for news."""

            polls = 0
            held = None

            def poll(self, timeout):
                self.polls += 1
                updates = super().poll(timeout)
                ends = updates and isinstance(updates[0], Exited)
                if ends and self.held is None and updates[0].manifest.step == "work":
                    self.held = (time.monotonic() + 0.3, updates[0])
                    self.alive += 1
                    return []
                if self.held and time.monotonic() >= self.held[0]:
                    self._news.append(self.held[1])
                    self.held = (float("inf"), None)
                return updates

        compute = Slow()
        assert run(flowtester, compute, source=BESIDE, max_workers=3).state is RunState.SUCCEEDED
        assert compute.beside == [0]
        assert compute.polls < 200

    def test_a_gang_in_a_foreach_is_joined_inside(self, flowtester):
        source = FLOW.replace(
            "self.next(self.train, num_parallel=SIZE)",
            "self.next(self.each, foreach='items')\n"
            "    @step\n    def each(self):\n        self.next(self.train, num_parallel=2)",
        ).replace(
            "self.next(self.end)",
            "self.next(self.all)\n"
            "    @step\n    def all(self, inputs):\n        self.next(self.end)",
        )
        compute = FakeGangs()
        outcome = run(flowtester, compute, source=source, max_workers=4)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert sorted(t.indices for g in compute.gangs for t in g) == [
            (item, member) for item in range(7) for member in range(2)
        ]
        assert len([t for t in compute.launched if t.step == "join"]) == 7

    def test_a_gang_of_one(self, flowtester):
        compute = FakeGangs()
        assert run(flowtester, compute, size="1", max_workers=1).state is RunState.SUCCEEDED
        assert compute.gangs[0][0].gang == GangMember(1, 0, 2)


class TestWorkers:
    def test_a_number_in_the_source_is_checked_before_anything_runs(self, flowtester):
        compute = FakeGangs()
        request = RunRequest(max_workers=2)
        outcome = run(flowtester, compute, size="4", request=request)
        assert outcome.run == ""
        assert isinstance(outcome.error, UsageError)
        assert str(outcome.error).splitlines() == [
            "Step 'train' needs 4 workers at once, but there are at most 2",
            f"  where: {flowtester.path}/flow.py:5",
            "  why:   num_parallel=4: the tasks of a gang start together",
            "  try:   --max-workers 4",
        ]

    def test_one_that_is_computed_ends_the_run(self, flowtester):
        compute = FakeGangs(size=4)
        outcome = run(flowtester, compute, max_workers=2)
        assert outcome.state is RunState.FAILED
        assert outcome.error.what == "Step 'train' needs 4 workers at once, but there are at most 2"
        assert outcome.error.why == "num_parallel=self.n is 4: the tasks of a gang start together"
        assert outcome.error.hint == "flow resume flow.py --max-workers 4"
        assert compute.gangs == []

    def test_a_number_that_nobody_chose_is_exceeded_and_that_is_said(self, flowtester):
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        size = cpus + 2
        compute = FakeGangs()
        outcome = run(flowtester, compute, size=str(size))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert compute.most_at_once == size
        (notice,) = [e.text for e in outcome.events if isinstance(e, Message) and "start" in e.text]
        assert notice == (
            f"The {size} tasks of step 'train' start together, though this machine has processors "
            f"for {cpus} at a time (--max-workers sets a limit)."
        )

    def test_the_number_that_a_provider_names_is_exceeded_too(self, flowtester):
        compute = FakeGangs()
        compute.capabilities = ComputeCapabilities(gang=True, workers=2)
        outcome = run(flowtester, compute, size="3")
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        (notice,) = [e.text for e in outcome.events if isinstance(e, Message) and "start" in e.text]
        assert notice == (
            "The 3 tasks of step 'train' start together, though compute 'local' takes 2 at a time "
            "(--max-workers sets a limit)."
        )

    def test_it_waits_for_the_workers_of_its_own_provider_only(self, flowtester):
        class Elsewhere(Gangs):
            @hookimpl
            def flow_plan_step(self, step, draft):
                super().flow_plan_step(step=step, draft=draft)
                if step.name == "work":
                    draft.use_compute("cloud", by="@cloud")

        here, there = FakeGangs(), FakeGangs()
        here.capabilities = ComputeCapabilities(gang=True, workers=3)
        there.capabilities = ComputeCapabilities(workers=2)
        outcome = flowtester.run(
            BESIDE,
            modules=[Elsewhere()],
            settings={"failure_grace": 0.25},
            providers={("compute", "local"): here, ("compute", "cloud"): there},
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert here.beside == [0]
        assert there.most_at_once == 2

    def test_a_provider_that_cannot(self, flowtester):
        outcome = run(flowtester, FakeGangs(capable=False))
        assert isinstance(outcome.error, PluginError)
        assert outcome.error.what == (
            "compute 'local' cannot start the tasks of step 'train' together"
        )
        assert outcome.error.where.endswith("flow.py:7")
        assert outcome.run == ""

    def test_no_plugin_makes_it_a_gang(self, flowtester):
        outcome = run(flowtester, FakeGangs(), modules=[object()])
        (problem,) = outcome.error.problems
        assert problem.message == (
            "Step 'train' is entered with num_parallel= from 'start', but has no @parallel"
        )
        assert outcome.run == ""


class TestFailure:
    def test_the_whole_gang_is_tried_again(self, flowtester):
        def ends(spec):
            if spec.step != "train" or spec.attempt:
                return compute.good(spec)
            return [compute.good(spec), failed(spec), "hangs"][spec.gang.index]

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(times=1)], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert states(outcome) == [
            (2, 0, "succeeded"),
            (2, 1, "succeeded"),
            (3, 0, "failed"),
            (3, 1, "succeeded"),
            (4, 0, "cancelled"),
            (4, 1, "succeeded"),
        ]
        assert compute.cancelled == [[4]]
        assert [len(gang) for gang in compute.gangs] == [3, 3]
        (join,) = [t for t in compute.launched if t.step == "join"]
        assert join.inputs == (("train", 2, 4, 1),)
        # What did well is told when it is known that it does not count.
        assert told(outcome)[:3] == [
            (3, 0, "failed", 0.0),
            (4, 0, "cancelled", 0.0),
            (2, 0, "succeeded", 0.0),
        ]

    def test_why_a_member_was_ended(self, flowtester):
        def ends(spec):
            if spec.step != "train":
                return compute.good(spec)
            return failed(spec) if spec.gang.index == 1 else "hangs"

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, max_workers=3)
        assert outcome.state is RunState.FAILED
        assert outcome.manifests("train")[0].failure == Failure(
            "cancelled", "", "its gang was ended, since member 1 failed: E: it broke"
        )
        assert outcome.error.where == "F/1/train/3"
        assert outcome.manifests("join") == []
        assert "running task" not in str([e for e in outcome.events if isinstance(e, Message)])

    def test_retries_count_for_the_gang_not_for_its_members(self, flowtester):
        def ends(spec):  # another member fails in each attempt
            if spec.step == "train" and spec.gang.index == spec.attempt:
                return failed(spec)
            return compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(times=1)], max_workers=3)
        assert outcome.state is RunState.FAILED
        assert [t.attempt for gang in compute.gangs for t in gang] == [0, 0, 0, 1, 1, 1]
        assert all(t.previous.message == "it broke" for t in compute.gangs[1])
        assert outcome.error.where == "F/1/train/3"

    def test_the_delay_is_honoured(self, flowtester):
        began = []

        def ends(spec):
            if spec.step == "train":
                began.append(time.monotonic())
                return failed(spec) if not spec.attempt else compute.good(spec)
            return compute.good(spec)

        compute = FakeGangs(ends, size=2)
        outcome = run(flowtester, compute, modules=[Gangs(times=1, delay=0.2)], max_workers=2)
        assert outcome.state is RunState.SUCCEEDED
        assert len(began) == 4
        assert began[2] - began[1] >= 0.2

    def test_two_failures_are_one_retry(self, flowtester):
        def ends(spec):
            return failed(spec) if spec.gang and not spec.attempt else compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(times=1)], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED
        assert len(compute.gangs) == 2

    def test_a_plugin_that_handles_the_failure_handles_it_for_all_without_result(self, flowtester):
        """One member dies for good: those without a result get a fallback attempt."""

        def ends(spec):
            if spec.fallback:
                state, transition = AttemptState.CAUGHT, Transition(("join",))
                return manifest(spec, state, transition=transition, failure=spec.previous)
            if spec.gang:
                return [compute.good(spec), None, "hangs"][spec.gang.index]
            return compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(True)], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert states(outcome) == [
            (2, 0, "succeeded"),
            (3, 0, "failed"),
            (3, 1, "caught"),
            (4, 0, "cancelled"),
            (4, 1, "caught"),
        ]
        assert [t.gang.index for t in compute.gangs[1]] == [1, 2]
        (join,) = [t for t in compute.launched if t.step == "join"]
        assert join.inputs == (("train", 2, 2, 0), ("train", 3, 4, 1))
        assert [t[:3] for t in told(outcome)].count((2, 0, "succeeded")) == 1

    def test_a_failure_that_was_caught_ends_the_others_too(self, flowtester):
        """They would wait for ever for the one that is gone."""

        def ends(spec):
            if spec.gang and (spec.fallback or spec.gang.index == 0):
                state, transition = AttemptState.CAUGHT, Transition(("join",))
                failure = Failure("error", "E", "caught")
                return manifest(spec, state, transition=transition, failure=failure)
            return "hangs" if spec.gang else compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(True)], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert compute.cancelled == [[3, 4]]
        assert [(t.task, t.attempt, t.fallback) for t in compute.gangs[1]] == [
            (3, 1, True),
            (4, 1, True),
        ]

    def test_ctrl_c_is_no_failure_of_a_member(self, flowtester):
        def ends(spec):
            if spec.gang and spec.gang.index == 2:
                signal.raise_signal(signal.SIGINT)
            return "hangs" if spec.gang else compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, modules=[Gangs(times=3)], max_workers=3)
        assert outcome.state is RunState.INTERRUPTED
        assert compute.cancelled == [[2, 3, 4]]
        assert len(compute.gangs) == 1
        failures = {m.failure.message for m in outcome.manifests("train")}
        assert failures == {"the task was cancelled"}

    def test_another_step_that_fails_ends_a_gang_without_retry(self, flowtester):
        def ends(spec):
            if spec.step == "work":
                return failed(spec)
            return "hangs" if spec.gang else compute.good(spec)

        compute = FakeGangs(ends)
        outcome = run(flowtester, compute, source=BESIDE, modules=[Gangs(times=3)], max_workers=8)
        assert outcome.state is RunState.FAILED
        assert len(compute.gangs) <= 1
        assert {m.state for m in outcome.manifests("train")} <= {AttemptState.CANCELLED}


class Earlier:
    """Offers results of an earlier run for some members: index → (attempt, run, size)."""

    def __init__(self, members):
        self.members = members

    @hookimpl
    def flow_reuse_task(self, task, inputs_reused):
        if task.step == "start":
            transition = Transition(("train",), None, 3)
            return Manifest("F", "0", "start", 1, 0, AttemptState.SUCCEEDED, transition)
        if not task.gang or task.gang.index not in self.members:
            return None
        attempt, run, size = self.members[task.gang.index]
        frame = ForeachFrame("start", 1, 0, "", task.gang.index, size)
        ok, transition = AttemptState.SUCCEEDED, Transition(("join",))
        return Manifest("F", run, "train", task.task, attempt, ok, transition, foreach=(frame,))


class TestReuse:
    def test_a_whole_gang_is_reused(self, flowtester):
        compute = FakeGangs()
        earlier = Earlier(dict.fromkeys(range(3), (2, "0", 3)))
        outcome = run(flowtester, compute, modules=[Gangs(), earlier], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert compute.gangs == []
        assert states(outcome) == [(n, 0, "reused") for n in (2, 3, 4)]
        assert [m.origin for m in outcome.manifests("train")] == [
            f"F/0/train/{n}/2" for n in (2, 3, 4)
        ]

    @pytest.mark.parametrize(
        "members",
        [
            {0: (0, "0", 3), 2: (0, "0", 3)},
            {0: (0, "0", 3), 1: (1, "0", 3), 2: (0, "0", 3)},
            {0: (0, "0", 3), 1: (0, "9", 3), 2: (0, "0", 3)},
            dict.fromkeys(range(3), (0, "0", 4)),
        ],
        ids=["one is missing", "two attempts", "two runs", "another size"],
    )
    def test_a_part_of_one_is_not(self, flowtester, members):
        compute = FakeGangs()
        outcome = run(flowtester, compute, modules=[Gangs(), Earlier(members)], max_workers=3)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert len(compute.gangs[0]) == 3
        assert states(outcome) == [(n, 0, "succeeded") for n in (2, 3, 4)]

    def test_another_number_in_the_source_runs_the_step_before_again(self, flowtester):
        compute = FakeGangs()
        earlier = Earlier(dict.fromkeys(range(3), (0, "0", 3)))
        run(flowtester, compute, size="2", modules=[Gangs(), earlier], max_workers=3)
        assert [t.step for t in compute.launched] == ["start", "train", "train", "join", "end"]

    def test_failures_that_were_handled_may_be_of_another_attempt(self):
        frame = (ForeachFrame("start", 1, 0, "", 0, 2),)
        one = Manifest("F", "1", "train", 2, 0, AttemptState.SUCCEEDED, foreach=frame)
        two = one._replace(task=3, attempt=1, state=AttemptState.CAUGHT)
        assert is_whole([one, two], 2)
        assert not is_whole([one, two._replace(state=AttemptState.SUCCEEDED)], 2)
        assert not is_whole([one, None], 2)


def test_the_place_travels_with_the_specification():
    spec = TaskSpec("F", "1", "train", 4, gang=GangMember(3, 2, 2))
    assert TaskSpec.from_json(spec.to_json()) == spec
    older = {k: v for k, v in spec.to_json().items() if k != "gang"}
    assert TaskSpec.from_json(older).gang is None
