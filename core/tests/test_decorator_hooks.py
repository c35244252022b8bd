"""Hook modules that only flows with a certain decorator load (group ``flow.decorator_hooks``)."""

import sys
import types

import pytest

from flow_core.errors import PluginError
from flow_core.hookspecs import hookimpl
from flow_core.index import EntryPoint, PluginIndex, installed
from flow_core.options import Options, StepDecorator
from flow_core.session import Session

PLAIN_FLOW = """
from flow_core import FlowSpec, step

class PlainFlow(FlowSpec):
    @step(start=True, end=True)
    def start(self):
        pass
"""


@pytest.fixture
def laboratory(flowtester, monkeypatch):
    """A plugin whose hooks say which step they plan, with two decorators for them."""
    options = type("NoOptions", (Options,), {})
    module = types.ModuleType("flow_sweet")
    module.sweet = StepDecorator("sweet", options)
    module.sour = StepDecorator("sour", options)
    module.planned, module.started = [], []

    @hookimpl
    def flow_plan_step(step, draft):
        module.planned.append(step.name)

    @hookimpl
    def flow_session_started(session):
        module.started.append(session)

    module.flow_plan_step = flow_plan_step
    module.flow_session_started = flow_session_started
    monkeypatch.setitem(sys.modules, "flow_sweet", module)
    entries = [
        EntryPoint(group, name, value, "flow-sweet", "1.0", "")
        for group, name, value in [
            ("flow.decorators", "sweet", "flow_sweet:sweet"),
            ("flow.decorators", "sour", "flow_sweet:sour"),
            ("flow.decorator_hooks", "sweet", "flow_sweet"),
            ("flow.decorator_hooks", "sour", "flow_sweet"),
        ]
    ]
    index = PluginIndex([*installed().entry_points, *entries])

    def session(decorators=(), modules=()):
        flow = flowtester.load(PLAIN_FLOW)
        return Session(flow, index=index, decorators=decorators, modules=modules)

    return types.SimpleNamespace(session=session, module=module)


def test_a_flow_without_the_decorator_does_not_load_them(laboratory):
    session = laboratory.session()
    assert session.plans
    assert not session.plugins.manager.has_plugin("sour")
    assert laboratory.module.planned == []


@pytest.mark.parametrize("decorators", [["sweet"], ["sour"], ["sweet", "sour"]])
def test_one_module_for_several_decorators_is_loaded_once(laboratory, decorators):
    session = laboratory.session(decorators)
    assert session.plans
    assert laboratory.module.planned == ["start"]
    assert session.plugins.manager.has_plugin("sour")  # the first of its names


def test_a_decorator_that_a_plugin_attaches_brings_its_hooks(laboratory):
    class Attaching:
        @hookimpl
        def flow_definition(self, definition):
            sweet = definition.decorator("sweet")
            definition.steps["start"].attach(sweet, sweet.make(), "attaching")

    session = laboratory.session(modules=[Attaching()])
    session.plugins.manager.register(object(), "by-hand")
    session.start()
    assert laboratory.module.started == []
    assert session.plans
    assert laboratory.module.planned == ["start"]
    assert laboratory.module.started == [session]
    assert session.plugins.manager.has_plugin("by-hand")


def test_a_decorator_that_is_added_later_brings_its_hooks(laboratory):
    session = laboratory.session()
    assert session.plans
    session.add_decorators(["sour"])
    assert session.plans
    assert laboratory.module.planned == ["start"]


def test_a_broken_module_stops_the_flows_that_need_it_only(laboratory, monkeypatch):
    monkeypatch.setitem(sys.modules, "flow_sweet", None)
    laboratory.session().check()
    session = laboratory.session()
    assert session.load_hooks(["sweet"])
    with pytest.raises(PluginError, match="'sour' cannot be loaded"):
        session.check()
