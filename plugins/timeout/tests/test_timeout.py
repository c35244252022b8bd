"""``@timeout``: interrupted where Python can be, ended by force where not."""

import asyncio
import os
import signal
import time

import pytest

from flow_core.api import DefinitionError, RunState
from flow_timeout import TimeoutOptions, timeout

FLOW = """
    import asyncio, os, signal, subprocess, sys, time
    from flow_core import FlowSpec, catch, current, retry, step, timeout

    class F(FlowSpec):
        DECORATOR
        @step
        DEF start(self):
            self.count = current.retry_count
            BODY
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""

STUCK = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); time.sleep(60)"
HOLDS_THE_GIL = (
    "from collections import deque; from itertools import repeat; deque(repeat(0), maxlen=0)"
)


def flow(decorator="@timeout(seconds=0.2)", body="time.sleep(60)", kind="def"):
    return FLOW.replace("DECORATOR", decorator).replace("BODY", body).replace("DEF", kind)


@pytest.fixture
def run(flowtester):
    plugins = ["timeout", "retry", "catch"]
    return lambda source, **options: flowtester.run(source, plugins=plugins, **options)


def failures(outcome, step="start"):
    return [m.failure and m.failure.cause for m in outcome.manifests(step)]


def test_a_step_that_takes_too_long_fails(run):
    outcome = run(flow())
    assert outcome.state is RunState.FAILED
    (manifest,) = outcome.manifests("start")
    assert manifest.failure.cause == "timeout"
    assert manifest.failure.type == "flow_timeout.TimeoutException"
    assert manifest.failure.message == "Step 'start' took longer than 0.2 s"
    assert "time.sleep(60)" in manifest.failure.traceback
    assert manifest.finished - manifest.started < 5
    assert manifest.artifacts["count"].value == 0  # what was set before is kept


def test_a_step_in_time_is_left_alone(run):
    handler, clock = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)
    outcome = run(flow("@timeout(seconds=30)", "self.left = signal.getitimer(signal.ITIMER_REAL)"))
    assert outcome.state is RunState.SUCCEEDED
    assert 0 < outcome.artifact("start", "left")[0] <= 30
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) == bool(clock[0])
    assert signal.getsignal(signal.SIGALRM) is handler


def test_the_clock_of_somebody_else_goes_on(run):
    rang = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rang.append(time.monotonic()))
    clock = signal.setitimer(signal.ITIMER_REAL, 0.6)
    try:
        assert run(flow("@timeout(seconds=0.05)")).state is RunState.FAILED
        deadline = time.monotonic() + 10
        while not rang and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *clock)
    assert rang


def test_it_is_tried_again(run):
    body = "if self.count == 0: time.sleep(60)"
    outcome = run(flow("@retry(times=2, on='timeout')\n        @timeout(seconds=0.2)", body))
    assert outcome.state is RunState.SUCCEEDED
    assert failures(outcome) == ["timeout", None]


@pytest.mark.parametrize("order", [0, 1])
def test_it_is_caught_whatever_the_order(run, order):
    decorators = ["@catch(var='failure')", "@timeout(seconds=0.2)"]
    outcome = run(flow("\n        ".join(decorators[:: -1 if order else 1])))
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.artifact("start", "failure").cause == "timeout"


def test_async_steps(run):
    outcome = run(flow(body="await asyncio.sleep(60)", kind="async def"))
    assert failures(outcome) == ["timeout"]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("await asyncio.sleep(60)", "await asyncio.sleep(60)"),
        ("await asyncio.gather(asyncio.sleep(60), asyncio.sleep(50))", "await asyncio.gather("),
        ("time.sleep(60)", "time.sleep(60)"),
        # Another task of the loop is the one that runs, and holds up all others.
        ("await asyncio.gather(asyncio.to_thread(int), hold())", "await asyncio.gather("),
    ],
)
def test_an_async_step_shows_where_it_was(run, body, line):
    source = flow(body=body, kind="async def").replace(
        "class F", "async def hold(): time.sleep(60)\n\n    class F"
    )
    (manifest,) = run(source).manifests("start")
    assert manifest.failure.message == "Step 'start' took longer than 0.2 s"
    trace = manifest.failure.traceback
    assert line in trace
    assert trace.endswith("or make it faster")
    assert "selectors.py" not in trace
    assert "flow_" not in trace.replace("flow_timeout.TimeoutException", "")


def test_an_async_step_may_clean_up(run):
    body = "try: await asyncio.sleep(60)\n            finally: self.cleaned = True"
    outcome = run(flow(body=body, kind="async def"))
    assert failures(outcome) == ["timeout"]
    assert "cleaned" in outcome.manifests("start")[0].artifacts


def test_an_async_step_beside_a_loop(run):
    """In a notebook the body runs in a thread of its own; the clock interrupts the main one."""

    async def cell():
        return run(flow(body="await asyncio.sleep(60)", kind="async def"))

    (manifest,) = asyncio.run(cell()).manifests("start")
    assert manifest.failure.cause == "timeout"
    assert "await asyncio.sleep(60)" in manifest.failure.traceback


def test_with_reaches_steps_that_have_none(run):
    outcome = run(flow(""), decorators=["timeout:seconds=0.2"])
    assert failures(outcome) == ["timeout"]


def test_the_step_may_clean_up(run):
    body = "try: time.sleep(60)\n            finally: self.cleaned = True"
    assert "cleaned" in run(flow(body=body)).manifests("start")[0].artifacts


def test_the_plan_knows(flowtester):
    session = flowtester.session(
        flowtester.load(flow("@timeout(minutes=1, seconds=30, hours=1, grace=7)")), ["timeout"]
    )
    plan = session.plans["start"]
    assert (plan.timeout, plan.timeout_grace) == (3690.0, 7.0)
    assert session.plans["end"].timeout is None


IN_PROCESS = {"FLOW_COMPUTE": "in-process"}


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_in_the_process_of_the_launcher(flowtester, kind):
    flowtester.more_plugins = ["inprocess"]
    body = "if self.count == 0: time.sleep(60)"
    if kind == "async def":
        body = body.replace("time", "await asyncio")
    decorators = "@retry(times=1, delay=0)\n        @timeout(seconds=0.3)"
    source = flow(decorators, body, kind).replace(
        "            pass",
        "            self.left = signal.getitimer(signal.ITIMER_REAL), str("
        "signal.getsignal(signal.SIGALRM))",
    )
    flowtester.python(flowtester.write(source), "run", variables=IN_PROCESS).check()
    outcome = flowtester.left()
    assert failures(outcome) == ["timeout", None]
    assert outcome.artifact("end", "left") == ((0.0, 0.0), str(signal.SIG_DFL))


def test_in_a_thread_nothing_interrupts_a_step(flowtester):
    """A web app that runs a flow in-process: the step goes on to its end, and the run with it."""
    flowtester.more_plugins = ["inprocess"]
    source = flow("@timeout(seconds=0.1, grace=0)", "time.sleep(0.5)").replace(
        "        F()",
        "        import threading\n"
        "        thread = threading.Thread(target=lambda: F.run(compute='in-process'))\n"
        "        thread.start(); thread.join()",
    )
    done = flowtester.python(flowtester.write(source)).check()
    assert "Traceback" not in done.stderr
    assert flowtester.left().state is RunState.SUCCEEDED


class TestByForce:
    """Where Python cannot be interrupted, the launcher ends the process."""

    DECORATORS = "@catch(var='failure')\n        @timeout(seconds=0.2, grace=0.2)"

    @pytest.mark.parametrize("body", [STUCK, HOLDS_THE_GIL], ids=["signals blocked", "in C code"])
    def test_a_step_that_is_stuck_is_killed_and_caught(self, flowtester, body):
        began = time.monotonic()
        done = flowtester.python(flowtester.write(flow(self.DECORATORS, body)), "run").check()
        assert time.monotonic() - began < 30
        outcome = flowtester.left()
        assert failures(outcome) == ["timeout", "timeout"]  # the second one only records it
        failure = outcome.artifact("start", "failure")
        assert failure.message == "it took longer than 0.2 s and was ended by force"
        assert "Traceback" not in done.stderr

    def test_one_that_catches_it_and_goes_on(self, flowtester):
        body = (
            "while self.count == 0:\n"
            "                try: time.sleep(60)\n"
            "                except Exception: pass"
        )
        decorators = "@retry(times=1)\n        @timeout(seconds=0.2, grace=0.2)"
        flowtester.python(flowtester.write(flow(decorators, body)), "run").check()
        assert failures(flowtester.left()) == ["timeout", None]

    def test_a_slow_start_takes_none_of_the_time(self, flowtester):
        source = flow("@timeout(seconds=0.5, grace=0.3)", "self.done = True").replace(
            "class F",
            "time.sleep(1)\n\n    class F",  # in each process, as heavy imports
        )
        outcome = flowtester.python(
            flowtester.write(source), "run", variables={"FLOW_FORK": "never"}
        )
        outcome.check()
        assert flowtester.left().state is RunState.SUCCEEDED

    def test_a_spawned_step_that_is_stuck(self, flowtester):
        flowtester.python(
            flowtester.write(flow(self.DECORATORS, STUCK)), "run", variables={"FLOW_FORK": "never"}
        ).check()
        assert failures(flowtester.left()) == ["timeout", "timeout"]

    def test_children_end_too(self, flowtester):
        child = (
            "import os, signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, "
            "signal.valid_signals()); open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
        )
        body = f'subprocess.run([sys.executable, "-c", """{child}"""])'
        done = flowtester.python(flowtester.write(flow("@timeout(seconds=1.5)", body)), "run")
        assert done.returncode == 1
        assert failures(flowtester.left()) == ["timeout"]
        with pytest.raises(ProcessLookupError):
            os.kill(int((flowtester.path / "pid").read_text()), 0)

    def test_a_member_of_a_gang(self, flowtester):
        source = """
            import signal, time
            from flow_core import FlowSpec, current, parallel, retry, step, timeout

            class F(FlowSpec):
                @step
                def start(self):
                    self.next(self.work, num_parallel=2)

                @retry(times=1, on="timeout")
                @timeout(seconds=0.3, grace=0.2)
                @parallel
                @step
                def work(self):
                    if current.retry_count == 0 and current.parallel.node_index == 1:
                        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                        time.sleep(60)
                    self.next(self.join)

                @step
                def join(self, inputs):
                    self.next(self.end)

                @step
                def end(self):
                    pass

            if __name__ == "__main__":
                F()
        """
        flowtester.python(flowtester.write(source), "run").check()
        assert "timeout" in failures(flowtester.left(), "work")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "@timeout needs a time that is more than 0"),
        ({"seconds": 0, "minutes": 0}, "@timeout needs a time that is more than 0"),
        ({"seconds": -1}, "Option 'seconds' must be 0 or more, not -1"),
        ({"hours": float("inf")}, "Option 'hours' must be 0 or more, not inf"),
        ({"seconds": 1, "grace": -1}, "Option 'grace' must be 0 or more, not -1"),
        ({"seconds": "5"}, "Option 'seconds' must be float, not '5'"),
    ],
)
def test_wrong_options(options, what):
    with pytest.raises(DefinitionError) as caught:
        timeout(**options)
    assert caught.value.what == what


def test_the_text_form_reads_back():
    options = TimeoutOptions(minutes=1.5, grace=0)
    assert timeout.parse(timeout.to_text(options).partition(":")[2]) == options
