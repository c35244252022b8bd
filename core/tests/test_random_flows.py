"""Random flows: sound ones give what plain Python gives; what is not sound is refused before it runs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_core.errors import LintError, StateError
from flow_core.hookspecs import hookimpl
from flow_core.records import RunState
from flow_core.testing import FlowTester

SKIP, AGAIN = "skip", "again"
LIST, RANGE, DICT, SET = "list", "range", "dict", "set"
MARKS = ("red", "green", "blue")  # artifacts that some steps set, and joins merge


# --- the flow as data, and as source ------------------------------------------------------------


@dataclass
class Step:
    """One step: what stands in its source. ``targets`` of a switch are those of its cases."""

    name: str
    factor: int
    kind: str = "line"
    targets: list[str] = field(default_factory=list)
    joins: bool = False
    takes: bool = False  # whether it adds its foreach item
    container: str = LIST
    empty: bool = False
    is_async: bool = False
    size: int = 0  # of the gang that it starts
    mark: str = ""  # the artifact of `MARKS` that it sets
    above: list[str] = field(default_factory=lambda: ["@step"])
    twist: Callable[[list[str]], list[str]] | None = None  # changes the lines of its source

    def source(self) -> list[str]:
        lines = [
            *self.above,
            f"{'async ' * self.is_async}def {self.name}(self{', inputs' * self.joins}):",
            *(f"    {line}" for line in self._body()),
        ]
        return [f"    {line}" for line in (self.twist(lines) if self.twist else lines)]

    def _body(self) -> list[str]:
        lines = []
        if self.joins:
            lines += [
                "self.v = sum((n + 1) * i.v for n, i in enumerate(inputs)) % 97",
                "self.trace = [entry for i in inputs for entry in i.trace]",
                "if len(inputs):",
                "    self.conflicts = merge_marks(self, inputs)",
                "else:",
                "    del self.v, self.trace",
                "    self.merge_artifacts(inputs)",
            ]
        if self.kind == "switch":
            lines.append(f"if current.iteration == 0: self.begun_{self.name} = self.v")
        if self.takes:
            lines.append("self.v += self.input[1] if isinstance(self.input, tuple) else self.input")
        lines += [
            f"self.v = (self.v * {self.factor} + 1) % 97",
            "places = [place for place, count, item in self.foreach_stack()]",
            f"self.trace = [*self.trace, ('{self.name}', places, self.input)]",
        ]
        if self.mark:
            lines.append(f"self.{self.mark} = self.v % 2")
        return lines + self._next()

    def _next(self) -> list[str]:
        ways = [f"self.{target}" for target in self.targets]
        if self.kind == "switch":
            cases = ", ".join(f"{n}: {way}" for n, way in enumerate(ways))
            return [
                f"self.way = (self.begun_{self.name} + current.iteration) % {len(ways)}",
                f"self.next({{{cases}}}, condition='way')",
            ]
        if self.kind == "foreach":
            items = {
                LIST: "[self.v + n for n in range(self.count)]",
                RANGE: "range(self.v, self.v + self.count)",
                DICT: "{f'k{n}': self.v - n for n in range(self.count)}",
                SET: "{self.v - n for n in range(self.count)}",
            }
            over = f"foreach='items', allow_empty={self.empty}"
            return [
                f"self.count = self.v % 3 + {int(not self.empty)}",
                f"self.items = {items[self.container]}",
                f"self.next({', '.join([*ways, over])})",
            ]
        if self.kind == "gang":
            return [f"self.next({', '.join([*ways, f'num_parallel={self.size}'])})"]
        return [f"self.next({', '.join(ways)})"] if ways else []


HELPER = """
def merge_marks(self, inputs):
    wanted = [m for m in MARKS if any(hasattr(i, m) for i in inputs)]
    conflicts = []
    if wanted:
        try:
            self.merge_artifacts(inputs, include=wanted)
        except MergeError as error:
            conflicts = error.artifact_names
            wanted = [m for m in wanted if m not in conflicts]
            if wanted:
                self.merge_artifacts(inputs, include=wanted)
    return list(conflicts)
"""


class State(NamedTuple):
    """What plain Python keeps of a task's artifacts."""

    v: int
    trace: list[Any]
    marks: dict[str, int]


def items_of(step: Step, v: int) -> list[Any]:
    """What the foreach of ``step`` goes over."""
    count = v % 3 + int(not step.empty)
    if step.container == DICT:
        return [(f"k{n}", v - n) for n in range(count)]
    return sorted(v - n for n in range(count)) if step.container == SET else [*range(v, v + count)]


# --- sound flows, and what plain Python makes of them -------------------------------------------


class Written:
    """A sound flow, built from a shape. Each part is a tuple: kind, then its steps and parts."""

    def __init__(self, shape: Any, draw: Any, above_gangs: tuple[str, ...] = ()) -> None:
        self.steps: dict[str, Step] = {}
        self._draw = draw
        self._above_gangs = above_gangs
        self.start = self._step(draw(st.sampled_from(["start", "begin"])), targets=[""])
        self.end = self._step(draw(st.sampled_from(["end", "finish"])), kind="end")
        for step, mark in ((self.start, "start"), (self.end, "end")):
            if step.name != mark:
                step.above = [f"@step({mark}=True)"]
        self.part, entry, exits = self._build(shape)
        self._link([(self.start, 0)], entry)
        self._link(exits, self.end.name)
        self.visits: Counter[str] = Counter()

    def _step(self, name: str = "", **facts: Any) -> Step:
        name = name or f"s{len(self.steps)}"
        step = Step(
            name,
            self._draw(st.integers(2, 5)),
            is_async=self._draw(st.booleans()),
            mark=self._draw(st.sampled_from(["", "", "", *MARKS])),
        )
        for fact, value in facts.items():
            setattr(step, fact, value)
        self.steps[name] = step
        return step

    def _link(self, exits: list[tuple[Step, int]], target: str) -> None:
        for step, number in exits:
            step.targets[number] = target

    def _build(self, shape: Any) -> tuple[Any, str, list[tuple[Step, int]]]:
        """Return the part, its first step, and its last steps with the number of the open target."""
        kind, *rest = shape
        return getattr(self, f"_{kind}")(*rest)

    def _line(self, **facts: Any) -> Any:
        step = self._step(targets=[""], **facts)
        return ("line", step), step.name, [(step, 0)]

    def _seq(self, shapes: list[Any]) -> Any:
        parts, first, exits = [], "", []
        for shape in shapes:
            part, entry, ends = self._build(shape)
            self._link(exits, entry)
            first, exits = first or entry, ends
            parts.append(part)
        return ("seq", parts), first, exits

    def _split(self, shapes: list[Any]) -> Any:
        opening, join = self._step(kind="split"), self._step(joins=True, targets=[""])
        parts = []
        for shape in shapes:
            part, entry, exits = self._build(shape)
            opening.targets.append(entry)
            self._link(exits, join.name)
            parts.append(part)
        return ("split", opening, parts, join), opening.name, [(join, 0)]

    def _foreach(self, container: str, empty: bool, shape: Any) -> Any:
        opening = self._step(kind="foreach", container=container, empty=empty)
        join = self._step(joins=True, targets=[""])
        taking, entry, exits = self._line(takes=True)
        opening.targets = [entry]
        part, entry, ends = self._build(shape)
        self._link(exits, entry)
        self._link(ends, join.name)
        return ("foreach", opening, taking, part, join), opening.name, [(join, 0)]

    def _gang(self, size: int) -> Any:
        opening = self._step(kind="gang", size=size)
        join = self._step(joins=True, targets=[""])
        member = self._step(takes=True, targets=[join.name])
        member.above = [*self._above_gangs, "@step"]
        opening.targets = [member.name]
        return ("gang", opening, member, join), opening.name, [(join, 0)]

    def _switch(self, cases: list[Any]) -> Any:
        step = self._step(kind="switch", targets=[""] * len(cases))
        parts, exits = [], []
        for number, case in enumerate(cases):
            if case == SKIP:
                parts.append(SKIP)
                exits.append((step, number))
            elif case == AGAIN:
                parts.append(AGAIN)
                step.targets[number] = step.name
            else:
                part, step.targets[number], ends = self._build(case)
                parts.append(part)
                exits += ends
        return ("switch", step, parts), step.name, exits

    def source(self) -> str:
        names = "FlowSpec, current, parallel, step"
        if not self._above_gangs:
            names = names.replace("parallel, ", "")
        head = [
            f"from flow_core import {names}",
            "from flow_core.api import MergeError",
            f"MARKS = {MARKS}",
            HELPER,
            "class F(FlowSpec):",
        ]
        lines = [line for step in self.steps.values() for line in step.source()]
        start = lines.index(f"        self.v = (self.v * {self.start.factor} + 1) % 97")
        lines[start:start] = ["        self.v, self.trace = 1, []"]
        return "\n".join([*head, *lines, "if __name__ == '__main__':", "    F()"]) + "\n"

    # --- plain Python ---

    def interpret(self) -> State:
        """Return what there is at the end, without any flow."""
        state = self._visit(self.start, State(1, [], {}), [])
        return self._visit(self.end, self._walk(self.part, state, []), [])

    def _visit(self, step: Step, state: State, stack: list[Any]) -> State:
        self.visits[step.name] += 1
        item = stack[-1][1] if stack else None
        v = state.v
        if step.takes:
            v += item[1] if isinstance(item, tuple) else item
        v = (v * step.factor + 1) % 97
        entry = (step.name, [place for place, _ in stack], item)
        marks = {**state.marks, step.mark: v % 2} if step.mark else state.marks
        return State(v, [*state.trace, entry], marks)

    def _walk(self, part: Any, state: Any, stack: list[Any]) -> Any:
        kind, *rest = part
        return getattr(self, f"_walk_{kind}")(*rest, state, stack)

    def _walk_line(self, step: Step, state: Any, stack: list[Any]) -> Any:
        return self._visit(step, state, stack)

    def _walk_seq(self, parts: list[Any], state: Any, stack: list[Any]) -> Any:
        for part in parts:
            state = self._walk(part, state, stack)
        return state

    def _walk_split(
        self, opening: Step, parts: list[Any], join: Step, state: Any, stack: list[Any]
    ) -> Any:
        state = self._visit(opening, state, stack)
        return self._join(join, [self._walk(part, state, stack) for part in parts], state, stack)

    def _walk_foreach(
        self, opening: Step, taking: Any, part: Any, join: Step, state: Any, stack: list[Any]
    ) -> Any:
        state = self._visit(opening, state, stack)
        ends = []
        for place, item in enumerate(items_of(opening, state.v)):
            inner = [*stack, (place, item)]
            ends.append(self._walk(part, self._walk(taking, state, inner), inner))
        return self._join(join, ends, state, stack)

    def _join(self, join: Step, ends: list[Any], before: Any, stack: list[Any]) -> Any:
        if ends:
            v = sum((n + 1) * end.v for n, end in enumerate(ends)) % 97
            trace = [entry for end in ends for entry in end.trace]
            values = {m: {e.marks[m] for e in ends if m in e.marks} for m in MARKS}
            before = State(v, trace, {m: v for m, (v, *more) in _known(values) if not more})
        return self._visit(join, before, stack)

    def _walk_gang(self, opening: Step, member: Step, join: Step, state: Any, stack: Any) -> Any:
        state = self._visit(opening, state, stack)
        ends = [self._visit(member, state, [*stack, (n, n)]) for n in range(opening.size)]
        return self._join(join, ends, state, stack)

    def _walk_switch(self, step: Step, parts: list[Any], state: Any, stack: list[Any]) -> Any:
        begun, iteration = state.v, 0
        while True:
            state = self._visit(step, state, stack)
            chosen = parts[(begun + iteration) % len(parts)]
            if chosen != AGAIN:
                return state if chosen == SKIP else self._walk(chosen, state, stack)
            iteration += 1


def _known(values: dict[str, set[int]]) -> list[tuple[str, list[int]]]:
    return [(mark, sorted(found)) for mark, found in values.items() if found]


def _cases(inner: Any) -> Any:
    """The cases of a switch: at least two different ways, and one that is not the step itself."""
    several = st.lists(st.one_of(inner, st.sampled_from([SKIP, AGAIN])), min_size=2, max_size=4)
    return several.filter(
        lambda cases: (
            any(c != AGAIN for c in cases)
            and (len({c for c in cases if isinstance(c, str)}) + sum(map(_is_part, cases))) >= 2
        )
    )


def _is_part(case: Any) -> bool:
    return not isinstance(case, str)


shapes = st.recursive(
    st.one_of(st.just(("line",)), st.tuples(st.just("gang"), st.integers(1, 3))),
    lambda inner: st.one_of(
        st.tuples(st.just("seq"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("split"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(
            st.just("foreach"), st.sampled_from([LIST, RANGE, DICT, SET]), st.booleans(), inner
        ),
        st.tuples(st.just("switch"), _cases(inner)),
    ),
    max_leaves=6,
)

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Gangs:
    """Makes every step that is entered with num_parallel= a member of a gang, without a plugin."""

    def __init__(self, written: Written) -> None:
        opening = [s for s in written.steps.values() if s.kind == "gang"]
        self.members = {target for step in opening for target in step.targets}

    @hookimpl
    def flow_plan_step(self, step: Any, draft: Any) -> None:
        draft.gang = step.name in self.members


def check(written: Written, outcome: Any) -> None:
    """A run of a sound flow gives what plain Python gives, with a task for each visit."""
    wanted = written.interpret()
    (end,) = outcome.artifacts(written.end.name)
    assert (end["v"], end["trace"]) == (wanted.v, wanted.trace), written.source()
    assert {m: end[m] for m in MARKS if m in end} == wanted.marks, written.source()
    tasks = {name: len(outcome.manifests(name)) for name in written.steps}
    assert tasks == {name: written.visits[name] for name in written.steps}, written.source()


@quick
@given(shapes, st.data())
def test_a_sound_flow_gives_what_plain_python_gives(flowtester, shape, data):
    written = Written(shape, data.draw)
    outcome = flowtester.run(written.source(), modules=[Gangs(written)])
    assert outcome.error is None, (outcome.error, written.source())
    check(written, outcome)


@pytest.mark.slow
def test_processes_give_the_same(tmp_path_factory):
    folders = itertools.count()

    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(shapes.filter(_branches), st.data())
    def runs(shape, data):
        written = Written(shape, data.draw, above_gangs=("@parallel",))
        tester = FlowTester(tmp_path_factory.mktemp(f"flow{next(folders)}"))
        tester.more_plugins = ["parallel"]
        tester.python(tester.write(written.source()), "run").check()
        check(written, tester.left())

    runs()


def _branches(shape: Any) -> bool:
    """Whether a shape is worth the price of processes."""
    return any(kind in repr(shape) for kind in ("split", "foreach", "switch", "gang"))


# --- flows that are not sound -------------------------------------------------------------------


@dataclass
class Spoilt:
    """A sound flow that is changed in one place.

    Attributes:
        about: the step that a problem must name; '' where several may be to blame.
    """

    written: Written
    draw: Any
    about: str = ""

    def step(self, *kinds: str) -> Step:
        """Choose a step that goes on."""
        steps = [s for s in self.written.steps.values() if s.kind != "end"]
        chosen = [s for s in steps if not kinds or s.kind in kinds]
        step: Step = self.draw(st.sampled_from(chosen or steps))
        self.about = step.name
        return step

    def turn(self, step: Step, target: str) -> None:
        step.targets[self.draw(st.integers(0, len(step.targets) - 1))] = target

    def add(self, name: str, **facts: Any) -> Step:
        step = Step(name, 2, targets=[self.written.end.name])
        for fact, value in facts.items():
            setattr(step, fact, value)
        self.written.steps[name] = step
        return step

    # --- the graph ---

    def to_an_unknown_step(self) -> None:
        self.turn(self.step(), "nowhere")

    def back_to_the_start(self) -> None:
        start = self.written.start
        step = self.step()
        self.turn(step, start.name)
        if step is start:
            step.kind = "line"
        self.about = start.name

    def round_in_a_ring(self) -> None:
        """A new step before some step's target leads back to that step."""
        step = self.step()
        ring = self.add("ring", kind="split", targets=[step.name, step.targets[0]])
        self.turn(step, ring.name)
        self.about = ""

    def no_way_on(self) -> None:
        step = self.step()
        step.kind, step.targets = "line", []

    def a_way_beyond_the_end(self) -> None:
        self.written.end.targets = [self.step().name]
        self.about = self.written.end.name

    def a_step_that_is_never_reached(self) -> None:
        self.about = self.add("lost", targets=[self.step().targets[0]]).name

    def a_split_without_a_join(self) -> None:
        step = self.step("line")
        beside = self.add("beside")
        step.targets.append(beside.name)
        step.kind = "split"
        self.about = ""

    def a_split_for_a_switch(self) -> None:
        step = self.step("split", "switch")
        if step.kind not in ("split", "switch"):
            return self.no_way_on()
        step.kind = "switch" if step.kind == "split" else "split"
        self.about = ""
        return None

    def a_switch_to_two_joins(self) -> None:
        """A switch inside of a split goes to the split's join, or to another join."""
        self.add("joint", joins=True)
        self.add("chooser", kind="switch", targets=["joint", self.written.end.name])
        self.add("other", targets=["joint"])
        self.add("fork", kind="split", targets=["chooser", "other"])
        step = self.step()
        self.turn(step, "fork")
        self.about = ""

    def a_foreach_straight_into_a_join(self) -> None:
        self.add("joint", joins=True)
        self.add("opening", kind="foreach", targets=["joint"])
        self.turn(self.step(), "opening")
        self.about = "opening"

    def a_foreach_to_two_steps(self) -> None:
        step = self.step()
        step.kind, step.targets = "foreach", [self.written.end.name, step.targets[0]]

    def a_gang_without_a_join(self) -> None:
        self.add("member", kind="split", targets=[self.written.end.name, "member"])
        self.add("opening", kind="gang", size=2, targets=["member"])
        self.turn(self.step(), "opening")
        self.about = "member"

    def a_gang_of_nobody(self) -> None:
        self.add("opening", kind="gang", size=0, targets=[self.step().targets[0]])
        self.about = "opening"

    def a_switch_with_one_way(self) -> None:
        step = self.step()
        step.kind, step.targets = "switch", step.targets[:1]

    def twice_to_one_step(self) -> None:
        step = self.step()
        step.kind, step.targets = "split", [step.targets[0]] * 2

    def inputs_where_nothing_joins(self) -> None:
        step = self.step()
        step.joins = not step.joins
        self.about = ""

    def two_starts(self) -> None:
        step = self.step()
        for marked in (step, self.written.start):
            marked.above = ["@step(start=True)"]
        if step is self.written.start:
            self.about = self.add("begun", above=["@step(start=True)"]).name

    def a_mark_beside_the_name(self) -> None:
        self.add("marked", above=["@step(end=True)"], targets=[])
        if self.written.end.name != "end":
            self.written.end.above = ["@step(end=True)"]
        self.about = "end" if self.written.end.name == "end" else ""

    # --- the source of one step ---

    def _twist(self, change: Callable[[list[str]], list[str]]) -> None:
        self.step().twist = change

    def something_after_next(self) -> None:
        self._twist(lambda lines: [*lines, "    print('after it')"])

    def next_twice(self) -> None:
        self._twist(lambda lines: [*lines, lines[-1]])

    def next_under_a_condition(self) -> None:
        self._twist(lambda lines: [*lines[:-1], "    if self.v:", f"    {lines[-1]}"])

    def next_of_something_else(self) -> None:
        self._twist(lambda lines: [*lines[:-1], "    self.next(print)"])

    def next_of_nothing(self) -> None:
        self._twist(lambda lines: [*lines[:-1], "    self.next()"])

    def next_with_an_unknown_word(self) -> None:
        self._twist(lambda lines: [*lines[:-1], f"{lines[-1][:-1]}, forech='items')"])

    def cases_without_a_condition(self) -> None:
        self._twist(
            lambda lines: [*lines[:-1], f"    self.next({{1: self.{self.written.end.name}}})"]
        )

    def a_condition_without_cases(self) -> None:
        self._twist(lambda lines: [*lines[:-1], "    self.next(self.s0, condition='way')"])

    def three_arguments(self) -> None:
        step = self.step()
        step.twist = lambda lines: [
            line.replace(f"{step.name}(self", f"{step.name}(self, more, most") for line in lines
        ]

    def no_self(self) -> None:
        step = self.step()
        step.twist = lambda lines: [
            f"{line.partition('(')[0]}():" if f"def {step.name}(" in line else line
            for line in lines
        ]

    def a_step_that_yields(self) -> None:
        self._twist(lambda lines: [*lines[:-1], "    yield", lines[-1]])

    # --- names ---

    def a_reserved_name(self) -> None:
        self._rename(self.draw(st.sampled_from(["next", "input", "index", "name", "script_name"])))

    def a_private_name(self) -> None:
        self._rename("_hidden")

    def _rename(self, name: str) -> None:
        step = self.step()
        for other in self.written.steps.values():
            other.targets = [name if t == step.name else t for t in other.targets]
        step.name = self.about = name

    def an_attribute_with_a_reserved_name(self) -> None:
        self.about = self.draw(st.sampled_from(["next", "input", "merge_artifacts"]))
        attribute = f"{self.about} = 5"
        self.written.start.twist = lambda lines: [attribute, *lines]


TOOLS = ("step", "turn", "add")
SPOILERS = [n for n, f in vars(Spoilt).items() if callable(f) and n[0] != "_" and n not in TOOLS]


def spoilt(spoiler: str, shape: Any, draw: Any) -> Spoilt:
    flow = Spoilt(Written(shape, draw), draw)
    getattr(flow, spoiler)()
    return flow


@pytest.mark.parametrize("spoiler", SPOILERS)
@settings(quick, max_examples=6)
@given(shapes, st.data())
def test_a_spoilt_flow_is_refused_before_anything_runs(flowtester, spoiler, shape, data):
    flow = spoilt(spoiler, shape, data.draw)
    source = flow.written.source()
    outcome = flowtester.run(source, modules=[Gangs(flow.written)])
    assert isinstance(outcome.error, LintError), (outcome.error, source)
    problems = outcome.error.problems
    assert all(p.hint and p.message for p in problems), source
    for problem in problems:  # a value has no line of its own, only its class
        assert problem.line or "class F" in problem.message, (problem, source)
        assert problem.line is None or problem.file.endswith("flow.py"), (problem, source)
    assert flow.about in " ".join(p.message for p in problems), (outcome.error, source)
    assert outcome.run == ""
    assert not list(outcome.store.list("runs/"))


@pytest.mark.slow
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_the_command_line_refuses_it_too(tmp_path_factory, spoiler):
    folders = itertools.count()

    @settings(max_examples=1, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(shapes, st.data())
    def runs(shape, data):
        tester = FlowTester(tmp_path_factory.mktemp(f"flow{next(folders)}"))
        flow = spoilt(spoiler, shape, data.draw)
        file = tester.write(flow.written.source())
        done = tester.python(file, "run")
        assert done.returncode == 1, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert f"{file}:" in done.stderr or "class F" in done.stderr
        assert flow.about in done.stderr
        assert not (tester.path / ".flow").exists()

    runs()


@quick
@given(shapes, st.data())
def test_what_lint_lets_pass_runs_to_its_end(flowtester, shape, data):
    written = Written(shape, data.draw)
    names = sorted(written.steps)
    for _ in range(data.draw(st.integers(1, 3))):
        step = written.steps[data.draw(st.sampled_from(names))]
        change = data.draw(st.sampled_from(["drop", "add", "turn", "inputs", "kind"]))
        place = data.draw(st.integers(0, max(0, len(step.targets) - 1)))
        if change == "drop":
            step.targets[place : place + 1] = []
        elif change == "add":
            step.targets.append(data.draw(st.sampled_from(names)))
        elif change == "turn":
            step.targets[place : place + 1] = [data.draw(st.sampled_from(names))]
        elif change == "inputs":
            step.joins = not step.joins
        elif step is not written.end:
            step.kind = data.draw(st.sampled_from(["line", "foreach", "switch"]))
    outcome = flowtester.run(written.source(), modules=[Gangs(written)])
    assert not isinstance(outcome.error, StateError), (outcome.error, written.source())
    if isinstance(outcome.error, LintError):
        assert all(p.line and p.hint and p.message for p in outcome.error.problems)
    else:
        assert outcome.error is None, (outcome.error, written.source())
        assert outcome.state is RunState.SUCCEEDED
