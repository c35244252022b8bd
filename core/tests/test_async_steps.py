"""``async def`` steps: they run to their end, in an event loop of their own."""

import asyncio

from flow_core.records import AttemptState

ASYNC = """
import asyncio
from flow_core import FlowSpec, step, current

async def double(x):
    await asyncio.sleep(0)
    return 2 * x

class F(FlowSpec):
    @step
    async def start(self):
        self.doubles = await asyncio.gather(*(double(n) for n in range(3)))
        {extra}
        self.next(self.a, self.b)

    @step
    async def a(self):
        self.next(self.join)

    @step
    def b(self):
        self.next(self.join)

    @step
    async def join(self, inputs):
        self.merge_artifacts(inputs)
        self.where = current.step_name
        self.next(self.end)

    @step
    async def end(self):
        self.last = await double(self.doubles[-1])
"""


def run(flowtester, extra="pass", **options):
    return flowtester.run(ASYNC.replace("{extra}", extra), **options)


def test_they_run_like_other_steps(flowtester):
    outcome = run(flowtester)
    assert outcome.error is None
    assert outcome.artifact("end", "doubles") == [0, 2, 4]
    assert outcome.artifact("end", "last") == 8
    assert outcome.artifact("join", "where") == "join"


def test_a_failure_shows_the_users_frames_only(flowtester):
    outcome = run(flowtester, "await double(None)")
    (failed,) = outcome.manifests("start")
    assert failed.failure.type == "TypeError"
    assert "flow.py" in failed.failure.traceback
    assert "asyncio" not in failed.failure.traceback.replace("asyncio.sleep", "")
    assert "flow_core" not in failed.failure.traceback


def test_retry_and_catch(flowtester):
    outcome = run(
        flowtester,
        "if current.retry_count == 0: await double(None)",
        plugins=["retry", "catch"],
        decorators=["retry:times=1,delay=0"],
    )
    assert outcome.error is None
    assert [m.attempt for m in outcome.manifests("start")] == [0, 1]
    outcome = run(
        flowtester,
        "await double(None)",
        plugins=["retry", "catch"],
        decorators=["catch:var=failure"],
    )
    assert outcome.error is None
    assert outcome.manifests("start")[0].state is AttemptState.CAUGHT


def test_where_a_loop_runs_already(flowtester):
    async def cell():
        return run(flowtester)

    outcome = asyncio.run(cell())
    assert outcome.error is None
    assert outcome.artifact("end", "last") == 8


def test_cancelled_errors_fail_the_step(flowtester):
    outcome = run(flowtester, "raise asyncio.CancelledError")
    assert outcome.manifests("start")[0].failure.type == "asyncio.exceptions.CancelledError"


def test_a_failure_where_a_loop_runs_already(flowtester):
    async def cell():
        return run(flowtester, "await double(None)")

    outcome = asyncio.run(cell())
    (failed,) = outcome.manifests("start")
    assert failed.failure.type == "TypeError"
    assert "flow_core" not in failed.failure.traceback
