"""Switches: the value of an artifact chooses the next step, which may be the same one once more."""

import pytest

from flow_core.records import RunState, Transition, unpack_inputs

SWITCH = """
from flow_core import FlowSpec, Parameter, step, current

class F(FlowSpec):
    kind = Parameter("kind", default="a")

    @step
    def start(self):
        self.common = [1]
        {set}
        self.next({cases}, condition="{condition}")

    @step
    def left(self):
        self.way = "left"
        self.next(self.both)

    @step
    def right(self):
        self.way = "right"
        self.next(self.both)

    @step
    def both(self):
        self.seen = (self.way, self.common)
        self.next(self.end)

    @step
    def end(self):
        pass
"""
TWO = '{"a": self.left, "b": self.right}'


def switch(flowtester, value=None, cases=TWO, condition="k", **options):
    """Run the flow above with ``self.k = value`` (source text)."""
    assignment = f"self.k = {value}" if value else "pass"
    source = SWITCH.replace("{set}", assignment).replace("{cases}", cases)
    return flowtester.run(source.replace("{condition}", condition), **options)


def steps_of(outcome):
    """The steps of which there are tasks."""
    return {entry.key.split("/")[3] for entry in outcome.store.list(f"runs/F/{outcome.run}/")} & {
        *("start", "left", "right", "both", "end")
    }


class TestChoice:
    @pytest.mark.parametrize(("value", "way"), [("'a'", "left"), ("'b'", "right")])
    def test_the_value_chooses_and_the_other_way_has_no_task(self, flowtester, value, way):
        outcome = switch(flowtester, value)
        assert outcome.error is None
        assert outcome.artifact("both", "seen") == (way, [1])
        assert steps_of(outcome) == {"start", way, "both", "end"}
        (start,), (both,) = outcome.manifests("start"), outcome.manifests("both")
        assert start.transition == Transition((way,), "k", case=value)
        assert [ref.step for ref in unpack_inputs(both.inputs)] == [way]

    @pytest.mark.parametrize(
        ("cases", "value", "way"),
        [
            ("{1: self.left, -2: self.right}", "-2", "right"),
            ("{1: self.left, 2.5: self.right}", "2.5", "right"),
            ("{True: self.left, False: self.right}", "3 < 2", "right"),
            ("{True: self.left, False: self.right}", "__import__('numpy').bool_(1)", "left"),
            ("{'a': self.left, None: self.right}", "None", "right"),
            ("{'a': self.left, 'b': self.left, 'c': self.right}", "'b'", "left"),
            ("{'a': self.left, 'b': self.right}", "__import__('numpy').str_('b')", "right"),
        ],
    )
    def test_kinds_of_cases(self, flowtester, cases, value, way):
        outcome = switch(flowtester, value, cases)
        assert outcome.error is None
        assert outcome.artifact("both", "seen") == (way, [1])

    def test_a_parameter_may_choose(self, flowtester):
        outcome = switch(flowtester, condition="kind", parameters={"kind": "b"})
        assert outcome.artifact("both", "seen") == ("right", [1])

    def test_cases_may_stand_in_a_constant(self, flowtester):
        source = SWITCH.replace("{set}", "self.k = 'now'").replace("{condition}", "k")
        source = source.replace("{cases}", "{self.words.yes: self.left, 'no': self.right}")
        head = "class Words: yes = 'now'\n"
        source = source.replace("    kind =", "    words = Words()\n    kind =")
        outcome = flowtester.run(head + source)
        assert outcome.error is None
        assert outcome.manifests("start")[0].transition.case == "self.words.yes"
        assert outcome.artifact("both", "seen") == ("left", [1])

    @pytest.mark.parametrize(
        ("value", "cases", "message", "hint"),
        [
            (
                "'c'",
                TWO,
                "its switch has no case for self.k, which is 'c': it has 'a', 'b'",
                "add a case for it, or set another value",
            ),
            (
                "'rihgt'",
                '{"left": self.left, "right": self.right}',
                "its switch has no case for self.k, which is 'rihgt': it has 'left', 'right'",
                "did you mean 'right'?",
            ),
            (
                "3",
                TWO,
                "its switch has no case for self.k, which is 3: it has 'a', 'b'",
                "add a case for it, or set another value",
            ),
            (
                "['a']",
                TWO,
                "self.k is a list, which can be no case of its switch: it has 'a', 'b'",
                "self.k = 'a', or another of them",
            ),
            (
                None,
                TWO,
                "condition='k', but self.k was never set",
                "known names: common",
            ),
            (
                "1",
                "{1: self.left, 1.0: self.right, 'x': self.both}",
                "two cases of its switch are equal: it has 1, 'x'",
                "let each value stand there once",
            ),
        ],
    )
    def test_a_value_without_a_case_fails_the_step(self, flowtester, value, cases, message, hint):
        outcome = switch(flowtester, value, cases)
        assert outcome.state is RunState.FAILED
        (manifest,) = outcome.manifests("start")
        assert manifest.failure.message == f"Step 'start': {message}"
        assert message in outcome.error.why
        log = outcome.output("start", "stderr")
        assert "where:" in log
        assert "flow.py:10" in log
        assert hint in log
        assert manifest.artifacts["common"], "what was set is kept"


class TestAmongSplits:
    def test_in_each_item_of_a_foreach(self, flowtester):
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                @step
                def start(self):
                    self.items = [1, 2, 3, 4]
                    self.next(self.work, foreach="items")
                @step
                def work(self):
                    self.even = self.input % 2 == 0
                    self.next({True: self.halve, False: self.join}, condition="even")
                @step
                def halve(self):
                    self.half = self.input / 2
                    self.next(self.join)
                @step
                def join(self, inputs):
                    self.halves = [getattr(i, "half", None) for i in inputs]
                    self.inputs = [i.input for i in inputs]
                    self.next(self.end)
                @step
                def end(self): pass
            """
        )
        assert outcome.error is None
        assert outcome.artifact("join", "halves") == [None, 1.0, None, 2.0]
        assert outcome.artifact("join", "inputs") == [1, 2, 3, 4]
        (join,) = outcome.manifests("join")
        assert [r.step for r in unpack_inputs(join.inputs)] == ["work", "halve", "work", "halve"]

    def test_in_one_branch_of_a_split(self, flowtester):
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                @step
                def start(self):
                    self.next(self.a, self.b)
                @step
                def a(self):
                    self.k = 1
                    self.next({1: self.x, 2: self.y}, condition="k")
                @step
                def x(self):
                    self.got = "x"
                    self.next(self.join)
                @step
                def y(self):
                    self.got = "y"
                    self.next(self.join)
                @step
                def b(self):
                    self.got = "b"
                    self.next(self.join)
                @step
                def join(self, inputs):
                    self.got = [i.got for i in inputs]
                    self.named = inputs.x.got
                    try:
                        inputs.y
                    except AttributeError as error:
                        self.missing = str(error)
                    self.next(self.end)
                @step
                def end(self): pass
            """
        )
        assert outcome.error is None
        assert outcome.artifact("join", "got") == ["x", "b"]
        assert outcome.artifact("join", "named") == "x"
        assert "No branch ends with step 'y'" in outcome.artifact("join", "missing")

    @pytest.mark.parametrize(("mode", "got"), [("few", ["a", "b"]), ("many", [0, 1, 2])])
    def test_it_may_choose_between_splits_with_one_join(self, flowtester, mode, got):
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, Parameter, step
            class F(FlowSpec):
                mode = Parameter("mode", default="few")
                @step
                def start(self):
                    self.next({"few": self.few, "many": self.many}, condition="mode")
                @step
                def few(self):
                    self.next(self.a, self.b)
                @step
                def a(self):
                    self.got = "a"
                    self.next(self.join)
                @step
                def b(self):
                    self.got = "b"
                    self.next(self.join)
                @step
                def many(self):
                    self.items = range(3)
                    self.next(self.work, foreach="items")
                @step
                def work(self):
                    self.got = self.input
                    self.next(self.join)
                @step
                def join(self, inputs):
                    self.all = [i.got for i in inputs]
                    self.next(self.end)
                @step
                def end(self): pass
            """,
            parameters={"mode": mode},
        )
        assert outcome.error is None
        assert outcome.artifact("join", "all") == got


COUNT = """
from flow_core import FlowSpec, Parameter, step, current
class F(FlowSpec):
    most = Parameter("most", default=3)
    @step
    def start(self):
        self.n = 0
        self.next(self.work)
    @step
    def work(self):
        self.n += 1
        self.iteration = current.iteration
        self.more = self.n < self.most
        self.next({True: self.work, False: self.end}, condition="more")
    @step
    def end(self):
        pass
"""


class TestRecursion:
    def test_each_iteration_is_a_task(self, flowtester):
        outcome = flowtester.run(COUNT)
        assert outcome.error is None
        work = outcome.manifests("work")
        assert [m.iteration for m in work] == [0, 1, 2]
        assert [a["iteration"] for a in outcome.artifacts("work")] == [0, 1, 2]
        assert [[(r.step, r.task) for r in unpack_inputs(m.inputs)] for m in work] == [
            [("start", 1)],
            [("work", 2)],
            [("work", 3)],
        ]
        assert outcome.artifact("end", "n") == 3
        assert outcome.manifests("end")[0].iteration == 0

    def test_the_first_step_may_repeat(self, flowtester):
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                @step
                def start(self):
                    self.n = getattr(self, "n", 0) + 1
                    self.more = self.n < 3
                    self.next({True: self.start, False: self.end}, condition="more")
                @step
                def end(self): pass
            """
        )
        assert outcome.error is None
        assert outcome.artifact("end", "n") == 3

    def test_inside_a_foreach_each_item_repeats_by_itself(self, flowtester):
        outcome = flowtester.run(
            """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                @step
                def start(self):
                    self.items = [3, 1, 2]
                    self.next(self.work, foreach="items")
                @step
                def work(self):
                    self.left = getattr(self, "left", self.input) - 1
                    self.trace = [*getattr(self, "trace", []), (self.index, self.left)]
                    self.more = self.left > 0
                    self.next({True: self.work, False: self.join}, condition="more")
                @step
                def join(self, inputs):
                    self.traces = [i.trace for i in inputs]
                    self.next(self.end)
                @step
                def end(self): pass
            """
        )
        assert outcome.error is None
        assert outcome.artifact("join", "traces") == [
            [(0, 2), (0, 1), (0, 0)],
            [(1, 0)],
            [(2, 1), (2, 0)],
        ]
        places = [(m.foreach[0].index, m.iteration) for m in outcome.manifests("work")]
        assert sorted(places) == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)]

    def test_a_retry_stays_in_its_iteration(self, flowtester):
        source = COUNT.replace(
            "        self.n += 1\n",
            "        self.n += 1\n"
            "        if current.iteration == 1 and current.retry_count == 0: 1/0\n",
        )
        outcome = flowtester.run(source, plugins=["retry"], decorators=["retry:times=1,delay=0"])
        assert outcome.error is None
        assert [(m.iteration, m.attempt) for m in outcome.manifests("work")] == [
            (0, 0),
            (1, 0),
            (1, 1),
            (2, 0),
        ]
        assert outcome.artifact("end", "n") == 3
