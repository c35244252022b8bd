"""One step in the test's own process: what it finds, what it leaves, how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback

import pytest

from flow_core import Config, FlowSpec, Parameter, current, step
from flow_core.api import LintError, ParameterError, TransitionError, UsageError
from flow_core.testing import StepOutcome, flow_step


class Train(FlowSpec):
    """A foreach in a foreach, a split, a switch."""

    kind = "a constant"
    rate = Parameter("rate", default=0.5)
    rounds = Parameter("rounds", type=int, default=2)

    @step
    def start(self):
        self.models = ["small", "big"]
        self.next(self.prepare)

    @step
    def prepare(self):
        self.rows = [float(n) for n in range(4)]
        del self.unused
        print("prepared")
        print("warned", file=sys.stderr)
        self.next(self.model, foreach="models")

    @step
    def model(self):
        self.name_of_model = self.input
        self.folds = range(3)
        self.next(self.fold, foreach="folds")

    @step
    def fold(self):
        self.stack = self.foreach_stack()
        self.loss = self.rate * self.index + len(self.rows)
        self.next(self.folded)

    @step
    def folded(self, inputs):
        self.losses = [i.loss for i in inputs]
        self.merge_artifacts(inputs, include=["rows"])
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.best = min(min(i.losses) for i in inputs)
        self.next(self.left, self.right)

    @step
    def left(self):
        self.rows.append(9.0)
        self.seen = self.best
        self.next({"more": self.left_more, "done": self.left_end}, condition="way")

    @step
    def left_more(self):
        self.next(self.left_end)

    @step
    def left_end(self):
        self.l = 1
        self.next(self.both)

    @step
    def right(self):
        raise ValueError("right is wrong")
        self.next(self.both)

    @step
    def both(self, inputs):
        self.l = inputs.left_end.l
        self.r = inputs[1].r
        self.next(self.end)

    @step
    def end(self):
        self.told = (current.run_id, current.step_name, current.pathspec, current.username)


class TestWhatAStepFinds:
    def test_artifacts(self):
        outcome = flow_step(Train.left, inputs={"rows": [1.0], "best": 3, "way": "done"})
        assert outcome["seen"] == 3
        assert outcome["rows"] == [1.0, 9.0]

    def test_the_caller_s_values_stay_as_they_are(self):
        rows = [1.0]
        flow_step(Train.left, inputs={"rows": rows, "best": 3, "way": "done"})
        assert rows == [1.0]

    def test_an_artifact_that_is_missing(self):
        with pytest.raises(AttributeError, match="Flow 'Train' has no artifact 'rows' here"):
            flow_step(Train.left, inputs={"row": [1.0]})
        with pytest.raises(AttributeError, match=r"here\. did you mean 'row'\?$"):
            flow_step(Train.left, inputs={"row": [1.0]})
        with pytest.raises(AttributeError, match=r"The test gives none: inputs={'rows': …}$"):
            flow_step(Train.left)

    def test_an_earlier_outcome(self):
        first = flow_step(Train.start)
        assert first.next == ("prepare",)
        with pytest.raises(AttributeError, match="unused"):
            flow_step(Train.prepare, inputs=first)
        second = flow_step(Train.prepare, inputs={**first.artifacts, "unused": 1})
        assert second["models"] == ["small", "big"]
        assert "unused" not in second
        third = flow_step(Train.model, inputs=second, index=1)
        assert third["name_of_model"] == "big"

    def test_parameters_by_default_and_as_given(self):
        stack = [(1, 2, "big"), (2, 3, 2)]
        inputs = {"rows": [1.0]}
        assert flow_step(Train.fold, inputs=inputs, foreach=stack)["loss"] == 0.5 * 2 + 1
        given = flow_step(Train.fold, inputs=inputs, foreach=stack, parameters={"rate": "2"})
        assert given["loss"] == 2 * 2 + 1

    @pytest.mark.parametrize(
        ("parameters", "text"),
        [({"rats": 1}, "has no parameter 'rats'"), ({"rounds": "many"}, "rounds")],
    )
    def test_wrong_parameters(self, parameters, text):
        with pytest.raises(ParameterError, match=text):
            flow_step(Train.start, parameters=parameters)

    def test_the_item_of_a_foreach(self):
        assert flow_step(Train.model, input="tiny")["name_of_model"] == "tiny"
        known = flow_step(Train.model, inputs={"models": ["a", "b"]}, index=1)
        assert known["name_of_model"] == "b"

    def test_nested_foreaches(self):
        stack = [(1, 2, "big"), (0, 3, "fold")]
        outcome = flow_step(Train.fold, inputs={"rows": []}, foreach=stack)
        assert outcome["stack"] == stack

    def test_a_join_of_a_foreach(self):
        inputs = [{"loss": 3, "rows": [1]}, {"loss": 2, "rows": [1]}]
        outcome = flow_step(Train.folded, inputs=inputs, input="small")
        assert outcome.changed == {"losses": [3, 2], "rows": [1]}

    def test_branches_that_are_outcomes(self):
        folds = [
            flow_step(Train.fold, inputs={"rows": [1]}, foreach=[(0, 1, "m"), (n, 3, n)])
            for n in range(3)
        ]
        outcome = flow_step(Train.folded, inputs=folds, input="m")
        assert outcome["losses"] == [1.0, 1.5, 2.0]

    def test_a_join_of_a_split(self):
        by_name = flow_step(Train.both, inputs={"right": {"r": 2}, "left_end": {"l": 1}})
        in_order = flow_step(Train.both, inputs=[{"l": 1}, {"r": 2}])
        assert by_name.artifacts == in_order.artifacts == {"l": 1, "r": 2}

    def test_current(self):
        told = flow_step(Train.end)["told"]
        assert told == ("1", "end", "Train/1/end/2", told[3])
        assert told[3]
        other = flow_step(Train.end, current={"run_id": "77", "username": "ada"})["told"]
        assert other == ("77", "end", "Train/1/end/2", "ada")
        assert not current.is_running_flow

    def test_what_plugins_would_add_to_current(self):
        class F(FlowSpec):
            @step
            def start(self):
                self.x = current.tracker.log("here")
                self.next(self.end)

            @step
            def end(self):
                pass

        class Tracker:
            def log(self, text):
                return f"logged {text}"

        assert flow_step(F.start, current={"tracker": Tracker()})["x"] == "logged here"
        with pytest.raises(AttributeError, match=r"current={'tracker': …} gives a stand-in"):
            flow_step(F.start)

    def test_configurations(self):
        class F(FlowSpec):
            settings = Config("settings", default_value={"depth": 3})

            @step
            def start(self):
                self.depth = self.settings.depth
                self.next(self.end)

            @step
            def end(self):
                pass

        assert flow_step(F.start)["depth"] == 3
        assert flow_step(F.start, configs={"settings": {"depth": 5}})["depth"] == 5


class TestWhatAStepLeaves:
    def test_everything(self):
        outcome = flow_step(Train.prepare, inputs={"models": ["m"], "unused": 1, "other": 2})
        assert isinstance(outcome, StepOutcome)
        assert outcome.changed == {"rows": [0.0, 1.0, 2.0, 3.0]}
        assert outcome.artifacts == {"rows": outcome["rows"], "models": ["m"], "other": 2}
        assert (outcome.flow, outcome.step) == ("Train", "prepare")
        assert outcome.next == ("model",)
        assert (outcome.items, outcome.count, outcome.case) == (["m"], 1, None)
        assert (outcome.stdout, outcome.stderr) == ("prepared\n", "warned\n")
        assert repr(outcome) == "<Train.prepare → model: sets rows>"

    def test_output_is_seen_as_well(self, capsys):
        flow_step(Train.prepare, inputs={"models": ["m"], "unused": 1})
        assert capsys.readouterr() == ("prepared\n", "warned\n")

    def test_a_switch(self):
        outcome = flow_step(Train.left, inputs={"rows": [], "best": 1, "way": "more"})
        assert (outcome.next, outcome.case) == (("left_more",), "more")

    def test_an_assignment_of_the_same_value_is_set(self):
        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.mid)

            @step
            def mid(self):
                self.flag = False
                self.read = self.other
                self.next(self.end)

            @step
            def end(self):
                pass

        outcome = flow_step(F.mid, inputs={"flag": False, "other": 1, "unread": 2})
        assert outcome.changed == {"flag": False, "read": 1}

    def test_a_near_miss(self):
        outcome = flow_step(Train.start)
        assert "models" in outcome
        with pytest.raises(KeyError, match="leaves no artifact 'model'"):
            outcome["model"]

    def test_the_process_stays_as_it_was(self, tmp_path, no_leaks):
        class F(FlowSpec):
            @step
            def start(self):
                os.environ["LEFT"] = "1"
                os.chdir(self.folder)
                self.next(self.end)

            folder = str(tmp_path)

            @step
            def end(self):
                pass

        here = os.getcwd()
        flow_step(F.start)
        assert os.getcwd() == here
        assert "LEFT" not in os.environ

    def test_an_asynchronous_step(self):
        class F(FlowSpec):
            @step
            async def start(self):
                self.x = 1
                self.next(self.end)

            @step
            def end(self):
                pass

        assert flow_step(F.start)["x"] == 1


class TestHowAStepFails:
    def test_by_its_own_exception(self):
        with pytest.raises(ValueError, match="right is wrong") as caught:
            flow_step(Train.right)
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert [f.name for f in frames][-1] == "right"
        assert sum("flow_core" in f.filename for f in frames) == 1, "flow_step, hidden by pytest"

    def test_nothing_stays_of_a_failure(self, no_leaks):
        with pytest.raises(ValueError, match="right is wrong"):
            flow_step(Train.right)
        assert not current.is_running_flow

    def test_by_a_wrong_transition(self):
        class F(FlowSpec):
            @step
            def start(self):
                if self.x:
                    return
                self.next(self.end)

            x = True

            @step
            def end(self):
                pass

        with pytest.raises(TransitionError, match="it ended without"):
            flow_step(F.start)

    def test_by_what_cannot_be_stored(self):
        class F(FlowSpec):
            @step
            def start(self):
                self.made = (n for n in range(3))
                self.next(self.end)

            @step
            def end(self):
                pass

        with pytest.raises(Exception, match="made"):
            flow_step(F.start)

    def test_sys_exit(self):
        class F(FlowSpec):
            @step
            def start(self):
                sys.exit(3)
                self.next(self.end)

            @step
            def end(self):
                pass

        with pytest.raises(SystemExit):
            flow_step(F.start)

    def test_under_pytest_only_the_test_and_the_step_are_shown(self, tmp_path):
        (tmp_path / "test_it.py").write_text(
            "from flow_core import FlowSpec, step\n"
            "from flow_core.testing import flow_step\n"
            "class F(FlowSpec):\n"
            "    @step\n"
            "    def start(self):\n"
            "        wrong = 1 / 0\n"
            "        self.next(self.end)\n"
            "    @step\n"
            "    def end(self):\n"
            "        pass\n"
            "def test_it():\n"
            "    flow_step(F.start)\n"
            "def test_misuse():\n"
            "    flow_step(F.end, index=3)\n"
        )
        names = ("cacheprovider", "xdist", "timeout", "hypothesispytest")
        without = [f"-pno:{name}" for name in names]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *without, "--pdb", "test_it.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            input="p wrong if 'wrong' in dir() else 'the frame of the step'\nc\nc\n",
            timeout=100,
        )
        shown = done.stdout
        assert "test_it.py:6: ZeroDivisionError" in shown
        assert "'the frame of the step'" in shown
        assert "flow_core/" not in shown.replace(os.sep, "/"), shown
        assert "flow_step cannot run 'end': it is in no foreach" in shown


@pytest.mark.parametrize(
    ("call", "what", "hint"),
    [
        (
            lambda: flow_step(Train.start, inputs={"x": 1}),
            "flow_step cannot run 'start': it is the first step, which has no inputs",
            "parameters={…} gives it the parameters of Train",
        ),
        (
            lambda: flow_step(Train.left, inputs={"rate": 1}),
            "flow_step cannot run 'left': 'rate' is a parameter, not an artifact",
            "parameters={'rate': …}",
        ),
        (
            lambda: flow_step(Train.left, inputs={"kind": 1}),
            "flow_step cannot run 'left': 'kind' cannot be an artifact: the class defines it",
            "leave it out of inputs=",
        ),
        (
            lambda: flow_step(Train.left, inputs={"__x": 1}),
            (
                "flow_step cannot run 'left': '__x' cannot be an artifact: "
                "no artifact can be called so"
            ),
            "leave it out of inputs=",
        ),
        (
            lambda: flow_step(Train.left, inputs=[{}]),
            "flow_step cannot run 'left': inputs is of type list, not a dict",
            "inputs={'rows': […]}: the artifacts that it finds, by name",
        ),
        (
            lambda: flow_step(Train.left, input=1),
            "flow_step cannot run 'left': it is in no foreach",
            "leave input=, index= and foreach= out",
        ),
        (
            lambda: flow_step(Train.model),
            (
                "flow_step cannot run 'model': it runs once for each item of 'models', "
                "and there is none"
            ),
            "input=…, or inputs={'models': […]} and index=",
        ),
        (
            lambda: flow_step(Train.model, inputs={"models": ["a"]}, index=1),
            "flow_step cannot run 'model': 'models' has 1 items, and none with index 1",
            "index=0",
        ),
        (
            lambda: flow_step(Train.model, inputs={"models": "ab"}),
            (
                "flow_step cannot run 'model': "
                "foreach over 'self.models', which is str, not a collection"
            ),
            "self.models = [self.models] or a list of what you mean",
        ),
        (
            lambda: flow_step(Train.model, input="a", index=-1),
            "flow_step cannot run 'model': index=-1 is no number of an item",
            "index=0",
        ),
        (
            lambda: flow_step(Train.fold, input=1),
            "flow_step cannot run 'fold': it is in 2 foreaches, over 'models', 'folds'",
            "foreach=[(0, 1, outer_item), (0, 1, inner_item)]: index, number of items, item",
        ),
        (
            lambda: flow_step(Train.fold, foreach=[(1, 1, "a")]),
            (
                "flow_step cannot run 'fold': foreach=[(1, 1, 'a')] does not fit its 2 foreaches, "
                "over 'models', 'folds'"
            ),
            "foreach=[(0, 1, item), (0, 1, item)], outermost first: index, number of items, item",
        ),
        (
            lambda: flow_step(Train.folded, inputs={"loss": 1}, input="m"),
            (
                "flow_step cannot run 'folded': "
                "it is a join, and inputs= is not a list with a dict for each branch"
            ),
            "inputs=[{'score': 1}, {'score': 2}]",
        ),
        (
            lambda: flow_step(Train.folded, inputs=[], input="m"),
            "flow_step cannot run 'folded': it joins at least one branch, and inputs= has none",
            "inputs=[{'score': 1}, {'score': 2}]: one dict for each branch",
        ),
        (
            lambda: flow_step(Train.both, inputs=[{}]),
            "flow_step cannot run 'both': it joins 2 branches, and inputs= has 1",
            "one dict for each, in this order: left_end, right",
        ),
        (
            lambda: flow_step(Train.both, inputs={"left_end": {}}),
            (
                "flow_step cannot run 'both': "
                "the inputs of the branch that ends with 'right' are missing"
            ),
            "inputs={'right': {…}, …}; {} for a branch without artifacts",
        ),
        (
            lambda: flow_step(Train.both, inputs={"left_edn": {}, "right": {}}),
            "flow_step cannot run 'both': no branch ends with the step 'left_edn'",
            "did you mean 'left_end'?",
        ),
        (
            lambda: flow_step(Train.start, hooks=["retri"]),
            "There is no plugin 'retri' whose hooks this flow uses",
            None,
        ),
        (
            lambda: flow_step(Train.run),
            "Train.run is no step of a flow",
            "flow_step(MyFlow.train, …), where 'train' is marked with @step",
        ),
        (
            lambda: flow_step("Train.start"),
            "'Train.start' is no step of a flow",
            "flow_step(MyFlow.train, …), where 'train' is marked with @step",
        ),
    ],
)
def test_misuse(call, what, hint):
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.what == what
    assert caught.value.where
    if hint is not None:
        assert caught.value.hint == hint


def test_a_graph_that_is_wrong():
    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.edn)

        @step
        def end(self):
            pass

    with pytest.raises(LintError, match="edn"):
        flow_step(F.start)


class TestWhoseStepItIs:
    class Base(FlowSpec):
        factor = 1

        @step
        def start(self):
            self.x = self.factor
            self.next(self.end)

        @step
        def end(self):
            pass

    class Derived(Base):
        factor = 2

    class Other(Base):
        factor = 3

    def test_the_class_that_defines_it(self):
        assert flow_step(self.Base.start)["x"] == 1
        assert flow_step(self.Derived.start)["x"] == 1

    def test_another_one(self):
        assert flow_step(self.Derived.start, flow=self.Derived)["x"] == 2

    def test_a_step_of_a_mixin(self):
        class Mixin(FlowSpec):
            @step
            def start(self):
                self.x = 5
                self.next(self.end)

        class Only(Mixin):
            @step
            def end(self):
                pass

        assert flow_step(Mixin.start)["x"] == 5

        class Second(Mixin):
            @step
            def end(self):
                pass

        with pytest.raises(UsageError) as caught:
            flow_step(Mixin.start)
        assert caught.value.what == "The step 'start' belongs to several flows: Only, Second"
        assert caught.value.hint == "say which: flow_step(Only.start, flow=Only)"
        assert flow_step(Mixin.start, flow=Second).flow == "Second"

    def test_not_of_that_one(self):
        with pytest.raises(UsageError, match="is no step of the flow Train"):
            flow_step(self.Base.start, flow=Train)


def test_a_foreach_without_items():
    class F(FlowSpec):
        @step
        def start(self):
            self.items_ = []
            self.next(self.work, foreach="items_", allow_empty=True)

        @step
        def work(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.number = len(inputs)
            self.next(self.end)

        @step
        def end(self):
            pass

    assert flow_step(F.start).items == []
    assert flow_step(F.join, inputs=[])["number"] == 0


def test_a_step_that_chooses_itself():
    class F(FlowSpec):
        @step
        def start(self):
            self.n = 0
            self.next(self.loop)

        @step
        def loop(self):
            self.n += 1
            self.go = self.n < 3
            self.next({True: self.loop, False: self.end}, condition="go")

        @step
        def end(self):
            pass

    outcome = flow_step(F.start)
    while outcome.next != ("end",):
        outcome = flow_step(F.loop, inputs=outcome)
    assert outcome["n"] == 3
