"""Calls of hooks: observers that fail, hooks that hang or return nonsense, and the trace."""

import os
import re
import signal
import time

import pytest

from flow_core.errors import FlowError, PluginError
from flow_core.hookspecs import Returns, hookimpl, hookspec
from flow_core.index import PluginIndex
from flow_core.plugins import Plugins
from flow_core.settings import Settings

FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


class Listener:
    """Notes what it hears."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def flow_event(self, event):
        self.heard.append(event)


class Bad:
    def __init__(self, error):
        self.error = error
        self.calls = 0

    @hookimpl
    def flow_event(self, event):
        self.calls += 1
        raise self.error

    @hookimpl
    def flow_task_finished(self, task):
        self.finished = True


def load(*modules, **settings):
    variables = {f"FLOW_{name.upper()}": str(value) for name, value in settings.items()}
    return Plugins(PluginIndex([]), modules, Settings(variables, "/"))


class TestObservers:
    @pytest.mark.parametrize(
        "error", [ValueError("no"), FlowError("on purpose"), SystemExit(3)], ids=repr
    )
    def test_one_that_fails_is_put_aside_and_all_others_hear_everything(self, error):
        class Zebra(Listener):
            """Called after the bad one."""

        before, bad, after = Listener(), Bad(error), Zebra()
        before.__class__ = type("Ant", (Listener,), {})
        plugins = load(before, bad, after)
        for n in range(3):
            plugins.hook.flow_event(event=n)
        assert before.heard == after.heard == [0, 1, 2]
        assert bad.calls == 1
        (aside,) = plugins.manager.aside
        assert aside.what == "The plugin 'Bad' failed in its hook flow_event"
        assert aside.why == f"{type(error).__name__}: {error}"

    def test_its_other_hooks_are_called(self):
        bad = Bad(ValueError())
        plugins = load(bad)
        plugins.hook.flow_event(event=None)
        plugins.hook.flow_task_finished(task=None, manifest=None)
        assert bad.finished

    def test_two_that_fail_in_one_call(self):
        class Worse(Bad):
            @hookimpl
            def flow_event(self, event):
                return 1 / 0

        listener = Listener()
        plugins = load(Bad(KeyError("x")), listener, Worse(None))
        plugins.hook.flow_event(event=1)
        assert listener.heard == [1]
        assert [a.what.split("'")[1] for a in plugins.manager.aside] == ["Bad", "Worse"]

    def test_the_step_and_the_time_are_named(self):
        class Task:
            step = "train"

        class Late:
            @hookimpl
            def flow_task_launched(self, task):
                return 1 / 0

        plugins = load(Late())
        plugins.hook.flow_task_launched(task=Task(), handle=None)
        assert re.search(r"\.py:\d+, step 'train', \d\d:\d\d:\d\d$", plugins.manager.aside[0].where)

    def test_a_run_goes_on_and_the_library_warns_at_its_end(self, flowtester):
        flowtester.write(FLOW, "flow_test_lib.py")
        flowtester.write(
            "from flow_core.api import hookimpl\n@hookimpl\ndef flow_task_finished(task):\n    1/0\n",
            "flow_test_moody.py",
        )
        script = (
            "import warnings\nwarnings.simplefilter('error')\nfrom flow_test_lib import F\n"
            "from flow_core.api import PluginWarning\n"
            "try:\n    F.run(plugins='flow_test_moody')\n"
            "except PluginWarning as told:\n    print('told', str(told).splitlines()[0])\n"
        )
        flowtester.write(script, "script.py")
        done = flowtester.python("script.py").check()
        assert "Done: F/1" in done.stdout + done.stderr
        assert done.stdout.endswith(
            "told The plugin 'flow_test_moody' failed in its hook flow_task_finished\n"
        )


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no alarm")
class TestBudget:
    @pytest.fixture(autouse=True)
    def free_alarm(self):
        """The test runner's time limit uses the alarm, too."""
        earlier = signal.signal(signal.SIGALRM, signal.SIG_DFL)
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
        yield
        signal.signal(signal.SIGALRM, earlier)
        signal.setitimer(signal.ITIMER_REAL, left)

    class Slow:
        @hookimpl
        def flow_event(self, event):
            self.swallow(event)

        @hookimpl
        def flow_check(self, graph):
            time.sleep(60)

        def swallow(self, event):
            try:
                time.sleep(event)
            except Exception:
                time.sleep(60)

    def test_an_observer_that_hangs_is_put_aside(self):
        class Zebra(Listener):
            pass

        after = Zebra()
        plugins = load(self.Slow(), after, hook_budget=0.1)
        began = time.monotonic()
        for _ in range(2):
            plugins.hook.flow_event(event=60)
        assert time.monotonic() - began < 5
        assert after.heard == [60, 60]
        (aside,) = plugins.manager.aside
        assert aside.why == "it took longer than its budget of 0.1 s"
        assert f"{__file__}:" in aside.where

    def test_any_other_hook_that_hangs_ends_what_was_going_on(self):
        plugins = load(self.Slow(), hook_budget=0.1)
        with pytest.raises(PluginError) as caught:
            plugins.hook.flow_check(graph=None)
        assert caught.value.what == "The plugin 'Slow' failed in its hook flow_check"
        assert caught.value.why == "it took longer than its budget of 0.1 s"

    def test_who_needs_longer_says_so(self):
        class Slow:
            @hookimpl(budget=None)
            def flow_check(self, graph):
                time.sleep(0.2)

        assert load(Slow(), hook_budget=0.05).hook.flow_check(graph=None) == []

    def test_each_has_its_own_budget(self):
        """However long the others take: many that take a little are no fault of the last one."""

        class Slow:
            @hookimpl
            def flow_event(self, event):
                time.sleep(0.2)

        plugins = load(*[type(f"Slow{n}", (Slow,), {})() for n in range(4)], hook_budget=0.4)
        plugins.hook.flow_event(event=1)
        assert plugins.manager.aside == []

    def test_one_that_hangs_is_found_beside_one_that_may_take_any_time(self):
        class Patient:
            @hookimpl(budget=None)
            def flow_event(self, event):
                time.sleep(0.3)
                self.done = True

        class Hurried:
            @hookimpl(budget=0.1)
            def flow_event(self, event):
                time.sleep(60)

        patient = Patient()
        plugins = load(patient, Hurried(), hook_budget=30)
        began = time.monotonic()
        plugins.hook.flow_event(event=1)
        assert time.monotonic() - began < 5
        assert patient.done
        assert [a.what for a in plugins.manager.aside] == [
            "The plugin 'Hurried' failed in its hook flow_event"
        ]

    def test_what_hangs_again_while_it_is_interrupted_is_interrupted_again(self):
        class Stubborn:
            @hookimpl
            def flow_event(self, event):
                try:
                    time.sleep(60)
                finally:
                    time.sleep(60)

        plugins = load(Stubborn(), hook_budget=0.1)
        began = time.monotonic()
        plugins.hook.flow_event(event=1)
        assert time.monotonic() - began < 5

    def test_nothing_is_left_of_the_alarm(self):
        plugins = load(self.Slow(), hook_budget=0.1)
        plugins.hook.flow_event(event=0)
        time.sleep(0.2)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert plugins.manager.aside == []

    def test_an_alarm_of_somebody_else_is_left_alone(self):
        rang = []
        earlier = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            load(self.Slow(), hook_budget=10).hook.flow_event(event=0.2)
        finally:
            signal.signal(signal.SIGALRM, earlier)
        assert rang == [1]

    def test_no_budget(self):
        load(self.Slow(), hook_budget=0).hook.flow_event(event=0.05)
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


class TestNonsense:
    @pytest.mark.parametrize(
        ("hook", "value", "why"),
        [
            ("flow_check", 5, "5 (int) where the hook returns a list of Problem, or None"),
            ("flow_check", ["x"], "'x' (str) where the hook returns a list of Problem, or None"),
            ("flow_reuse_task", {}, "{} (dict) where the hook returns Manifest or None"),
            (
                "flow_attempt_decision",
                True,
                "True (bool) where the hook returns RetryAfter or Fallback or GiveUp or None",
            ),
        ],
    )
    def test_what_no_caller_could_use_is_the_plugins_fault(self, hook, value, why):
        def function(self):
            return value

        function.__name__ = hook
        bad = type("Bad", (), {hook: hookimpl(function)})()
        plugins = load(bad)
        arguments = dict.fromkeys(getattr(plugins.hook, hook).spec.argnames)
        with pytest.raises(PluginError) as caught:
            getattr(plugins.hook, hook)(**arguments)
        assert caught.value.what == f"The plugin 'Bad' returned nonsense from its hook {hook}"
        assert caught.value.where == f"{__file__}:{function.__code__.co_firstlineno}"
        assert caught.value.why == why
        assert caught.value.hint == "repair it, or leave it out: no '-p Bad'"

    def test_a_plugins_own_hooks_say_what_they_return_too(self):
        class Specs:
            @hookspec(returns=Returns(("builtins:int",)))
            def flow_dice(self): ...

        class Dice:
            @hookimpl
            def flow_add_hooks(self, plugins):
                plugins.add_hookspecs(Specs)

            @hookimpl
            def flow_dice(self):
                return "six"

        with pytest.raises(PluginError, match="returned nonsense from its hook flow_dice"):
            load(Dice()).hook.flow_dice()


class TestTrace:
    class Check:
        @hookimpl
        def flow_check(self, graph):
            return [] if graph == "G" else 1 / 0

    class Around:
        @hookimpl(wrapper=True)
        def flow_check(self, graph):
            try:
                yield
            except ZeroDivisionError:
                return ["caught"]
            return []

    def lines(self, text):
        """Return the lines without clock, process and durations."""
        found = []
        for line in text.splitlines():
            told = re.fullmatch(r"hook \d\d:\d\d:\d\d\.\d{3} (\d+)  (.*)", line)
            assert told
            assert int(told[1]) == os.getpid()
            found.append(re.sub(r"\d+\.\d{3} ms$", "N ms", told[2]))
        return found

    def test_each_call_is_told_with_result_and_time(self, capsys):
        load(self.Check(), trace_hooks=1).hook.flow_check(graph="G")
        assert self.lines(capsys.readouterr().err) == [
            "flow_add_hooks(plugins)",
            "flow_settings(settings)",
            "flow_check(graph='G')",
            "  Check -> []  N ms",
        ]

    def test_wrappers_stand_around_what_they_wrap(self, capsys):
        plugins = load(self.Check(), self.Around(), trace_hooks=1)
        capsys.readouterr()
        assert plugins.hook.flow_check(graph="X") == ["caught"]
        assert self.lines(capsys.readouterr().err) == [
            "flow_check(graph='X')",
            "  Around wraps what follows",
            "    Check raises ZeroDivisionError: division by zero  N ms",
            "  Around -> ['caught']  N ms",
        ]

    def test_calls_within_calls_are_indented(self, capsys):
        class Teller:
            @hookimpl
            def flow_event(self, event):
                if event != "inner":
                    plugins.hook.flow_event(event="inner")

        plugins = load(Teller(), trace_hooks=1)
        capsys.readouterr()
        plugins.hook.flow_event(event=1)
        assert self.lines(capsys.readouterr().err) == [
            "flow_event(event=1)",
            "  flow_event(event='inner')",
            "    Teller  N ms",
            "  Teller  N ms",
        ]

    def test_a_hook_that_nobody_implements_is_told_as_such(self, capsys):
        plugins = load(trace_hooks=1)
        capsys.readouterr()
        plugins.hook.flow_event(event=None)
        assert self.lines(capsys.readouterr().err) == [
            "flow_event(event=None)  nobody implements it"
        ]

    def test_results_are_still_checked_and_failures_named(self, capsys):
        class Bad:
            @hookimpl
            def flow_check(self, graph):
                return 5

        with pytest.raises(PluginError, match="returned nonsense from its hook flow_check"):
            load(Bad(), trace_hooks=1).hook.flow_check(graph=None)
        assert "Bad raises PluginError" in capsys.readouterr().err

    def test_a_run_tells_step_and_process_of_each_task(self, flowtester):
        path = flowtester.write(FLOW)
        done = flowtester.flow("run", str(path), variables={"FLOW_TRACE_HOOKS": "1"}).check()
        launcher = [line.split()[2] for line in done.stderr.splitlines() if line[:5] == "hook "]
        assert len(set(launcher)) == 1
        assert "flow_event(event=TaskQueued start)" in done.stderr
        assert "flow_event(event=TaskFinished F/1/end/2)" in done.stderr
        assert "flow_run_finished(session, run=F/1, result)" in done.stderr
        tasks = set(
            re.findall(
                r"hook \S+ (\d+)  flow_task_call\(task=(\S+), flow\)", done.stdout + done.stderr
            )
        )
        assert {name for _, name in tasks} == {"F/1/start/1", "F/1/end/2"}
        assert len({*launcher, *(pid for pid, _ in tasks)}) == 3
        assert (
            "flow-core" in done.stdout + done.stderr
        )  # the kernel's own part has a name for people


def test_what_is_known_of_a_hook_from_its_declaration():
    plugins = load(hook_budget=7)
    known = {info.name: info for info in plugins.manager.hooks()}
    assert [*known][:3] == ["flow_add_hooks", "flow_settings", "flow_session_started"]
    assert [*known][-1] == "flow_run_finished"
    event = known["flow_event"]
    assert (event.arguments, event.observer, event.budget) == (("event",), True, 7)
    assert str(known["flow_check"].returns) == "a list of Problem, or None"
    assert known["flow_reuse_task"].first_result
    assert known["flow_settings"].historic
    assert known["flow_task_call"].budget is None
    assert event.doc.startswith("Something happened: every change of state")
