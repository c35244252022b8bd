"""Sessions: loading flow files, planning, running, rebuilding in another process."""

import itertools
import json
import sys
from typing import ClassVar

import pytest

from flow_core.environments import this_platform
from flow_core.errors import (
    DefinitionError,
    FlowError,
    FormatError,
    NotFound,
    RunFailed,
    UsageError,
)
from flow_core.flowfile import load_flow, name_for
from flow_core.graph import Problem
from flow_core.hookspecs import hookimpl
from flow_core.interfaces import ComputeCapabilities, Interpreter
from flow_core.plan import LOCAL
from flow_core.records import FORMAT, RunDocument, RunResult, RunState, run_key
from flow_core.run import RunRequest, command_line, run_failed, unknown_run
from flow_core.session import Session
from flow_core.settings import Settings
from flow_core.testing import BareEnvironment, InProcessCompute

STEPS = """
    @step
    def start(self): self.next(self.end)
    @step
    def end(self): pass
"""
FLOW = f"from flow_core import FlowSpec, step\nclass F(FlowSpec):{STEPS}"


@pytest.fixture(autouse=True)
def _main_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))


class TestLoading:
    def load(self, flowtester, source, name="flow.py"):
        return load_flow(str(flowtester.write(source, name)))

    def test_the_one_flow_of_a_file(self, flowtester):
        flow = self.load(flowtester, FLOW)
        assert flow.__name__ == "F"
        assert sys.modules["__main__"].F is flow

    def test_the_one_that_the_script_starts(self, flowtester):
        flow = self.load(
            flowtester,
            FLOW + "class G(F): pass\nif __name__ == '__main__':\n    F()\nraise SystemExit(9)\n",
        )
        assert flow.__name__ == "F"

    def test_a_chosen_one(self, flowtester):
        file = flowtester.write(FLOW + "class G(F): pass\n")
        assert load_flow(f"{file}:G").__name__ == "G"
        with pytest.raises(UsageError) as caught:
            load_flow(f"{file}:H")
        assert caught.value.what == f"There is no flow 'H' in {file}"
        assert caught.value.hint == "it has: F, G"

    def test_none_and_more_than_one(self, flowtester):
        with pytest.raises(UsageError) as caught:
            self.load(flowtester, "x = 1")
        assert caught.value.why == "it defines no class that derives from FlowSpec"
        with pytest.raises(UsageError) as caught:
            self.load(flowtester, FLOW + FLOW.replace("class F(", "class G("))
        assert "more than one flow" in caught.value.what
        assert caught.value.hint.endswith("flow.py:F")

    def test_a_base_of_another_flow_is_not_meant(self, flowtester):
        assert self.load(flowtester, FLOW + "class G(F): pass\n").__name__ == "G"
        with pytest.raises(UsageError) as caught:
            self.load(flowtester, FLOW + "class G(F): pass\nclass H(F): pass\n")
        assert caught.value.hint.endswith("flow.py:G")

    @pytest.mark.parametrize("line", ["from .helper import x", "from pkg.sub.helper import x"])
    def test_a_file_of_a_package(self, flowtester, line):
        flowtester.write("", "pkg/__init__.py")
        flowtester.write("", "pkg/sub/__init__.py")
        flowtester.write("x = 3", "pkg/sub/helper.py")
        assert self.load(flowtester, f"{line}\n{FLOW}    y = x\n", "pkg/sub/flow.py").y == 3

    def test_what_a_person_types_for_it(self, flowtester):
        file = str(flowtester.write(FLOW + "class G(F): pass\n"))
        assert [name_for(load_flow(f"{file}:{name}"), file) for name in "FG"] == [f"{file}:F", file]

    def test_a_missing_file_with_a_near_miss(self, flowtester):
        file = flowtester.write(FLOW, "my_flow.py")
        with pytest.raises(UsageError) as caught:
            load_flow(str(file).replace("my_flow", "my_flwo"))
        assert caught.value.hint == "did you mean 'my_flow.py'?"
        assert caught.value.where

    @pytest.mark.parametrize(
        ("source", "line", "why"),
        [
            ("x = 1\nimport nowhere_at_all\n", 2, "ModuleNotFoundError"),
            ("x = 1\ny = (\n", 2, "SyntaxError"),
            ("def f():\n    1/0\nf()\n", 2, "ZeroDivisionError: division by zero"),
        ],
    )
    def test_a_file_that_cannot_be_loaded(self, flowtester, source, line, why):
        with pytest.raises(DefinitionError) as caught:
            self.load(flowtester, source)
        assert caught.value.what == "The flow file cannot be loaded"
        assert caught.value.where == f"{flowtester.path}/flow.py:{line}"
        assert caught.value.why.startswith(why)

    def test_an_error_in_a_helper_names_the_line_of_the_flow_file(self, flowtester):
        flowtester.write("1/0\n", "helper_that_fails.py")
        with pytest.raises(DefinitionError) as caught:
            self.load(flowtester, "x = 1\nimport helper_that_fails\n")
        assert caught.value.where.endswith("flow.py:2")

    def test_the_file_is_compiled_as_it_says_and_not_as_we_are(self, flowtester):
        self.load(flowtester, FLOW + "def f(x: int): pass\nassert f.__annotations__['x'] is int\n")

    def test_modules_beside_the_file_can_be_imported(self, flowtester):
        flowtester.write("value = 5\n", "beside_the_flow.py")
        self.load(flowtester, "import beside_the_flow\n" + FLOW)


class TestPlans:
    def test_demands_are_merged(self, flowtester):
        class One:
            @hookimpl
            def flow_plan_step(self, step, draft):
                draft.require(cpu=2, memory=100)
                draft.use_environment("conda", by="@conda")

        class Two:
            @hookimpl
            def flow_plan_step(self, step, draft):
                draft.require(cpu=1, memory=200)
                draft.variables["A"] = "1"

        plan = flowtester.session(flowtester.load(FLOW), modules=[One(), Two()]).plans["start"]
        assert plan.resources == {"cpu": 2, "memory": 200}
        assert (plan.compute, plan.environment) == ("local", "conda")
        assert json.loads(json.dumps(plan.to_json()))["variables"] == {"A": "1"}

    def test_one_is_found_by_the_step_for_compute_providers(self, flowtester):
        session = flowtester.session(flowtester.load(FLOW))
        assert session.plan("start") is session.plans["start"]
        with pytest.raises(NotFound, match="has no step 'strat'") as error:
            session.plan("strat")
        assert "start" in error.value.hint

    def test_problems_of_plugins_stop_a_run(self, flowtester):

        class Check:
            @hookimpl
            def flow_check(self, graph):
                return [Problem("too big", "shrink it", graph.file, 3)]

        outcome = flowtester.run(FLOW, modules=[Check()])
        assert "too big" in str(outcome.error)

    def test_with_adds_a_decorator_where_it_is_not(self, flowtester):
        source = FLOW.replace("step\n", "step, retry\n", 1).replace(
            "    @step\n    def end", "    @retry(times=1)\n    @step\n    def end"
        )
        session = flowtester.session(
            flowtester.load(source), plugins=["retry"], decorators=["retry:times=5"]
        )
        assert {n: p.retry.times for n, p in session.plans.items()} == {"start": 5, "end": 1}

    def test_a_plugin_changes_the_definition_by_name(self, flowtester):
        class Project:
            @hookimpl
            def flow_definition(self, definition):
                retry = definition.decorator("retry")
                start, end = definition.steps.values()
                assert start.attach(retry, retry.make(times=4), "project")
                assert not start.attach(retry, retry.make(times=5), "project")
                end.attach(retry, retry.make(), "project")
                end.remove("retry")

        session = flowtester.session(flowtester.load(FLOW), ["retry"], [Project()])
        assert {n: p.retry.times for n, p in session.plans.items()} == {"start": 4, "end": 0}
        assert session.graph["start"].decorators == ("retry",)
        assert session.definition.steps["start"].attached[0].source == "project"

    def test_plugins_see_decorators_that_are_added_late(self, flowtester):
        seen = []

        class Mutator:
            @hookimpl
            def flow_definition(self, definition):
                seen.append([a.name for a in definition.steps["start"].attached])

        session = flowtester.session(flowtester.load(FLOW), ["retry", "catch"], [Mutator()])
        assert session.graph["start"].decorators == ()
        session.add_decorators([])
        session.add_decorators(["retry", "catch"])
        assert session.graph["start"].decorators == ("retry", "catch")
        assert seen == [[], ["retry", "catch"]]

    def test_an_unknown_decorator(self, flowtester):
        session = flowtester.session(flowtester.load(FLOW), decorators=["nothing"])
        with pytest.raises(FlowError, match="no plugin provides the decorator"):
            session.definition

    def test_what_a_compute_provider_holds_is_let_go_with_the_session(self, flowtester):
        class Closing(InProcessCompute):
            closed = 0

            def close(self):
                self.closed += 1
                super().close()

        compute = Closing()
        flow = flowtester.load(FLOW)
        providers = {("compute", "local"): compute}
        with flowtester.session(flow, providers=providers) as session:
            session.check()  # asks it what it can do; there is no run
            assert not compute.closed
        assert compute.closed == 1


class TestSerializers:
    def test_a_preferred_one_that_is_not_there_stops_a_run_before_it_starts(self, flowtester):
        done = flowtester.run(FLOW, settings={"serializers": "pickle, pandas.parqet"})
        assert done.error.what.startswith("no plugin provides the serializer 'pandas.parqet'")
        assert not done.run

    def test_pickle_is_always_there(self, flowtester):
        assert flowtester.run(FLOW, settings={"serializers": "pickle"}).error is None


class TestRuns:
    def test_ids_count_and_documents_tell_all(self, flowtester):
        session = flowtester.session(flowtester.load(FLOW))
        with session:
            for number in (1, 2):
                result = session.execute(RunRequest(tags=("b", "a", "b")))
                assert (result.run, result.state) == (str(number), RunState.SUCCEEDED)
            document = session.run_document("F", "2")
        assert document.tags == ("a", "b")
        assert "user:tester" in document.system_tags
        assert document.graph["steps"]["start"]["targets"] == ["end"]
        assert document.info["script"] == "flow.py"
        assert document.code

    def test_a_run_that_is_not_there(self, flowtester):
        session = flowtester.session(flowtester.load(FLOW))
        with pytest.raises(NotFound, match="There is no run F/9"):
            session.run_document("F", "9")

    def test_what_commands_say_of_a_run_that_is_not_there(self, flowtester):
        session = flowtester.session(flowtester.load(FLOW))
        assert (
            unknown_run(session, "F", "9").hint == "nothing has been run yet: python my_flow.py run"
        )
        for _ in range(2):
            session.execute(RunRequest())
        error = unknown_run(session, "F", "9")
        assert (error.what, error.where) == ("There is no run F/9", session.metadata.url)
        assert error.why == "the index does not know it"
        assert error.hint == "latest runs: 2, 1"
        assert unknown_run(session, "Ff", "1").hint == "did you mean 'F'?"
        session.metadata.remove_run("F", "2")
        lost = unknown_run(session, "F", "2")
        assert lost.what == "The index does not know the run F/2"
        assert session.store.url in lost.why
        assert lost.hint.endswith(" reindex")

    def test_the_run_id_file(self, flowtester):
        flowtester.run(FLOW, request=RunRequest(run_id_file=str(flowtester.path / "id")))
        assert (flowtester.path / "id").read_text() == "1"
        outcome = flowtester.run(FLOW, request=RunRequest(run_id_file="/nowhere/id"))
        assert outcome.error.what == "The run id cannot be written to '/nowhere/id'"
        assert outcome.error.exit_code == 2
        assert outcome.run == ""

    def test_parameters_of_the_origin_count(self, flowtester):
        source = FLOW.replace("step\n", "step, Parameter\n", 1).replace(
            "class F(FlowSpec):", "class F(FlowSpec):\n    a = Parameter('a', default=1)"
        )
        session = flowtester.session(flowtester.load(source))
        with session:
            session.execute(RunRequest(parameters={"a": 5}))
            session.execute(RunRequest(origin="F/1"))
            key = run_key("F", "2")
            (raw,) = session.store.read([key])
            document = RunDocument.decode(raw, key)
        assert document.origin == "F/1"
        assert document.parameters["a"].value == 5

    def test_a_failed_run_names_what_to_type(self, flowtester):
        outcome = flowtester.run(FLOW.replace("pass", "1/0"))
        assert isinstance(outcome.error, RunFailed)
        assert outcome.error.what == "Run F/1 failed"
        assert outcome.error.where == "F/1/end/2"
        assert "resume" in outcome.error.hint
        assert "--origin-run-id 1" in outcome.error.hint

    def test_plugins_hear_of_start_and_end_once(self, flowtester):
        heard = []

        class Listener:
            @hookimpl
            def flow_session_started(self, session):
                heard.append("started")

            @hookimpl
            def flow_session_finished(self, session):
                heard.append("finished")

            @hookimpl
            def flow_run_started(self, run):
                heard.append(run.state)

            @hookimpl
            def flow_run_finished(self, result):
                heard.append(result.state)

        flowtester.run(FLOW, modules=[Listener()])
        assert heard == ["started", RunState.RUNNING, RunState.SUCCEEDED, "finished"]


class TestDocument:
    def test_another_process_rebuilds_the_session(self, flowtester):
        settings = Settings({"HOME": str(flowtester.path)}, str(flowtester.path))
        settings.override("inline_limit", 10, "test")
        session = Session(
            flowtester.load(FLOW), settings=settings, plugins=["only:store-local", "json"]
        )
        document = json.loads(json.dumps(session.document))
        found = Session.from_document(document)
        assert found.flow_name == "F"
        assert found.setting("inline_limit") == 10
        assert found.index.plugins() == ["store-local"]

    def test_what_was_chosen_for_plugins_comes_along(self, flowtester):
        flowtester.write(
            """
            from flow_core.api import hookimpl
            @hookimpl
            def flow_settings(settings):
                settings.declare("sweet_level", 1, "How sweet.")
            """,
            "sweet.py",
        )
        sys.path.insert(0, str(flowtester.path))
        settings = Settings({"HOME": str(flowtester.path)}, str(flowtester.path))
        session = Session(
            flowtester.load(FLOW), settings=settings, plugins=["only:store-local", "sweet"]
        )
        assert session.plugins.broken == {}
        settings.override("sweet_level", 7, "test")
        found = Session.from_document(json.loads(json.dumps(session.document)))
        assert found.setting("sweet_level") == 7

    def test_a_flow_that_is_sent_needs_the_python_that_sent_it(self, flowtester):
        session = Session(flowtester.load(FLOW), settings=Settings({}), by_value=True)
        document = json.loads(json.dumps(session.document))
        assert document["sent"]
        document["python"] = ["/elsewhere", "3.1"]
        with pytest.raises(DefinitionError) as caught:
            Session.from_document(document)
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert str(caught.value) == (
            f"Flow 'F' cannot run in Python {own}: it is sent to its tasks by Python 3.1\n"
            f"  where: {sys.executable}\n"
            "  why:   a flow of a notebook, or of functions, is sent by value, and Python can read such "
            "code only in the version that wrote it\n"
            "  try:   put the flow into a file of its own, or let its tasks have Python 3.1: an image or "
            "an environment with it"
        )

    def test_a_newer_one_is_refused(self):
        with pytest.raises(FormatError, match="session document has format"):
            Session.from_document({"format": FORMAT + 1})


class TestEnvironments:
    """What is wrong with the choice of an environment is said before anything starts."""

    class Wants:
        @hookimpl
        def flow_plan_step(self, step, draft):
            if step.name == "start":
                draft.use_environment("conda", by="@conda", options={"packages": {"x": "1"}})

    def test_no_provider_of_that_name(self, flowtester):
        class Able(InProcessCompute):
            capabilities = ComputeCapabilities(interpreters=True)

        outcome = flowtester.run(
            FLOW, modules=[self.Wants()], providers={("compute", "local"): Able()}
        )
        assert outcome.state is None
        assert outcome.error is not None
        assert outcome.error.what == (
            "no plugin provides the environment provider 'conda': pip install flow-conda"
        )

    def test_a_compute_provider_that_has_only_the_launchers_python(self, flowtester):
        outcome = flowtester.run(
            FLOW, modules=[self.Wants()], providers={("environment", "conda"): BareEnvironment()}
        )
        assert outcome.state is None
        assert outcome.error is not None
        assert outcome.error.what == (
            "Step 'start' asks for an environment of 'conda'; compute 'local' runs its tasks in no "
            "other Python than the launcher's"
        )
        assert outcome.error.hint is not None
        assert outcome.error.hint.startswith("--environment local")

    def test_a_compute_provider_that_builds_them_where_its_tasks_run(self, flowtester, tmp_path):
        class Own(BareEnvironment):
            def prepare(self, lock, folder, work):
                raise AssertionError("the launcher builds nothing")

        class Plain:
            @hookimpl
            def flow_plan_step(self, step, draft):
                if step.name == "start":
                    draft.use_environment("own", by="@own")

        class Far(InProcessCompute):
            capabilities = ComputeCapabilities(environments=True)
            seen: ClassVar = []

            def launch(self, task, command):
                self.seen.append((task.step, command.lock, command.interpreter))
                return super().launch(task, command)

        outcome = flowtester.run(
            FLOW,
            plugins=["store-local", "metadata-local"],
            modules=[Plain()],
            providers={("environment", "own"): Own(), ("compute", "local"): Far()},
            settings={"environments": str(tmp_path)},
        )
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        (_, lock, interpreter), end = Far.seen
        assert (lock.provider, interpreter) == ("own", None)
        document = RunDocument.decode(next(iter(outcome.store.read([run_key("F", "1")]))), "")
        assert document.environments["start"]["lock"] == lock.hash
        assert end == ("end", None, None)

    def test_a_platform_for_which_the_provider_makes_none(self, flowtester):
        class Far(InProcessCompute):
            capabilities = ComputeCapabilities(interpreters=True, platform="vax-x")

        providers = {("environment", "conda"): BareEnvironment(), ("compute", "local"): Far()}
        outcome = flowtester.run(FLOW, modules=[self.Wants()], providers=providers)
        assert outcome.error is not None
        assert outcome.error.what == (
            "Step 'start' runs on vax-x; the environment provider 'conda' makes environments for "
            f"{this_platform()} only"
        )

    @staticmethod
    def plan(flowtester, *demands, **settings):
        """The plan of a step for which hooks ask in this order."""

        class Asks:
            @hookimpl
            def flow_plan_step(self, step, draft):
                for name, more in demands:
                    draft.use_environment(name, by=f"@{name}", **more)

        session = flowtester.session(flowtester.load(FLOW), modules=[Asks()], settings=settings)
        return session.plans["start"]

    @pytest.mark.parametrize("turned", [False, True])
    def test_one_provider_for_the_demands_of_two(self, flowtester, turned):
        demands = [
            ("pypi", {"options": {"packages": {"x": "1"}}, "files": ["a.txt", "b.txt"]}),
            ("conda", {"options": {"python": "3.12"}, "files": ["b.txt"], "over": ["pypi"]}),
        ]
        plan = self.plan(flowtester, *(reversed(demands) if turned else demands))
        assert plan.environment == "conda"
        assert plan.environment_options == {"python": "3.12", "pypi": {"packages": {"x": "1"}}}
        assert plan.environment_files == ("a.txt", "b.txt")

    def test_who_is_over_nobody_there_has_its_own_options_only(self, flowtester):
        plan = self.plan(flowtester, ("conda", {"options": {"python": "3.12"}, "over": ["pypi"]}))
        assert (plan.environment, plan.environment_options) == ("conda", {"python": "3.12"})

    @pytest.mark.parametrize("over", [(), ("third",)])
    @pytest.mark.parametrize("both", [False, True])
    def test_two_providers_of_which_none_is_over_the_other(self, flowtester, over, both):
        one = ["venv", *over] if both else over
        two = ["conda", *over] if both else over
        with pytest.raises(DefinitionError) as caught:
            self.plan(flowtester, ("conda", {"over": one}), ("venv", {"over": two}))
        assert caught.value.what == (
            "Step 'start' has two environment providers: 'conda' (from @conda) and 'venv' "
            "(from @venv)"
        )
        assert caught.value.hint == "remove one of @conda and @venv"

    def test_a_step_that_has_none_whatever_the_setting_says(self, flowtester):
        assert self.plan(flowtester, (LOCAL, {}), environment="conda").environment is None

    def test_what_a_step_asks_for_goes_before_none(self, flowtester):
        plan = self.plan(flowtester, (LOCAL, {}), ("pypi", {}), environment="conda")
        assert plan.environment == "pypi"

    def test_what_comes_soon_is_expected(self, flowtester, tmp_path):
        class Own(BareEnvironment):
            def prepare(self, lock, folder, work):
                return Interpreter(sys.executable, {"FOLDER": folder})

        class Able(InProcessCompute):
            capabilities = ComputeCapabilities(interpreters=True)
            seen: ClassVar = []

            def launch(self, task, command):
                self.seen.append(task.step)
                return super().launch(task, command)

            def expect(self, command):
                self.seen.append((command.interpreter, command.variables["STEP"]))

        class Asks:
            @hookimpl
            def flow_plan_step(self, step, draft):
                if step.name in "bd":
                    draft.use_environment("own", by="@own")
                    draft.variables["STEP"] = step.name

        steps = ["start", "a", "b", "c", "d", "end"]
        body = "\n".join(
            f"    @step\n    def {one}(self): self.next(self.{two})"
            for one, two in itertools.pairwise(steps)
        )
        source = f"from flow_core import FlowSpec, step\nclass F(FlowSpec):\n{body}\n"
        outcome = flowtester.run(
            f"{source}    @step\n    def end(self): pass\n",
            plugins=["store-local", "metadata-local"],
            modules=[Asks()],
            providers={("environment", "own"): Own(), ("compute", "local"): Able()},
            settings={"environments": str(tmp_path)},
        )
        assert outcome.state is RunState.SUCCEEDED
        b, d = ((sys.executable, name) for name in "bd")
        assert Able.seen == ["start", b, "a", b, "b", d, "c", d, "d", "end"]

    def test_local_means_none(self, flowtester):
        outcome = flowtester.run(FLOW, modules=[self.Wants()], settings={"environment": "local"})
        assert outcome.state is RunState.SUCCEEDED

    def test_a_name_is_for_steps_that_ask_for_none(self, flowtester):
        flow = flowtester.load(FLOW)
        session = flowtester.session(
            flow, modules=[self.Wants()], settings={"environment": "other"}
        )
        assert {name: plan.environment for name, plan in session.plans.items()} == {
            "start": "conda",
            **{name: "other" for name in session.plans if name != "start"},
        }
        assert session.plans["start"].environment_options == {"packages": {"x": "1"}}
        assert session.plans["end"].environment_options == {}


class TestCommandLine:
    """What a hint tells a person to type."""

    @pytest.mark.parametrize(
        ("program", "command", "line"),
        [
            ("movies.py", "resume", "python movies.py resume ARGS"),
            ("movies.py", "logs", "python movies.py logs ARGS"),
            ("/usr/bin/flow", "resume", "flow resume movies.py ARGS"),
            ("/usr/bin/flow", "logs", "flow logs ARGS"),
        ],
    )
    def test_it_fits_how_the_flow_was_started(
        self, flowtester, monkeypatch, program, command, line
    ):
        monkeypatch.chdir(flowtester.path)
        session = Session(
            load_flow(str(flowtester.write(FLOW, "movies.py"))), settings=Settings({})
        )
        monkeypatch.setattr("sys.argv", [program])
        assert command_line(session, command, "ARGS") == line

    def test_it_leads_to_the_same_store_index_and_plugins(self, flowtester, monkeypatch):
        settings = Settings({"FLOW_PLUGINS": "no:catch", "FLOW_METADATA": "local://mine"})
        settings.override("datastore", "local://my store", "--datastore")
        flow = load_flow(str(flowtester.write(FLOW, "movies.py")))
        session = Session(flow, settings=settings, plugins=["no:retry"])
        monkeypatch.setattr("sys.argv", ["movies.py"])
        line = "python movies.py -p no:retry --datastore 'local://my store' resume"
        assert command_line(session, "resume") == line
        settings.override("metadata", "local://there", "--metadata")
        assert "' --metadata local://there logs X" in command_line(session, "logs", "X")

    def test_the_error_of_a_failed_run_says_the_same(self, flowtester, monkeypatch):
        settings = Settings({})
        settings.override("datastore", "local://there", "--datastore")
        session = Session(settings=settings, plugins=["no:retry"])
        document = RunDocument("F", "2", 0.0, {}, {}, None, {}, {})
        monkeypatch.setattr("sys.argv", ["movies.py"])
        error = run_failed(
            document, RunResult("F", "2", RunState.FAILED, 1.0), "movies.py", session
        )
        line = "python movies.py -p no:retry --datastore local://there resume --origin-run-id 2"
        assert error.hint == line
