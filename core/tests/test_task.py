"""One attempt: hooks around the body, and what is recorded when things go wrong."""

import errno
import re

import pytest

import flow_core.task
import flow_store_local
from flow_core.errors import FlowError, StoreError
from flow_core.hookspecs import hookimpl
from flow_core.records import AttemptState, RunState
from flow_core.task import describe_failure, trace

FLOW = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.before = 1
        {body}
        self.next(self.end)
    @step
    def end(self): pass
"""
FOREACH = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        raise ValueError("early")
        self.next(self.work, foreach="items")
    @step
    def work(self): self.next(self.join)
    @step
    def join(self, inputs): self.next(self.end)
    @step
    def end(self): pass
"""


class Excuse:
    """Handles every failure, as a catching plugin does."""

    @hookimpl(wrapper=True)
    def flow_task_call(self, task, flow):
        try:
            return (yield)
        except Exception as error:
            task.excuse(error)
            flow.caught = str(error)


class TestHooks:
    def test_order_of_a_task(self, flowtester):
        calls = []

        class Plugin:
            @hookimpl
            def flow_task_setup(self, task, flow):
                calls.append(("setup", task.spec.step))

            @hookimpl(wrapper=True)
            def flow_task_call(self, task, flow):
                calls.append("before")
                result = yield
                calls.append("after")
                return result

            @hookimpl
            def flow_task_teardown(self, task, flow, error):
                calls.append(("teardown", error))
                task.note("mine", {"n": 1})

        outcome = flowtester.run(FLOW.format(body="pass"), modules=[Plugin()])
        assert calls[:4] == [("setup", "start"), "before", "after", ("teardown", None)]
        (found,) = outcome.manifests("start")
        assert found.notes == {"mine": {"n": 1}}
        assert found.pid
        assert found.finished >= found.started > 0
        assert found.peak_memory > 0

    def test_a_failing_setup_fails_the_attempt(self, flowtester):
        class Plugin:
            @hookimpl
            def flow_task_setup(self, task, flow):
                raise OSError("no disk")

        outcome = flowtester.run(FLOW.format(body="pass"), modules=[Plugin()])
        assert outcome.manifests("start")[0].failure[:3] == ("error", "OSError", "no disk")

    def test_a_failing_teardown_is_noted_but_fails_nothing(self, flowtester):
        class Plugin:
            @hookimpl
            def flow_task_teardown(self, task, flow, error):
                raise OSError("late")

        outcome = flowtester.run(FLOW.format(body="pass"), modules=[Plugin()])
        assert outcome.state is RunState.SUCCEEDED
        assert outcome.manifests("start")[0].notes == {"teardown": "OSError: late"}
        assert "A plugin failed after step 'start': OSError: late" in outcome.output(
            "start", "stderr"
        )

    def test_a_note_that_is_no_json_is_told(self, flowtester):
        class Plugin:
            @hookimpl
            def flow_task_setup(self, task, flow):
                task.note("bad", object())

        outcome = flowtester.run(FLOW.format(body="pass"), modules=[Plugin()])
        (found,) = outcome.manifests("start")
        assert not found.ok
        assert found.failure.cause == "store"

    def test_an_excused_failure_goes_on_with_what_was_set(self, flowtester):
        outcome = flowtester.run(FLOW.format(body="raise ValueError('x')"), modules=[Excuse()])
        assert outcome.state is RunState.SUCCEEDED
        (found,) = outcome.manifests("start")
        assert found.state is AttemptState.CAUGHT
        assert found.failure.message == "x"
        assert outcome.artifacts("end") == [{"before": 1, "caught": "x"}]

    def test_an_excused_foreach_has_nothing_to_go_over(self, flowtester):
        outcome = flowtester.run(FOREACH, modules=[Excuse()])
        assert outcome.state is RunState.FAILED
        assert "it failed before its foreach had items" in (
            outcome.manifests("start")[0].failure.message
        )


class TestDescriptions:
    def raised(self, error):
        try:
            raise error
        except BaseException as raised:
            return raised

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ValueError("bad"), ("error", "ValueError", "bad")),
            (ValueError(), ("error", "ValueError", "ValueError")),
            (KeyError("k"), ("error", "KeyError", "'k'")),
            (SystemExit(3), ("error", "SystemExit", "the step called sys.exit(3)")),
        ],
    )
    def test_exceptions_as_data(self, error, expected):
        assert describe_failure(self.raised(error))[:3] == expected

    def test_chains_and_groups_are_shown(self):
        try:
            try:
                raise KeyError("inner")
            except KeyError as error:
                raise ValueError("outer") from error
        except ValueError as error:
            text = trace(error)
        assert text.index("KeyError: 'inner'") < text.index("ValueError: outer")

    @pytest.mark.parametrize("module", [flow_core.task, flow_store_local])
    def test_an_error_of_ours_is_told_in_its_parts(self, module):
        error = StoreError("No", where="there", why="it is full", hint="free it")
        error.__cause__ = OSError("inside")
        code = compile("raise error", module.__file__, "exec")
        try:
            exec(code, {"error": error})
        except StoreError as raised:
            text = trace(raised)
        assert text.endswith(f"\n{error}")
        assert re.findall('File "(.*)", line', text) == [__file__]
        assert "Traceback" not in text
        assert "inside" not in text
        assert describe_failure(error).message == "No: it is full"

    def test_an_error_of_ours_that_the_user_raises_keeps_its_traceback(self):
        error = StoreError("No", why="it is full")
        error.__cause__ = OSError("inside")
        text = trace(self.raised(error))
        assert "OSError: inside" in text
        assert "Traceback" in text

    def test_a_users_folder_called_pluggy_is_not_hidden(self, flowtester):
        file = flowtester.write(FLOW.format(body="1/0"), "pluggy/flow.py")
        outcome = flowtester.run(file)
        assert "pluggy/flow.py" in outcome.manifests("start")[0].failure.traceback


class Told(FlowError):
    """Says itself what it is the cause of."""

    failure_cause = "timeout"


class TestKinds:
    @pytest.mark.parametrize(
        ("error", "cause", "bases"),
        [
            (KeyError("x"), "error", ("LookupError", "Exception", "BaseException")),
            (MemoryError(), "out-of-memory", ("Exception", "BaseException")),
            (OSError(errno.ENOMEM, "no memory"), "out-of-memory", ("Exception", "BaseException")),
            (OSError(errno.ENOENT, "no file"), "error", None),
            (StoreError("full"), "store", None),
            (Told("late"), "timeout", ("flow_core.errors.FlowError", "Exception", "BaseException")),
        ],
    )
    def test_cause_and_bases(self, error, cause, bases):
        failure = describe_failure(error)
        assert failure.cause == cause
        assert bases is None or failure.bases == bases


class Hides:
    """Keeps a text out of what is recorded."""

    @hookimpl
    def flow_task_setup(self, task, flow):
        task.hide(["hush", "hush-hush", ""])
        self.shares_process = task.shares_process


class TestHiding:
    def test_no_record_and_no_log_has_it(self, flowtester):
        plugin = Hides()
        body = "raise ValueError('hush-hush! hush') from KeyError('hush')"
        outcome = flowtester.run(FLOW.format(body=body), modules=[plugin])
        failure = outcome.manifests("start")[0].failure
        assert failure.message == "***! ***"
        assert "KeyError: '***'" in failure.traceback
        assert "hush" not in str(outcome.manifests("start")) + outcome.output("start", "stderr")
        assert plugin.shares_process  # the laboratory's tasks are calls

    def test_what_was_excused_neither(self, flowtester):
        body = "raise ValueError('hush')"
        outcome = flowtester.run(FLOW.format(body=body), modules=[Hides(), Excuse()])
        assert outcome.manifests("start")[0].failure.message == "***"
