"""Decorators of flows: attached, inherited, given with ``--with``, offered to runs, recorded."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from flow_core.definition import FlowDefinition
from flow_core.errors import DefinitionError, UsageError
from flow_core.flowspec import FlowSpec, step
from flow_core.hookspecs import hookimpl
from flow_core.index import PluginIndex
from flow_core.options import FlowDecorator, Options, StepDecorator, flow_decorators, option
from flow_core.records import RunDocument
from flow_core.run import RunDraft, RunOption, RunRequest, draft_run


@dataclass(frozen=True)
class TeamOptions(Options):
    """Say whose the flow is."""

    name: str = option("us", "The team.")
    calls: list[Any] = option([])  # noqa: RUF009


team = FlowDecorator("team", TeamOptions)
note = FlowDecorator("note", TeamOptions, allow_multiple=True)
tries = StepDecorator("tries", TeamOptions)


class Place(Options):
    """Say where the step runs."""

    chooses = "compute"


here = StepDecorator("here", Place)
there = StepDecorator("there", Place)


class Base(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self): ...


def names(flow):
    return [(a.name, a.options.name) for a in flow_decorators(flow)]


class Index(PluginIndex):
    """Offers the decorators of this module."""

    def load(self, group, name):
        return {"team": team, "note": note, "tries": tries, "here": here, "there": there}[name]


def definition(flow):
    return FlowDefinition(flow, Index([]))


class TestAttaching:
    def test_bare_called_and_with_options(self):
        @team
        class A(Base): ...

        @team()
        class B(Base): ...

        @team(name="them")
        class C(Base): ...

        assert [names(f) for f in (A, B, C)] == [
            [("team", "us")],
            [("team", "us")],
            [("team", "them")],
        ]
        assert names(Base) == []

    def test_several_are_read_from_above(self):
        @note(name="first")
        @team
        @note(name="second")
        class A(Base): ...

        assert names(A) == [("note", "first"), ("team", "us"), ("note", "second")]

    def test_twice_is_refused(self):
        with pytest.raises(DefinitionError) as caught:

            @team
            @team(name="them")
            class A(Base): ...

        assert caught.value.what == "Flow 'A' has @team twice"
        assert caught.value.hint == "keep one of them"

    @pytest.mark.parametrize("target", [int, lambda self: None], ids=["class", "function"])
    def test_it_stands_on_flows_only(self, target):
        with pytest.raises(DefinitionError) as caught:
            team(name="them")(target)
        assert caught.value.what == "@team must stand above the class of a flow"
        with pytest.raises(DefinitionError, match="must stand above the class"):
            team(target)

    def test_options_by_name_only(self):
        with pytest.raises(DefinitionError) as caught:
            team("them")
        assert caught.value.what == "Decorator @team takes its options by name only"
        assert caught.value.hint == "@team(name='us', calls=[])"

    def test_a_step_decorator_on_a_class_is_refused(self):
        with pytest.raises(DefinitionError, match="must stand above @step, on a step function"):

            @tries(name="x")
            class A(Base): ...


class TestInheritance:
    def test_a_subclass_inherits_and_replaces(self):
        @team(name="base")
        class A(Base): ...

        class B(A): ...

        @team(name="own")
        class C(A): ...

        assert names(B) == [("team", "base")]
        assert names(C) == [("team", "own")]
        assert names(A) == [("team", "base")]

    def test_what_may_stand_more_than_once_adds_up(self):
        @note(name="base")
        class A(Base): ...

        @note(name="own")
        class B(A): ...

        assert names(B) == [("note", "base"), ("note", "own")]

    def test_the_order_of_resolution_decides(self):
        @team(name="left")
        class Left(Base): ...

        @team(name="right")
        class Right(Base): ...

        class Both(Left, Right): ...

        assert names(Both) == [("team", "left")]


class TestDefinition:
    def test_options_and_removal(self):
        @note(name="a")
        @note(name="b")
        class A(Base): ...

        found = definition(A)
        assert found.options("note").name == "a"
        assert [o.name for o in found.all_options("note")] == ["a", "b"]
        assert found.options("team") is None
        found.remove("note")
        assert found.attached == []
        assert names(A) == [("note", "a"), ("note", "b")]  # the class is as it was

    def test_with_attaches_to_the_flow_and_never_overrides(self):
        @team(name="code")
        class A(Base): ...

        found, plain = definition(A), definition(Base)
        for one in (found, plain):
            one.attach_everywhere("team:name=given", "--with")
        assert [(a.options.name, a.source) for a in found.attached] == [("code", "code")]
        assert [(a.options.name, a.source) for a in plain.attached] == [("given", "--with")]
        assert all(not s.attached for s in plain.steps.values())

    def test_with_leaves_steps_alone_that_choose_themselves(self):
        class A(Base):
            @here
            @step
            def start(self):
                self.next(self.end)

        found = definition(A)
        for text in ("there", "tries", "here"):
            found.attach_everywhere(text, "--with")
        start, end = found.steps["start"], found.steps["end"]
        assert [(a.name, a.source) for a in start.attached] == [
            ("here", "code"),
            ("tries", "--with"),
        ]
        # Two that are given together contradict each other, and the plan says so.
        assert [a.name for a in end.attached] == ["there", "tries", "here"]

    def test_each_kind_has_its_own_way(self):
        found = definition(Base)
        assert found.flow_decorator("team") is team
        assert found.decorator("tries") is tries
        with pytest.raises(UsageError, match="@team is a decorator for flows, not for steps"):
            found.decorator("team")
        with pytest.raises(UsageError, match="@tries is a decorator for steps, not for flows"):
            found.flow_decorator("tries")


class TestText:
    def test_it_reads_back(self):
        options = TeamOptions(name="a,b=c", calls=["x", 1])
        assert team.parse(team.to_text(options).partition(":")[2]) == options

    def test_what_a_run_records(self):
        def ring(): ...

        data = TeamOptions(calls=[ring, {"a": (1, None)}]).to_json(RunDraft("F", "ada"))
        assert data["name"] == "us"
        assert data["calls"][0].endswith("ring")
        assert data["calls"][1] == {"a": [1, None]}
        json.dumps(data)


class Listener:
    """A plugin with an option for runs."""

    seen = None

    @hookimpl
    def flow_run_options(self, definition):
        return [RunOption("color", "A colour.")] if definition.options("team") else None

    @hookimpl
    def flow_run_draft(self, session, request, draft):
        self.seen = request.options
        draft.scope = ("a", "b.c")
        draft.system_tags.append("colour:blue")
        draft.notes["color"] = request.options.get("color")
        draft.parameters.setdefault("alpha", "7")


class TestRuns:
    @pytest.fixture
    def flow(self):
        from flow_core import Parameter

        @team(name="x")
        class F(Base):
            alpha = Parameter("alpha", default=1)

        return F

    def test_what_plugins_say_is_recorded(self, flowtester, flow):
        request = RunRequest(options={"color": "blue"})
        outcome = flowtester.run(flow, modules=[Listener()], request=request)
        assert outcome.error is None
        raw = next(iter(outcome.store.read(["runs/F/1/run.json"])))
        document = RunDocument.decode(raw, "run.json")
        assert document.scope == ("a", "b.c")
        assert document.notes == {"color": "blue"}
        assert document.decorators == (
            {"name": "team", "options": {"name": "x", "calls": []}, "source": "code"},
        )
        assert "colour:blue" in document.system_tags
        assert "colour:blue" in outcome.metadata.run("F", "1").system_tags
        assert document.parameters["alpha"].value == 7

    def test_a_parameter_that_is_given_beats_a_plugin(self, flowtester, flow):
        request = RunRequest(parameters={"alpha": "3"})
        draft = draft_run(flowtester.session(flow, modules=[Listener()]), request)
        assert draft.parameters == {"alpha": "3"}
        assert draft.scoped_name == "a.b.c.F"

    def test_an_option_that_nobody_offers(self, flowtester, flow):
        request = RunRequest(options={"colour": "blue"})
        outcome = flowtester.run(flow, modules=[Listener()], request=request)
        assert isinstance(outcome.error, UsageError)
        assert outcome.error.what == "Flow 'F' has no option 'colour' for its runs"
        assert outcome.error.hint == "did you mean 'color'?"
        assert outcome.run == ""

    def test_a_parameter_of_the_same_name(self, flowtester):
        from flow_core import Parameter

        @team
        class F(Base):
            color = Parameter("color")

        outcome = flowtester.run(F, modules=[Listener()])
        assert isinstance(outcome.error, DefinitionError)
        assert outcome.error.what == "Parameter 'color' clashes with the option --color"
        assert outcome.error.hint == "choose another name, for example 'color_value'"

    def test_two_plugins_with_one_option(self, flowtester, flow):
        outcome = flowtester.run(flow, modules=[Listener(), Listener()])
        assert outcome.error.what.startswith("The option --color of another plugin clashes with")

    def test_documents_of_before_are_read(self):
        document = RunDocument("F", "1", 0.0, {}, {}, None, {}, {})
        old = document.encode()
        assert RunDocument.decode(old, "run.json").decorators == ()
