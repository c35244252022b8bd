"""A store that fails at any instant of a run: the run says so, nothing is half, resume goes on.

A run without faults tells how often its store is used; then each use fails in a run of its own.
"""

from __future__ import annotations

import sys

import pytest

from flow_core.api import FlowError, RunRequest, RunState, StoreError, installed
from flow_core.manifests import list_manifests
from flow_core.records import Manifest, RunResult, result_key
from flow_core.testing import FaultyStore, MemoryMetadata, MemoryStore, RunOutcome
from flow_core.testing.flowtester import main_kept

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        n = Parameter("n", default=1)

        @step
        def start(self):
            self.big = bytes(range(256)) * 400
            self.items = list(range(self.n))
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.mine = self.big[self.input :]
            self.next(self.join)

        @step
        def join(self, inputs):
            self.lengths = [len(i.mine) for i in inputs]
            self.big = inputs[0].big
            self.next(self.end)

        @step
        def end(self):
            self.total = sum(self.lengths) + len(self.big)
"""
TOTAL = 2 * 256 * 400


class Place:
    """A store with faults, and an index, for several runs of the flow."""

    def __init__(self, tester, flow):
        self.tester, self.flow = tester, flow
        self.store = FaultyStore(MemoryStore())
        self.providers = {("store", "local"): self.store, ("metadata", "local"): MemoryMetadata()}

    def run(self, origin=None):
        session = self.tester.session(self.flow, plugins=["run"], providers=self.providers)
        error = None
        with session:
            try:
                request = RunRequest()
                if origin:
                    request = installed().load("flow.calls", "resume")(session, request, origin)
                session.execute(request)
            except FlowError as raised:
                error = raised
        runs = self.providers["metadata", "local"].runs("F", limit=1)
        run, state = (runs[0].run, runs[0].state) if runs else ("", None)
        return RunOutcome("F", self.store, session.metadata, error, state, run)

    def check(self, outcome):
        """Check what a run has left: all of it can be read, and the store tells no lies."""
        manifests = [
            Manifest.decode(raw, key)
            for key, raw in list_manifests(self.store.behind, "F", outcome.run)
        ]
        for manifest in manifests:
            for ref in manifest.artifacts.values():
                blob = f"blobs/{ref.hash[:2]}/{ref.hash}"
                assert ref.inline or self.store.behind.exists([blob]) == [True]
        key = result_key("F", outcome.run)
        (raw,) = self.store.behind.read([key])
        if raw is not None and RunResult.decode(raw, key).state is RunState.SUCCEEDED:
            assert {m.step for m in manifests if m.ok} == {"start", "work", "join", "end"}
        if outcome.state is RunState.SUCCEEDED:
            assert raw is not None


@pytest.fixture
def place(flowtester, monkeypatch):
    """A function that makes a new `Place`."""
    monkeypatch.chdir(flowtester.path)
    monkeypatch.setattr(sys, "argv", ["flow"])  # hints say how the program was started
    with main_kept():
        flow = flowtester.load(FLOW)
        yield lambda: Place(flowtester, flow)


def check_told(error):
    """The error has all its parts, and names no use of the store that is the kernel's own."""
    assert isinstance(error, FlowError)
    parts = (error.what, error.where, error.why, error.hint)
    assert all(parts), parts
    assert "The store does not answer" in f"{error.what} {error.why}" or "its log" in error.why


@pytest.mark.parametrize(("how", "times"), [("fail", 1), ("fail", None), ("lose", 1)])
def test_a_run(place, how, times):
    undisturbed = place()
    undisturbed.run().check()
    for after, use in enumerate(undisturbed.store.calls):
        here = place()
        getattr(here.store, how)("*", after=after, times=times)
        outcome = here.run()
        here.store.heal()
        if outcome.error is None:
            # That the answer was lost does not matter where it can be read what is there.
            assert (how, use[1].rpartition("/")[2]) == ("lose", "manifest")
            assert outcome.state is RunState.SUCCEEDED
        else:
            check_told(outcome.error)
            assert outcome.state in (RunState.FAILED, None), use
        if outcome.run:
            here.check(outcome)
        if outcome.error is not None:
            assert "--origin-run-id 1" in outcome.error.hint or not outcome.run, use
            again = here.run(outcome.run).check()
            assert again.artifact("end", "total") == TOTAL, use
            here.check(again)


def test_a_resume(place):
    """Its own reused results are written many at a time, and late."""

    def broken():
        made = place()
        made.store.fail("write", "runs/F/1/end/*/manifest")
        assert made.run().error is not None
        del made.store.calls[:]
        return made

    undisturbed = broken()
    undisturbed.run("1").check()
    for after, use in enumerate(undisturbed.store.calls):
        here = broken()
        here.store.fail("*", after=after)
        outcome = here.run("1")
        here.store.heal()
        check_told(outcome.error)
        here.check(outcome)
        again = here.run(outcome.run).check()
        assert again.artifact("end", "total") == TOTAL, use
        here.check(again)


def test_a_result_that_cannot_be_stored_says_so(place):
    here = place()
    here.store.fail("write", "runs/F/1/work/*/manifest")
    error = here.run().error
    assert (error.what, error.where) == ("Run F/1 failed", "F/1/work/2")
    assert error.why == "its result could not be stored: its log says why"
    assert error.hint.endswith("resume flow.py --origin-run-id 1")


def test_a_launcher_that_cannot_read_says_which_run_ended(place):
    here = place()
    here.store.fail(
        "read", "runs/F/1/work/*/manifest", error=StoreError("No", why="no", hint="pay")
    )
    error = here.run().error
    assert (error.what, error.why) == ("Run F/1 failed", "No: no")
    assert error.hint == "pay; then: flow resume flow.py --origin-run-id 1"


def test_a_run_whose_end_is_not_in_the_store_has_failed(place):
    here = place()
    here.store.fail("write", "runs/F/1/finished.json")
    outcome = here.run()
    assert outcome.state is RunState.FAILED
    assert outcome.error.what == "Run F/1 failed"
    (record,) = here.providers["metadata", "local"].runs("F")
    assert record.message == "The store does not answer: the test told it so"
    again = here.run("1").check()
    assert {m.state.value for m in again.manifests("end")} == {"reused"}


def test_each_attempt_tells_the_store_that_it_has_answered_before(place):
    here, told = place(), []
    here.store.expect_answers = lambda: told.append(len(here.store.calls))
    here.run().check()
    assert len(told) == 4
    assert min(told) > 3, "not before the run is there"


def test_signs_of_life_that_cannot_be_written_end_nothing(place, monkeypatch):
    monkeypatch.setattr("flow_core.scheduler._HEARTBEAT_SECONDS", 0.0)
    here = place()
    here.store.capabilities = here.store.capabilities._replace(shared=True)
    here.store.fail("write", "runs/F/1/heartbeat.json", times=None)
    here.run().check()
    assert here.store.count("write", "runs/F/1/heartbeat.json") > 1
