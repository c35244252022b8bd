"""``@retry``: how often, after how long, and what an attempt knows of it."""

import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.api import (
    CAUSES,
    AttemptState,
    DefinitionError,
    Failure,
    RetryPolicy,
    RunState,
    StoreError,
    UsageError,
)
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


@pytest.mark.parametrize(
    ("on", "tried_again"),
    [
        ("MyError", True),
        ("ValueError", True),
        ("Exception", True),
        ("KeyError", False),
        ("error", True),
        ("timeout", False),
        ("timeout,ValueError", True),
    ],
)
def test_only_what_on_names_is_tried_again(run, on, tried_again):
    source = flow(f"@retry(times=1, on={on!r})", "raise MyError('no')").replace(
        "class F(", "class MyError(ValueError):\n        pass\n\n    class F("
    )
    assert len(attempts(run(source))) == (2 if tried_again else 1)


def test_a_class_stands_for_its_cause_too():
    """What is found from outside of the process has a cause, but is no exception."""
    on = RetryOptions(on=(MemoryError, StoreError, ValueError)).on
    assert on == (
        "MemoryError",
        "flow_core.errors.StoreError",
        "ValueError",
        "out-of-memory",
        "store",
    )
    killed = Failure("out-of-memory", "SIGKILL", "killed")
    assert RetryPolicy(1, on=RetryOptions(on=MemoryError).on).allows(0, killed)
    assert not RetryPolicy(1, on=RetryOptions(on=ValueError).on).allows(0, killed)


def test_on_takes_classes(run):
    source = flow("@retry(times=1, on=(MyError, KeyError))", "raise Worse('no')").replace(
        "class F(",
        "class MyError(ValueError):\n        pass\n\n    class Worse(MyError):\n        pass\n\n"
        "    class F(",
    )
    outcome = run(source)
    assert len(attempts(outcome)) == 2
    failure = outcome.manifests("start")[0].failure
    assert failure.type.endswith(".Worse")
    assert failure.bases[0].endswith(".MyError")
    assert failure.bases[1:] == ("ValueError", "Exception", "BaseException")


def test_more_than_four_times(run):
    outcome = run(flow("@retry(times=7)", "assert self.count == 7"))
    assert outcome.state is RunState.SUCCEEDED
    assert len(attempts(outcome)) == 8


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9)); "


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise MemoryError('all gone')", "out-of-memory"),
        (LIMIT + "bytearray(10**10)", "out-of-memory"),
        (LIMIT + "import mmap; mmap.mmap(-1, 10**10)", "out-of-memory"),
        ("os.kill(os.getpid(), 15)", "killed"),
        ("os._exit(3)", "exit"),
        ("os.kill(os.getppid(), 9); time.sleep(9)", "lost"),
        ("1 / 0", "error"),
    ],
    ids=["MemoryError", "RLIMIT", "mmap", "SIGTERM", "os._exit", "server gone", "error"],
)
def test_causes_are_told_apart(flowtester, body, cause):
    """Each is tried again by its own cause, and by no other."""
    others = [c for c in CAUSES if c != cause]
    source = f"""
        import os, time
        from flow_core import FlowSpec, catch, current, retry, step

        class F(FlowSpec):
            @retry(times=1, on={cause!r})
            @step
            def start(self):
                if current.retry_count == 0:
                    {body}
                self.next(self.other)

            @catch(var="failure", print_exception=False)
            @retry(times=1, on={others!r})
            @step
            def other(self):
                {body}
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
    """
    flowtester.python(flowtester.write(source), "run").check()
    run = flowtester.left()
    assert [m.failure and m.failure.cause for m in run.manifests("start")] == [cause, None]
    assert run.artifact("other", "failure").cause == cause
    tried = [m for m in run.manifests("other") if m.state is AttemptState.FAILED]
    assert len(tried) <= 1  # none where the attempt itself could say what happened


def test_what_is_not_tried_again_is_caught_at_once(flowtester):
    decorator = "@catch(var='failure')\n        @retry(times=3, on='timeout')"
    source = flow(decorator, "assert False, 'mine'").replace(
        "current, retry", "catch, current, retry"
    )
    outcome = flowtester.run(source, plugins=["retry", "catch"])
    assert attempts(outcome) == [(0, "caught")]
    assert outcome.artifact("start", "failure").message == "mine"


@settings(max_examples=200)
@given(
    st.integers(0, 5000),
    st.floats(0, 1e6),
    st.floats(1, 1e3),
    st.none() | st.floats(0, 1e6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_waits_are_bounded(attempt, delay, backoff, max_delay, jitter, chance):
    policy = RetryPolicy(9999, delay, backoff, max_delay, jitter)
    whole = policy._replace(jitter=0.0).wait(attempt)
    assert 0 <= (1 - jitter) * whole <= policy.wait(attempt, chance) * 1.000001 + 1e-9
    assert policy.wait(attempt, chance) <= whole
    assert max_delay is None or whole <= max_delay


def test_delays_grow_to_their_limit():
    policy = RetryPolicy(9, 2.0, 3.0, max_delay=10.0)
    assert [policy.wait(n) for n in range(4)] == [2.0, 6.0, 10.0, 10.0]
    assert policy._replace(jitter=0.5).wait(0, 1.0) == 1.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"on": "timeout"},
        {"on": (KeyError, "killed")},
        {"on": "json.decoder.JSONDecodeError", "jitter": 0.5, "max_delay": 60.0},
    ],
)
def test_every_text_form_reads_back(options):
    made = RetryOptions(**options)
    assert retry.parse(retry.to_text(made).partition(":")[2]) == made


def test_causes_in_the_text_form():
    assert retry.parse("times=2,on=timeout").on == ("timeout",)
    assert retry.parse("on=timeout,killed,times=2") == RetryOptions(
        times=2, on=("timeout", "killed")
    )


def test_memory_that_grows_is_part_of_the_plan(flowtester):
    source = flow(
        "@retry(times=2, on=[MemoryError, 'lost'], memory_factor=2.5, max_memory=9e4)", ""
    )
    session = flowtester.session(flowtester.load(source), plugins=["retry"])
    policy = session.plans["start"].retry
    assert (policy.memory_factor, policy.max_memory) == (2.5, 90000)
    options = retry.parse("times=2,memory_factor=2,max_memory=64000")
    assert options == RetryOptions(times=2, memory_factor=2, max_memory=64000)


@pytest.mark.parametrize("cause", CAUSES)
def test_every_cause_may_be_named(cause):
    policy = RetryPolicy(1, on=RetryOptions(on=[cause]).on)
    assert policy.allows(0, Failure(cause, "", "it is so"))
    other = "lost" if cause != "lost" else "evicted"
    assert not policy.allows(0, Failure(other, "", "it is so"))


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"on": "time-out"}, "Option 'on' cannot be 'time-out'", "@retry(on='timeout')"),
        ({"on": "kiled"}, "Option 'on' cannot be 'kiled'", "@retry(on='killed')"),
        ({"on": "evcted"}, "Option 'on' cannot be 'evcted'", "@retry(on='evicted')"),
        ({"on": ["lost", "premted"]}, "Option 'on' cannot be 'premted'", "@retry(on='preempted')"),
        ({"on": 3}, "Option 'on' cannot be 3", "@retry(on='timeout')"),
        ({"on": int}, "Option 'on' cannot be <class 'int'>", "@retry(on='timeout')"),
        ({"memory_factor": 0.5}, "Option 'memory_factor' must be 1 or more, not 0.5", None),
        ({"max_memory": 9}, "Option 'max_memory' means nothing without 'memory_factor'", None),
        (
            {"max_memory": -1.0, "memory_factor": 2},
            "Option 'max_memory' must be more than 0, not -1",
            "@retry(times=3, memory_factor=2, max_memory=64000)",
        ),
        (
            {"memory_factor": 2, "on": "evicted"},
            "Option 'memory_factor' means nothing with this 'on'",
            "@retry(times=3, on=['out-of-memory'], memory_factor=2)",
        ),
        ({"jitter": 1.5}, "Option 'jitter' must be between 0 and 1, not 1.5", None),
        ({"delay": float("nan")}, "A delay must be 0 or more, and 'backoff' 1 or more", None),
    ],
)
def test_what_on_and_jitter_refuse(options, what, hint):
    with pytest.raises(DefinitionError) as caught:
        retry(**options)
    assert caught.value.what == what
    assert hint is None or caught.value.hint == hint
