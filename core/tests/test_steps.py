"""Which steps a flow has: its first and last one, facts about them, inherited ones, empty foreaches."""

import pytest

from flow_core.errors import DefinitionError
from flow_core.flowspec import step
from flow_core.records import RunDocument, RunState, run_key, unpack_inputs

HEAD = "from flow_core import FlowSpec, Parameter, step\n"


def problems(flowtester, source):
    session = flowtester.session(flowtester.load(HEAD + source))
    return [(p.line, p.message, p.hint) for p in session.problems()]


class TestEnds:
    NAMED = """
class F(FlowSpec):
    @step(start=True)
    def begin(self):
        self.x = 1
        self.next(self.finish)
    @step(end=True)
    def finish(self):
        self.y = self.x + 1
"""

    def test_they_may_have_any_name(self, flowtester):
        outcome = flowtester.run(HEAD + self.NAMED)
        assert outcome.error is None
        assert outcome.artifact("finish", "y") == 2
        graph = flowtester.session(flowtester.load(HEAD + self.NAMED)).graph
        assert (graph.start, graph.end) == ("begin", "finish")
        assert graph.to_json()["end"] == "finish"

    @pytest.mark.parametrize(
        "source",
        [
            "    @step\n    def only(self):\n        self.x = 1\n",
            "    @step\n    def start(self):\n        self.x = 1\n",
            "    @step(start=True, end=True)\n    def only(self):\n        self.x = 1\n",
            "    @step(start=True)\n    def only(self):\n        self.x = 1\n",
        ],
    )
    def test_one_step_is_both(self, flowtester, source):
        outcome = flowtester.run(f"{HEAD}class F(FlowSpec):\n{source}")
        assert outcome.error is None
        assert outcome.state is RunState.SUCCEEDED
        name = "start" if "def start" in source else "only"
        assert outcome.artifact(name, "x") == 1

    def test_a_mark_and_a_step_of_that_name(self, flowtester):
        source = self.NAMED + "    @step\n    def end(self):\n        pass\n"
        assert (
            12,
            "Step 'end' is not the last one, since 'finish' is marked with end=True",
            "rename 'end', or remove end=True from 'finish'",
        ) in problems(flowtester, source)

    def test_two_marks(self, flowtester):
        source = self.NAMED.replace("def begin", "def a").replace(
            "    @step(end", "    @step(start=True)\n    def b(self): pass\n    @step(end"
        )
        assert (
            9,
            "Steps 'a' and 'b' are both marked with start=True",
            "a flow has one first step: remove one of the marks",
        ) in problems(flowtester, source)

    def test_a_mark_in_a_base_class_counts(self, flowtester):
        outcome = flowtester.run(HEAD + self.NAMED + "class G(F):\n    pass\n")
        assert outcome.error is None
        assert outcome.flow == "G"

    def test_a_sole_step_that_goes_nowhere_known(self, flowtester):
        found = problems(
            flowtester,
            "class F(FlowSpec):\n    @step\n    def go(self):\n        self.next(self.stop)\n",
        )
        assert "Flow 'F' has no step 'start'" in [m for _, m, _ in found]


class TestNodeInfo:
    def test_it_is_in_the_graph_of_the_run(self, flowtester):
        outcome = flowtester.run(
            HEAD + "class F(FlowSpec):\n"
            "    @step(node_info={'team': 'search', 'tier': 2})\n"
            "    def only(self): pass\n"
        )
        assert outcome.error is None
        key = run_key("F", outcome.run)
        (raw,) = outcome.store.read([key])
        graph = RunDocument.decode(raw, key).graph
        assert graph["steps"]["only"]["node_info"] == {"team": "search", "tier": 2}

    @pytest.mark.parametrize(
        ("info", "why"),
        [({"x": object()}, "not JSON serializable"), ([1], "it is a list"), ({(1,): 2}, "keys")],
    )
    def test_it_is_json(self, info, why):
        with pytest.raises(DefinitionError) as caught:
            step(node_info=info)
        assert caught.value.what == "node_info= takes a dict of JSON data"
        assert why in caught.value.why
        assert "@step(node_info=" in caught.value.hint

    def test_step_with_options_wants_a_function_too(self):
        with pytest.raises(DefinitionError, match="which is no plain function"):
            step(start=True)(int)


class TestBaseClasses:
    def test_steps_of_several_bases_with_their_own_files(self, flowtester):
        flowtester.write(
            """
            from flow_core import FlowSpec, Parameter, step
            class Loading(FlowSpec):
                '''Loads.'''
                size = Parameter("size", default=2)
                @step
                def start(self):
                    self.rows = list(range(self.size))
                    self.next(self.work)
            class Reporting(FlowSpec):
                @step
                def end(self):
                    self.total = sum(self.rows)
            """,
            "bases_of_f.py",
        )
        source = """
from flow_core import step
from bases_of_f import Loading, Reporting
class F(Loading, Reporting):
    @step
    def work(self):
        self.next(self.end)
"""
        graph = flowtester.session(flowtester.load(source)).graph
        assert graph["start"].file.endswith("bases_of_f.py")
        assert graph["start"].line == 6
        assert graph["work"].file.endswith("flow.py")
        outcome = flowtester.run(source)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("end", "total") == 1

    def test_a_problem_points_to_the_base_class(self, flowtester):
        flowtester.write(
            "from flow_core import FlowSpec, step\nclass Base(FlowSpec):\n"
            "    @step\n    def start(self):\n        self.next(self.ed)\n",
            "base_of_wrong.py",
        )
        source = "from flow_core import step\nfrom base_of_wrong import Base\n"
        source += "class F(Base):\n    @step\n    def end(self): pass\n"
        (first, *_) = flowtester.session(flowtester.load(source)).problems()
        assert first.file.endswith("base_of_wrong.py")
        assert (first.line, first.hint) == (5, "put @step above def ed, or: did you mean 'end'?")


EMPTY = """
class F(FlowSpec):
    items = Parameter("items", default="")
    @step
    def start(self):
        self.source = "ruler"
        self.parts = self.items.split()
        self.next(self.work, foreach="parts", allow_empty=True)
    @step
    def work(self):
        self.got = self.input
        self.next(self.twice)
    @step
    def twice(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.all = [i.got for i in inputs]
        self.number = len(inputs)
        self.merge_artifacts(inputs, exclude=["got"])
        self.next(self.end)
    @step
    def end(self):
        print(self.source, self.number)
"""


class TestEmptyForeach:
    @pytest.mark.parametrize(("items", "all_"), [("", []), ("a b", ["a", "b"])])
    def test_the_join_runs_with_what_there_is(self, flowtester, items, all_):
        outcome = flowtester.run(HEAD + EMPTY, parameters={"items": items})
        assert outcome.error is None
        assert outcome.artifact("join", "all") == all_
        assert outcome.output("end") == f"ruler {len(all_)}\n"
        assert len(outcome.manifests("work")) == len(all_)

    def test_its_join_is_joined_to_nothing(self, flowtester):
        outcome = flowtester.run(HEAD + EMPTY)
        (start,), (join,) = outcome.manifests("start"), outcome.manifests("join")
        assert start.transition.count == 0
        assert list(unpack_inputs(join.inputs)) == []
        assert join.foreach == ()

    def test_inner_ones(self, flowtester):
        outcome = flowtester.run(
            HEAD
            + """
class F(FlowSpec):
    @step
    def start(self):
        self.rows = [[1, 2], [], [3]]
        self.next(self.row, foreach="rows")
    @step
    def row(self):
        self.row_items = self.input
        self.next(self.cell, foreach="row_items", allow_empty=True)
    @step
    def cell(self):
        self.v = self.input
        self.next(self.a, self.b)
    @step
    def a(self):
        self.next(self.ab)
    @step
    def b(self):
        self.next(self.ab)
    @step
    def ab(self, inputs):
        self.merge_artifacts(inputs)
        self.next(self.cells)
    @step
    def cells(self, inputs):
        self.total = (self.index, self.input, sum(i.v for i in inputs))
        self.next(self.all)
    @step
    def all(self, inputs):
        self.totals = [i.total for i in inputs]
        self.next(self.end)
    @step
    def end(self): pass
"""
        )
        assert outcome.error is None
        totals = [(0, [1, 2], 3), (1, [], 0), (2, [3], 3)]
        assert outcome.artifact("all", "totals") == totals

    def test_without_allow_empty_it_is_an_error_that_names_it(self, flowtester):
        outcome = flowtester.run(HEAD + EMPTY.replace("allow_empty=True", "allow_empty=False"))
        assert "has no items, so no task would run" in outcome.error.why
        assert "foreach='parts', allow_empty=True" in outcome.output("start", "stderr")


class TestNames:
    def test_a_flow_object_says_where_it_is(self, flowtester):
        outcome = flowtester.run(
            HEAD
            + """
class F(FlowSpec):
    @step
    def start(self):
        self.first = (str(self), self.script_name, self.name)
        self.items = [[1], [2]]
        self.next(self.outer, foreach="items")
    @step
    def outer(self):
        self.inner_items = self.input
        self.next(self.inner, foreach="inner_items")
    @step
    def inner(self):
        self.shown = repr(self)
        self.next(self.join)
    @step
    def join(self, inputs):
        self.shown = [repr(i) for i in inputs]
        self.next(self.all)
    @step
    def all(self, inputs):
        self.shown = [i.shown for i in inputs]
        self.next(self.end)
    @step
    def end(self): pass
"""
        )
        assert outcome.error is None
        assert outcome.artifact("start", "first") == ("<flow F step start>", "flow.py", "F")
        assert outcome.artifacts("inner")[0]["shown"] == "<flow F step inner[0,0]>"
        shown = [["<flow F step inner[0,0]>"], ["<flow F step inner[1,0]>"]]
        assert outcome.artifact("all", "shown") == shown

    def test_script_name_is_reserved(self, flowtester):
        outcome = flowtester.run(HEAD + "class F(FlowSpec):\n    script_name = 'x'\n")
        assert "An attribute cannot be called 'script_name'" in str(outcome.error)


class TestReturnValues:
    def test_they_are_ignored(self, flowtester):
        outcome = flowtester.run(
            HEAD + "class F(FlowSpec):\n    @step\n    def start(self):\n        return 5\n"
        )
        assert outcome.error is None

    def test_next_in_a_helper_is_not_seen(self, flowtester):
        source = "class F(FlowSpec):\n    @step\n    def start(self):\n        self.go()\n"
        source += (
            "    def go(self):\n        self.next(self.end)\n    @step\n    def end(self): pass\n"
        )
        messages = [m for _, m, _ in problems(flowtester, source)]
        assert "Step 'start' does not say what follows" in messages


def test_two_names_of_one_value_part_at_the_end_of_the_step(flowtester):
    outcome = flowtester.run(
        HEAD
        + """
class F(FlowSpec):
    @step
    def start(self):
        self.a = self.b = [1]
        self.next(self.end)
    @step
    def end(self):
        self.a.append(2)
"""
    )
    assert outcome.artifact("end", "a") == [1, 2]
    assert outcome.artifact("end", "b") == [1]
