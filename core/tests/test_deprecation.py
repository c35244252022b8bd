"""What goes away: warnings that say with which release, and former names that still work."""

import subprocess
import sys
import types
import warnings
from dataclasses import dataclass

import pytest

import flow_core
from flow_core import deprecation
from flow_core.api import (
    FlowDeprecation,
    Options,
    RemovedInFlow1,
    RemovedInFlow2,
    StepDecorator,
    deprecated,
    option,
    overdue,
)
from flow_core.cli import run
from flow_core.errors import DefinitionError, PluginError, SettingsError, UsageError
from flow_core.hookspecs import hookimpl, hookspec
from flow_core.index import PluginIndex
from flow_core.plugins import Plugins
from flow_core.settings import Settings

CLASSES = [
    kind
    for kind in vars(deprecation).values()
    if isinstance(kind, type) and issubclass(kind, FlowDeprecation) and kind is not FlowDeprecation
]


class TestReleases:
    @pytest.mark.parametrize("kind", CLASSES)
    def test_no_release_has_come(self, kind):
        assert not overdue(kind), (
            f"flow-core is {flow_core.__version__}: take out all that warns with {kind.__name__}, "
            "then the class"
        )

    @pytest.mark.parametrize("kind", CLASSES)
    def test_classes_are_named_after_their_release(self, kind):
        assert kind.__name__ == "RemovedInFlow" + kind.release.removesuffix(".0").replace(".", "_")

    @pytest.mark.parametrize(
        ("version", "due"), [("0.9", False), ("1.0rc1", True), ("1.0.0", True), ("2.1", True)]
    )
    def test_overdue(self, version, due):
        assert overdue(RemovedInFlow1, version) is due

    def test_classes_of_plugins_go_by_their_own_version(self):
        class RemovedInPytest1(FlowDeprecation):
            distribution, release = "pytest", "1.0"

        assert overdue(RemovedInPytest1)

    def test_these_tests_treat_them_as_errors(self):
        with pytest.raises(RemovedInFlow1):
            warnings.warn("x", RemovedInFlow1, stacklevel=1)

    def test_a_start_does_not_import_it(self):
        code = (
            "import sys\nfrom flow_core.cli import run\nrun(['--help'])\n"
            "sys.exit('flow_core.deprecation' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@deprecated(RemovedInFlow1, since="0.2", use="run_flow()")
def run_all(times=1):
    """Run."""
    return times


@deprecated(RemovedInFlow2, since="1.1", arguments={"tag": "tags", "wait": ""})
def tagged(tags=(), wait=None):
    return tags, wait


def here():
    return sys._getframe(1).f_lineno


class TestFunctions:
    def test_each_call_warns_at_the_line_of_the_caller(self):
        with pytest.warns(RemovedInFlow1) as told:
            assert run_all(times=3) == 3
        assert str(told[0].message) == (
            "run_all() goes away in flow-core 1.0, deprecated since 0.2: use run_flow()"
        )
        assert (told[0].filename, told[0].lineno) == (__file__, here() - 4)
        assert (run_all.__name__, run_all.__doc__) == ("run_all", "Run.")

    def test_a_class(self):
        @deprecated(RemovedInFlow1, since="0.2")
        class Old:
            def __init__(self, size):
                self.size = size

        with pytest.warns(
            RemovedInFlow1, match=r"Old\(\) goes away in flow-core 1.0, deprecated since 0.2$"
        ) as told:
            assert Old(4).size == 4
        assert told[0].filename == __file__

    def test_arguments(self):
        assert tagged(tags=["a"]) == (["a"], None)
        with pytest.warns(RemovedInFlow2) as told:
            assert tagged(tag=["a"]) == (["a"], None)
        assert str(told[0].message) == (
            "The argument 'tag' of tagged() is called 'tags' since flow-core 1.1; "
            "2.0 does not know the old name"
        )
        assert (told[0].filename, told[0].lineno) == (__file__, here() - 5)

    def test_an_argument_without_a_successor(self):
        with pytest.warns(RemovedInFlow2) as told:
            assert tagged(wait=3) == ((), 3)
        assert str(told[0].message) == (
            "The argument 'wait' of tagged() goes away in flow-core 2.0, deprecated since 1.1"
        )

    def test_both_names_of_an_argument(self):
        with pytest.raises(TypeError, match=r"tagged\(\) got both 'tags' and 'tag', its former"):
            tagged(tag=1, tags=2)


class Specs:
    """Hooks of which one had another name, one other arguments, and one goes away."""

    @hookspec(deprecated=deprecated(RemovedInFlow1, since="0.2", name="flow_ended"))
    def flow_over(self, run):
        """Called at the end."""

    @hookspec(
        firstresult=True,
        deprecated=deprecated(RemovedInFlow1, since="0.3", arguments={"job": "run", "wait": ""}),
    )
    def flow_asked(self, run, wait):
        """Answer."""

    @hookspec(deprecated=deprecated(RemovedInFlow2, since="0.4", use="flow_over"))
    def flow_noted(self, run):
        """Called now and then."""


def module(name, *functions):
    made = types.ModuleType(name)
    for function in functions:
        setattr(made, function.__name__, function)
    return made


@hookimpl
def flow_add_hooks(plugins):
    plugins.add_hookspecs(Specs)


def loaded(*modules):
    """Load modules beside one that declares the hooks; those before 'declare' come first."""
    return Plugins(PluginIndex([]), [module("declare", flow_add_hooks), *modules])


class TestHooks:
    @pytest.mark.parametrize("name", ["audit", "metrics"])  # before and after the declaration
    def test_a_former_name(self, name):
        seen = []

        @hookimpl
        def flow_ended(run):
            seen.append(run)

        with pytest.warns(RemovedInFlow1) as told:
            plugins = loaded(module(name, flow_ended))
        assert plugins.broken == {}
        assert [str(w.message) for w in told] == [
            (
                f"The plugin '{name}' implements the hook flow_ended, which is called 'flow_over' "
                "since flow-core 0.2; 1.0 does not know the old name"
            )
        ]
        assert (told[0].filename, told[0].lineno) == (__file__, flow_ended.__code__.co_firstlineno)
        plugins.hook.flow_over(run=7)
        assert seen == [7]
        assert plugins.implemented("flow_over")
        assert [place.plugin for place in plugins.manager.places("flow_over")] == [name]

    def test_former_arguments(self):
        @hookimpl
        def flow_asked(job, wait):
            return f"{job}, {wait}"

        with pytest.warns(RemovedInFlow1) as told:
            plugins = loaded(module("metrics", flow_asked))
        assert [str(w.message) for w in told] == [
            (
                "The plugin 'metrics' takes the argument 'job' of the hook flow_asked, which is called "
                "'run' since flow-core 0.3; 1.0 does not know the old name"
            ),
            (
                "The plugin 'metrics' takes the argument 'wait' of the hook flow_asked, which goes away "
                "in flow-core 1.0, deprecated since 0.3"
            ),
        ]
        assert plugins.hook.flow_asked(run="r", wait=2) == "r, 2"

    def test_a_hook_that_goes_away(self):
        @hookimpl
        def flow_noted(run):
            return run

        with pytest.warns(RemovedInFlow2) as told:
            plugins = loaded(module("metrics", flow_noted))
        assert [str(w.message) for w in told] == [
            (
                "The plugin 'metrics' implements the hook flow_noted, which goes away in flow-core 2.0, "
                "deprecated since 0.4: use flow_over"
            )
        ]
        assert plugins.hook.flow_noted(run=1) == [1]

    def test_present_names_warn_of_nothing(self):
        @hookimpl
        def flow_over(run):
            return run

        @hookimpl
        def flow_asked(run):
            return run

        plugins = loaded(module("metrics", flow_over, flow_asked))
        assert plugins.hook.flow_over(run=1) == [1]
        assert plugins.hook.flow_asked(run=1, wait=0) == 1

    def test_wrong_arguments_are_refused_as_ever(self):
        @hookimpl
        def flow_ended(bogus):
            pass

        with pytest.warns(RemovedInFlow1):
            plugins = loaded(module("metrics", flow_ended))
        assert "bogus" in str(plugins.broken["metrics"])
        assert isinstance(plugins.broken["metrics"], PluginError)

    def test_it_is_shown_once_in_a_process(self):
        @hookimpl
        def flow_ended(run):
            pass

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("default")
            for _ in range(3):
                loaded(module("metrics", flow_ended))
        assert len(told) == 1


class TestSettings:
    @pytest.fixture
    def make(self, tmp_path):
        def made(project="", warn=None, **variables):
            (tmp_path / "pyproject.toml").write_text(project)
            settings = Settings({"HOME": str(tmp_path), **variables}, str(tmp_path), warn)
            notice = deprecated(RemovedInFlow1, since="0.2", name="cards_server_port")
            settings.declare("cards_port", 80, "Port.", deprecated=notice)
            gone = deprecated(RemovedInFlow2, since="0.3", use="cards_port")
            settings.declare("cards_socket", "", "Socket.", deprecated=gone)
            return settings

        return made

    TEXT = (
        "The setting 'cards_server_port' is called 'cards_port' since flow-core 0.2; "
        "1.0 does not know the old name"
    )

    def test_a_former_name_in_a_variable(self, make):
        settings = make(FLOW_CARDS_SERVER_PORT="90")
        with pytest.warns(RemovedInFlow1) as told:
            assert settings.lookup("cards_port") == (90, "FLOW_CARDS_SERVER_PORT")
        assert [(str(w.message), w.filename) for w in told] == [
            (self.TEXT, "FLOW_CARDS_SERVER_PORT")
        ]
        assert settings["cards_port"] == 90  # told once

    def test_a_former_name_in_a_file(self, make, tmp_path):
        settings = make("[tool.flow]\ncards-server-port = 91\n")
        settings.check_names()
        with pytest.warns(RemovedInFlow1) as told:
            assert settings["cards_port"] == 91
        assert told[0].filename == f"[tool.flow] of {tmp_path}/pyproject.toml"

    def test_the_present_name_comes_first(self, make):
        assert make(FLOW_CARDS_SERVER_PORT="90", FLOW_CARDS_PORT="92")["cards_port"] == 92
        assert (
            make("[tool.flow]\ncards_server_port = 1\n", FLOW_CARDS_PORT="92")["cards_port"] == 92
        )

    def test_a_variable_comes_before_a_file_whatever_its_name(self, make):
        settings = make("[tool.flow]\ncards_port = 1\n", FLOW_CARDS_SERVER_PORT="90")
        with pytest.warns(RemovedInFlow1):
            assert settings["cards_port"] == 90

    def test_values_are_checked_as_ever(self, make):
        with pytest.warns(RemovedInFlow1), pytest.raises(SettingsError, match="an integer"):
            _ = make(FLOW_CARDS_SERVER_PORT="many")["cards_port"]

    def test_overrides(self, make):
        settings = make()
        with pytest.warns(RemovedInFlow1):
            settings.override("cards_server_port", 93, "settings=")
        assert settings.overrides() == {"cards_port": 93}

    def test_code_that_reads_the_former_name_is_named(self, make):
        settings = make()
        with pytest.warns(RemovedInFlow1) as told:
            assert settings["cards_server_port"] == 80
        assert (told[0].filename, str(told[0].message)) == (__file__, self.TEXT)

    def test_a_setting_that_goes_away(self, make):
        assert make()["cards_socket"] == ""
        with pytest.warns(RemovedInFlow2) as told:
            assert make(FLOW_CARDS_SOCKET="s")["cards_socket"] == "s"
        assert str(told[0].message) == (
            "The setting 'cards_socket' goes away in flow-core 2.0, deprecated since 0.3: "
            "use cards_port"
        )

    def test_python_shows_it_by_itself(self, make):
        with warnings.catch_warnings(record=True) as told:
            warnings.resetwarnings()
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            warnings.filterwarnings("default", category=DeprecationWarning, module="__main__")
            _ = make(FLOW_CARDS_SERVER_PORT="90")["cards_port"]
        assert len(told) == 1

    def test_the_command_line_says_it_in_its_own_way(self, tmp_path, monkeypatch, capsys):
        (tmp_path / "old_names.py").write_text(
            "from flow_core.api import RemovedInFlow1, deprecated, hookimpl\n"
            "@hookimpl\n"
            "def flow_settings(settings):\n"
            "    notice = deprecated(RemovedInFlow1, since='0.2', name='my_old')\n"
            "    settings.declare('my_new', 1, 'Number.', deprecated=notice)\n"
            "@hookimpl\n"
            "def flow_session_started(session):\n"
            "    print('my_new is', session.setting('my_new'), session.setting('my_new'))\n"
        )
        flow = tmp_path / "small.py"
        flow.write_text(
            "from flow_core import FlowSpec, step\n"
            "class Small(FlowSpec):\n"
            "    @step\n"
            "    def start(self):\n"
            "        self.next(self.end)\n"
            "    @step\n"
            "    def end(self):\n"
            "        pass\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FLOW_MY_OLD", "5")
        assert run(["-p", "old_names", "--quiet", "run", str(flow)]) == 0
        shown = capsys.readouterr()
        assert shown.out == "my_new is 5 5\n"
        assert shown.err == (
            "warning: The setting 'my_old' is called 'my_new' since flow-core 0.2; "
            "1.0 does not know the old name\n"
            "  where: FLOW_MY_OLD\n"
        )


@dataclass(frozen=True)
class RepeatOptions(Options):
    """Do it again."""

    times: int = option(
        3, "How often.", deprecated=deprecated(RemovedInFlow1, since="0.2", name="n")
    )
    loud: bool = option(False, "", deprecated=deprecated(RemovedInFlow2, since="0.2"))
    word: str = option("")


repeat = StepDecorator("repeat", RepeatOptions)


class TestOptions:
    TEXT = (
        "The option 'n' of @repeat is called 'times' since flow-core 0.2; "
        "1.0 does not know the old name"
    )

    def test_a_former_name_in_code(self):
        with pytest.warns(RemovedInFlow1) as told:
            assert repeat.make(n=4) == RepeatOptions(4)
        assert (str(told[0].message), told[0].filename) == (self.TEXT, __file__)

    def test_a_former_name_after_with(self):
        with pytest.warns(RemovedInFlow1):
            assert repeat.parse("n=4,word=x") == RepeatOptions(4, word="x")
        assert repeat.to_text(RepeatOptions(4)) == "repeat:times=4"

    def test_both_names(self):
        with pytest.raises(DefinitionError) as caught:
            repeat.make(n=4, times=5)
        assert str(caught.value) == (
            "Decorator @repeat was given 'times' and 'n', its former name\n  try:   keep 'times'"
        )

    def test_an_option_that_goes_away(self):
        with pytest.warns(RemovedInFlow2) as told:
            assert repeat.make(loud=True).loud
        assert str(told[0].message) == (
            "The option 'loud' of @repeat goes away in flow-core 2.0, deprecated since 0.2"
        )

    def test_near_misses_name_present_names(self):
        with pytest.raises(UsageError, match="did you mean 'times'"):
            repeat.parse("time=3")

    def test_wrong_types_are_told_as_ever(self):
        with pytest.warns(RemovedInFlow1), pytest.raises(DefinitionError, match="'times' must be"):
            repeat.make(n="x")
