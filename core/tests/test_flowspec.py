"""The language of flows: steps, transitions, artifacts, constants, inheritance."""

import threading

import pytest

from flow_core.errors import DefinitionError, TransitionError, UsageError
from flow_core.flowspec import FlowSpec, constants, step, step_functions
from flow_core.records import AttemptState, RunState

HEAD = "from flow_core import FlowSpec, step, Parameter, current\n"


def failure(outcome, step_name):
    """The failure of the last attempt of a step."""
    return outcome.manifests(step_name)[-1].failure


def run(flowtester, body, head="", **options):
    """Run a flow ``F`` whose class body is ``body``."""
    import textwrap

    lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
    head = textwrap.dedent(head)
    return flowtester.run(f"{HEAD}{head}\nclass F(FlowSpec):\n{lines}\n", **options)


def run_steps(flowtester, start, end="pass", head="", **options):
    """Run a flow of the two steps ``start`` and ``end``, given by their bodies."""
    import textwrap

    body = "@step\ndef start(self):\n{}\n    self.next(self.end)\n@step\ndef end(self):\n{}\n"
    first, last = (textwrap.indent(textwrap.dedent(t).strip("\n"), "    ") for t in (start, end))
    return run(flowtester, body.format(first, last), head, **options)


class TestShapes:
    def test_a_linear_flow_passes_artifacts_on(self, flowtester):
        outcome = run_steps(flowtester, "self.x = [1]", "self.y = self.x + [2]")
        assert outcome.state is RunState.SUCCEEDED
        assert outcome.artifact("end", "y") == [1, 2]

    def test_branches_are_joined_in_the_order_of_the_split(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.next(self.b, self.a)
            @step
            def a(self):
                self.got = "a"
                self.next(self.join)
            @step
            def b(self):
                self.got = "b"
                self.next(self.join)
            @step
            def join(self, inputs):
                self.order = [i.got for i in inputs]
                self.by_name = inputs.a.got + inputs.b.got
                self.next(self.end)
            @step
            def end(self):
                self.index_here = (self.index, self.input, self.foreach_stack())
            """,
        )
        assert outcome.artifact("join", "order") == ["b", "a"]
        assert outcome.artifact("join", "by_name") == "ab"
        assert outcome.artifact("end", "index_here") == (None, None, [])

    def test_nested_foreaches_know_their_place_also_after_the_inner_join(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.outer = ["x", "y"]
                self.next(self.split, foreach="outer")
            @step
            def split(self):
                self.inner = [1, 2, 3]
                self.next(self.work, foreach="inner")
            @step
            def work(self):
                self.place = (self.index, self.input, self.foreach_stack())
                self.next(self.inner_join)
            @step
            def inner_join(self, inputs):
                self.places = [i.place for i in inputs]
                self.outer_item = (self.index, self.input)
                self.stacks = [i.foreach_stack() for i in inputs]
                self.next(self.again)
            @step
            def again(self):
                self.still = self.input
                self.next(self.outer_join)
            @step
            def outer_join(self, inputs):
                self.places = [i.places for i in inputs]
                self.outer_items = [i.outer_item for i in inputs]
                self.still = [i.still for i in inputs]
                self.outside = (self.index, self.input)
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert outcome.error is None
        assert outcome.artifact("outer_join", "outer_items") == [(0, "x"), (1, "y")]
        assert outcome.artifact("outer_join", "still") == ["x", "y"]
        assert outcome.artifact("outer_join", "outside") == (None, None)
        assert outcome.artifact("outer_join", "places")[1][2] == (2, 3, [(1, 2, "y"), (2, 3, 3)])
        assert outcome.artifacts("inner_join")[0]["stacks"][1] == [(0, 2, "x"), (1, 3, 2)]
        assert len(outcome.manifests("work")) == 6

    def test_branches_inside_a_foreach(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.items = [10, 20]
                self.next(self.fork, foreach="items")
            @step
            def fork(self):
                self.next(self.a, self.b)
            @step
            def a(self):
                self.v = self.input + 1
                self.next(self.merge)
            @step
            def b(self):
                self.v = self.input + 2
                self.next(self.merge)
            @step
            def merge(self, inputs):
                self.v = (inputs.a.v, inputs.b.v, self.input)
                self.next(self.join)
            @step
            def join(self, inputs):
                self.v = [i.v for i in inputs]
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert outcome.artifact("end", "v") == [(11, 12, 10), (21, 22, 20)]

    def test_a_foreach_inside_a_branch_and_a_join_that_splits_again(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.items = range(3)
                self.next(self.a, self.b)
            @step
            def a(self):
                self.next(self.work, foreach="items")
            @step
            def work(self):
                self.v = self.input
                self.next(self.collect)
            @step
            def collect(self, inputs):
                self.v = sum(i.v for i in inputs)
                self.next(self.join)
            @step
            def b(self):
                self.v = 100
                self.next(self.join)
            @step
            def join(self, inputs):
                self.v = inputs.collect.v + inputs.b.v
                self.again = ["p", "q"]
                self.next(self.more, foreach="again")
            @step
            def more(self):
                self.w = self.input * 2
                self.next(self.last)
            @step
            def last(self, inputs):
                self.w = [i.w for i in inputs]
                self.merge_artifacts(inputs, include=["v"])
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert outcome.artifact("end", "v") == 103
        assert outcome.artifact("end", "w") == ["pp", "qq"]

    def test_the_last_step_may_be_a_join_and_a_branch_may_go_straight_to_it(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.x = 1
                self.next(self.a, self.end)
            @step
            def a(self):
                self.x = 2
                self.next(self.end)
            @step
            def end(self, inputs):
                self.xs = [i.x for i in inputs]
            """,
        )
        assert outcome.artifact("end", "xs") == [2, 1]


class TestForeachOver:
    def items(self, flowtester, expression, **options):
        outcome = run(
            flowtester,
            f"""
            @step
            def start(self):
                self.items = {expression}
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
            "import numpy as np",
            **options,
        )
        if outcome.error is None:
            return outcome.artifact("join", "all")
        return failure(outcome, "start")

    @pytest.mark.parametrize(
        ("expression", "items"),
        [
            ("['a', 'b']", ["a", "b"]),
            ("('a', None)", ["a", None]),
            ("range(2, 5)", [2, 3, 4]),
            ("{'k': 1, 'l': 2}", [("k", 1), ("l", 2)]),
            ("{'b', 'c', 'a'}", ["a", "b", "c"]),
            ("frozenset({3, 1})", [1, 3]),
            ("{1, 'a'}", [1, "a"]),
            ("np.array([4, 5])", [4, 5]),
        ],
    )
    def test_its_items(self, flowtester, expression, items):
        assert self.items(flowtester, expression) == items

    def test_rows_of_a_matrix(self, flowtester):
        assert [r.tolist() for r in self.items(flowtester, "np.eye(2)")] == [[1, 0], [0, 1]]

    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("'text'", ["'self.items', which is str, not a collection"]),
            ("b'text'", ["which is bytes, not a collection"]),
            ("7", ["which is a int and has no items"]),
            ("iter([1])", ["list_iterator", "read only once"]),
            ("[]", ["'self.items' has no items, so no task would run"]),
            ("{}", ["'self.items' has no items"]),
            ("np.array([])", ["'self.items' has no items"]),
        ],
    )
    def test_what_has_no_clear_items_is_refused(self, flowtester, expression, words):
        found = self.items(flowtester, expression)
        assert found.type == "flow_core.errors.TransitionError"
        assert "Step 'start'" in found.message
        for word in words:
            assert word in found.message
        assert "flow.py:" in found.traceback
        assert "try:" in found.traceback

    def test_an_item_that_cannot_be_stored_is_named(self, flowtester):
        found = self.items(flowtester, "[1, {'lock': __import__('threading').Lock()}]")
        assert "self.items[1]['lock'] is a _thread.lock" in found.message

    def test_an_artifact_that_was_never_set(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.itmes = [1]
                self.next(self.work, foreach="items")
            @step
            def work(self):
                self.next(self.join)
            @step
            def join(self, inputs):
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        found = failure(outcome, "start")
        assert found.message == "Step 'start': foreach='items', but self.items was never set"
        assert "did you mean 'itmes'?" in found.traceback

    def test_an_error_of_the_users_own_iteration_is_the_steps_failure(self, flowtester):
        outcome = run(
            flowtester,
            """
            class Broken:
                def __len__(self): return 2
                def __getitem__(self, n): raise RuntimeError("no item")
            @step
            def start(self):
                self.items = F.Broken()
                self.next(self.work, foreach="items")
            @step
            def work(self):
                self.next(self.join)
            @step
            def join(self, inputs):
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert outcome.state is RunState.FAILED
        assert failure(outcome, "start")[:3] == ("error", "RuntimeError", "no item")


class TestTransitions:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            ("self.helper()", "Step 'start': self.next was called twice"),
            ("return", "Step 'start': it ended without self.next(...)"),
            ("self.other()", "self.next went to start, which is not what the source"),
        ],
    )
    def test_at_run_time_the_source_is_right(self, flowtester, call, message):
        outcome = run(
            flowtester,
            f"""
            def helper(self):
                self.next(self.end)
            def other(self):
                self.next(self.start)
            @step
            def start(self):
                {call}
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        found = failure(outcome, "start")
        assert found.type == "flow_core.errors.TransitionError"
        assert message in found.message
        assert "flow.py" in found.traceback

    def test_outside_of_a_task_there_is_no_way_on(self):
        with pytest.raises(TransitionError, match="is not in a task"):
            object.__new__(FlowSpec).next()


class TestArtifacts:
    def test_in_place_change_of_a_read_artifact_is_kept(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.x = [1]
                self.next(self.middle)
            @step
            def middle(self):
                self.x.append(2)
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert outcome.artifact("start", "x") == [1]
        assert outcome.artifact("end", "x") == [1, 2]

    def test_deleted_artifacts_are_gone(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.x = self.y = self.z = 1
                self.next(self.middle)
            @step
            def middle(self):
                self.y
                del self.x, self.y
                self.has = hasattr(self, "x"), hasattr(self, "y"), hasattr(self, "z")
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        assert sorted(outcome.artifacts("end")[0]) == ["has", "z"]
        assert outcome.artifact("end", "has") == (False, False, True)

    def test_deleting_what_is_not_there(self, flowtester):
        outcome = run_steps(flowtester, "del self.nothing")
        assert failure(outcome, "start").type == "AttributeError"

    def test_private_names_are_stored_and_double_underscores_are_not(self, flowtester):
        outcome = run_steps(
            flowtester,
            """
            self._private = 1
            self.__mangled = __import__("threading").Lock()
            setattr(self, "__dunder", 2)
            self.public = (self.__mangled.locked(), getattr(self, "__dunder"))
            """,
        )
        assert outcome.error is None
        assert outcome.artifacts("start") == [{"_private": 1, "public": (False, 2)}]

    def test_a_missing_one_says_what_is_near(self, flowtester):
        outcome = run_steps(flowtester, "self.total = 1", "self.totl")
        assert failure(outcome, "end")[1:3] == (
            "AttributeError",
            "Flow 'F' has no artifact 'totl' here. did you mean 'total'?",
        )

    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("self.end = 1", "'end' is a step; assign to another name"),
            ("self.alpha = 1", "Parameter 'alpha' cannot be changed: parameters are read-only"),
            ("del self.alpha", "Parameter 'alpha' cannot be deleted"),
            ("self.LIMIT = 1", "'LIMIT' is a constant of the class and cannot be changed"),
            ("self.helper = 1", "'helper' is defined by the class"),
            ("self._cache = 1", "'_cache' is defined by the class"),
            ("self.Nested = 1", "'Nested' is defined by the class"),
            ("self.next = 1", "'next' is defined by the class"),
            ("self.merge_artifacts = 1", "'merge_artifacts' is defined by the class"),
            ("self.input = 1", "'input'"),
            ("self.name = 1", "'name'"),
        ],
    )
    def test_names_that_mean_something_else_are_refused(self, flowtester, statement, message):
        outcome = run(
            flowtester,
            f"""
            alpha = Parameter("alpha", default=3)
            LIMIT = 5
            _cache = None
            class Nested: pass
            def helper(self): pass
            @step
            def start(self):
                {statement}
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        found = failure(outcome, "start")
        assert found.type == "AttributeError"
        assert message in found.message

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("self", "self.keep is a __main__.F"),
            ("[self]", "self.keep[0] is a __main__.F"),
            ("__import__('threading').Lock()", "self.keep is a _thread.lock"),
            ("(n for n in [1])", "self.keep is a generator"),
            ("lambda: self", "self.keep is a function"),
        ],
    )
    def test_what_cannot_be_stored_is_named_with_its_path(self, flowtester, value, words):
        outcome = run_steps(flowtester, f"self.before = 1\nself.keep = {value}")
        found = failure(outcome, "start")
        assert found.type == "flow_core.errors.ArtifactError"
        assert found.message == f"Artifact 'keep' cannot be stored: {words}"
        assert "flow.py:" in found.traceback
        assert "step 'start'" in found.traceback
        assert "self.__keep" in found.traceback
        assert outcome.artifacts("start") == [{"before": 1}]

    def test_inputs_cannot_be_stored(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.next(self.a, self.b)
            @step
            def a(self):
                self.next(self.join)
            @step
            def b(self):
                self.next(self.join)
            @step
            def join(self, inputs):
                self.keep = inputs
                self.next(self.end)
            @step
            def end(self): pass
            """,
        )
        found = failure(outcome, "join")
        assert "self.keep is a flow_core.binding.Inputs" in found.message
        assert "take from it what you need" in found.traceback

    def test_functions_are_stored(self, flowtester):
        outcome = run_steps(
            flowtester,
            """
            offset = 10
            self.f = lambda n: n + offset
            self.g = double
            """,
            "self.result = (self.f(1), self.g(4))",
            head="def double(n):\n    return 2 * n\n",
        )
        assert outcome.artifact("end", "result") == (11, 8)

    def test_classes_of_the_flow_file_keep_their_identity_in_the_flow(self, flowtester):
        outcome = run_steps(
            flowtester,
            "self.p = Point(1, 2); self.c = Color.RED",
            "self.same = (isinstance(self.p, Point), self.p == Point(1, 2), self.c is Color.RED)",
            head="""
            from dataclasses import dataclass
            from enum import Enum
            @dataclass
            class Point:
                x: int
                y: int
            class Color(Enum):
                RED = 1
            """,
        )
        assert outcome.artifact("end", "same") == (True, True, True)

    def test_another_process_reads_them_without_the_file(self, flowtester):
        outcome = run_steps(
            flowtester,
            "self.p = self.q = Point(1); self.r = Point(2)",
            head="class Point:\n    def __init__(self, x): self.x = x\n    def twice(self): return self.x * 2\n",
        )
        flowtester.path.joinpath("flow.py").unlink()
        found = outcome.artifacts("start")[0]
        assert (found["p"].twice(), found["r"].twice()) == (2, 4)
        assert type(found["p"]) is type(found["r"])

    def test_equal_instances_of_such_classes_are_equal_artifacts(self, flowtester):
        outcome = run_steps(
            flowtester,
            "self.p = Point(1)",
            "self.p",
            head="class Point:\n    def __init__(self, x): self.x = x\n",
        )
        (first,), (second,) = outcome.manifests("start"), outcome.manifests("end")
        assert first.artifacts["p"].hash == second.artifacts["p"].hash


class TestClass:
    def test_constants_are_readable_everywhere_and_stored(self, flowtester):
        outcome = run(
            flowtester,
            """
            LIMIT = 5
            TABLE = {"a": 1}
            @property
            def double(self): return 2 * self.LIMIT
            class Nested:
                value = 1
            @step
            def start(self):
                self.x = (self.LIMIT, self.double, self.Nested.value, self.TABLE["a"])
                self.next(self.end)
            @step
            def end(self):
                self.y = self.double
            """,
        )
        assert outcome.artifact("end", "x") == (5, 10, 1, 1)
        assert outcome.artifact("end", "y") == 10
        assert sorted(outcome.artifacts("end")[0]) == ["x", "y"]

    def test_in_place_changes_of_constants_are_lost_between_tasks(self, flowtester):
        file = flowtester.write(
            """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                TABLE = [1]
                @step
                def start(self):
                    self.TABLE.append(2)
                    self.next(self.end)
                @step
                def end(self):
                    print("seen", self.TABLE)
            if __name__ == "__main__":
                F()
            """
        )
        assert "seen [1]" in flowtester.python(file, "run").check().stdout

    def test_steps_parameters_and_constants_are_inherited_and_overridden(self, flowtester):
        outcome = flowtester.run(
            HEAD
            + """
class Base(FlowSpec):
    alpha = Parameter("alpha", default=1)
    WORD = "base"
    @step
    def start(self):
        self.x = self.word()
        self.next(self.middle)
    @step
    def middle(self):
        self.y = "base"
        self.next(self.end)
    @step
    def end(self): pass
    def word(self):
        return self.WORD

class Mine(Base):
    WORD = "mine"
    alpha = Parameter("alpha", default=2)
    @step
    def middle(self):
        self.y = f"mine {self.alpha}"
        self.next(self.end)
if __name__ == "__main__":
    Mine()
"""
        )
        assert outcome.flow == "Mine"
        assert outcome.artifact("end", "x") == "mine"
        assert outcome.artifact("end", "y") == "mine 2"

    def test_a_step_may_be_replaced_by_something_else(self):
        class Base(FlowSpec):
            @step
            def start(self): ...
            @step
            def extra(self): ...

        class Mine(Base):
            extra = None

        assert list(step_functions(Mine)) == ["start"]
        assert constants(Mine) == {"extra": None}

    @pytest.mark.parametrize("name", ["next", "input", "index", "name", "foreach_stack"])
    def test_names_of_flow_core_are_reserved(self, name):
        def body(self): ...

        for value, kind in ((step(body), "A step"), (5, "An attribute"), (lambda self: 1, "")):
            cls = type("Mine", (FlowSpec,), {name: value})
            with pytest.raises(DefinitionError) as caught:
                step_functions(cls)
            assert f"cannot be called '{name}'" in caught.value.what
            assert caught.value.what.startswith(kind or "An")
            assert caught.value.why == f"self.{name} is flow-core's own"
            assert caught.value.where
            assert caught.value.hint

    def test_an_attribute_with_a_reserved_name_is_shown_with_its_line(self, flowtester):
        source = """
            from flow_core import FlowSpec, step
            class F(FlowSpec):
                def helper(self):
                    next = 1
                    return next
                next = 5
                @property
                def index(self):
                    return 1
                if True:
                    script_name: str = "x"
                locals()["input"] = 3
                @step
                def start(self):
                    self.next(self.end)
                @step
                def end(self):
                    pass
        """
        text = str(flowtester.run(source).error)
        file = flowtester.path / "flow.py"
        for line, name in ((6, "next"), (8, "index"), (11, "script_name"), (2, "input")):
            assert f"{file}:{line}: An attribute cannot be called '{name}'" in text

    def test_a_base_class_that_is_another_language_may_have_names_of_flow_core(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                assert self.name == "F?"
            """,
            head="""
            class FlowSpec(FlowSpec):
                __flow_language__ = True
                public = 1

                @property
                def name(self):
                    return super().name + "?"
            """,
        )
        assert outcome.state is RunState.SUCCEEDED

    def test_a_private_step_is_refused(self):
        def body(self): ...

        cls = type("Mine", (FlowSpec,), {"_hidden": step(body)})
        with pytest.raises(DefinitionError, match="cannot be called '_hidden'"):
            step_functions(cls)

    def test_step_wants_a_plain_function(self):
        with pytest.raises(DefinitionError, match="no plain function") as caught:
            step(threading.Lock())
        assert "directly above 'def'" in caught.value.hint

    def test_making_a_flow_object_in_an_import_says_what_to_type(self):
        class Mine(FlowSpec): ...

        with pytest.raises(DefinitionError) as caught:
            Mine()
        assert "flow run" in caught.value.hint

    def test_a_decorator_of_the_users_own_between_step_and_function(self, flowtester):
        outcome = run(
            flowtester,
            """
            @step
            @loud
            def start(self):
                self.x = 1
                self.next(self.end)
            @loud
            @step
            def end(self):
                self.y = self.x
            """,
            """
            import functools
            def loud(f):
                @functools.wraps(f)
                def inner(self):
                    print("before", f.__name__)
                    return f(self)
                return inner
            """,
        )
        assert outcome.artifact("end", "y") == 1
        assert outcome.output("end") == "before end\n"


class TestFailures:
    def test_the_traceback_shows_the_users_frames_only(self, flowtester):
        outcome = run_steps(
            flowtester,
            "self.kept = 1\nhelper(0)",
            head="""
            def helper(n):
                try:
                    1 / n
                except ZeroDivisionError as error:
                    raise ValueError("bad n") from error
            """,
        )
        found = failure(outcome, "start")
        assert found[:3] == ("error", "ValueError", "bad n")
        assert "in start" in found.traceback
        assert "in helper" in found.traceback
        assert "ZeroDivisionError: division by zero" in found.traceback
        assert "The above exception was the direct cause" in found.traceback
        assert "flow_core" not in found.traceback
        assert "pluggy" not in found.traceback
        assert outcome.artifacts("start") == [{"kept": 1}]
        assert outcome.state is RunState.FAILED
        assert outcome.error.why.endswith("bad n")
        assert "resume" in outcome.error.hint

    @pytest.mark.parametrize("call", ["exit()", "exit(0)", "exit(3)", "exit('words')"])
    def test_sys_exit_in_a_step_is_a_failure(self, flowtester, call):
        outcome = run_steps(flowtester, f"import sys; sys.{call}")
        found = failure(outcome, "start")
        assert found.type == "SystemExit"
        assert found.message.startswith("the step called sys.exit(")

    @pytest.mark.parametrize(
        ("raised", "kind"),
        [
            ("KeyboardInterrupt()", "KeyboardInterrupt"),
            ("__import__('asyncio').CancelledError()", "asyncio.exceptions.CancelledError"),
            ("Bad()", "__main__.Bad"),
            ("RecursionError()", "RecursionError"),
        ],
    )
    def test_unusual_exceptions_are_failures_with_a_record(self, flowtester, raised, kind):
        outcome = run_steps(
            flowtester,
            f"raise {raised}",
            head="""
            class Bad(Exception):
                def __str__(self): raise RuntimeError("no text")
            """,
        )
        (manifest,) = outcome.manifests("start")
        assert manifest.state is AttemptState.FAILED
        assert manifest.failure.type == kind
        assert manifest.failure.message == kind

    def test_a_flow_file_with_two_flows_asks_which(self, flowtester):
        source = HEAD + "class A(FlowSpec): pass\nclass B(FlowSpec): pass\n"
        with pytest.raises(UsageError) as caught:
            flowtester.load(source)
        assert "more than one flow" in caught.value.what
        assert caught.value.hint.endswith("flow.py:A") or ":A" in caught.value.hint
