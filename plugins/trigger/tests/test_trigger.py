"""``@trigger``, ``@trigger_on_finish``: what is recorded, and ``--trigger`` in place of the real thing."""

import pytest

from flow_core.api import DefinitionError, LintError, RunDocument, RunRequest, UsageError
from flow_trigger import Trigger, TriggerEvent, trigger, trigger_on_finish

FLOW = """
    from flow_core import FlowSpec, JSONType, Parameter, current, namespaced_event_name, project
    from flow_core import step, trigger, trigger_on_finish

    DECORATORS
    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)
        table = Parameter("table", type=JSONType, default={})

        @step
        def start(self):
            self.got = (self.alpha, self.table)
            self.told = [(e.name, e.type) for e in current.trigger or ()]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(decorators):
    return FLOW.replace("DECORATORS", decorators)


@pytest.fixture
def run(flowtester):
    def run(decorators, *given, parameters=None):
        return flowtester.run(
            flow(decorators),
            plugins=["trigger", "project"],
            request=RunRequest(options={"trigger": given}, parameters=parameters or {}),
        )

    return run


def document(outcome, number="1"):
    raw = next(iter(outcome.store.read([f"runs/F/{number}/run.json"])))
    return RunDocument.decode(raw, "run.json")


def recorded(outcome):
    return {d["name"]: d["options"] for d in document(outcome).decorators}


class TestRecorded:
    @pytest.mark.parametrize(
        ("options", "events"),
        [
            ('event="a"', [("a", None)]),
            ('events=["a", "b"]', [("a", None), ("b", None)]),
            ('event={"name": "a"}', [("a", None)]),
            ('event={"name": "a", "parameters": {"alpha": "x"}}', [("a", {"alpha": "x"})]),
            ('event={"name": "a", "parameters": ["alpha"]}', [("a", {"alpha": "alpha"})]),
            (
                'event={"name": "a", "parameters": [("alpha", "x"), "table"]}',
                [("a", {"alpha": "x", "table": "table"})],
            ),
            ("event=lambda context: context.flow_name + context.user_name", [("Ftester", None)]),
            (
                'event={"name": lambda c: "a", "parameters": lambda c: {"alpha": "y"}}',
                [("a", {"alpha": "y"})],
            ),
            ('event=namespaced_event_name("a")', [("a", None)]),
        ],
    )
    def test_events(self, run, options, events):
        outcome = run(f"@trigger({options})")
        assert outcome.error is None
        found = recorded(outcome)["trigger"]
        assert [(e["name"], e["parameters"]) for e in found["events"]] == events
        assert found["options"] == {}
        assert outcome.artifact("start", "told") == []  # current.trigger is None

    def test_events_of_a_branch(self, flowtester):
        source = flow('@project(name="p")\n    @trigger(event=namespaced_event_name("a"))')
        outcome = flowtester.run(source, plugins=["trigger", "project"])
        assert recorded(outcome)["trigger"]["events"][0]["name"] == "p.user.tester.a"

    @pytest.mark.parametrize(
        ("options", "flows"),
        [
            ('flow="Up"', [("Up", [])]),
            ('flows=["Up", "p.user.ada.Other"]', [("Up", []), ("Other", ["p", "user.ada"])]),
            (
                'flow={"name": "Up", "project": "p", "project_branch": "prod"}',
                [("Up", ["p", "prod"])],
            ),
            ('flow=lambda context: "Up"', [("Up", [])]),
        ],
    )
    def test_flows(self, run, options, flows):
        found = recorded(run(f"@trigger_on_finish({options})"))["trigger_on_finish"]
        assert [(f["flow"], f["scope"]) for f in found["flows"]] == flows

    def test_a_flow_of_the_same_branch(self, flowtester):
        source = flow(
            '@project(name="p", production=True)\n'
            '    @trigger_on_finish(flows=["Up", {"name": "Side", "project_branch": "prod.b"}])'
        )
        outcome = flowtester.run(source, plugins=["trigger", "project"])
        assert recorded(outcome)["trigger_on_finish"]["flows"] == [
            {"flow": "Up", "scope": ["p", "prod"]},
            {"flow": "Side", "scope": ["p", "prod.b"]},
        ]


class TestRefused:
    @pytest.mark.parametrize(
        ("decorator", "options", "what"),
        [
            (trigger, {}, "Give either 'event' or 'events'"),
            (trigger, {"event": "a", "events": ["b"]}, "Give either 'event' or 'events'"),
            (trigger, {"events": ["a", "a"]}, "The event 'a' is named twice"),
            (trigger, {"event": 3}, "An event cannot be 3"),
            (trigger, {"event": ""}, "An event cannot be ''"),
            (trigger, {"event": {"nam": "a"}}, "An event cannot be {'nam': 'a'}"),
            (
                trigger,
                {"event": {"name": "a", "parameters": 3}},
                "The parameters of event 'a' cannot be 3",
            ),
            (
                trigger,
                {"event": {"name": "a", "parameters": [("x", "y", "z")]}},
                "The parameters of event 'a' cannot be ('x', 'y', 'z')",
            ),
            (
                trigger,
                {"event": {"name": "a", "parameters": ["x", "x"]}},
                "The parameter 'x' is named twice",
            ),
            (trigger_on_finish, {}, "Give either 'flow' or 'flows'"),
            (trigger_on_finish, {"flow": "a.B"}, "The flow to wait for cannot be 'a.B'"),
            (trigger_on_finish, {"flow": 3}, "The flow to wait for cannot be 3"),
            (trigger_on_finish, {"flows": ["A", "A"]}, "The flow 'A' is named twice"),
        ],
    )
    def test_wrong_options(self, decorator, options, what):
        with pytest.raises(DefinitionError) as caught:
            decorator(**options)
        assert caught.value.what == what

    def test_a_parameter_that_the_flow_lacks(self, run):
        outcome = run('@trigger(event={"name": "a", "parameters": {"alhpa": "x"}})')
        assert isinstance(outcome.error, LintError)
        assert "The event 'a' sets the parameter 'alhpa', which the flow lacks" in str(
            outcome.error
        )


class TestSimulatedEvent:
    DECORATOR = '@trigger(event={"name": "a", "parameters": {"alpha": "size", "table": "t"}})'

    def test_the_event_and_its_fields(self, run):
        outcome = run(self.DECORATOR, 'a={"size": 7, "t": {"x": [1]}, "other": 1}')
        assert outcome.error is None
        assert outcome.artifact("start", "got") == (7, {"x": [1]})
        assert outcome.artifact("start", "told") == [("a", "event")]
        (event,) = document(outcome).notes["trigger"]
        assert event["id"]

    def test_the_command_line_counts_more(self, run):
        outcome = run(self.DECORATOR, 'a={"size": 7}', parameters={"alpha": "9"})
        assert outcome.artifact("start", "got") == (9, {})

    def test_without_a_mapping_the_names_decide(self, run):
        outcome = run('@trigger(event="a")', 'a={"alpha": 5, "other": 1}')
        assert outcome.artifact("start", "got") == (5, {})
        assert run('@trigger(events=["a", "b"])', 'a={"alpha": 5}').artifact("start", "got")[0] == 1

    def test_several(self, run):
        outcome = run('@trigger(events=["a", "b"])', "a", "b")
        assert outcome.artifact("start", "told") == [("a", "event"), ("b", "event")]

    @pytest.mark.parametrize(
        ("given", "what", "hint"),
        [
            ("b", "Flow 'F' waits for no event 'b'", "known names: a"),
            ("a=3", "The fields of the event cannot be read: 3", "--trigger 'a={\"field\": 1}'"),
            ("a={", "The fields of the event cannot be read: {", "--trigger 'a={\"field\": 1}'"),
            ("Up/1", "Flow 'F' does not wait for the flow 'Up'", None),
        ],
    )
    def test_wrong_ones(self, run, given, what, hint):
        outcome = run(self.DECORATOR, given)
        assert isinstance(outcome.error, UsageError)
        assert (outcome.error.what, outcome.error.hint) == (what, hint)
        assert outcome.run == ""


UP = """
    from flow_core import FlowSpec, step

    class Up(FlowSpec):
        @step
        def start(self):
            self.rows = 3
            self.next(self.end)

        @step
        def end(self):
            assert not FAILS

    if __name__ == "__main__":
        Up()
"""


def test_the_end_of_a_run(flowtester):
    """The run that started this one is read by its steps, and by readers, in whatever namespace."""
    up = flowtester.write(UP.replace("FAILS", "False"), "up.py")
    flowtester.python(up, "run", variables={"FLOW_USER": "somebody"}).check()
    down = flow('@trigger_on_finish(flow="Up")').replace(
        "self.got = (self.alpha, self.table)",
        "self.got = current.trigger.run.data.rows, [r.id for r in current.trigger.runs]",
    )
    # The second task fails at first, so that there is something to resume.
    file = flowtester.write(down.replace("            pass", "            assert self.alpha == 2"))
    failed = flowtester.python(file, "run", "--trigger", "Up/1")
    assert failed.returncode == 1
    assert flowtester.left(1).artifact("start", "got") == (3, ["1"])
    assert flowtester.left(1).artifact("start", "told") == [("Up", "run")]
    file.write_text(file.read_text().replace("self.alpha == 2", "current.trigger.run.id == '1'"))
    flowtester.python(file, "resume").check()
    script = flowtester.write(
        "from flow_core import Run\nprint(Run('F/2').trigger.run, Run('F/2').trigger.event)\n"
        "from flow_core import namespace; namespace(None); print(Run('Up/1').trigger)\n",
        "read.py",
    )
    assert flowtester.python(script).check().stdout == "Run('Up/1') None\nNone\n"


def test_a_flow_without_a_run(flowtester):
    file = flowtester.write(flow('@trigger_on_finish(flow="Up")'))
    error = flowtester.python(file, "run", "--trigger", "Up").error
    assert error["try"] == "--trigger Up/RUN, since 'Up' is a flow"


def test_a_run_that_does_not_do(flowtester):
    up = flowtester.write(UP.replace("FAILS", "True"), "up.py")
    flowtester.python(up, "run")
    file = flowtester.write(flow('@trigger_on_finish(flow="Up")'))
    error = flowtester.python(file, "run", "--trigger", "Up/1").error
    assert error == {
        "error": "Run Up/1 has not succeeded",
        "where": "--trigger",
        "why": "its state is: failed",
        "try": "run Up first",
    }
    error = flowtester.python(file, "run", "--trigger", "Up/7").error
    assert error["error"] == "There is no run Up/7"
    error = flowtester.python(file, "run", "--trigger", "Upp/1").error
    assert error["try"] == "did you mean 'Up'?"


class TestTrigger:
    EVENTS = (
        TriggerEvent("p.b.ready", "1", None),
        TriggerEvent("late", "2", None),
    )

    def test_events(self):
        found = Trigger(self.EVENTS)
        assert found.event == self.EVENTS[0]
        assert found.events == list(self.EVENTS)
        assert list(found) == list(self.EVENTS)
        assert (found.run, found.runs) == (None, None)
        assert found["ready"] == found["p.b.ready"] == self.EVENTS[0]
        assert "late" in found
        assert "never" not in found
        with pytest.raises(KeyError):
            found["never"]
        assert repr(found) == "<Trigger p.b.ready, late>"

    def test_none(self):
        assert (Trigger(()).event, Trigger(()).events) == (None, None)

    def test_from_runs(self):
        class Run:
            pathspec = "Up/1"
            finished_at = None
            parent = type("Parent", (), {"id": "Up"})

        found = Trigger.from_runs([Run()])
        assert list(found) == [TriggerEvent("Up", "Up/1", None, "run")]
        assert found.events is None
