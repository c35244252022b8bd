"""Lint: every rule with its text and line, all problems at once, and no surprises on any graph."""

import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_core.errors import FlowError, LintError, StateError
from flow_core.records import RunState

HEAD = "from flow_core import FlowSpec, step\nclass F(FlowSpec):\n"


def problems(flowtester, body):
    """Return (line within the body, message, hint) of all problems, in order."""
    source = HEAD + textwrap.indent(textwrap.dedent(body).strip("\n"), "    ") + "\n"
    session = flowtester.session(flowtester.load(flowtester.write(source)))
    found = session.problems()
    assert all(p.file.endswith("flow.py") for p in found)
    return [(p.line - 2, p.message, p.hint) for p in found]


def chain(*steps):
    """Source of steps 'start', …, 'end' around the given texts."""
    return "\n".join(textwrap.dedent(s).strip("\n") for s in steps)


START = "@step\ndef start(self):\n    self.next(self.a)"
END = "@step\ndef end(self): pass"


class TestRules:
    def test_a_sound_flow_has_no_problem(self, flowtester):
        assert problems(flowtester, chain("@step\ndef start(self): self.next(self.end)", END)) == []

    def test_no_start_and_no_end(self, flowtester):
        found = problems(flowtester, "@step\ndef begin(self):\n    self.next(self.ends)\n")
        messages = [m for _, m, _ in found]
        assert "Flow 'F' has no step 'start'" in messages
        assert "Flow 'F' has no step 'end'" in messages
        assert "Step 'begin' goes to 'ends', which is no step" in messages
        assert "add the first step: @step def start(self):" in [h for _, _, h in found]

    def test_a_flow_without_any_step(self, flowtester):
        assert [m for _, m, _ in problems(flowtester, "x = 1")] == [
            "Flow 'F' has no step 'start'",
            "Flow 'F' has no step 'end'",
        ]

    @pytest.mark.parametrize(
        ("steps", "line", "message", "hint"),
        [
            (
                ["@step\ndef start(self):\n    self.next(self.ed)", END],
                3,
                "Step 'start' goes to 'ed', which is no step",
                "put @step above def ed, or: did you mean 'end'?",
            ),
            (
                ["@step\ndef start(self, inputs):\n    self.next(self.end)", END],
                2,
                "Step 'start' is the first step but takes inputs",
                "def start(self):",
            ),
            (
                [
                    "@step\ndef start(self):\n    self.next(self.end)",
                    END.replace("pass", "..."),
                    "@step\ndef a(self):\n    self.next(self.start)",
                ],
                2,
                "Step 'start' is the first step but is reached from 'a'",
                "def start(self):",
            ),
            (
                [START, "@step\ndef a(self):\n    print()", END],
                5,
                "Step 'a' does not say what follows",
                "end it with self.next(self.some_step)",
            ),
            (
                [START, "@step\ndef a(self, b, c):\n    self.next(self.end)", END],
                5,
                "Step 'a': it takes 3 arguments",
                "def a(self): or, for a join, def a(self, inputs):",
            ),
            (
                [START, "@step\nasync def a(self):\n    yield\n    self.next(self.end)", END],
                5,
                "Step 'a': it has a 'yield', so its body would never run",
                "return nothing",
            ),
            (
                [START, "@step\ndef a(self):\n    if 1:\n        self.next(self.end)", END],
                7,
                "Step 'a': self.next(...) is not the last statement, or stands there twice",
                "call it once, unconditionally, as the last statement of the step",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.end)\n    self.next(self.end)",
                    END,
                ],
                6,
                "Step 'a': self.next(...) is not the last statement, or stands there twice",
                "call it once, unconditionally, as the last statement of the step",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(end)", END],
                6,
                "Step 'a': its self.next(...) is not understood",
                "self.next(self.a, self.b)",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next()", END],
                6,
                "Step 'a': its self.next(...) is not understood",
                "self.next(self.a, self.b)",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, forech='x')", END],
                6,
                "Step 'a': self.next(...) has no argument 'forech'",
                "foreach='items'",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, foreach=self.x)", END],
                6,
                "Step 'a': foreach= takes the name of an artifact, as text",
                "self.items = …",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, self.a, foreach='x')", END],
                6,
                "Step 'a': a foreach goes to exactly one step",
                "self.next(self.work, foreach='items')",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next({1: self.end}, condition='x')", END],
                6,
                "Step 'a': a switch needs two steps to choose from",
                "self.next(self.end)",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, num_parallel=0)", END],
                6,
                "Step 'a': num_parallel=0, but a gang has at least one task",
                "self.next(self.end, num_parallel=4)",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, num_parallel=-2)", END],
                6,
                "Step 'a': num_parallel=-2, but a gang has at least one task",
                "self.next(self.end, num_parallel=4)",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, num_parallel=True)", END],
                6,
                "Step 'a': num_parallel= takes a whole number, or the name of an artifact, as text",
                "self.next(self.end, num_parallel=4)",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.a, self.end, num_parallel=2)",
                    END,
                ],
                6,
                "Step 'a': num_parallel= goes to exactly one step",
                "num_parallel=4",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.end, foreach='x', num_parallel=2)",
                    END,
                ],
                6,
                "Step 'a': it uses num_parallel= together with foreach=",
                "go on with foreach=, and from each of its tasks with num_parallel=",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.ned, num_parallel=2)", END],
                6,
                "Step 'a' goes to 'ned', which is no step",
                "did you mean 'end'?",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.b, num_parallel=2)",
                    "@step\ndef b(self, inputs):\n    self.next(self.end)",
                    END,
                ],
                6,
                "Step 'a' goes with num_parallel= straight into the join 'b'",
                "put a step between them",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.b, num_parallel=2)",
                    "@step\ndef b(self):\n    self.next(self.c)",
                    "@step\ndef c(self):\n    self.next(self.d)",
                    "@step\ndef d(self, inputs):\n    self.next(self.end)",
                    END,
                ],
                9,
                "Step 'b' is entered with num_parallel=, so a join must follow it",
                "self.next(self.join), with def join(self, inputs):",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.b, num_parallel=2)",
                    "@step\ndef b(self):\n    self.next(self.c, foreach='x')",
                    "@step\ndef c(self):\n    self.next(self.d)",
                    "@step\ndef d(self, inputs):\n    self.next(self.e)",
                    "@step\ndef e(self, inputs):\n    self.next(self.end)",
                    END,
                ],
                9,
                "Step 'b' is entered with num_parallel=, so a join must follow it",
                "self.next(self.join), with def join(self, inputs):",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, num_parallel=self.n)", END],
                8,
                "Step 'end' is entered with num_parallel=, so a join must follow it",
                "self.next(self.join), with def join(self, inputs):",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, self.end)", END],
                6,
                "Step 'a' goes to one step twice",
                "name each step once",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.b, self.end)",
                    "@step\ndef b(self):\n    self.next(self.end)",
                    END,
                ],
                11,
                "Step 'end' is reached from 'a' and 'b', so it must join them",
                "def end(self, inputs):",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.b, foreach='x')",
                    "@step\ndef b(self, inputs):\n    self.next(self.end)",
                    END,
                ],
                6,
                "Step 'a' splits with foreach straight into the join 'b'",
                "put a step between them",
            ),
            (
                [
                    START,
                    "@step\ndef a(self):\n    self.next(self.end)",
                    "@step\ndef end(self):\n    self.next(self.a)",
                ],
                9,
                "Step 'end' is the last step but calls self.next",
                "remove self.next from it",
            ),
            (
                [
                    "@step\ndef start(self):\n    self.next(self.end)",
                    END,
                    "@step\ndef lost(self):\n    self.next(self.lost2)",
                    "@step\ndef lost2(self):\n    self.next(self.lost3)",
                    "@step\ndef lost3(self):\n    self.next(self.lost)",
                ],
                14,
                "Steps go round in a ring: lost → lost2 → lost3 → lost",
                "a flow goes forward only: remove one of these self.next",
            ),
            (
                [
                    "@step\ndef start(self):\n    self.next(self.end)",
                    "@step\ndef lost(self):\n    self.next(self.lost2)",
                    "@step\ndef lost2(self, inputs):\n    print()\n    self.next(self.end2)",
                    "@step\ndef end2(self):\n    self.next(self.end)",
                    END.replace("self", "self, i"),
                ],
                5,
                "Step 'lost' is never reached",
                "go there with self.next(self.lost), or remove it",
            ),
            (
                [START, "@step\ndef a(self, inputs):\n    self.next(self.end)", END],
                5,
                "Join 'a' is reached from 'start' outside of any split",
                "def a(self): if there is nothing to join",
            ),
            (
                [START, "@step\ndef a(self):\n    self.next(self.end, foreach='x')", END],
                8,
                "Step 'end' is reached before the split of 'a' was joined",
                "add a join step before it: def join(self, inputs):",
            ),
            (
                [
                    "@step\ndef start(self):\n    self.next(self.a, self.b)",
                    "@step\ndef a(self):\n    self.next(self.j)",
                    "@step\ndef b(self):\n    self.next(self.k)",
                    "@step\ndef j(self, inputs):\n    self.next(self.end)",
                    "@step\ndef k(self, inputs):\n    self.next(self.end)",
                    "@step\ndef end(self, inputs): pass",
                ],
                11,
                "Join 'j' does not join all branches of 'start': 'b' does not lead there",
                "let every branch of 'start' end in self.next(self.j)",
            ),
            (
                [
                    "@step\ndef start(self):\n    self.next(self.a, self.b)",
                    "@step\ndef a(self):\n    self.next(self.c, foreach='x')",
                    "@step\ndef b(self):\n    self.next(self.j)",
                    "@step\ndef c(self):\n    self.next(self.j)",
                    "@step\ndef j(self, inputs):\n    self.next(self.end)",
                    END,
                ],
                14,
                "Join 'j' joins branches of different splits ('a' and 'start')",
                "join the branches of the inner split first",
            ),
        ],
        ids=lambda v: v if isinstance(v, str) and " " in v and "\n" not in v else "",
    )
    def test_each_has_its_text_and_line(self, flowtester, steps, line, message, hint):
        found = problems(flowtester, chain(*steps))
        assert (line, message) in [(n, m) for n, m, _ in found], found
        assert any(hint in h for _, m, h in found if m == message)

    def test_all_problems_at_once_in_the_order_of_the_source(self, flowtester):
        found = problems(
            flowtester,
            chain(
                "@step\ndef start(self):\n    self.next(self.a, self.b)",
                "@step\ndef a(self):\n    self.next(self.nowhere)",
                "@step\ndef b(self):\n    self.next(self.c, num_parallel=0)",
                "@step\ndef c(self, x, y):\n    self.next(self.end)",
                "@step\ndef r1(self):\n    self.next(self.r2)",
                "@step\ndef r2(self):\n    self.next(self.r1)",
                "@step\ndef s1(self):\n    self.next(self.s1)",
                END,
            ),
        )
        assert [n for n, _, _ in found] == [6, 9, 11, 18, 21]
        assert [m.split(" ")[1].strip("':") for _, m, _ in found] == ["a", "b", "c", "go", "go"]

    def test_the_error_numbers_them_with_their_places(self, flowtester):
        outcome = flowtester.run(
            HEAD + "    @step\n    def start(self):\n        self.next(self.ed)\n    @step\n"
            "    def end(self):\n        self.next(self.start)\n"
        )
        assert isinstance(outcome.error, LintError)
        text = str(outcome.error)
        assert text.startswith("Flow 'F' has ")
        assert "1. " in text
        assert "flow.py:5: Step 'start' goes to 'ed'" in text
        assert "     try: put @step above def ed" in text
        assert outcome.run == ""


class TestSwitches:
    @pytest.mark.parametrize(
        ("call", "message", "hint"),
        [
            ("{'x': self.b, 'y': self.end}", "a switch needs condition=", "condition='kind'"),
            ("condition='k'", "condition= goes with one dict, written out", "self.next({'x'"),
            ("cases, condition='k'", "condition= goes with one dict, written out", "{'x': self.a"),
            (
                "{'x': self.b, 'y': self.end}, self.b, condition='k'",
                "condition= goes with one dict, written out",
                "condition='kind'",
            ),
            ("{}, condition='k'", "a switch needs two steps to choose from", "{'x': self.a"),
            (
                "{'x': self.b, 'y': self.b}, condition='k'",
                "a switch needs two steps to choose from",
                "self.next(self.b)",
            ),
            (
                "{'x': self.b, 'y': self.end}, condition=self.k",
                "condition= takes the name of an artifact, as text",
                "condition='kind'",
            ),
            (
                "{'x': self.b, 'y': self.end}, condition='k', foreach='z'",
                "a switch takes no other argument than condition=, but has 'foreach'",
                "condition='kind'",
            ),
            (
                "{'x': self.b, f'{1}': self.end}, condition='k'",
                "the case f'{1}' of its switch is not written out",
                "self.config.key",
            ),
            (
                "{'x': self.b, **more}, condition='k'",
                "the case **more of its switch is not written out",
                "self.config.key",
            ),
            (
                "{'x': self.b, 'y': 'end'}, condition='k'",
                "the case 'y' of its switch leads to no step",
                "condition='kind'",
            ),
            (
                "{'x': self.b, 'x': self.end}, condition='k'",
                "its switch has the case 'x' twice",
                "remove one",
            ),
            ("self.b, allow_empty=True", "allow_empty= goes with foreach= only", "foreach='items'"),
            (
                "self.b, foreach='x', allow_empty=self.yes",
                "allow_empty= is True or False, written out",
                "allow_empty=True",
            ),
        ],
    )
    def test_its_form(self, flowtester, call, message, hint):
        b = "@step\ndef b(self):\n    self.next(self.end)"
        a = f"@step\ndef a(self):\n    self.next({call})"
        ((line, text, what_to_do),) = problems(flowtester, chain(START, a, b, END))
        assert line == 6
        assert text.startswith(f"Step 'a': {message}")
        assert hint in what_to_do

    @pytest.mark.parametrize(
        ("steps", "message", "hint"),
        [
            (  # the ways of a switch meet in a join, but nothing was split
                "start=x,y? x=j y=j j()=end",
                "Join 'j' is reached from 'x' and 'y' outside of any split",
                "def j(self): if there is nothing to join",
            ),
            (  # the branches of a split meet without a join
                "start=a,b a=x,y? x=m y=m b=m m=end",
                "Step 'm' is reached from 'b' and 'x' and 'y', so it must join them",
                "def m(self, inputs):",
            ),
            (  # each branch may come to either join
                "start=a,b a=x,y? b=z,w? x=j y=k z=j w=k j()=end k()=end",
                "Join 'k' joins the branches of 'start', but 'j' does so as well",
                "let the ways of the switch meet in a step before the join",
            ),
            (  # one way of the switch misses the join
                "start=a,b a=x,y? x=j y=end b=j j()=end",
                "Step 'end' is reached from 'j' and 'y', so it must join them",
                "def end(self, inputs):",
            ),
            (
                "start=a a=b b=a,end?",
                "Steps go round in a ring: a → b → a",
                "only one step can repeat, by choosing itself",
            ),
            (
                "start=a a=a",
                "Steps go round in a ring: a → a",
                "to repeat it, let it choose: self.next({'again': self.a, ",
            ),
            (
                "start=a,b a=j b=j j()=j,end?",
                "Step 'j' is a join that may choose itself, but the inputs are there once only",
                "let the join go on to a step that repeats",
            ),
        ],
    )
    def test_its_ways(self, flowtester, steps, message, hint):
        found = problems(flowtester, drawn(steps))
        assert any(m.startswith(message) and hint in h for _, m, h in found), found

    @pytest.mark.parametrize(
        "steps",
        [
            "start=x,y? x=m y=m m=end",
            "start=x,end? x=end",  # a way that is skipped
            "start=start,end?",
            "start=a a=x,y? x=x,m? y=m m=end",
            "start=a,b a=x,y? x=j y=j b=j j()=end",
            "start=a* a=x,j? x=j j()=end",  # straight to the join
            "start=a* a=a,j? j()=end",  # repeats inside a foreach
            "start=s,t? s=a,b t=c* a=j b=j c=j j()=end",  # it chooses between splits, one join
            "start=s,t? s=a,b a=j b=j j()=m t=c* c=k k()=m m=end",  # … with a join for each
        ],
    )
    def test_what_is_sound(self, flowtester, steps):
        assert problems(flowtester, drawn(steps)) == []


def drawn(steps):
    """Source of a flow: ``a=b,c`` is a split, ``a=b,c?`` a switch, ``a=b*`` a foreach, ``j()`` a join."""
    lines = []
    for name, way in (word.split("=") for word in steps.split()):
        targets = way.rstrip("?*").split(",")
        go = ", ".join(f"self.{t}" for t in targets)
        if way.endswith("?"):
            go = "{" + ", ".join(f"'{t}': self.{t}" for t in targets) + "}, condition='k'"
        elif way.endswith("*"):
            go += ", foreach='items'"
        inputs = ", inputs" if name.endswith("()") else ""
        lines.append(f"@step\ndef {name.rstrip('()')}(self{inputs}):\n    self.next({go})")
    return "\n".join([*lines, END])


# --- random graphs ------------------------------------------------------------------------------

shapes = st.recursive(
    st.just(("line", ())),
    lambda inner: st.one_of(
        st.tuples(st.just("seq"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("split"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("foreach"), st.tuples(st.integers(1, 3), inner)),
    ),
    max_leaves=6,
)


class Written:
    """A random well-formed flow: its steps as data, and how often each should run."""

    def __init__(self, shape):
        self.steps = {}  # name → [joins, targets, foreach count or 0]
        self.times = {}
        self.arity = {}
        first, last = self._write(shape, 1)
        self._step("start", 1)[1].append(first)
        self._step("end", 1)
        self.steps[last][1].append("end")

    def _step(self, name, times, joins=False):
        self.steps[name] = [joins, [], 0]
        self.times[name] = times
        return self.steps[name]

    def _name(self):
        return f"s{len(self.steps)}"

    def _write(self, shape, times):
        kind, parts = shape
        if kind == "line":
            name = self._name()
            self._step(name, times)
            return name, name
        if kind == "seq":
            first = last = ""
            for part in parts:
                begin, end = self._write(part, times)
                if last:
                    self.steps[last][1].append(begin)
                first, last = first or begin, end
            return first, last
        opening = self._name()
        split = self._step(opening, times)
        if kind == "split":
            ends = []
            for part in parts:
                begin, end = self._write(part, times)
                split[1].append(begin)
                ends.append(end)
            arity = len(parts)
        else:
            arity, part = parts
            begin, end = self._write(part, times * arity)
            split[1].append(begin)
            split[2] = arity
            ends = [end]
        closing = self._name()
        self._step(closing, times, joins=True)
        self.arity[closing] = arity
        for end in ends:
            self.steps[end][1].append(closing)
        return opening, closing

    def source(self):
        lines = ["from flow_core import FlowSpec, step", "class F(FlowSpec):"]
        for name, (joins, targets, count) in self.steps.items():
            lines += ["    @step", f"    def {name}(self{', inputs' if joins else ''}):"]
            if joins:
                lines.append("        self.arity = len(inputs)")
            if count:
                lines.append(f"        self.items = range({count})")
            go = ", ".join(f"self.{t}" for t in targets)
            foreach = ", foreach='items'" if count else ""
            lines.append(f"        self.next({go}{foreach})" if targets else "        pass")
        return "\n".join(lines) + "\n"


quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class TestRandomGraphs:
    @quick
    @given(shapes)
    def test_well_formed_ones_run_as_they_say(self, flowtester, shape):
        written = Written(shape)
        outcome = flowtester.run(written.source())
        assert outcome.error is None, outcome.error
        for name, times in written.times.items():
            assert len(outcome.manifests(name)) == times, name
        for name, arity in written.arity.items():
            assert {a["arity"] for a in outcome.artifacts(name)} == {arity}, name

    @quick
    @given(shapes, st.data())
    def test_mutated_ones_are_refused_or_run(self, flowtester, shape, data):
        written = Written(shape)
        names = sorted(written.steps)
        for _ in range(data.draw(st.integers(1, 2))):
            joins, targets, _ = step = written.steps[data.draw(st.sampled_from(names))]
            change = data.draw(st.sampled_from(["drop", "add", "inputs", "foreach"]))
            if change == "drop" and targets:
                targets.pop(data.draw(st.integers(0, len(targets) - 1)))
            elif change == "add":
                targets.append(data.draw(st.sampled_from([*names, "nowhere"])))
            elif change == "inputs":
                step[0] = not joins
            elif change == "foreach":
                step[2] = 0 if step[2] else 2
        outcome = flowtester.run(written.source())
        assert not isinstance(outcome.error, StateError), outcome.error
        if isinstance(outcome.error, LintError):
            assert all(p.line and p.hint and p.message for p in outcome.error.problems)
        else:
            # What lint lets pass runs: the scheduler and the steps agree on the graph.
            assert outcome.error is None or isinstance(outcome.error, FlowError)
            assert outcome.state is RunState.SUCCEEDED, (outcome.error, written.source())


def test_what_is_wrong_with_the_class_is_shown_with_the_rest(flowtester):
    outcome = flowtester.run(
        """
        from flow_core import FlowSpec, Parameter, step

        class F(FlowSpec):
            one = Parameter("alpha")
            two = Parameter("alpha")

            @step
            def start(self):
                self.next(self.nowhere)

            @step
            def input(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    text = str(outcome.error)
    assert "two parameters with the option --alpha" in text
    assert "A step cannot be called 'input': self.input is flow-core's own" in text
    assert "goes to 'nowhere', which is no step" in text
