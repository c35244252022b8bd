"""Plugins that are one module, without a distribution."""

import subprocess
import sys
from textwrap import dedent

import pytest

from flow_core.errors import PluginError, UnknownName
from flow_core.exports import export_names, load_export
from flow_core.index import EntryPoint, PluginIndex, hook_modules
from flow_core.module_plugins import imported, offered
from flow_core.session import Session

COMPANY = """
    from dataclasses import dataclass
    from decimal import Decimal

    from flow_core.api import Command, Options, StepDecorator, hookimpl, option

    __flow__ = {
        "flow.decorators": {"audited": "audited"},
        "flow.commands": {"costs": "costs"},
        "flow.serializers": {"decimal.text": "DecimalText"},
        "flow.exports": {"PRICE": "PRICE"},
    }

    PRICE = 3


    @dataclass(frozen=True)
    class AuditedOptions(Options):
        level: int = option(1, "How much is told.")


    audited = StepDecorator("audited", AuditedOptions)


    @hookimpl
    def flow_task_setup(task):
        options = task.options("audited")
        if options is not None:
            print(f"audited {options.level}")


    class DecimalText:
        tag = "decimal.text"
        safe = True

        def can(self, value):
            return type(value) is Decimal

        def dump(self, value):
            return [str(value).encode()]

        def load(self, parts):
            return Decimal(bytes(parts[0]).decode())


    def build(context):
        import click

        return click.Command("costs", callback=lambda: context.echo("3 EUR"))


    costs = Command("Say what it costs.", False, build)
"""

FLOW = """
    from decimal import Decimal

    from flow_core import PRICE, FlowSpec, audited, step

    class F(FlowSpec):
        @audited(level=2)
        @step
        def start(self):
            self.sum = Decimal("1.50") * PRICE
            self.next(self.end)

        @step
        def end(self):
            print(self.sum)

    if __name__ == "__main__":
        F()
"""

SETTINGS = '[tool.flow]\nplugins = ["my_company"]\n'


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that writes a module where it is found, and forgets it afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(source, name="my_company"):
        file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(source))
        return str(file)

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


class TestOffered:
    def test_what_the_source_says(self, module):
        file = module(COMPANY)
        found, points = offered("my_company", [])
        assert found == file
        assert points == [
            ("flow.decorators", "audited", "my_company:audited"),
            ("flow.commands", "costs", "my_company:costs"),
            ("flow.serializers", "decimal.text", "my_company:DecimalText"),
            ("flow.exports", "PRICE", "my_company:PRICE"),
        ]
        assert "my_company" not in sys.modules, "nothing was imported"

    def test_a_module_without_the_variable_offers_nothing(self, module):
        module("raise RuntimeError('not to be run')")
        assert offered("my_company", [])[1] == []

    def test_a_value_may_name_another_module(self, module):
        module('__flow__: dict = {"flow.stores": {"mine": "other.place:Store"}}', "company.flow")
        assert offered("company.flow", [])[1] == [("flow.stores", "mine", "other.place:Store")]

    def test_a_module_that_is_imported_is_asked_itself(self, module, tmp_path):
        file = module('__flow__ = {"flow.exports": {"a": "b"}}')
        __import__("my_company")
        (tmp_path / "my_company.py").unlink()
        assert offered("my_company", []) == (file, [("flow.exports", "a", "my_company:b")])
        assert "my_company" in imported()

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            ("make()", "it is read without running the module, so it must be written out"),
            ("[1]", "it is a list, not a dict of groups"),
            ("{'decorators': {}}", "'decorators' is no group: those begin with 'flow.'"),
            ("{1: {}}", "1 is no group"),
            ("{'flow.decorator': {}}", "there is no group 'flow.decorator'"),
            ("{'flow.stores': ['a']}", "'flow.stores' is a list, not a dict of names"),
            ("{'flow.stores': {'': 'a'}}", "'' in 'flow.stores' is no name"),
            ("{'flow.stores': {'a': 3}}", "'a' in 'flow.stores' is 3, not the name of something"),
            ("{'flow.stores': {'a': 'b c'}}", "'a' in 'flow.stores' is 'b c', not the name"),
        ],
    )
    def test_what_cannot_be_used(self, module, said, why):
        file = module(f"X = 1\n__flow__ = {said}\n")
        with pytest.raises(PluginError) as caught:
            offered("my_company", ["flow.decorators", "flow.stores"])
        error = caught.value
        assert error.what == "What the plugin module 'my_company' says in __flow__ cannot be used"
        assert why in error.why
        assert error.where.startswith(file)
        assert error.hint

    def test_near_misses_of_groups(self, module):
        module("__flow__ = {'flow.decorator': {}}")
        with pytest.raises(PluginError) as caught:
            offered("my_company", ["flow.decorators", "flow.stores"])
        assert caught.value.hint == "did you mean 'flow.decorators'?"

    def test_a_group_of_a_plugin(self, module):
        module("__flow__ = {'flow.cards': {'plain': 'Plain'}}")
        assert offered("my_company", ["flow.stores"])[1] == [
            ("flow.cards", "plain", "my_company:Plain")
        ]

    def test_a_syntax_error_is_told_with_its_line(self, module):
        file = module("__flow__ = {}\nx = = 1\n")
        with pytest.raises(PluginError) as caught:
            offered("my_company", [])
        assert caught.value.where == f"{file}:2"

    def test_a_module_that_does_not_exist(self):
        with pytest.raises(PluginError, match="'no_such_module' cannot be loaded") as caught:
            offered("no_such_module", [])
        assert caught.value.hint == "repair it, or leave it out: -p no:no_such_module"

    @pytest.mark.parametrize("below", ["", "a/b"])
    def test_it_is_looked_for_in_the_folder_of_the_project(self, tmp_path, monkeypatch, below):
        (tmp_path / "pyproject.toml").write_text(SETTINGS)
        (tmp_path / "in_the_project.py").write_text('__flow__ = {"flow.exports": {"a": "b"}}')
        (tmp_path / below).mkdir(parents=True, exist_ok=True)
        monkeypatch.chdir(tmp_path / below)
        monkeypatch.setattr(sys, "path", [*sys.path])
        assert offered("in_the_project", [])[0] == str(tmp_path / "in_the_project.py")
        assert sys.path[-1] == str(tmp_path)


class TestIndex:
    INDEX = PluginIndex([EntryPoint("flow.stores", "a", "a:b", "flow-a", "1.0", "/lib/a")])

    def test_choosing_a_module_adds_what_it_offers(self, module):
        file = module(COMPANY)
        index = self.INDEX.choose([" my_company "])
        assert index.plugins() == ["a", "my_company"]
        assert index.find("flow.commands", "costs") == EntryPoint(
            "flow.commands", "costs", "my_company:costs", "my_company", "", file, False
        )
        assert index.choose(["my_company"]).entry_points == index.entry_points
        assert index.modules() == {"a"}, "those of the person are no installed ones"

    def test_only_keeps_what_is_named(self, module):
        module(COMPANY)
        assert self.INDEX.choose(["only:none", "my_company"]).plugins() == ["my_company"]

    def test_no_leaves_a_module_out(self, module):
        module(COMPANY)
        choices = ["no:my_company", "my_company"]
        assert hook_modules(choices) == []
        with pytest.raises(UnknownName, match="The command 'costs' is left out"):
            self.INDEX.choose(choices).find("flow.commands", "costs")

    def test_two_that_provide_one_name(self, module):
        module('__flow__ = {"flow.stores": {"a": "A"}}')
        index = self.INDEX.choose(["my_company"])
        with pytest.raises(PluginError) as caught:
            index.find("flow.stores", "a")
        assert caught.value.what == "Two plugins provide the store 'a': flow-a 1.0 and my_company"
        assert "-p my_company/a" in caught.value.hint
        assert index.choose(["my_company/a"]).find("flow.stores", "a").value == "my_company:A"

    def test_a_module_that_cannot_be_read_is_told_when_a_name_is_missing(self, module):
        module("__flow__ = 1")
        index = self.INDEX.choose(["my_company"])
        assert index.plugins() == ["a"]
        with pytest.raises(UnknownName) as caught:
            index.find("flow.commands", "costs")
        assert caught.value.what == "No plugin that can be read provides the command 'costs'"
        assert "it is a int, not a dict" in caught.value.why
        assert caught.value.hint == (
            "repair 'my_company' if it should, else: pip install flow-costs"
        )

    def test_a_name_that_is_not_in_the_module(self, module):
        file = module('__flow__ = {"flow.stores": {"mine": "Mine"}}')
        with pytest.raises(PluginError) as caught:
            self.INDEX.choose(["my_company"]).load("flow.stores", "mine")
        assert caught.value.where == f"plugin 'my_company' ({file}), my_company:Mine"
        assert "has no attribute 'Mine'" in caught.value.why
        assert caught.value.hint == "repair it, or leave it out: -p no:my_company"


class TestSession:
    def test_a_bad_declaration_stops_a_run(self, module, flowtester):
        module("__flow__ = {'flow.decorator': {}}")
        with Session(index=PluginIndex([]), plugins=["my_company"]) as session:
            with pytest.raises(PluginError, match="says in __flow__ cannot be used"):
                session.plugins.require_sound()
            assert [*session.plugins.broken] == ["my_company"]

    def test_modules_that_are_given_as_objects(self, module, flowtester):
        module(COMPANY)
        done = flowtester.run(FLOW, modules=[__import__("my_company")])
        assert (done.error, done.output("start")) == (None, "audited 2\n")
        assert done.manifests("start")[0].artifacts["sum"].serializer == "decimal.text"

    def test_with(self, module, flowtester):
        module(COMPANY)
        flow = FLOW.replace("@audited(level=2)", "").replace("audited, ", "")
        my_company = __import__("my_company")
        done = flowtester.run(flow, modules=[my_company], decorators=["audited:level=4"])
        assert done.output("end") == "audited 4\n4.50\n"

    def test_plugins_that_are_added_later(self, module):
        module(COMPANY)
        with Session(index=PluginIndex([])) as session:
            session.add_plugins(["my_company"])
            assert session.index.names("flow.commands") == ["costs"]


class TestExports:
    def test_an_imported_module_offers_names(self, module):
        module(COMPANY)
        my_company = __import__("my_company")
        assert load_export("audited") is my_company.audited
        assert {"audited", "PRICE"} <= {*export_names()}

    def test_a_module_of_the_settings(self, module, tmp_path, monkeypatch):
        module(COMPANY)
        (tmp_path / "pyproject.toml").write_text(SETTINGS)
        monkeypatch.chdir(tmp_path)
        assert load_export("audited").name == "audited"

    def test_the_error_says_how_a_module_is_named(self):
        with pytest.raises(ImportError, match=r"\[tool.flow\] plugins = "):
            load_export("no_such_export_at_all")


class TestProcesses:
    """The whole way: a project with one file of plugins, and a flow below it."""

    @pytest.fixture
    def project(self, flowtester):
        flowtester.write(SETTINGS, "pyproject.toml")
        flowtester.write(COMPANY, "my_company.py")
        flowtester.write(FLOW, "flows/flow.py")
        return flowtester

    def test_commands_of_a_module(self, project):
        variables = {"FLOW_PLUGINS": "my_company"}
        assert project.flow("costs", variables=variables).check().stdout == "3 EUR\n"
        assert "Say what it costs." in project.flow("--help", variables=variables).check().stdout

    @pytest.mark.parametrize("fork", ["auto", "never"])
    def test_a_run_of_the_setting(self, project, fork):
        environment = project.environment(None, {"FLOW_FORK": fork})
        del environment["FLOW_PLUGINS"]  # so that what the project says counts
        done = subprocess.run(
            [sys.executable, "flows/flow.py", "run"],
            cwd=project.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "audited 2" in done.stdout
        assert "4.50" in done.stdout

    def test_the_code_of_a_run_holds_the_module(self, project):
        variables = {"FLOW_PLUGINS": "my_company"}
        project.flow("run", "flows/flow.py", variables=variables).check()
        listed = project.flow("code", "list", "F/1", variables=variables).check().stdout
        assert "my_company.py" in listed
        assert "flow.py" in listed

    def test_p_without_a_setting(self, project):
        (project.path / "pyproject.toml").unlink()
        source = FLOW.replace("PRICE, ", "").replace("audited, ", "")
        source = source.replace("class F", "from my_company import PRICE, audited\n\n    class F")
        project.write(source, "flows/flow.py")
        for fork in ("auto", "never"):
            variables = {"FLOW_FORK": fork, "PYTHONPATH": str(project.path)}
            done = project.flow("-p", "my_company", "run", "flows/flow.py", variables=variables)
            assert "audited 2" in done.check().stdout


def test_a_module_that_another_thread_is_about_to_import(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "half_there.py").write_text(
        "from flow_core.module_plugins import offered\n"
        "during = offered('half_there', ['flow.exports'])[1]\n"
        "__flow__ = {'flow.exports': {'PRICE': 'PRICE'}}\n"
    )
    import half_there

    after = offered("half_there", ["flow.exports"])[1]
    assert half_there.during == after == [("flow.exports", "PRICE", "half_there:PRICE")]
