"""The plugin manager: order of hooks, and what becomes of broken plugins."""

import re
import sys
import types

import pytest

from flow_core.errors import FlowError, PluginError, UnknownName, UsageError
from flow_core.hookspecs import hookimpl, hookspec
from flow_core.index import EntryPoint, PluginIndex
from flow_core.plugins import Plugins
from flow_core.settings import Settings


def listener(name, calls, **options):
    """A hook module of this name that notes its calls."""
    module = types.ModuleType(name)

    @hookimpl(**options)
    def flow_event(event):
        calls.append(name)

    module.flow_event = flow_event
    return module


def order(*modules_of):
    calls = []
    plugins = Plugins(PluginIndex([]), [listener(n, calls, **o) for n, o in modules_of])
    plugins.hook.flow_event(event=None)
    return calls, plugins.broken


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install hook modules from source and load them."""
    made = []

    def load(**sources):
        monkeypatch.syspath_prepend(str(tmp_path))
        entries = []
        for name, source in sources.items():
            module = f"flow_test_{name}"
            (tmp_path / f"{module}.py").write_text(source)
            made.append(module)
            info = tmp_path / f"{module}-1.0.dist-info"
            info.mkdir()
            requires = "9" if "NEWER" in source else "0"
            (info / "METADATA").write_text(f"Name: x\nRequires-Dist: flow-core>={requires}\n")
            entries.append(
                EntryPoint("flow.plugins", name, module, f"flow-{name}", "1.0", str(info))
            )
        return Plugins(PluginIndex(entries))

    yield load
    for module in made:
        sys.modules.pop(module, None)


HOOK = "from flow_core.api import hookimpl\n"
GOOD = HOOK + "@hookimpl\ndef flow_event(event):\n    event.append('good')\n"


class TestOrder:
    def test_by_name(self):
        assert order(("b", {}), ("a", {}), ("c", {}))[0] == ["a", "b", "c"]

    def test_before_and_after(self):
        calls, _ = order(("a", {"after": ["c"]}), ("b", {}), ("c", {}), ("d", {"before": ["b"]}))
        assert calls == ["c", "a", "d", "b"]

    def test_wishes_about_absent_plugins_and_oneself_do_not_matter(self):
        calls, broken = order(("a", {"after": ["zzz", "a"]}), ("b", {}))
        assert (calls, broken) == (["a", "b"], {})

    def test_a_ring_is_remembered_and_the_others_work(self):
        calls, broken = order(("a", {"after": ["b"]}), ("b", {"after": ["a"]}), ("c", {}))
        assert calls == ["c"]
        assert sorted(broken) == ["a", "b"]
        assert broken["a"].what == "The plugins a, b cannot be put in order for the hook flow_event"
        assert broken["a"].why == "each wants to come before the next: a before b before a"
        assert broken["a"].hint == "change a before= or after=, or leave one out: -p no:a"

    def test_objects_have_wishes_and_names_too(self):
        calls = []

        class Zebra:
            @hookimpl(before=["Ant"])
            def flow_event(self, event):
                calls.append("zebra")

        class Ant:
            @hookimpl
            def flow_event(self, event):
                calls.append("ant")

        plugins = Plugins(PluginIndex([]), [Ant(), Zebra()])
        plugins.hook.flow_event(event=None)
        assert calls == ["zebra", "ant"]

    def test_two_objects_of_a_class_have_names_of_their_own(self):
        class Ant:
            @hookimpl
            def flow_event(self, event): ...

        plugins = Plugins(PluginIndex([]), [Ant(), Ant()])
        assert sorted(n for n, _ in plugins.manager.list_name_plugin()) == ["Ant", "Ant-2"]

    def test_wrappers_wrap_in_that_order(self):
        calls = []

        def wrapper(name, **options):
            module = types.ModuleType(name)

            @hookimpl(wrapper=True, **options)
            def flow_task_call(task, flow):
                calls.append(f"{name} in")
                try:
                    return (yield)
                finally:
                    calls.append(f"{name} out")

            module.flow_task_call = flow_task_call
            return module

        plugins = Plugins(PluginIndex([]), [wrapper("b"), wrapper("a", after=["b"])])
        plugins.hook.flow_task_call(task=None, flow=None)
        assert calls == ["b in", "a in", "a out", "b out"]


class TestBroken:
    @pytest.mark.parametrize(
        ("source", "what", "why", "hint"),
        [
            ("1/0", "The plugin 'bad' cannot be loaded", "ZeroDivisionError", "-p no:bad"),
            ("raise SystemExit(2)", "The plugin 'bad' cannot be loaded", "SystemExit: 2", "no:bad"),
            (
                GOOD + "# NEWER\n",
                "The plugin 'bad' needs flow-core >=9; this is 0.1.0",
                None,
                "pip install --upgrade flow-core flow-bad",
            ),
            (
                GOOD.replace("flow_event", "flow_evnt"),
                "The plugin 'bad' implements a hook that does not exist: flow_evnt",
                None,
                "did you mean 'flow_event'",
            ),
            (
                GOOD.replace("event", "events").replace("flow_events", "flow_event"),
                "The plugin 'bad' has a hook that does not fit its specification",
                "flow_event takes 'events', and is given: event",
                "did you mean 'event'? Or leave the plugin out: -p no:bad",
            ),
            (
                GOOD.replace("(event)", "(payload)"),
                "The plugin 'bad' has a hook that does not fit its specification",
                "flow_event takes 'payload', and is given: event",
                "correct the arguments (flow_core.hookspecs). Or leave the plugin out: -p no:bad",
            ),
            (
                "def flow_event(event): pass\n",
                "The plugin 'bad' has a function flow_event that is not marked as a hook",
                None,
                "put @hookimpl above it",
            ),
            (
                HOOK + "@hookimpl\ndef flow_add_hooks(plugins):\n    1/0\n",
                "The plugin 'bad' fails when it is registered",
                "ZeroDivisionError: division by zero",
                "-p no:bad",
            ),
        ],
    )
    def test_each_kind_is_remembered_and_others_work(self, installed, source, what, why, hint):
        plugins = installed(bad=source, good=GOOD)
        assert list(plugins.broken) == ["bad"]
        error = plugins.broken["bad"]
        assert error.what == what
        assert why is None or why in error.why
        assert hint in error.hint
        assert why or error.where
        heard = []
        plugins.hook.flow_event(event=heard)
        assert "good" in heard
        with pytest.raises(PluginError) as caught:
            plugins.require_sound()
        assert caught.value is error

    def test_sound_plugins_let_a_run_start(self, installed):
        installed(good=GOOD).require_sound()

    def test_a_module_of_the_command_line(self):
        plugins = Plugins(PluginIndex([]), ["flow_nowhere"])
        error = plugins.broken["flow_nowhere"]
        assert error.what == "The plugin module 'flow_nowhere' cannot be loaded"
        assert "No module named 'flow_nowhere'" in error.why
        assert "-p no:flow_nowhere" in error.hint
        assert isinstance(error, UnknownName)  # the person mistyped it: exit status 2

    def test_a_module_that_lacks_another_is_not_mistyped(self, tmp_path, monkeypatch):
        (tmp_path / "flow_test_lacks.py").write_text("import flow_nowhere\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        error = Plugins(PluginIndex([]), ["flow_test_lacks"]).broken["flow_test_lacks"]
        assert not isinstance(error, UsageError)

    def test_a_run_stops_before_its_first_task(self, flowtester):
        source = "from flow_core import FlowSpec, step\nclass F(FlowSpec):\n    @step\n"
        outcome = flowtester.run(
            source
            + "    def start(self): self.next(self.end)\n    @step\n    def end(self): pass\n",
            modules=["flow_nowhere"],
        )
        assert isinstance(outcome.error, PluginError)
        assert outcome.run == ""


class TestFailingHooks:
    """A hook that raises is the plugin's defect, and the error says whose and where."""

    @staticmethod
    def failure(*modules, hook="flow_check", **arguments):
        plugins = Plugins(PluginIndex([]), modules)
        try:
            getattr(plugins.hook, hook)(**(arguments or {"graph": None}))
        except Exception as error:
            return error
        raise AssertionError("it did not fail")

    def test_the_plugin_the_hook_and_the_line_are_named(self):
        class Bad:
            @hookimpl
            def flow_check(self, graph):
                int("x")

        error = self.failure(Bad())
        assert type(error) is PluginError
        assert error.what == "The plugin 'Bad' failed in its hook flow_check"
        line = Bad.flow_check.__code__.co_firstlineno + 2
        assert re.fullmatch(rf"{__file__}:{line}, \d\d:\d\d:\d\d", error.where)
        assert error.why.startswith("ValueError: invalid literal")
        assert error.hint == "repair it, or leave it out: no '-p Bad'"
        assert isinstance(error.__cause__, ValueError)

    @pytest.mark.parametrize("registered", ["bad", "bad.listener"])
    def test_the_way_out_leaves_the_distribution_out(self, registered):
        class Bad:
            @hookimpl
            def flow_check(self, graph):
                return 1 / 0

        entry = EntryPoint("flow.plugins", "bad", "flow_nowhere", "flow-wicked", "1.0", "")
        plugins = Plugins(PluginIndex([entry]))
        plugins.manager.register(Bad(), registered)
        with pytest.raises(PluginError) as caught:
            plugins.hook.flow_check(graph=None)
        assert caught.value.hint.endswith("-p no:wicked")

    def test_whom_a_wrapper_wraps_is_blamed_for_its_own_error(self):
        class Around:
            @hookimpl(wrapper=True)
            def flow_check(self, graph):
                return (yield)

        class Bad:
            @hookimpl
            def flow_check(self, graph):
                return 1 / 0

        assert "'Bad'" in self.failure(Around(), Bad()).what

    @pytest.mark.parametrize("early", [True, False])
    def test_a_wrapper_that_fails_itself_is_blamed(self, early):
        class Around:
            @hookimpl(wrapper=True)
            def flow_check(self, graph):
                if early:
                    raise KeyError("x")
                yield
                raise KeyError("x")

        class Good:
            @hookimpl
            def flow_check(self, graph): ...

        assert "'Around' failed in its hook flow_check" in self.failure(Around(), Good()).what

    def test_a_hook_that_calls_a_hook_is_not_blamed(self):
        class Outer:
            @hookimpl
            def flow_add_hooks(self, plugins):
                self.manager = plugins

            @hookimpl
            def flow_check(self, graph):
                self.manager.hook.flow_run_started(session=None, run=None, graph=None)

        class Inner:
            @hookimpl
            def flow_run_started(self, run):
                return 1 / 0

        error = self.failure(Outer(), Inner())
        assert error.what == "The plugin 'Inner' failed in its hook flow_run_started"

    @pytest.mark.parametrize("error", [FlowError("on purpose"), BrokenPipeError()])
    def test_what_is_raised_on_purpose_passes_unchanged(self, error):
        class Strict:
            @hookimpl
            def flow_check(self, graph):
                raise error

        plugins = Plugins(PluginIndex([]), [Strict()])
        with pytest.raises(type(error)) as caught:
            plugins.hook.flow_check(graph=None)
        assert caught.value is error

    @pytest.mark.parametrize("hook", ["flow_task_setup", "flow_task_teardown"])
    def test_in_a_task_the_log_names_the_plugin(self, hook, capsys):
        class Bad:
            @hookimpl
            def flow_task_setup(self, task):
                return 1 / 0

            @hookimpl
            def flow_task_teardown(self, task):
                return 1 / 0

        arguments = {"task": None, "flow": None, "error": None}
        error = self.failure(Bad(), hook=hook, **arguments)
        assert type(error) is ZeroDivisionError  # @retry and @catch go by the type
        assert f"The plugin 'Bad' failed in its hook {hook}\n" in capsys.readouterr().err

    def test_the_users_exceptions_pass_unchanged(self):
        class Body:
            @hookimpl
            def flow_task_call(self, task, flow):
                return 1 / 0

        error = self.failure(Body(), hook="flow_task_call", task=None, flow=None)
        assert type(error) is ZeroDivisionError


class TestOwnHooks:
    def test_a_plugin_may_declare_hooks_for_others(self):
        class Specs:
            @hookspec
            def flow_cards_made(self, card): ...

        class Cards:
            @hookimpl
            def flow_add_hooks(self, plugins):
                plugins.add_hookspecs(Specs)

        heard = []

        class Listener:
            @hookimpl
            def flow_cards_made(self, card):
                heard.append(card)

        plugins = Plugins(PluginIndex([]), [Listener(), Cards()])
        assert plugins.broken == {}
        assert plugins.implemented("flow_cards_made")
        plugins.hook.flow_cards_made(card=1)
        assert heard == [1]

    def test_a_hook_of_an_absent_plugin_may_be_optional(self):
        class Listener:
            @hookimpl(optionalhook=True)
            def flow_cards_made(self, card): ...

        assert Plugins(PluginIndex([]), [Listener()]).broken == {}

    def test_settings_are_declared_under_the_plugin(self):
        class Cards:
            @hookimpl
            def flow_settings(self, settings):
                settings.declare("cards_port", 80, "Port.")

        class Bad:
            @hookimpl
            def flow_settings(self, settings):
                raise ValueError("no")

        settings = Settings({"FLOW_CARDS_PORT": "81"}, "/")
        plugins = Plugins(PluginIndex([]), [Cards(), Bad()], settings)
        assert settings["cards_port"] == 81
        assert list(plugins.broken) == ["Bad"]

    def test_implemented(self):
        plugins = Plugins(PluginIndex([]), [listener("a", [])])
        assert plugins.implemented("flow_event")
        assert not plugins.implemented("flow_task_setup")


class Everything:
    """Has whatever it is asked for, as proxies and mocks do."""

    def __getattr__(self, name):
        return {"everything": name}


class TestFinding:
    """Which of the things in a plugin are hooks."""

    def test_what_is_no_function_is_not_looked_into(self):
        module = listener("a", [])
        module.proxy = Everything()
        module.__odd__ = Everything()
        plugins = Plugins(PluginIndex([]), [module])
        assert plugins.broken == {}

    def test_a_bound_method_in_a_module_is_a_hook(self):
        class Board:
            def __init__(self):
                self.seen = []

            @hookimpl
            def flow_event(self, event):
                self.seen.append(event)

        board = Board()
        module = types.ModuleType("board")
        module.flow_event = board.flow_event
        plugins = Plugins(PluginIndex([]), [module])
        plugins.hook.flow_event(event=1)
        assert (board.seen, plugins.broken) == ([1], {})

    @pytest.mark.parametrize("kind", [staticmethod, classmethod])
    def test_other_methods_of_an_object_are_hooks(self, kind):
        calls = []

        def of_nobody(event):
            calls.append(event)

        def of_the_class(cls, event):
            calls.append(event)

        function = of_nobody if kind is staticmethod else of_the_class
        board = type("Board", (), {"flow_event": kind(hookimpl(function))})()
        plugins = Plugins(PluginIndex([]), [board])
        plugins.hook.flow_event(event=1)
        assert (calls, plugins.broken) == ([1], {})

    def test_a_misspelt_one_is_found_among_other_things(self, installed):
        source = HOOK + "import os\nLIMIT = 3\n@hookimpl\ndef flow_evnt(event):\n    pass\n"
        broken = installed(odd=source).broken
        assert "flow_evnt" in broken["odd"].what


def test_a_plugin_stands_for_the_body(flowtester) -> None:
    class Zealous:  # sorted after the kernel's own hooks
        @hookimpl
        def flow_task_call(self, task, flow) -> str:
            flow.who = "plugin"
            if task.node.targets:
                flow.next(getattr(flow, task.node.targets[0]))
            return "done"

    source = """
        from flow_core import FlowSpec, step

        class Body(FlowSpec):
            @step
            def start(self):
                self.who = "body"
                self.next(self.end)

            @step
            def end(self):
                self.who = "body"
    """
    outcome = flowtester.run(source, modules=[Zealous()])
    assert outcome.error is None
    assert outcome.artifact("end", "who") == "plugin"
