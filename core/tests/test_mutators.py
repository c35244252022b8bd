"""Mutators: what they see and change of a flow, in which order, and what is refused."""

import pytest

from flow_core.errors import DefinitionError, LintError

HEAD = """
from flow_core import (
    FlowSpec, step, Parameter, Config, config_expr, FlowMutator, StepMutator, UserStepDecorator,
    user_step_decorator, retry, current,
)

@user_step_decorator
def mark(step_name, flow, inputs=None, attributes=None):
    flow.marks = [*getattr(flow, "marks", []), attributes.get("n", 0)]
    yield

calls = []
"""
STEPS = """
    @step
    def start(self):
        self.next(self.end)
    @step
    def end(self):
        pass
"""


def flow(mutators, decorators="", body="", steps=STEPS):
    return f"{HEAD}{mutators}\n{decorators}\nclass F(FlowSpec):\n    pass\n{body}{steps}"


class TestFlowMutator:
    SOURCE = flow(
        """
class shape(FlowMutator):
    def init(self, times, *, extra=0):
        self.times = times
        self.extra = extra
    def pre_mutate(self, mutable_flow):
        configs = dict(mutable_flow.configs)
        mutable_flow.add_parameter("beta", Parameter("beta-value", default=configs["cfg"].b))
        mutable_flow.add_parameter("alpha", Parameter("alpha", default=7), overwrite=True)
        assert mutable_flow.remove_parameter("gone")
        assert not mutable_flow.remove_parameter("never")
        for name, one in mutable_flow.steps:
            one.add_decorator("retry", deco_kwargs={"times": self.times + self.extra})
        mutable_flow.start.add_decorator(mark, deco_kwargs={"n": 1})
        mutable_flow.start.add_decorator("mark:n=2", duplicates=mutable_flow.IGNORE)
    def mutate(self, mutable_flow):
        calls.append([(s.name, s.kwargs) for s in mutable_flow.end.decorator_specs])
""",
        "@shape(config_expr('cfg.times'), extra=1)",
        """
    cfg = Config("cfg", default_value={"times": 2, "b": 5})
    alpha = Parameter("alpha", default=1)
    gone = Parameter("gone", default=1)
""",
        """
    @step
    def start(self):
        self.gone = "now an artifact"
        self.seen = (self.alpha, self.beta, current.parameter_names)
        try:
            self.beta = 3
        except AttributeError as error:
            self.error = str(error)
        self.next(self.end)
    @retry(times=9)
    @step
    def end(self):
        self.again = (self.gone, self.beta)
""",
    )

    def test_what_it_changes(self, flowtester):
        outcome = flowtester.run(self.SOURCE, plugins=["retry"], parameters={"beta-value": "6"})
        assert outcome.error is None, outcome.error
        assert outcome.artifact("start", "seen") == (7, 6, ("alpha", "beta-value"))
        assert outcome.artifact("end", "again") == ("now an artifact", 6)
        assert outcome.artifact("start", "marks") == [1]
        assert "Parameter 'beta' cannot be changed" in outcome.artifact("start", "error")

    def test_what_the_definition_says(self, flowtester):
        cls = flowtester.load(self.SOURCE)
        session = flowtester.session(cls, plugins=["retry"], configs={"cfg": {"times": 4, "b": 1}})
        definition = session.definition
        assert [p.name for p in definition.parameters] == ["alpha", "beta-value"]
        assert definition.steps["start"].options("retry").times == 5
        assert definition.steps["end"].options("retry").times == 9
        assert definition.steps["start"].attached[0].source == "shape"
        assert session.graph["start"].decorators == ("mark", "retry")
        assert definition.name == "F"
        assert definition.cls is not cls
        assert cls.alpha.default == 1  # the class as it was written is as it was
        again = flowtester.session(cls, plugins=["retry"]).definition
        assert again.steps["start"].options("retry").times == 3

    def test_the_order(self, flowtester):
        source = flow(
            """
class base(FlowMutator):
    def pre_mutate(self, mutable_flow):
        calls.append(("base pre", [s.name for s in mutable_flow.start.decorator_specs]))
    def mutate(self, mutable_flow):
        calls.append(("base", [s.name for s in mutable_flow.start.decorator_specs]))
class one(FlowMutator):
    def init(self, word):
        self.word = word
    def pre_mutate(self, mutable_flow):
        calls.append(("one pre", self.word))
    def mutate(self, mutable_flow):
        calls.append(("one", self.word))
class of_step(StepMutator):
    def pre_mutate(self, mutable_step):
        calls.append(("step pre", mutable_step.name, mutable_step.flow.name))
        mutable_step.add_decorator(added)
    def mutate(self, mutable_step):
        calls.append(("step", mutable_step.name))
class added(StepMutator):
    def pre_mutate(self, mutable_step):
        calls.append(("added pre",))
    def mutate(self, mutable_step):
        calls.append(("added",))

@base
class Base(FlowSpec):
    pass
""",
            "@one('a')\n@one('b')",
            steps=STEPS.replace(
                "    @step\n    def start", "    @of_step\n    @step\n    def start"
            ),
        ).replace("class F(FlowSpec)", "class F(Base)")
        cls = flowtester.load(source)
        flowtester.session(cls, plugins=["retry"], decorators=["retry"]).definition
        calls = cls.start.__globals__["calls"]
        assert calls == [
            ("base pre", ["of_step"]),
            ("one pre", "a"),
            ("one pre", "b"),
            ("step pre", "start", "F"),
            ("added pre",),
            ("base", ["of_step", "added", "retry"]),
            ("one", "a"),
            ("one", "b"),
            ("step", "start"),
            ("added",),
        ]

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            ("mutable_flow.add_parameter('alpha', Parameter('alpha'))", "There is a parameter 'al"),
            ("mutable_flow.add_parameter('x', 3)", "adds 3 as a parameter"),
            ("mutable_flow.add_parameter('start', Parameter('x'))", "defines 'start' already"),
            (
                "mutable_flow.add_parameter('x', Parameter('ALPHA'))",
                "two parameters with the option",
            ),
            ("mutable_flow.add_parameter('x', Parameter('tags'))", "has a reserved name"),
            ("mutable_flow.start.add_decorator('retyr')", "did you mean 'retry'"),
            ("mutable_flow.start.add_decorator('retry', deco_args=[3])", "by name only"),
            (
                "for n in 1, 2: mutable_flow.start.add_decorator('retry', duplicates=mutable_flow.ERROR)",
                "@retry is there already",
            ),
            ("mutable_flow.start.add_decorator(bad)", "@bad cannot add @bad here"),
            ("mutable_flow.add_decorator(mark)", "@mark is for steps"),
            ("mutable_flow.add_decorator('retry')", "cannot be added here"),
            ("mutable_flow.remove_decorator(bad)", "The mutator @"),
            ("mutable_flow.nothing", "Flow 'F' has no 'nothing'"),
            ("1 / 0", "The mutator @bad failed in pre_mutate"),
        ],
    )
    def test_what_is_refused(self, flowtester, call, message):
        source = flow(
            f"class bad(FlowMutator):\n    def pre_mutate(self, mutable_flow):\n        {call}\n",
            "@bad",
            "    alpha = Parameter('alpha')\n",
        )
        cls = flowtester.load(source)
        with pytest.raises((DefinitionError, LintError)) as caught:
            flowtester.session(cls, plugins=["retry"]).definition
        assert message in str(caught.value)
        assert caught.value.exit_code == 1
        if "failed" in caught.value.what or "nothing" in call:
            assert caught.value.where == f"{flowtester.path / 'flow.py'}:14"

    def test_above_a_step(self, flowtester):
        steps = STEPS.replace("@step", "@bad\n    @step", 1)
        with pytest.raises(DefinitionError) as caught:
            flowtester.load(flow("class bad(FlowMutator): pass\n", steps=steps))
        assert caught.value.what == "@bad must stand above the class of a flow"
        assert caught.value.why == "it was put on the step start"

    def test_a_mutator_that_comes_too_late(self, flowtester):
        source = flow(
            """
class late(FlowMutator):
    def mutate(self, mutable_flow):
        mutable_flow.start.add_decorator(other)
class other(StepMutator):
    pass
""",
            "@late",
        )
        cls = flowtester.load(source)
        with pytest.raises(DefinitionError) as caught:
            flowtester.session(cls).definition
        assert caught.value.what == "@late adds the mutator @other too late"
        assert caught.value.hint == "add it in pre_mutate"


class TestStepMutator:
    def test_decorators_are_replaced_and_removed(self, flowtester):
        source = flow(
            """
class change(StepMutator):
    def init(self, how):
        self.how = how
    def mutate(self, mutable_step):
        assert mutable_step.has_decorator("retry")
        if self.how == "override":
            mutable_step.add_decorator(retry, deco_kwargs={"times": 1},
                                       duplicates=mutable_step.OVERRIDE)
        elif self.how == "ignore":
            mutable_step.add_decorator("retry:times=1")
        elif self.how == "remove":
            assert mutable_step.remove_decorator("retry")
            assert not mutable_step.remove_decorator(retry)
        elif self.how == "other":
            assert not mutable_step.remove_decorator("retry", deco_kwargs={"times": 2})
        elif self.how == "exact":
            (spec,) = mutable_step.get_decorator_specs("retry")
            assert mutable_step.remove_decorator("retry", deco_kwargs=spec.kwargs)
            assert mutable_step.remove_decorator("mark", [], {"n": 1})
""",
            steps="".join(
                f"""
    @change({how!r})
    @mark(n=1)
    @retry(times=5)
    @step
    def {how}(self):
        pass
"""
                for how in ("override", "ignore", "remove", "other", "exact")
            ),
        )
        definition = flowtester.session(flowtester.load(source), plugins=["retry"]).definition
        times = {
            name: getattr(step.options("retry"), "times", None)
            for name, step in definition.steps.items()
        }
        assert times == {"override": 1, "ignore": 5, "remove": None, "other": 5, "exact": None}
        assert [u.name for u in definition.steps["exact"].uses] == ["change"]
        assert [u.name for u in definition.steps["other"].uses] == ["change", "mark"]

    def test_with_attaches_one_to_every_step(self, flowtester):
        source = flow(
            "class all_marked(StepMutator):\n"
            "    def pre_mutate(self, mutable_step):\n"
            "        mutable_step.add_decorator('mark:n=4')\n"
        )
        outcome = flowtester.run(source, decorators=["all_marked"])
        assert outcome.error is None, outcome.error
        assert outcome.artifact("end", "marks") == [4, 4]

    def test_a_flow_mutator_by_name(self, flowtester):
        source = flow(
            "class with_x(FlowMutator):\n"
            "    def pre_mutate(self, mutable_flow):\n"
            "        mutable_flow.add_parameter('x', Parameter('x', default=1))\n"
        )
        cls = flowtester.load(source)
        session = flowtester.session(cls, decorators=["flow.with_x"])
        assert [p.name for p in session.definition.parameters] == ["x"]


def test_files_that_mutators_add_are_in_the_snapshot(flowtester):
    flowtester.write("data", "elsewhere/data.txt")
    source = flow(
        f"""
class more(FlowMutator):
    def add_to_package(self):
        yield {str(flowtester.path / "elsewhere/data.txt")!r}, "added/data.txt"
""",
        "@more",
    )
    cls = flowtester.load(flowtester.write(source, "own/flow.py"))
    outcome = flowtester.run(cls)
    contents = outcome.store.read([e.key for e in outcome.store.list("blobs/")])
    assert any(b"added/data.txt" in (raw or b"") for raw in contents)


def test_in_every_kind_of_process(flowtester):
    file = flowtester.write(
        TestFlowMutator.SOURCE + "\nif __name__ == '__main__':\n    F()\n", "flow.py"
    )
    for number, fork in enumerate(("auto", "never"), 1):
        given = ["--config-value", "cfg", '{"times": 1, "b": 8}']
        flowtester.python(file, "run", *given, variables={"FLOW_FORK": fork}).check()
        left = flowtester.left(number)
        assert left.artifact("start", "seen")[:2] == (7, 8)
        assert left.artifact("start", "marks") == [1]
    helped = flowtester.python(file, "run", "--help").check().stdout
    assert "--beta-value INT" in helped
    assert "--gone" not in helped
