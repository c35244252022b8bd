"""``@retry``: how often, after how long, and what an attempt knows of it."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from flow_core.api import AttemptState, DefinitionError, RunState, UsageError
from flow_retry import RetryOptions, retry

FLOW = """
    import os, time
    from flow_core import FlowSpec, current, retry, step

    class F(FlowSpec):
        DECORATOR
        @step
        def start(self):
            self.count = current.retry_count
            self.at = time.time()
            setattr(self, f"only_{self.count}", True)
            BODY
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(decorator="@retry(times=2)", body="assert self.count == 2, 'not yet'"):
    return FLOW.replace("DECORATOR", decorator).replace("BODY", body)


@pytest.fixture
def run(flowtester):
    return lambda source, **options: flowtester.run(source, plugins=["retry"], **options)


def attempts(outcome, step="start"):
    return [(m.attempt, m.state.value) for m in outcome.manifests(step)]


def test_tries_again_until_it_succeeds(run):
    outcome = run(flow())
    assert outcome.state is RunState.SUCCEEDED
    assert attempts(outcome) == [(0, "failed"), (1, "failed"), (2, "succeeded")]
    assert [m.artifacts["count"].value for m in outcome.manifests("start")] == [0, 1, 2]


def test_an_attempt_does_not_see_what_an_earlier_one_set(run):
    assert not {"only_0", "only_1"} & set(run(flow()).artifacts("end")[0])
    assert run(flow()).artifact("end", "only_2") is True


def test_success_is_not_repeated(run):
    assert attempts(run(flow(body="pass"))) == [(0, "succeeded")]


def test_gives_up_after_the_last_attempt(run):
    outcome = run(flow(body="assert False, 'never'"))
    assert outcome.state is RunState.FAILED
    assert attempts(outcome) == [(0, "failed"), (1, "failed"), (2, "failed")]
    assert outcome.manifests("start")[2].failure.message == "never"
    assert attempts(outcome, "end") == []


@pytest.mark.parametrize("decorator", ["@retry(times=0)", ""], ids=["times=0", "none"])
def test_no_retries(run, decorator):
    assert attempts(run(flow(decorator))) == [(0, "failed")]


def test_three_retries_unless_said_otherwise(run):
    outcome = run(flow("@retry", "assert False"))
    assert [n for n, _ in attempts(outcome)] == [0, 1, 2, 3]


def test_delay_and_backoff_are_honoured(run):
    outcome = run(flow("@retry(times=2, delay=0.15, backoff=2)"))
    at = [m.artifacts["at"].value for m in outcome.manifests("start")]
    waits = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert 0.15 <= waits[0] < 0.29
    assert 0.30 <= waits[1] < 0.60


def test_others_run_while_one_waits(flowtester):
    source = """
        import time
        from flow_core import FlowSpec, current, retry, step

        class F(FlowSpec):
            @step
            def start(self):
                self.items = range(3)
                self.next(self.work, foreach="items")

            @retry(times=1, delay=0.4)
            @step
            def work(self):
                assert self.input or current.retry_count
                self.ended = time.time()
                self.next(self.join)

            @step
            def join(self, inputs):
                self.ended = [i.ended for i in inputs]
                self.next(self.end)

            @step
            def end(self):
                pass

        F()
    """
    flowtester.python(flowtester.write(source), "run", "--max-workers", "1").check()
    delayed, second, third = flowtester.left().artifact("end", "ended")
    assert second < third < delayed


def test_minutes_add_to_the_delay(flowtester):
    session = flowtester.session(
        flowtester.load(flow("@retry(minutes_between_retries=2, delay=5)")), ["retry"]
    )
    policy = session.plans["start"].retry
    assert (policy.times, policy.delay, policy.backoff) == (3, 125.0, 1.0)
    assert session.plans["end"].retry.times == 0


def test_with_never_overrides_the_code(run):
    outcome = run(flow("@retry(times=1)", "assert False"), decorators=["retry:times=5"])
    assert len(attempts(outcome)) == 2


def test_with_reaches_the_steps_that_have_none(run):
    outcome = run(flow("", "assert False"), decorators=["retry:times=2,delay=0"])
    assert len(attempts(outcome)) == 3


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("if self.count < 2: os._exit(3)", "exit"),
        ("if self.count < 2: os.kill(os.getpid(), 9)", "killed"),
        ("if self.count < 2: raise SystemExit(3)", "error"),
        ("if self.count < 2: self.unstorable = (n for n in [1])", "error"),
    ],
    ids=["os._exit", "SIGKILL", "sys.exit", "unstorable"],
)
def test_every_kind_of_failure_is_tried_again(flowtester, body, cause):
    flowtester.python(flowtester.write(flow(body=body)), "run").check()
    run = flowtester.left()
    assert attempts(run) == [(0, "failed"), (1, "failed"), (2, "succeeded")]
    assert [m.failure.cause for m in run.manifests("start")[:2]] == [cause, cause]


def test_what_is_said(flowtester):
    done = flowtester.python(flowtester.write(flow("@retry(times=2, delay=0.1)")), "run").check()
    assert done.stdout.count("Task is starting (retry ") == 2
    assert done.stdout.count("and will be tried again in 0.1 s: AssertionError: not yet") == 2


def test_each_attempt_has_a_log_and_a_record_of_its_own(flowtester):
    flowtester.python(flowtester.write(flow(body="print(self.count); assert self.count")), "run")
    run = flowtester.left()
    keys = [m.key.removesuffix("manifest") + "stdout" for m in run.manifests("start")]
    assert list(run.store.read(keys)) == [b"0\n", b"1\n"]
    records = run.metadata.attempts("F", "1", step="start", all_attempts=True)
    assert [(r.attempt, r.state) for r in records] == [
        (0, AttemptState.FAILED),
        (1, AttemptState.SUCCEEDED),
    ]


def test_ctrl_c_is_no_failure_to_retry(flowtester):
    """A task that waits for its next attempt does not hold up the end."""
    file = flowtester.write(flow("@retry(times=3, delay=60)", "assert False"))
    process = subprocess.Popen(
        [sys.executable, str(file), "run"],
        cwd=flowtester.path,
        env=flowtester.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "tried again" in line:
            break
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == 1
    assert "Run F/1 was interrupted" in stderr


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"times": -1}, "Option 'times' must be 0 or more, not -1"),
        ({"delay": -0.5}, "A delay must be 0 or more, and 'backoff' 1 or more"),
        ({"backoff": 0.5}, "A delay must be 0 or more, and 'backoff' 1 or more"),
        ({"tims": 1}, "Decorator @retry has no option 'tims'"),
        ({"times": "3"}, "Option 'times' must be int, not '3'"),
        ({"times": True}, "Option 'times' must be int, not True"),
    ],
)
def test_wrong_options(options, what):
    with pytest.raises(DefinitionError) as caught:
        retry(**options)
    assert caught.value.what == what


def test_the_text_form_reads_back():
    options = RetryOptions(times=5, delay=0.5)
    text = retry.to_text(options)
    assert text == "retry:times=5,delay=0.5"
    assert retry.parse(text.partition(":")[2]) == options
    with pytest.raises(UsageError, match="--with retry: there is no option 'time'"):
        retry.parse("time=3")
