"""Attempts that an earlier launcher started: the scheduler waits for them instead of starting anew."""

import json
import signal
import time
from collections import deque

import pytest

from flow_core.adoption import unfinished_attempts
from flow_core.errors import FormatError
from flow_core.hookspecs import hookimpl
from flow_core.interfaces import ComputeCapabilities, Exited, Output, Started
from flow_core.records import (
    SPECIFICATION,
    AttemptState,
    Failure,
    ForeachFrame,
    GangMember,
    Manifest,
    Message,
    RunDocument,
    RunState,
    TaskFinished,
    TaskOutput,
    TaskSpec,
    TaskStarted,
    Transition,
    attempt_prefix,
    manifest_key,
    run_key,
)
from flow_core.testing import MemoryStore

FLOW = """
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


def old(index, task, attempt=0, step="work"):
    """The specification of an attempt of the earlier run."""
    frame = ForeachFrame("start", 1, 0, "items", index, 3)
    return TaskSpec("F", "old", step, task, attempt, foreach=(frame,) if index is not None else ())


class Cluster:
    """Knows of attempts of an earlier run what becomes of them, and ends new ones at once.

    Args:
        alive: task of the earlier run → how it ends when it is polled: a state, "dies", or None = it
            goes on until it is cancelled.
        at_once: whether that is told before the run has come so far.
    """

    capabilities = ComputeCapabilities()
    notice = None

    def __init__(self, alive, at_once=False):
        self.alive = alive
        self.asked = []
        self.launched = []
        self.cancelled = []
        self.closed = False
        self._adopted = {}
        self._news = deque()
        self._later = self._news if at_once else deque()  # what comes when all else is told

    def prepare(self, runtime):
        self.graph = runtime.graph

    def open(self, run, store):
        self.store = store

    def adopt(self, tasks):
        assert not self.launched
        self.asked.append([(t.step, t.task, t.attempt) for t in tasks])
        return [self._adopt(task) for task in tasks]

    def _adopt(self, task):
        if task.task not in self.alive:
            return None
        handle = f"job {task.task}"
        self._adopted[handle] = task
        self._later.append(Started(handle, handle, time.time()))
        self._later.append(Output(handle, "stdout", b"still here\n", time.time()))
        end = self.alive[task.task]
        if end == "dies":
            self._later.append(Exited(handle, None, 9, "lost", "its node is gone", time.time()))
        elif end is not None:
            self._later.append(Exited(handle, 0, None, "exit", at=time.time()))
            self.commit(task, end)
        return handle

    def commit(self, task, state):
        failure = None if state is AttemptState.SUCCEEDED else Failure("error", "E", "it broke")
        way = Transition(self.graph[task.step].targets) if failure is None else None
        done = Manifest(*task[:5], state, way, foreach=task.foreach, failure=failure)
        self.store.write([(done.key, done.encode())])

    def launch(self, task, command):
        self.launched.append(task)
        handle = f"new {task.step} {task.task} {task.attempt}"
        node = self.graph[task.step]
        way = Transition(node.targets)
        if node.foreach:
            way = way._replace(artifact=node.foreach, count=3)
        elif node.num_parallel:
            way = way._replace(count=2)
        done = Manifest(
            *task[:5], AttemptState.SUCCEEDED, way, inputs=task.inputs, foreach=task.foreach
        )
        self.store.write([(done.key, done.encode())])
        self._news.append(Started(handle, handle, time.time()))
        self._news.append(Exited(handle, 0, None, "exit", at=time.time(), manifest=done))
        return handle

    def launch_gang(self, members):
        return [self.launch(*member) for member in members]

    def poll(self, timeout):
        if not self._news and self._later:
            self._news.append(self._later.popleft())
        if not self._news:
            time.sleep(min(timeout, 0.01))
            return []
        return [self._news.popleft()]

    def fileno(self):
        return None

    def cancel(self, handles, grace):
        self.cancelled += handles
        for handle in handles:
            if self._adopted.pop(handle, None):
                self._news.append(Exited(handle, None, 15, "cancelled", "", time.time()))

    def logs(self, task, stream, offset=0):
        return b""

    def close(self):
        self.closed = True


class Resume:
    """Goes on from the earlier run, as the command does: what is there still runs, or is lost."""

    def __init__(self, *specs, adopts=True):
        self.specs = specs
        self.adopts = adopts

    @hookimpl
    def flow_unfinished_attempts(self, session, run):
        return list(self.specs)

    @hookimpl
    def flow_reuse_task(self, task, draft):
        draft.because("test", "missing")
        if self.adopts:
            draft.adopt()


def run(flowtester, cluster, *specs, source=FLOW, adopts=True, modules=(), **settings):
    return flowtester.run(
        source,
        modules=[Resume(*specs, adopts=adopts), *modules],
        settings={"max_workers": 4, "failure_grace": 0.25, "cancel_grace": 0.5, **settings},
        providers={("compute", "local"): cluster, ("store", "local"): with_run("old")},
    )


def with_run(run, compute="local"):
    """A store with the earlier run."""
    plans = {"work": {"compute": compute}}
    document = RunDocument("F", run, time.time(), {}, {}, None, {}, plans)
    store = MemoryStore()
    store.write([(run_key("F", run), document.encode())])
    return store


def launched(cluster, step="work"):
    return [(t.indices, t.attempt) for t in cluster.launched if t.step == step]


class TestAdoption:
    def test_what_still_runs_is_not_started_twice(self, flowtester):
        cluster = Cluster({12: AttemptState.SUCCEEDED, 13: AttemptState.SUCCEEDED})
        outcome = run(flowtester, cluster, old(0, 12), old(1, 13), old(2, 14))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert cluster.asked == [[("work", 12, 0), ("work", 13, 0), ("work", 14, 0)]]
        assert launched(cluster) == [((2,), 0)]  # which does not run any more
        found = {m.foreach[0].index: m for m in outcome.manifests("work")}
        assert [(found[n].state.value, found[n].origin) for n in range(3)] == [
            ("reused", "F/old/work/12/0"),
            ("reused", "F/old/work/13/0"),
            ("succeeded", None),
        ]
        assert found[0].notes["reuse"] == [
            {"by": "flow-core", "kind": "adopted", "origin": "F/old/work/12/0"}
        ]

    def test_people_are_told_and_see_what_it_writes(self, flowtester):
        cluster = Cluster({13: AttemptState.SUCCEEDED})
        outcome = run(flowtester, cluster, old(1, 13))
        told = [e.text for e in outcome.events if isinstance(e, Message)]
        assert told == ["1 task of F/old still runs: no such task is started twice"]
        (begun,) = [e for e in outcome.events if isinstance(e, TaskStarted) and e.pid == "job 13"]
        assert begun.spec.notes == {"adopts": "F/old/work/13/0"}
        (written,) = [e for e in outcome.events if isinstance(e, TaskOutput)]
        assert (written.data, written.spec.run) == (b"still here\n", outcome.run)
        (end,) = [e for e in outcome.events if isinstance(e, TaskFinished) and e.spec is begun.spec]
        assert end.manifest.state is AttemptState.REUSED

    @pytest.mark.parametrize("end", [AttemptState.FAILED, "dies"])
    def test_one_that_fails_runs_again_as_the_first_attempt(self, flowtester, end):
        cluster = Cluster({13: end})
        outcome = run(flowtester, cluster, old(1, 13))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert sorted(launched(cluster)) == [((0,), 0), ((1,), 0), ((2,), 0)]
        assert {m.state.value for m in outcome.manifests("work")} == {"succeeded"}
        key = manifest_key(*old(1, 13)[:5])  # of one that died the earlier run knows it now
        failed = Manifest.decode(next(iter(outcome.store.read([key]))), key)
        assert failed.failure.summary in ("E: it broke", "SIGKILL: its node is gone")
        again = [e for e in outcome.events if isinstance(e, TaskFinished) and not e.manifest.ok]
        assert [(e.spec.attempt, e.retry_in) for e in again] == [(0, 0.0)]

    def test_a_result_that_goes_another_way_than_the_code_does_now(self, flowtester):
        class Elsewhere(Cluster):
            def commit(self, task, state):
                done = Manifest(*task[:5], state, Transition(("gone",)), foreach=task.foreach)
                self.store.write([(done.key, done.encode())])

        cluster = Elsewhere({13: AttemptState.SUCCEEDED})
        outcome = run(flowtester, cluster, old(1, 13))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert len(launched(cluster)) == 3

    def test_a_result_that_the_provider_holds_already(self, flowtester):
        class Holding(Cluster):
            def poll(self, timeout):
                return [self._with_manifest(u) for u in super().poll(timeout)]

            def _with_manifest(self, update):
                if isinstance(update, Exited) and update.handle in self._adopted:
                    key = manifest_key(*self._adopted[update.handle][:5])
                    raw = next(iter(self.store.read([key])))
                    self.store.delete([key])  # it is not read again
                    return update._replace(manifest=Manifest.decode(raw, key))
                return update

        cluster = Holding({13: AttemptState.SUCCEEDED})
        outcome = run(flowtester, cluster, old(1, 13))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert len(launched(cluster)) == 2

    def test_of_two_at_one_place_the_first_counts(self, flowtester):
        cluster = Cluster({13: AttemptState.SUCCEEDED, 99: AttemptState.SUCCEEDED})
        run(flowtester, cluster, old(1, 13), old(1, 99))
        assert cluster.asked == [[("work", 13, 0)]]

    def test_they_share_the_workers(self, flowtester):
        """With one worker the others are waited for one after the other; those that have ended
        before are as if they had been lost: whoever offers them has their results."""
        cluster = Cluster(dict.fromkeys((12, 13, 14), AttemptState.SUCCEEDED))

        class Finished(Resume):
            @hookimpl
            def flow_reuse_task(self, task, draft):
                draft.adopt()
                if task.step != "work":
                    return None
                key = manifest_key(*self.specs[task.indices[0]][:5])
                raw = next(iter(cluster.store.read([key])))
                return Manifest.decode(raw, key) if raw else None

        outcome = flowtester.run(
            FLOW,
            modules=[Finished(old(0, 12), old(1, 13), old(2, 14))],
            settings={"max_workers": 1},
            providers={("compute", "local"): cluster, ("store", "local"): with_run("old")},
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert launched(cluster) == []

    def test_one_that_ended_unseen_is_not_waited_for(self, flowtester):
        cluster = Cluster({12: "dies"}, at_once=True)
        outcome = run(flowtester, cluster, old(0, 12), max_workers=1)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert len(launched(cluster)) == 3


class TestElsewhere:
    def test_it_may_have_been_started_by_the_provider_of_another_step(self, flowtester):
        class Moved:
            @hookimpl
            def flow_plan_step(self, step, draft):
                if step.name == "work":
                    draft.use_compute("other", by="@other")

        here, there = Cluster({13: AttemptState.SUCCEEDED}), Cluster({})
        outcome = flowtester.run(
            FLOW,
            modules=[Resume(old(1, 13)), Moved()],
            providers={
                ("compute", "local"): here,
                ("compute", "other"): there,
                ("store", "local"): with_run("old"),
            },
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert here.asked == [[("work", 13, 0)]]
        assert there.asked == []
        assert launched(there) == [((0,), 0), ((2,), 0)]

    def test_of_a_provider_that_this_run_does_not_use_people_are_told(self, flowtester):
        outcome = flowtester.run(
            FLOW,
            modules=[Resume(old(0, 12), old(1, 13))],
            providers={
                ("compute", "local"): Cluster({}),
                ("store", "local"): with_run("old", compute="slurm"),
            },
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        (told,) = [e for e in outcome.events if isinstance(e, Message)]
        assert told.level == "warning"
        assert told.text == (
            "2 tasks of the earlier run may still run on compute 'slurm', which this run does not "
            "use: it starts them again. End them there, or resume with --compute slurm"
        )


class TestUnwanted:
    def test_what_may_not_stand_for_a_task_is_ended(self, flowtester):
        cluster = Cluster({13: None})
        outcome = run(flowtester, cluster, old(1, 13), adopts=False)
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert cluster.cancelled == ["job 13"]
        assert len(launched(cluster)) == 3

    def test_a_finished_result_goes_before(self, flowtester):
        class Found(Resume):
            @hookimpl
            def flow_reuse_task(self, task, draft):
                draft.adopt()
                if task.indices != (1,):
                    return None
                way = Transition(("join",))
                spec = old(1, 50)
                return Manifest(*spec[:5], AttemptState.SUCCEEDED, way, foreach=spec.foreach)

        cluster = Cluster({13: None})
        outcome = flowtester.run(
            FLOW,
            modules=[Found(old(1, 13))],
            providers={("compute", "local"): cluster, ("store", "local"): with_run("old")},
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert cluster.cancelled == ["job 13"]
        assert len(launched(cluster)) == 2

    def test_the_others_of_a_gang_are_ended_and_it_starts_whole(self, flowtester):
        class Gangs:
            @hookimpl
            def flow_plan_step(self, step, draft):
                draft.gang = step.name == "work"

        place = GangMember(2, 1, 11)
        member = old(1, 13)._replace(gang=place)
        member = member._replace(foreach=(member.foreach[0]._replace(artifact="", count=2),))
        cluster = Cluster({13: None})
        cluster.capabilities = ComputeCapabilities(gang=True)
        source = FLOW.replace('self.work, foreach="items"', "self.work, num_parallel=2")
        outcome = run(flowtester, cluster, member, source=source, modules=[Gangs()])
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert cluster.cancelled == ["job 13"]
        assert len(launched(cluster)) == 2

    def test_steps_that_are_gone_and_providers_that_cannot_are_not_asked(self, flowtester):
        cluster = Cluster({})
        run(flowtester, cluster, old(None, 5, step="gone"))
        assert cluster.asked == []


class TestEnd:
    def test_ctrl_c_ends_them_too(self, flowtester):
        class Interrupting(Cluster):
            def poll(self, timeout):
                news = super().poll(timeout)
                if any(isinstance(u, Output) for u in news):
                    signal.raise_signal(signal.SIGINT)
                return news

        cluster = Interrupting({13: None})
        outcome = run(flowtester, cluster, old(1, 13), max_workers=9)
        assert outcome.state is RunState.INTERRUPTED
        assert "job 13" in cluster.cancelled
        assert cluster.closed
        (left,) = [m for m in outcome.manifests("work") if m.foreach[0].index == 1]
        assert (left.state, left.failure) == (
            AttemptState.CANCELLED,
            Failure("cancelled", "", "the run ended before F/old/work/13/0 was done"),
        )

    def test_after_a_failure_they_get_their_time_and_are_ended(self, flowtester):
        class Failing(Cluster):
            def launch(self, task, command):
                if task.step != "work":
                    return super().launch(task, command)
                self._news.append(Exited("bad", 1, None, "exit", "it broke", time.time()))
                return "bad"

        cluster = Failing({13: None})
        outcome = run(flowtester, cluster, old(1, 13), max_workers=2)
        assert outcome.state is RunState.FAILED
        assert outcome.error.why == "it broke"
        assert cluster.cancelled == ["job 13"]


class TestUnfinishedAttempts:
    def write(self, store, task, attempt=0, committed=False, document=None):
        prefix = attempt_prefix("F", "1", "work", task, attempt)
        spec = TaskSpec("F", "1", "work", task, attempt)
        text = json.dumps(document or {"format": 1, "task": spec.to_json()})
        store.write([(prefix + SPECIFICATION, text.encode())])
        if committed:
            store.write([(prefix + "manifest", b"")])

    def test_the_last_attempts_without_a_manifest(self):
        store = MemoryStore()
        self.write(store, 1, committed=True)
        self.write(store, 2)
        self.write(store, 3, committed=True)
        self.write(store, 3, 1)
        self.write(store, 4, committed=True)
        self.write(store, 4, 1, committed=True)
        store.write([(attempt_prefix("F", "1", "work", 5, 0) + "stdout", b"no specification")])
        store.write([("runs/F/1/run.json", b"{}"), ("runs/F/1/reused.d/1-5", b"")])
        store.write([("runs/F/12/work/7/0/spec.json", b"of another run")])
        found = unfinished_attempts(store, "F", "1")
        assert sorted((s.task, s.attempt) for s in found) == [(2, 0), (3, 1)]

    def test_those_that_have_ended_since(self):
        store = MemoryStore()
        self.write(store, 1, committed=True)
        before = time.time() + 10
        assert unfinished_attempts(store, "F", "1", before) == []
        (found,) = unfinished_attempts(store, "F", "1", before - 20)
        assert found.task == 1

    def test_one_of_a_newer_flow_core(self):
        store = MemoryStore()
        self.write(store, 1, document={"format": 99})
        with pytest.raises(FormatError, match="task specification has format 99"):
            unfinished_attempts(store, "F", "1")
