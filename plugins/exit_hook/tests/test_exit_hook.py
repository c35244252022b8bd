"""``@exit_hook``: which functions are called, with what, and that they change nothing."""

import os
import time

import pytest

from flow_core.api import DefinitionError, LintError, Message, RunState
from flow_exit_hook import ExitHookOptions, exit_hook

FLOW = """
    import os, pathlib, sys, time

    from flow_core import FlowSpec, exit_hook, step

    def note(text):
        with open("notes.txt", "a") as file:
            file.write(text + "\\n")

    def good():
        note(f"good {os.getpid()}")

    def bad(run=None):
        note(f"bad {run}")

    HOOKS
    class F(FlowSpec):
        @step
        def start(self):
            self.rows = 3
            BODY
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(decorators, body="pass", hooks=""):
    return FLOW.replace("HOOKS", hooks + "\n    " + decorators).replace("BODY", body)


@pytest.fixture
def notes(flowtester):
    file = flowtester.path / "notes.txt"
    return lambda: file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def run(flowtester):
    return lambda source, **options: flowtester.run(source, plugins=["exit-hook"], **options)


def said(outcome, level):
    return [e.text for e in outcome.events if isinstance(e, Message) and e.level == level]


def test_after_success_and_in_a_process_of_its_own(run, notes):
    outcome = run(flow("@exit_hook(on_success=[good], on_error=['bad'])"))
    assert outcome.state is RunState.SUCCEEDED
    (line,) = notes()
    assert line.startswith("good ")
    assert line != f"good {os.getpid()}"
    assert said(outcome, "warning") == []


def test_the_run_is_given_and_is_over(flowtester, notes):
    """Read from the store and the index of the run, wherever the command line said they are."""
    hooks = """
    def tell(run):
        print("rows", run.data.rows, run.successful, run.state)
    """
    source = flow("@exit_hook(on_success=[tell], on_error=[bad])", hooks=hooks)
    file = flowtester.write(source)
    done = flowtester.python(file, "--datastore", f"local://{flowtester.path}/x", "run").check()
    assert "[exit hook tell] rows 3 True succeeded\n" in done.stdout
    file.write_text(file.read_text().replace("pass", "assert False, 'no'", 1))
    failed = flowtester.python(file, "run")
    assert failed.returncode == 1
    assert notes() == ["bad Run('F/1')"]
    assert failed.error["why"] == "AssertionError: no"


def test_in_order_each_once(run, notes):
    hooks = """
    def one(): note("one")
    def two(): note("two")
    def three(): note("three")
    """
    decorators = "@exit_hook(on_success=['one', two])\n    @exit_hook(on_success=[three])"
    run(flow(decorators, hooks=hooks))
    assert notes() == ["one", "two", "three"]


def test_those_of_a_base_class_come_first(run, notes):
    hooks = """
    def one(): note("one")
    def two(): note("two")

    @exit_hook(on_success=[one])
    class Base(FlowSpec):
        pass
    """
    source = flow("@exit_hook(on_success=[two])", hooks=hooks).replace("F(FlowSpec)", "F(Base)")
    run(source.replace("\n        F()\n", "\n        F()\n"))
    assert notes() == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "said_first", "failure"),
    [
        ("raise ValueError('no mail')", "Traceback (most recent call last):", "exit status 1"),
        ("os._exit(3)", None, "exit status 3"),
        ("os.kill(os.getpid(), 9)", None, "it was killed by signal 9"),
        ("sys.exit('enough')", "enough", "exit status 1"),
    ],
)
def test_a_failure_changes_nothing(run, notes, body, said_first, failure):
    hooks = f"""
    def fails():
        {body}
    """
    outcome = run(flow("@exit_hook(on_success=[fails, good])", hooks=hooks))
    assert outcome.error is None
    assert outcome.state is RunState.SUCCEEDED
    assert said(outcome, "warning") == [f"The exit hook 'fails' failed: {failure}"]
    lines = [t for t in said(outcome, "info") if t.startswith("[exit hook fails] ")]
    assert lines[:1] == ([f"[exit hook fails] {said_first}"] if said_first else [])
    assert len(notes()) == 1, "the next one is called all the same"


def test_the_traceback_begins_with_the_function(run):
    hooks = """
    def fails():
        raise ValueError("no mail")
    """
    outcome = run(flow("@exit_hook(on_success=[fails])", hooks=hooks))
    lines = [t.removeprefix("[exit hook fails] ") for t in said(outcome, "info")]
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith(", in fails")
    assert lines[-1] == "ValueError: no mail"
    assert "flow_exit_hook" not in "".join(lines)


def test_one_that_does_not_end_is_ended(flowtester):
    hooks = """
    def hangs():
        print("waiting", flush=True)
        time.sleep(60)
    """
    file = flowtester.write(flow("@exit_hook(on_success=[hangs])", hooks=hooks))
    began = time.monotonic()
    done = flowtester.python(file, "run", variables={"FLOW_EXIT_HOOK_TIMEOUT": "2"}).check()
    assert time.monotonic() - began < 20
    assert "[exit hook hangs] waiting" in done.stdout
    assert "The exit hook 'hangs' failed: it took longer than 2 s, and was ended" in (
        done.stdout + done.stderr
    )


def test_a_flow_without_a_file_calls_them_here(flowtester, notes):
    from flow_core import FlowSpec, step

    called = []

    @exit_hook(on_success=[lambda: called.append("here")])
    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    from flow_exit_hook import calls

    kept = calls.os.path.isfile
    try:
        calls.os.path.isfile = lambda path: False
        outcome = flowtester.run(F, plugins=["exit-hook"])
    finally:
        calls.os.path.isfile = kept
    assert outcome.state is RunState.SUCCEEDED
    assert called == ["here"]


def test_a_name_of_no_function(run, notes):
    outcome = run(flow("@exit_hook(on_success=['goood'])"))
    assert isinstance(outcome.error, LintError)
    text = str(outcome.error)
    assert "There is no function 'goood' for on_success or on_error" in text
    assert "did you mean 'good'?" in text
    assert notes() == []


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({}, "@exit_hook names no function"),
        ({"on_error": [3]}, "'on_error' cannot hold 3"),
        ({"on_error": print}, "Option 'on_error' must be list, not <built-in function print>"),
        ({"on_error": [lambda a, run: 0]}, "The exit hook '<lambda>' cannot be called"),
    ],
)
def test_wrong_options(options, what):
    with pytest.raises(DefinitionError) as caught:
        exit_hook(**options)
    assert caught.value.what == what


def test_with_names_functions(run, notes):
    outcome = run(flow(""), decorators=['exit_hook:on_success=["good"]'])
    assert outcome.error is None
    assert len(notes()) == 1
    options = ExitHookOptions(on_success=["good", "bad"])
    assert exit_hook.parse(exit_hook.to_text(options).partition(":")[2]) == options
