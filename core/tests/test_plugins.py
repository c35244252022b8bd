"""The plugin manager: order of hooks, and what becomes of broken plugins."""

import sys
import types

import pytest

from flow_core.errors import PluginError
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
        assert broken["a"].what == "The plugins a, b each want to come before another of them"
        assert broken["a"].hint == "leave one out: -p no:a"

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
                "events",
                "correct the arguments",
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
        assert "no '-p flow_nowhere'" in error.hint

    def test_a_run_stops_before_its_first_task(self, flowtester):
        source = "from flow_core import FlowSpec, step\nclass F(FlowSpec):\n    @step\n"
        outcome = flowtester.run(
            source
            + "    def start(self): self.next(self.end)\n    @step\n    def end(self): pass\n",
            modules=["flow_nowhere"],
        )
        assert isinstance(outcome.error, PluginError)
        assert outcome.run == ""


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
