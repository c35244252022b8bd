"""The scheduler, with compute providers that run no code: they only say what became of a task."""

import math
import os
import signal
import threading
import time
import tracemalloc
from collections import deque

import pytest

from flow_core.errors import PluginError, StoreError
from flow_core.hookspecs import hookimpl
from flow_core.interfaces import Begun, ComputeCapabilities, Exited, Started
from flow_core.plan import Fallback, GiveUp, RetryAfter, RetryPolicy
from flow_core.records import (
    AttemptState,
    Failure,
    Manifest,
    Message,
    RunResult,
    RunState,
    TaskFinished,
    TaskQueued,
    Transition,
    attempt_prefix,
    result_key,
)
from flow_core.run import RunRequest
from flow_core.scheduler import Scheduler
from flow_core.testing import MemoryMetadata, MemoryStore

FOREACH = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.items = range(3)
        self.next(self.work, foreach="items")
    @step
    def work(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
"""
BRANCHES = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.many, self.other)
    @step
    def many(self):
        self.items = range(3)
        self.next(self.work, foreach="items")
    @step
    def work(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.next(self.both)
    @step
    def other(self):
        self.next(self.last)
    @step
    def last(self):
        self.next(self.both)
    @step
    def both(self, inputs):
        self.next(self.end)
    @step
    def end(self):
        pass
"""
LINEAR = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.next(self.end)
    @step
    def end(self):
        pass
"""


class FakeCompute:
    """Says what becomes of each attempt without running it.

    Args:
        ends: a function of the task specification that returns a `Manifest`, None for an attempt
            that dies without one, or "hangs" for one that runs until it is cancelled.
        count: number of items of every foreach.
    """

    capabilities = ComputeCapabilities()
    notice = ""

    def __init__(self, ends=None, count=3):
        self.ends = ends or self.good
        self.count = count
        self.launched = []
        self.cancelled = []
        self.most_at_once = 0
        self.closed = False
        self._news = deque()
        self._hanging = {}
        self._last = 0
        self._alive = 0

    def prepare(self, runtime):
        self.graph = runtime.graph

    def open(self, run, store):
        self.store = store

    def good(self, spec):
        """The manifest of an attempt that did what its source says."""
        node = self.graph[spec.step]
        transition = Transition(node.targets)
        if node.foreach:
            transition = transition._replace(artifact=node.foreach, count=self.count)
        return manifest(spec, AttemptState.SUCCEEDED, transition=transition)

    def launch(self, task, command):
        self._last += 1
        self._alive += 1
        self.most_at_once = max(self.most_at_once, self._alive)
        self.launched.append(task)
        end = self.ends(task)
        self._news.append(Started(self._last, str(self._last), time.time()))
        if end == "hangs":
            self._hanging[self._last] = task
        else:
            self._news.append(
                Exited(self._last, int(end is None), None, "exit", at=time.time(), manifest=end)
            )
        return self._last

    def poll(self, timeout):
        if not self._news:
            time.sleep(min(timeout, 0.01))
            return []
        update = self._news.popleft()
        self._alive -= isinstance(update, Exited)
        return [update]

    def fileno(self):
        return None

    def cancel(self, handles, grace):
        self.cancelled.append((sorted(handles), grace))
        for handle in handles:
            if self._hanging.pop(handle, None):
                self._news.append(
                    Exited(handle, None, 15, "cancelled", "cancelled by the launcher", time.time())
                )

    def logs(self, task, stream, offset=0):
        return b""

    def close(self):
        self.closed = True


def manifest(spec, state, **fields):
    return Manifest(
        *(spec.flow, spec.run, spec.step, spec.task, spec.attempt, state),
        inputs=spec.inputs,
        foreach=spec.foreach,
        **fields,
    )


def failed(spec, cause="error"):
    return manifest(spec, AttemptState.FAILED, failure=Failure(cause, "E", "it broke"))


class Policy:
    """Gives every step a retry policy."""

    def __init__(self, step="work", handles_failure=False, resources=None, **policy):
        self.step = step
        self.resources = resources or {}
        self.policy = RetryPolicy(**policy)
        self.handles_failure = handles_failure

    @hookimpl
    def flow_plan_step(self, step, draft):
        if step.name == self.step:
            draft.require(**self.resources)
            draft.retry = self.policy
            draft.handles_failure = self.handles_failure


def run(flowtester, compute, source=FOREACH, modules=(), settings=None, **providers):
    settings = {"max_workers": 2, "failure_grace": 0.25, "cancel_grace": 0.5, **(settings or {})}
    return flowtester.run(
        source,
        modules=modules,
        settings=settings,
        providers={("compute", "local"): compute, **providers.get("providers", {})},
    )


def names(compute):
    return [(t.step, t.task, t.attempt) for t in compute.launched]


class TestOrder:
    def test_tasks_are_numbered_and_inputs_are_in_order(self, flowtester):
        compute = FakeCompute()
        outcome = run(flowtester, compute)
        assert outcome.state is RunState.SUCCEEDED
        assert names(compute) == [
            ("start", 1, 0),
            ("work", 2, 0),
            ("work", 3, 0),
            ("work", 4, 0),
            ("join", 5, 0),
            ("end", 6, 0),
        ]
        join = compute.launched[4]
        assert join.inputs == (("work", 2, 4, 0),)
        assert [t.foreach[0].index for t in compute.launched[1:4]] == [0, 1, 2]
        assert compute.closed

    def test_no_more_than_max_workers_at_once(self, flowtester):
        compute = FakeCompute(count=20)
        run(flowtester, compute, settings={"max_workers": 3})
        assert compute.most_at_once == 3

    def test_two_providers_in_one_run(self, flowtester):
        class Elsewhere:
            @hookimpl
            def flow_plan_step(self, step, draft):
                if step.name == "work":
                    draft.use_compute("cloud", by="@cloud")

        here, there = FakeCompute(), FakeCompute()
        outcome = run(
            flowtester, here, modules=[Elsewhere()], providers={("compute", "cloud"): there}
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert {t.step for t in there.launched} == {"work"}
        assert {t.step for t in here.launched} == {"start", "join", "end"}
        assert here.closed
        assert there.closed

    def elsewhere(self, flowtester, here, there, source=FOREACH, **settings):
        """A run whose step `work` runs on another compute provider."""

        class Elsewhere:
            @hookimpl
            def flow_plan_step(self, step, draft):
                if step.name == "work":
                    draft.use_compute("cloud", by="@cloud")

        outcome = flowtester.run(
            source,
            modules=[Elsewhere()],
            settings={"failure_grace": 0.25, **settings},
            providers={("compute", "local"): here, ("compute", "cloud"): there},
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error

    def test_a_provider_says_how_many_tasks_it_takes(self, flowtester):
        here, there = FakeCompute(count=20), FakeCompute()
        there.capabilities = ComputeCapabilities(workers=15)
        self.elsewhere(flowtester, here, there)
        assert (here.most_at_once, there.most_at_once) == (1, 15)

    def test_what_it_says_after_it_was_prepared_counts(self, flowtester):
        class Late(FakeCompute):
            def prepare(self, runtime):
                super().prepare(runtime)
                self.capabilities = ComputeCapabilities(workers=7)

        here, there = FakeCompute(count=20), Late()
        self.elsewhere(flowtester, here, there)
        assert there.most_at_once == 7

    def test_a_chosen_number_limits_all_together(self, flowtester):
        here, there = FakeCompute(count=20), FakeCompute()
        there.capabilities = ComputeCapabilities(workers=15)
        self.elsewhere(flowtester, here, there, max_workers=3)
        assert there.most_at_once == 3

    def test_a_provider_without_room_holds_up_no_other(self, flowtester):
        class Both(FakeCompute):
            """Its tasks hang until the others have run."""

            def launch(self, task, command):
                handle = super().launch(task, command)
                there.release()
                return handle

        class Slow(FakeCompute):
            capabilities = ComputeCapabilities(workers=1)

            def release(self):
                if len(here.launched) >= 4 and self._hanging:
                    (handle, task), *_ = self._hanging.items()
                    del self._hanging[handle]
                    self._news.append(
                        Exited(handle, 0, None, "exit", at=time.time(), manifest=self.good(task))
                    )

        here, there = Both(), Slow()
        there.ends = lambda spec: "hangs" if len(here.launched) < 4 else there.good(spec)
        self.elsewhere(flowtester, here, there, BRANCHES)
        # `start`, `many`, `other` and `last` did not wait for the three tasks of `work`
        assert {t.step for t in here.launched[:4]} == {"start", "many", "other", "last"}
        assert there.most_at_once == 1
        assert len(there.launched) == 3

    def test_two_choices_of_compute_are_an_error_naming_both(self, flowtester):
        class Elsewhere:
            @hookimpl
            def flow_plan_step(self, step, draft):
                draft.use_compute("a", by="@a")
                draft.use_compute("b", by="@b")

        outcome = run(flowtester, FakeCompute(), modules=[Elsewhere()])
        assert outcome.error.what == (
            "Step 'start' has two compute providers: 'a' (from @a) and 'b' (from @b)"
        )
        assert outcome.error.hint == "remove one of @a and @b"

    def test_a_compute_that_needs_a_shared_store(self, flowtester):
        compute = FakeCompute()
        compute.capabilities = ComputeCapabilities(needs_shared_store=True)
        outcome = run(flowtester, compute)
        assert outcome.error.what == "compute 'local' needs a shared store; 'local' is not"
        assert outcome.error.hint == "--datastore s3://bucket/prefix"

    def test_a_store_that_other_processes_do_not_see(self, flowtester):
        class Mine(MemoryStore):
            capabilities = MemoryStore.capabilities._replace(in_process=True)

        compute, store = FakeCompute(), Mine()
        outcome = run(flowtester, compute, providers={("store", "local"): store})
        assert outcome.error.what == f"Tasks would not see the store {store.url}"
        assert outcome.error.where == "step 'start', compute 'local'"
        assert outcome.error.why == "it lies in the memory of this process, and they run in others"
        assert outcome.error.hint.startswith("--compute in-process")
        assert not compute.launched


class TestResources:
    """What each attempt asks for."""

    class Starving(FakeCompute):
        """Kills attempts of a step that have less than 7,000 MB; ``others`` fail for another cause."""

        others = ()

        def launch(self, task, command):
            self.asked.append((task.step, task.task, task.attempt, dict(command.resources)))
            if task.step == "work" and task.attempt in self.others:
                self.cause = "lost"
            elif command.resources.get("memory", math.inf) < 7000:
                self.cause = "out-of-memory"
            else:
                return super().launch(task, command)
            self._last += 1
            self._news.append(Exited(self._last, None, 9, self.cause, "too big", time.time()))
            return self._last

        def __init__(self, **more):
            super().__init__(**more)
            self.asked = []

    def run(self, flowtester, others=(), resources=None, count=1, **policy):
        compute = self.Starving(count=count)
        compute.others = others
        policy = Policy(resources=resources or {"memory": 1000, "cpu": 2}, **policy)
        outcome = run(flowtester, compute, modules=[policy])
        return outcome, [asked for step, *_, asked in compute.asked if step == "work"]

    def test_memory_grows_after_attempts_that_had_too_little(self, flowtester):
        outcome, asked = self.run(flowtester, times=3, memory_factor=2)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert asked == [{"memory": m, "cpu": 2} for m in (1000, 2000, 4000, 8000)]
        told = [m.notes["resources"]["memory"] for m in outcome.manifests("work") if not m.ok]
        assert told == [1000, 2000, 4000]  # the last one is made by the fake

    def test_it_grows_to_a_limit_and_not_below_what_was_asked_for(self, flowtester):
        _, asked = self.run(flowtester, times=3, memory_factor=3, max_memory=5000)
        assert [a["memory"] for a in asked] == [1000, 3000, 5000, 5000]
        _, asked = self.run(flowtester, times=1, memory_factor=3, max_memory=500)
        assert [a["memory"] for a in asked] == [1000, 1000]

    def test_other_failures_do_not_make_it_grow(self, flowtester):
        _, asked = self.run(flowtester, (0, 2), times=4, memory_factor=2)
        assert [a["memory"] for a in asked] == [1000, 1000, 2000, 2000, 4000]

    def test_without_a_factor_or_an_amount_it_stays(self, flowtester):
        outcome, asked = self.run(flowtester, times=1)
        assert [a["memory"] for a in asked] == [1000, 1000]
        assert outcome.state is RunState.FAILED
        _, asked = self.run(flowtester, resources={"cpu": 1}, times=1, memory_factor=2)
        assert asked == [{"cpu": 1}]

    def test_items_of_a_foreach_grow_by_themselves(self, flowtester):
        class Fourth(self.Starving):
            def launch(self, task, command):
                if task.task != 4:
                    command.resources["memory"] = 9000
                return super().launch(task, command)

        compute = Fourth()
        policy = Policy(resources={"memory": 5000}, times=1, memory_factor=2)
        outcome = run(flowtester, compute, modules=[policy])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert [(t, n, a["memory"]) for s, t, n, a in compute.asked if s == "work"] == [
            (2, 0, 9000),
            (3, 0, 9000),
            (4, 0, 5000),
            (4, 1, 10000),
        ]

    def test_a_plugin_may_change_them_and_the_manifest_tells_them(self, flowtester):
        class More:
            @hookimpl
            def flow_task_command(self, task, plan, command):
                command.resources["disk"] = 7

        outcome = flowtester.run(LINEAR, modules=[More(), Policy("end", resources={"cpu": 1})])
        assert outcome.manifests("end")[0].notes["resources"] == {"cpu": 1, "disk": 7}
        assert "resources" not in flowtester.run(LINEAR).manifests("end")[0].notes

    def test_a_growth_beyond_all_numbers_ends_at_the_limit(self):
        assert RetryPolicy(memory_factor=1e200, max_memory=9).memory(1, 5) == 9
        assert RetryPolicy(memory_factor=1e200).memory(1, 5) == math.inf


class TestRetries:
    def test_delay_and_backoff(self, flowtester):
        compute = FakeCompute()
        compute.ends = lambda s: (
            failed(s) if (s.task, s.attempt < 3) == (3, True) else (compute.good(s))
        )
        outcome = run(flowtester, compute, modules=[Policy(times=3, delay=0.02, backoff=2)])
        assert outcome.state is RunState.SUCCEEDED
        waits = [
            e.retry_in
            for e in outcome.events
            if isinstance(e, TaskFinished) and e.spec.task == 3 and not e.manifest.ok
        ]
        assert waits == [0.02, 0.04, 0.08]
        assert not any(e.fallback for e in outcome.events if isinstance(e, TaskFinished))
        again = [t for t in compute.launched if t.task == 3]
        assert [t.attempt for t in again] == [0, 1, 2, 3]
        assert [t.previous and t.previous.message for t in again] == [None, *["it broke"] * 3]
        (join,) = [t for t in compute.launched if t.step == "join"]
        assert join.inputs == (("work", 2, 2, 0), ("work", 3, 3, 3), ("work", 4, 4, 0))

    def test_more_than_255_attempts(self, flowtester):
        compute = FakeCompute()
        compute.ends = lambda s: (
            failed(s) if s.step == "work" and s.attempt < 300 else (compute.good(s))
        )
        outcome = run(flowtester, compute, modules=[Policy(times=300)])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert compute.launched[-2].inputs == (("work", 2, 4, 300),)

    def test_too_many_failures_end_the_run(self, flowtester):
        compute = FakeCompute()
        compute.ends = lambda s: failed(s) if s.step == "work" else compute.good(s)
        outcome = run(flowtester, compute, modules=[Policy(times=1)], settings={"max_workers": 1})
        assert outcome.state is RunState.FAILED
        assert names(compute)[1:] == [("work", 2, 0), ("work", 2, 1)]
        assert outcome.error.where == "F/1/work/2"
        assert "it broke" in outcome.error.why or "E" in outcome.error.why

    @pytest.mark.parametrize(
        ("decision", "attempts", "state"),
        [
            (GiveUp(), [(0, False)], RunState.FAILED),
            (RetryAfter(0), [(0, False), (1, False)], RunState.SUCCEEDED),
            (Fallback(), [(0, False), (1, True)], RunState.SUCCEEDED),
            (None, [(0, False), (1, False)], RunState.SUCCEEDED),
        ],
    )
    def test_a_hook_decides(self, flowtester, decision, attempts, state):
        class Judge:
            @hookimpl
            def flow_attempt_decision(self, task, plan, manifest):
                assert plan.step == task.step
                assert manifest.failure.message == "it broke"
                return decision

        compute = FakeCompute()
        compute.ends = lambda s: (
            failed(s) if (s.step, s.attempt) == ("start", 0) else compute.good(s)
        )
        outcome = run(flowtester, compute, LINEAR, modules=[Judge(), Policy(step="start", times=1)])
        assert outcome.state is state
        assert [(t.attempt, t.fallback) for t in compute.launched if t.step == "start"] == attempts

    def test_a_dead_last_attempt_is_followed_by_a_fallback_where_a_plugin_wants_it(
        self, flowtester
    ):
        compute = FakeCompute()
        compute.ends = lambda s: None if s.step == "start" and not s.fallback else (compute.good(s))
        outcome = run(
            flowtester, compute, LINEAR, modules=[Policy(step="start", handles_failure=True)]
        )
        assert outcome.state is RunState.SUCCEEDED
        assert [t.fallback for t in compute.launched] == [False, True, False]
        assert compute.launched[1].previous.cause == "exit"
        ends = [(e.retry_in, e.fallback) for e in outcome.events if isinstance(e, TaskFinished)]
        assert ends == [(0.0, True), (None, False), (None, False)]

    def test_a_failing_fallback_is_the_end(self, flowtester):
        compute = FakeCompute(lambda s: None)
        outcome = run(
            flowtester, compute, LINEAR, modules=[Policy(step="start", handles_failure=True)]
        )
        assert outcome.state is RunState.FAILED
        assert [t.fallback for t in compute.launched] == [False, True]


class TestWindingDown:
    def test_after_a_failure_nothing_starts_and_what_runs_is_cancelled(self, flowtester):
        compute = FakeCompute(count=10)
        compute.ends = lambda s: (
            compute.good(s) if s.step == "start" else "hangs" if s.task == 2 else (failed(s))
        )
        outcome = run(flowtester, compute)
        assert outcome.state is RunState.FAILED
        assert names(compute) == [("start", 1, 0), ("work", 2, 0), ("work", 3, 0)]
        assert compute.cancelled == [([2], 0.5)], "ended when its time to finish was over"
        assert outcome.manifests("work")[0].state is AttemptState.CANCELLED
        result = RunResult.decode(*_stored(outcome, result_key("F", "1")))
        assert result.failed == ("F/1/work/3",)

    def test_after_a_failure_what_runs_may_finish(self, flowtester):
        compute = FakeCompute(count=2)

        def ends(spec):
            if spec.step == "start" or spec.task == 2:
                return compute.good(spec)
            return failed(spec)

        compute.ends = ends
        outcome = run(flowtester, compute)
        assert outcome.state is RunState.FAILED
        assert compute.cancelled == []

    def test_an_attempt_that_fails_meanwhile_is_not_announced_as_retried(self, flowtester):
        compute = FakeCompute(count=2)
        compute.ends = lambda s: (
            compute.good(s) if s.step == "start" else failed(s) if s.task == 3 else "hangs"
        )

        class Judge:
            @hookimpl
            def flow_attempt_decision(self, task, plan, manifest):
                return GiveUp() if task.task == 3 else RetryAfter(0)

        original = compute.cancel

        def cancel(handles, grace):
            for handle in handles:
                spec = compute._hanging.pop(handle)
                compute._news.append(
                    Exited(handle, 1, None, "exit", at=time.time(), manifest=failed(spec))
                )
            original(handles, grace)

        compute.cancel = cancel
        outcome = run(flowtester, compute, modules=[Judge()])
        ends = [e for e in outcome.events if isinstance(e, TaskFinished) and not e.manifest.ok]
        assert [e.retry_in for e in ends] == [None, None]

    @pytest.mark.parametrize(
        ("number", "name"),
        [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
    )
    def test_interrupted_tasks_are_cancelled_and_the_run_says_so(self, flowtester, number, name):
        compute = FakeCompute(count=9)

        def ends(spec):
            if spec.step == "start":
                return compute.good(spec)
            if spec.task == 3:
                os.kill(os.getpid(), number)
            return "hangs"

        compute.ends = ends
        before = signal.getsignal(number)
        outcome = run(flowtester, compute)
        assert outcome.state is RunState.INTERRUPTED
        assert outcome.error.state == "interrupted"
        assert "was interrupted" in outcome.error.what
        assert outcome.error.why == f"interrupted by a signal ({name})"
        assert "resume" in outcome.error.hint
        assert compute.cancelled == [([2, 3], 0.5)]
        assert signal.getsignal(number) is before
        assert compute.closed

    def test_a_second_interrupt_leaves_no_grace(self, flowtester):
        compute = FakeCompute()
        compute.ends = lambda s: "hangs"
        original = compute.cancel

        def cancel(handles, grace):
            if grace:
                compute.cancelled.append((handles, grace))
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                original(handles, grace)

        compute.cancel = cancel
        original_launch = compute.launch

        def launch(task, command):
            os.kill(os.getpid(), signal.SIGINT)
            return original_launch(task, command)

        compute.launch = launch
        outcome = run(flowtester, compute, LINEAR)
        assert outcome.state is RunState.INTERRUPTED
        assert [grace for _, grace in compute.cancelled] == [0.5, 0.0]

    @pytest.mark.parametrize(
        ("count", "told"),
        [
            (1, "1 task is still ending: it has 30 s. Ctrl-C again ends it at once."),
            (3, "3 tasks are still ending: they have 30 s. Ctrl-C again ends them at once."),
        ],
    )
    def test_for_whom_an_interrupt_waits_is_told_once(self, flowtester, count, told):
        compute = FakeCompute(count=count)
        compute.ends = lambda s: compute.good(s) if s.step == "start" else "hangs"
        original_cancel, original_launch = compute.cancel, compute.launch
        asked: list[float] = []

        def cancel(handles, grace):
            asked.append(grace)
            if not grace:  # the second Ctrl-C
                original_cancel(handles, grace)
            else:
                threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()

        def launch(task, command):
            if task.step != "start" and task.task == count + 1:
                os.kill(os.getpid(), signal.SIGINT)
            return original_launch(task, command)

        compute.cancel, compute.launch = cancel, launch
        outcome = run(flowtester, compute, settings={"max_workers": count, "cancel_grace": 30.0})
        assert outcome.state is RunState.INTERRUPTED
        assert asked == [30.0, 0.0]
        assert [e.text for e in outcome.events if isinstance(e, Message)] == [told]


def _stored(outcome, key):
    (raw,) = outcome.store.read([key])
    return raw, key


class TestDeadAttempts:
    @pytest.mark.parametrize(
        ("exited", "words"),
        [
            ({"code": 3, "signal": None, "cause": "exit"}, "exit status 3"),
            ({"code": None, "signal": 11, "cause": "killed"}, "killed by SIGSEGV"),
            (
                {"code": None, "signal": 9, "cause": "out-of-memory", "message": "too big"},
                "too big",
            ),
            ({"code": None, "signal": None, "cause": "lost", "message": "node gone"}, "node gone"),
        ],
    )
    def test_the_launcher_writes_what_is_known(self, flowtester, exited, words):
        class Deadly(FakeCompute):
            def launch(self, task, command):
                self._news.append(Exited(1, **exited, cpu_seconds=1.5, peak_memory=7))
                return 1

        outcome = run(flowtester, Deadly(), LINEAR)
        (found,) = outcome.manifests("start")
        assert found.state is AttemptState.FAILED
        assert found.failure.cause == exited["cause"]
        assert words in found.failure.message
        assert (found.cpu_seconds, found.peak_memory) == (1.5, 7)

    def test_a_manifest_that_comes_at_the_last_moment_wins(self, flowtester):
        compute = FakeCompute(lambda s: None)

        class Late(MemoryStore):
            """The attempt commits between the launcher's look and its own record."""

            def write(self, items, *, create_only=False):
                items = list(items)
                for key, _ in items:
                    if key.endswith("/manifest"):
                        spec = compute.launched[-1]
                        super().write([(key, compute.good(spec).encode())], create_only=True)
                return super().write(items, create_only=create_only)

        outcome = run(flowtester, compute, LINEAR, providers={("store", "local"): Late()})
        assert outcome.state is RunState.SUCCEEDED
        assert outcome.manifests("start")[0].ok

    def test_a_manifest_that_comes_too_late_is_refused(self, flowtester):
        outcome = run(flowtester, FakeCompute(lambda s: None), LINEAR)
        (found,) = outcome.manifests("start")
        assert outcome.store.write([(found.key, b"late")], create_only=True) == [False]
        assert not found.ok


class TestReuse:
    def test_an_earlier_result_stands_for_a_task(self, flowtester):
        asked = []
        compute = FakeCompute()

        class Reuse:
            @hookimpl
            def flow_reuse_task(self, task, inputs_reused):
                asked.append((task.step, task.task, inputs_reused))
                if task.step == "start" or (task.step == "work" and task.task != 3):
                    return compute.good(task)._replace(run="7", task=70 + task.task)
                return None

        outcome = run(flowtester, compute, modules=[Reuse()])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert names(compute) == [("work", 3, 0), ("join", 5, 0), ("end", 6, 0)]
        assert asked == [
            ("start", 1, True),
            ("work", 2, True),
            ("work", 3, True),
            ("work", 4, True),
            ("join", 5, False),
            ("end", 6, False),
        ]
        (found,) = outcome.manifests("start")
        assert found.state is AttemptState.REUSED
        assert found.origin == "F/7/start/71/0"

    def test_not_when_todays_code_goes_another_way(self, flowtester):
        compute = FakeCompute()

        class Reuse:
            @hookimpl
            def flow_reuse_task(self, task, inputs_reused):
                if task.step == "start":
                    return compute.good(task)._replace(transition=Transition(("other",)))
                return None

        run(flowtester, compute, modules=[Reuse()])
        assert names(compute)[0] == ("start", 1, 0)


class TestMemory:
    COUNT = 20_000

    def test_a_waiting_task_costs_bytes(self, flowtester):
        class Measuring(FakeCompute):
            def launch(self, task, command):
                if task.step == "start":
                    tracemalloc.start()
                    self.before = tracemalloc.get_traced_memory()[0]
                elif task.step == "work" and tracemalloc.is_tracing():
                    self.waiting = tracemalloc.get_traced_memory()[0] - self.before
                    tracemalloc.stop()
                self.launched.clear()
                return super().launch(task, command)

        compute = Measuring(count=self.COUNT)
        begun = time.perf_counter()
        outcome = run(flowtester, compute)
        assert outcome.state is RunState.SUCCEEDED
        assert compute.waiting / self.COUNT <= 64  # bytes; the budget is 1024
        queued = [e.count for e in outcome.events if isinstance(e, TaskQueued)]
        assert queued == [1, self.COUNT, 1, 1]
        assert time.perf_counter() - begun < 30

    def test_a_step_that_repeats_costs_nothing_more_with_each_iteration(self, flowtester):
        measured = {}

        class Repeating(FakeCompute):
            def good(self, task):
                again = task.step == "start" and task.iteration < 9000
                way = Transition(("start",), "k", case="1") if again else None
                if task.step == "start" and not again:
                    way = Transition(("end",), "k", case="2")
                return super().good(task)._replace(transition=way or Transition())

            def launch(self, task, command):
                if task.iteration in (1000, 9000):
                    measured[task.iteration] = tracemalloc.get_traced_memory()[0]
                self.launched.clear()
                return super().launch(task, command)

        class Forgetful(MemoryStore):
            def write(self, items, *, create_only=False):
                kept = [item for item in items if "/manifest" not in item[0]]
                return super().write(kept, create_only=create_only) if kept else [True] * len(items)

        class Unindexed(MemoryMetadata):
            def write_attempts(self, records):
                pass

        source = LINEAR.replace("self.next(", "self.next({1: self.start, 2: ").replace(
            "self.end)", "self.end}, condition='k')"
        )
        providers = {
            ("compute", "local"): Repeating(),
            ("store", "local"): Forgetful(),
            ("metadata", "local"): Unindexed(),
        }
        with flowtester.session(flowtester.load(source), providers=providers) as session:
            tracemalloc.start()
            try:
                session.execute(RunRequest())
            finally:
                tracemalloc.stop()
        # What waits to be written to the index varies; a task that is kept costs 250 bytes.
        assert measured[9000] - measured[1000] < 8000 * 50

    def test_the_peak_is_within_the_budget(self, flowtester):
        class Last(FakeCompute):
            peak = 0

            def launch(self, task, command):
                self.launched.clear()
                if task.step == "start":
                    tracemalloc.start()
                elif task.step == "join":
                    self.peak = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
                return super().launch(task, command)

        class Silent:
            """Keeps nothing, as an index on disk does."""

            def __init__(self, inner):
                self.inner = inner

            def __getattr__(self, name):
                return getattr(self.inner, name)

            def write_attempts(self, records):
                pass

        compute = Last(count=5000)
        flow = flowtester.load(FOREACH)
        session = flowtester.session(
            flow,
            settings={"max_workers": 2},
            providers={
                ("compute", "local"): compute,
                ("metadata", "local"): Silent(MemoryMetadata()),
            },
        )
        with session:
            session.execute(RunRequest())
        assert compute.peak / 5000 <= 1024


class TestTrouble:
    def test_a_hook_that_fails_ends_the_run_with_a_record(self, flowtester):
        class Bad:
            @hookimpl
            def flow_task_command(self, task):
                raise ZeroDivisionError("listener")

        compute = FakeCompute()
        flow = flowtester.load(LINEAR)
        session = flowtester.session(
            flow, modules=[Bad()], providers={("compute", "local"): compute}
        )
        with session, pytest.raises(PluginError) as caught:
            session.execute(RunRequest())
        assert caught.value.why == "ZeroDivisionError: listener"
        (record,) = session.metadata.runs("F")
        assert record.state is RunState.FAILED
        assert record.message == "The plugin 'Bad' failed in its hook flow_task_command"
        assert compute.closed

    def test_a_store_that_fails_is_the_runs_error(self, flowtester):
        class Full(MemoryStore):
            def write(self, items, *, create_only=False):
                items = list(items)
                if any("/end/" in key for key, _ in items):
                    raise StoreError("The store is full", why="no space", hint="make room")
                return super().write(items, create_only=create_only)

        compute = FakeCompute()
        compute.ends = lambda s: None if s.step == "end" else compute.good(s)
        outcome = run(flowtester, compute, LINEAR, providers={("store", "local"): Full()})
        assert isinstance(outcome.error, StoreError)
        assert outcome.state is RunState.FAILED
        assert compute.closed

    def test_a_provider_that_cannot_be_opened(self, flowtester):
        class Closed(FakeCompute):
            def open(self, run, store):
                raise StoreError("no connection")

        compute = Closed()
        outcome = run(flowtester, compute, LINEAR)
        assert outcome.state is RunState.FAILED
        assert compute.closed

    def test_a_provider_that_cannot_be_closed(self, flowtester):
        class Stuck(FakeCompute):
            def close(self):
                super().close()
                raise StoreError("no space for the logs")

        compute = Stuck()
        outcome = run(flowtester, compute, LINEAR)
        assert outcome.error.what == "no space for the logs"
        assert outcome.state is RunState.FAILED
        assert compute.closed

    def test_a_plugin_that_fails_at_the_end_hides_no_error_before_it(self, flowtester):
        class Bad:
            @hookimpl
            def flow_task_command(self, task):
                raise StoreError("the first error")

            @hookimpl
            def flow_run_finished(self, run):
                raise ZeroDivisionError

        outcome = run(flowtester, FakeCompute(), LINEAR, [Bad()])
        assert outcome.error.why == "the first error"
        assert [type(e).__name__ for e in outcome.events][-1] == "RunFinished"

    def test_a_plugin_that_fails_at_the_end_leaves_the_run_succeeded(self, flowtester):
        class Bad:
            @hookimpl
            def flow_run_finished(self, run):
                raise ZeroDivisionError

        outcome = run(flowtester, FakeCompute(), LINEAR, [Bad()])
        assert outcome.error is None
        last = outcome.events[-1]
        assert type(last).__name__ == "RunFinished"  # which shows the summary
        assert last.result.state is RunState.SUCCEEDED

    def test_a_task_that_others_cancelled_has_failed(self, flowtester):
        class Elsewhere(FakeCompute):
            def launch(self, task, command):
                gone = "cancelled by the administrator"
                self._news.append(Exited(1, None, None, "cancelled", gone, time.time()))
                return 1

        outcome = run(flowtester, Elsewhere(), LINEAR)
        assert outcome.error.why == "cancelled by the administrator"
        assert outcome.error.where == "F/1/start/1"
        assert outcome.state is RunState.FAILED

    def test_what_others_cancelled_is_tried_again_and_its_record_says_failed(self, flowtester):
        class Elsewhere(FakeCompute):
            def launch(self, task, command):
                if task.attempt or task.step != "work":
                    return super().launch(task, command)
                self._last += 1
                self._news.append(Exited(self._last, None, 15, "cancelled", at=time.time()))
                return self._last

        compute = Elsewhere()
        outcome = run(flowtester, compute, modules=[Policy(times=1, on=("cancelled",))])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        first = [m for m in outcome.manifests("work") if not m.attempt]
        assert {(m.state, m.failure.cause, m.failure.message) for m in first} == {
            (AttemptState.FAILED, "cancelled", "somebody else cancelled it")
        }

    @pytest.mark.parametrize("cause", ["evicted", "preempted", "lost"])
    def test_causes_of_clusters_are_told_apart(self, flowtester, cause):
        class Elsewhere(FakeCompute):
            def launch(self, task, command):
                if task.attempt or task.step != "work":
                    return super().launch(task, command)
                self._last += 1
                end = Exited(self._last, None, None, cause, "the node went", time.time())
                self._news.append(end._replace(hint="ask for another one"))
                return self._last

        compute = Elsewhere()
        outcome = run(flowtester, compute, modules=[Policy(times=1, on=(cause,))])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        first = next(m for m in outcome.manifests("work") if not m.attempt)
        assert first.failure == Failure(cause, "", "the node went", hint="ask for another one")
        other = run(flowtester, Elsewhere(), modules=[Policy(times=1, on=("timeout",))])
        assert other.state is RunState.FAILED
        assert other.error.why == "the node went"

    def test_output_goes_to_listeners(self, flowtester):
        outcome = flowtester.run(LINEAR.replace("        pass", "        print('hello')"))
        assert outcome.output("end") == "hello\n"
        assert attempt_prefix("F", "1", "end", 2, 0) + "stdout" in [
            e.key for e in outcome.store.list()
        ]


class Deadline:
    """Bounds the time of every attempt of a step."""

    def __init__(self, timeout, grace=0.05, times=0, handles_failure=False):
        self.timeout, self.grace = timeout, grace
        self.times, self.handles_failure = times, handles_failure

    @hookimpl
    def flow_plan_step(self, step, draft):
        if step.name == "work":
            draft.timeout, draft.timeout_grace = self.timeout, self.grace
            draft.retry = RetryPolicy(self.times)
            draft.handles_failure = self.handles_failure


class TestDeadlines:
    def hanging(self, first_only=True):
        def ends(spec):
            hangs = spec.step == "work" and (not first_only or spec.attempt == 0)
            return "hangs" if hangs else compute.good(spec)

        compute = FakeCompute(ends)
        return compute

    def test_who_does_not_end_is_ended_and_tried_again(self, flowtester):
        compute = self.hanging()
        outcome = run(flowtester, compute, modules=[Deadline(0.1, times=1)])
        assert outcome.state is RunState.SUCCEEDED
        dead = outcome.manifests("work")[0]
        assert dead.state is AttemptState.FAILED
        assert dead.failure == Failure(
            "timeout", "", "it took longer than 0.1 s and was ended by force"
        )
        assert len(compute.cancelled) == 3  # each of the three items once, by itself

    def test_without_retries_the_run_fails(self, flowtester):
        outcome = run(flowtester, self.hanging(False), modules=[Deadline(0.05)])
        assert outcome.state is RunState.FAILED
        assert "longer than 0.05 s" in str(outcome.error)

    def test_a_fallback_has_no_deadline(self, flowtester):
        def ends(spec):
            if spec.step == "work" and not spec.fallback:
                return "hangs"
            return compute.good(spec)

        compute = FakeCompute(ends)
        outcome = run(flowtester, compute, modules=[Deadline(0.05, handles_failure=True)])
        assert outcome.state is RunState.SUCCEEDED
        assert {t.previous.cause for t in compute.launched if t.fallback} == {"timeout"}

    @pytest.mark.parametrize("begins", [True, False])
    def test_the_time_counts_from_where_the_body_begins(self, flowtester, monkeypatch, begins):
        """Until then the start is bounded too, more generously."""

        class SlowStart(FakeCompute):
            capabilities = ComputeCapabilities(tells_begin=True)
            waited = 0.0

            def launch(self, task, command):
                assert command.timed == (task.step == "work")
                return super().launch(task, command)

            def poll(self, timeout):
                updates = list(super().poll(timeout))
                if begins:
                    updates += [Begun(u.handle, u.at + 0.5) for u in updates if self.works(u)]
                return updates

            def works(self, update):
                mine = self.launched[update.handle - 1].step == "work"
                return mine and isinstance(update, Started)

        monkeypatch.setattr("flow_core.scheduler._START_SECONDS", 1.0)
        compute = SlowStart(lambda s: "hangs" if s.step == "work" else compute.good(s))
        began = time.monotonic()
        outcome = run(flowtester, compute, modules=[Deadline(0.1)])
        assert outcome.state is RunState.FAILED
        assert "longer than 0.1 s" in str(outcome.error)
        took = time.monotonic() - began
        assert took > (0.6 if begins else 1.1)

    def test_who_ends_in_time_is_left_alone(self, flowtester):
        compute = FakeCompute(count=20)
        assert run(flowtester, compute, modules=[Deadline(30, 0)]).state is RunState.SUCCEEDED
        assert not compute.cancelled

    def test_deadlines_of_ended_attempts_are_not_kept(self, flowtester, monkeypatch):
        """A foreach of short tasks with a long timeout keeps no more than a few of them."""
        most = 0
        set_deadline = Scheduler._set_deadline

        def watched(self, *arguments):
            nonlocal most
            set_deadline(self, *arguments)
            most = max(most, len(self._deadlines))

        monkeypatch.setattr(Scheduler, "_set_deadline", watched)
        compute = FakeCompute(count=1000)
        assert run(flowtester, compute, modules=[Deadline(3600)]).state is RunState.SUCCEEDED
        assert 1 < most < 100
