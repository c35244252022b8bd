"""``@catch``: the flow goes on, and knows what happened."""

import pytest

from flow_catch import CatchOptions, CaughtFailure, catch
from flow_core.api import AttemptState, DefinitionError, LintError, RunState

FLOW = """
    import os, signal, threading
    from flow_core import FlowSpec, Parameter, catch, current, retry, step

    class F(FlowSpec):
        @step
        def start(self):
            self.before = "start"
            self.next(self.risky)

        DECORATORS
        @step
        def risky(self):
            self.kept = current.retry_count
            BODY
            self.next(self.end)

        @step
        def end(self):
            self.seen = getattr(self, "failure", "no such artifact")

    if __name__ == "__main__":
        F()
"""


def flow(body="raise ValueError('too risky')", decorators='@catch(var="failure")'):
    return FLOW.replace("DECORATORS", decorators).replace("BODY", body)


@pytest.fixture
def run(flowtester):
    return lambda source, **more: flowtester.run(source, plugins=["catch", "retry"], **more)


@pytest.fixture
def run_process(flowtester):
    def run(source):
        flowtester.python(flowtester.write(source), "run").check()
        return flowtester.left()

    return run


def states(outcome):
    return [(m.attempt, m.state.value) for m in outcome.manifests("risky")]


def test_the_traceback_of_a_step_decorator_shows_the_persons_lines_only(run):
    head = (
        "    from flow_core import user_step_decorator\n"
        "    @user_step_decorator\n    def bad(step_name, flow):\n        yield\n        1 / 0\n"
    )
    outcome = run(head + flow("pass", '@catch(var="failure")\n        @bad'))
    trace = outcome.artifact("end", "failure").traceback
    assert trace.count("  File ") == 1, trace
    assert "in bad" in trace


def test_the_flow_goes_on_and_the_failure_is_an_artifact(run):
    outcome = run(flow())
    assert outcome.state is RunState.SUCCEEDED
    assert states(outcome) == [(0, "caught")]
    failure = outcome.artifact("end", "failure")
    assert isinstance(failure, CaughtFailure)
    assert (failure.cause, failure.type) == ("error", "ValueError")
    assert str(failure) == "ValueError: too risky"
    assert "in risky\n    raise ValueError" in failure.traceback
    assert "flow_catch" not in failure.traceback


def test_what_was_set_before_the_failure_is_kept(run):
    artifacts = run(flow("self.early = 1; 1 / 0; self.late = 1")).artifacts("end")[0]
    assert (artifacts["before"], artifacts["kept"], artifacts["early"]) == ("start", 0, 1)
    assert "late" not in artifacts


def test_success_sets_the_artifact_to_none(run):
    outcome = run(flow("pass"))
    assert states(outcome) == [(0, "succeeded")]
    assert outcome.artifact("end", "failure") is None


def test_without_a_name_nothing_is_set(run):
    outcome = run(flow(decorators="@catch"))
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.artifact("end", "seen") == "no such artifact"


def test_the_manifest_and_the_log_tell(run):
    outcome = run(flow())
    (manifest,) = outcome.manifests("risky")
    assert manifest.failure.message == "too risky"
    assert manifest.transition.targets == ("end",)
    log = outcome.output("risky", "stderr")
    assert log.startswith("@catch goes on after this failure of step 'risky':\n> Traceback")
    assert log.endswith("> ValueError: too risky\n")


def test_a_quiet_log(run):
    outcome = run(flow(decorators='@catch(var="failure", print_exception=False)'))
    assert outcome.output("risky", "stderr") == ""
    assert outcome.artifact("end", "failure").message == "too risky"


@pytest.mark.parametrize(
    "decorators",
    ['@catch(var="failure")\n    @retry(times=2)', '@retry(times=2)\n    @catch(var="failure")'],
    ids=["catch over retry", "retry over catch"],
)
def test_only_after_the_retries_whatever_the_order(run, decorators):
    decorators = decorators.replace("\n", "\n    ")
    outcome = run(flow(decorators=decorators))
    assert states(outcome) == [(0, "failed"), (1, "failed"), (2, "caught")]
    assert outcome.artifact("end", "kept") == 2


def test_a_retry_that_helps_leaves_nothing_to_catch(run):
    outcome = run(flow("1 / self.kept", '@catch(var="failure")\n        @retry(times=2)'))
    assert states(outcome) == [(0, "failed"), (1, "succeeded")]
    assert outcome.artifact("end", "failure") is None


def test_sys_exit(run):
    failure = run(flow("raise SystemExit(3)")).artifact("end", "failure")
    assert str(failure) == "SystemExit: the step called sys.exit(3)"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("self.lock = threading.Lock()", "Artifact 'lock' cannot be stored: self.lock is a"),
        ("return", "Step 'risky': it ended without self.next(...)"),
    ],
    ids=["unstorable artifact", "no way on"],
)
def test_failures_outside_of_the_body(run, body, message):
    """They show when the body has ended; a fallback attempt records them."""
    outcome = run(flow(body))
    assert states(outcome) == [(0, "failed"), (1, "caught")]
    assert outcome.artifact("end", "failure").message.startswith(message)
    assert outcome.artifact("end", "before") == "start"


# --- a process that dies ------------------------------------------------------------------------

EXITED = (
    "the process ended by itself with exit status 3 before the step was finished"
    " (os._exit, or a crash of the interpreter)"
)
DEATHS = [
    (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "killed",
        "SIGKILL",
        "SIGKILL: killed by SIGKILL",
    ),
    (
        "os._exit(3)",
        "exit",
        "",
        EXITED,
    ),
]


@pytest.mark.parametrize(("body", "cause", "kind", "text"), DEATHS, ids=["SIGKILL", "_exit"])
def test_a_process_that_dies_gets_a_fallback_attempt(run_process, body, cause, kind, text):
    outcome = run_process(flow(body))
    assert states(outcome) == [(0, "failed"), (1, "caught")]
    failure = outcome.artifact("end", "failure")
    assert (failure.cause, failure.type, failure.traceback) == (cause, kind, "")
    assert str(failure) == text
    assert "kept" not in outcome.artifacts("end")[0]  # it died with its process
    assert outcome.artifact("end", "before") == "start"


def test_a_process_that_dies_in_every_attempt(run_process):
    decorators = '@catch(var="failure")\n        @retry(times=2)'
    outcome = run_process(flow("os.kill(os.getpid(), 9)", decorators))
    assert states(outcome) == [(0, "failed"), (1, "failed"), (2, "failed"), (3, "caught")]
    assert outcome.artifact("end", "failure").type == "SIGKILL"


def test_a_process_that_dies_once_and_is_tried_again(run_process):
    decorators = '@catch(var="failure")\n        @retry(times=1)'
    outcome = run_process(flow("self.kept or os._exit(1)", decorators))
    assert states(outcome) == [(0, "failed"), (1, "succeeded")]
    assert outcome.artifact("end", "failure") is None


def test_a_process_that_dies_and_then_an_exception(run_process):
    decorators = '@catch(var="failure")\n        @retry(times=1)'
    outcome = run_process(flow("1 / self.kept if self.kept else os._exit(1); 1 / 0", decorators))
    assert states(outcome) == [(0, "failed"), (1, "caught")]
    assert outcome.artifact("end", "failure").type == "ZeroDivisionError"


def test_what_is_said_of_a_fallback(flowtester):
    file = flowtester.write(flow("os._exit(3)"))
    out = flowtester.python(file, "run").check().stdout
    assert "Task failed in every attempt; its failure is being handled" in out
    assert "and the failure was caught: the process ended by itself with exit status 3" in out


def test_the_failure_can_be_read_where_the_exception_is_unknown(run_process):
    source = flow("raise Mine('own')").replace(
        "    class F(FlowSpec)", "    class Mine(Exception): pass\n\n    class F(FlowSpec)"
    )
    failure = run_process(source).artifact("end", "failure")
    assert str(failure) == "__main__.Mine: own"


# --- splits -------------------------------------------------------------------------------------

SPLIT = """
    from flow_core import FlowSpec, catch, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.parts)

        DECORATOR
        @step
        def parts(self):
            self.items = [1, 2]
            NEXT

        @step
        def work(self):
            self.next(self.join)

        @step
        def other(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.count = len(inputs)
            self.next(self.end)

        @step
        def end(self):
            pass
"""


def split(next_call, decorator="@catch"):
    source = SPLIT.replace("DECORATOR", decorator).replace("NEXT", next_call)
    if "other" not in next_call:
        start = source.index("        @step\n        def other")
        source = source[:start] + source[source.index("        @step\n        def join") :]
    return source


def test_a_foreach_split_is_refused(run):
    outcome = run(split("self.next(self.work, foreach='items')"))
    assert isinstance(outcome.error, LintError)
    (problem,) = outcome.error.problems
    assert problem.message == "Step 'parts' has @catch but splits with foreach"
    assert problem.hint == (
        "put @catch on the steps that follow, or the risky work into a step before it"
    )
    assert (problem.step, problem.line) == ("parts", 10)


def test_a_switch_is_refused(run):
    outcome = run(split("self.next({1: self.work, 2: self.other}, condition='k')"))
    assert isinstance(outcome.error, LintError)
    messages = [p.message for p in outcome.error.problems]
    assert "Step 'parts' has @catch but chooses what follows" in messages


def test_a_foreach_split_is_refused_when_it_comes_from_outside_too(run):
    source = split("self.next(self.work, foreach='items')", decorator="")
    outcome = run(source, decorators=["catch"])
    assert isinstance(outcome.error, LintError)
    assert "Step 'parts' has @catch but splits with foreach" in str(outcome.error)


def test_a_static_split_goes_all_its_ways(run):
    source = split("1 / 0; self.next(self.work, self.other)").replace(
        "1 / 0; ", "self.x = 1 / 0\n            "
    )
    outcome = run(source)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.artifact("end", "count") == 2


def test_a_join_and_the_end_can_fail_too(run):
    source = split("self.next(self.work, foreach='items')", decorator="")
    source = source.replace("self.count = len(inputs)", "1 / 0").replace("pass", "1 / 0")
    source = source.replace(
        "        @step\n        def join",
        "        @catch(var='failed')\n        @step\n        def join",
    )
    source = source.replace(
        "        @step\n        def end",
        "        @catch(var='last')\n        @step\n        def end",
    )
    outcome = run(source)
    assert outcome.state is RunState.SUCCEEDED
    assert [m.state for step in ("join", "end") for m in outcome.manifests(step)] == [
        AttemptState.CAUGHT
    ] * 2
    assert outcome.artifact("end", "failed").type == "ZeroDivisionError"
    assert outcome.artifact("end", "last").type == "ZeroDivisionError"


def test_options():
    assert catch.make(var="x") == CatchOptions("x", True)
    assert catch.parse("var=x,print_exception=no") == CatchOptions("x", False)
    with pytest.raises(DefinitionError) as caught:
        catch(vra="x")
    assert str(caught.value) == (
        "Decorator @catch has no option 'vra'\n  try:   did you mean 'var'?"
    )


@pytest.mark.parametrize("name", ["x y", "class", "1a", ""])
def test_a_name_that_no_step_could_read(name):
    with pytest.raises(DefinitionError) as caught:
        CatchOptions(var=name)
    assert str(caught.value) == (
        f"Option 'var' must be the name of an artifact, not {name!r}\n"
        "  why:   a step reads it as an attribute of self\n"
        "  try:   letters, digits and _, as in var='failure'"
    )


@pytest.mark.parametrize("name", ["next", "input", "end"])
def test_a_name_that_the_class_has(run, name):
    text = str(run(flow(decorators=f'@catch(var="{name}")')).error)
    assert f"@catch of step 'risky' cannot keep the failure as '{name}'" in text
    assert f"try: var='{name}_failure'" in text


def test_an_async_step_that_was_cancelled_inside(run):
    source = flow("import asyncio; raise asyncio.CancelledError('a part of it')").replace(
        "def risky", "async def risky"
    )
    outcome = run(source)
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.artifact("end", "seen").type == "asyncio.exceptions.CancelledError"
