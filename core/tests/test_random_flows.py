"""Random flows: sound ones give what plain Python gives; what is not sound is refused before it runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_core.errors import LintError, StateError
from flow_core.records import RunState

SKIP, AGAIN = "skip", "again"
LIST, RANGE, DICT, SET = "list", "range", "dict", "set"


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

    def source(self) -> list[str]:
        lines = [
            "@step",
            f"{'async ' * self.is_async}def {self.name}(self{', inputs' * self.joins}):",
        ]
        return [f"    {line}" for line in [*lines, *(f"    {line}" for line in self._body())]]

    def _body(self) -> list[str]:
        lines = []
        if self.joins:
            lines += [
                "self.v = sum((n + 1) * i.v for n, i in enumerate(inputs)) % 97",
                "self.trace = [entry for i in inputs for entry in i.trace]",
                "if not len(inputs):",
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
        return [f"self.next({', '.join(ways)})"] if ways else []


def items_of(step: Step, v: int) -> list[Any]:
    """What the foreach of ``step`` goes over."""
    count = v % 3 + int(not step.empty)
    if step.container == DICT:
        return [(f"k{n}", v - n) for n in range(count)]
    return sorted(v - n for n in range(count)) if step.container == SET else [*range(v, v + count)]


# --- sound flows, and what plain Python makes of them -------------------------------------------


class Written:
    """A sound flow, built from a shape. Each part is a tuple: kind, then its steps and parts."""

    def __init__(self, shape: Any, draw: Any) -> None:
        self.steps: dict[str, Step] = {}
        self._draw = draw
        self.start, self.end = self._step("start"), self._step("end")
        self.start.targets, self.end.kind = [""], "end"
        self.part, entry, exits = self._build(shape)
        self._link([(self.start, 0)], entry)
        self._link(exits, "end")
        self.visits: Counter[str] = Counter()

    def _step(self, name: str = "", **facts: Any) -> Step:
        name = name or f"s{len(self.steps)}"
        step = Step(name, self._draw(st.integers(2, 5)), is_async=self._draw(st.booleans()))
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
        head = ["from flow_core import FlowSpec, current, step", "class F(FlowSpec):"]
        lines = [line for step in self.steps.values() for line in step.source()]
        start = lines.index(f"        self.v = (self.v * {self.start.factor} + 1) % 97")
        lines[start:start] = ["        self.v, self.trace = 1, []"]
        return "\n".join([*head, *lines]) + "\n"

    # --- plain Python ---

    def interpret(self) -> tuple[int, list[Any]]:
        """Return (v, trace) at the end, without any flow."""
        state = self._visit(self.start, (1, []), [])
        return self._visit(self.end, self._walk(self.part, state, []), [])

    def _visit(self, step: Step, state: Any, stack: list[Any]) -> Any:
        v, trace = state
        self.visits[step.name] += 1
        item = stack[-1][1] if stack else None
        if step.takes:
            v += item[1] if isinstance(item, tuple) else item
        entry = (step.name, [place for place, _ in stack], item)
        return (v * step.factor + 1) % 97, [*trace, entry]

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
        for place, item in enumerate(items_of(opening, state[0])):
            inner = [*stack, (place, item)]
            ends.append(self._walk(part, self._walk(taking, state, inner), inner))
        return self._join(join, ends, state, stack)

    def _join(self, join: Step, ends: list[Any], before: Any, stack: list[Any]) -> Any:
        if ends:
            v = sum((n + 1) * v for n, (v, _) in enumerate(ends)) % 97
            before = v, [entry for _, trace in ends for entry in trace]
        return self._visit(join, before, stack)

    def _walk_switch(self, step: Step, parts: list[Any], state: Any, stack: list[Any]) -> Any:
        begun, iteration = state[0], 0
        while True:
            state = self._visit(step, state, stack)
            chosen = parts[(begun + iteration) % len(parts)]
            if chosen != AGAIN:
                return state if chosen == SKIP else self._walk(chosen, state, stack)
            iteration += 1


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
    st.just(("line",)),
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


@quick
@given(shapes, st.data())
def test_a_sound_flow_gives_what_plain_python_gives(flowtester, shape, data):
    written = Written(shape, data.draw)
    outcome = flowtester.run(written.source())
    assert outcome.error is None, (outcome.error, written.source())
    v, trace = written.interpret()
    assert outcome.artifact("end", "v") == v
    assert outcome.artifact("end", "trace") == trace
    for name in written.steps:
        assert len(outcome.manifests(name)) == written.visits[name], name


# --- flows that are not sound -------------------------------------------------------------------


def _to_nowhere(step: Step, steps: dict[str, Step], draw: Any) -> None:
    step.targets[draw(st.integers(0, len(step.targets) - 1))] = "nowhere"


def _back_to_the_start(step: Step, steps: dict[str, Step], draw: Any) -> None:
    step.targets[draw(st.integers(0, len(step.targets) - 1))] = "start"
    if step.name == "start":
        step.kind = "line"


def _no_way_on(step: Step, steps: dict[str, Step], draw: Any) -> None:
    step.kind, step.targets = "line", []


def _other_arguments(step: Step, steps: dict[str, Step], draw: Any) -> None:
    step.joins = not step.joins


def _a_way_beyond_the_end(step: Step, steps: dict[str, Step], draw: Any) -> None:
    steps["end"].targets = [step.name]


def _a_lost_step(step: Step, steps: dict[str, Step], draw: Any) -> None:
    steps["lost"] = Step("lost", 2, targets=[step.targets[0]])


def _split_and_switch_exchanged(step: Step, steps: dict[str, Step], draw: Any) -> None:
    others = [s for s in steps.values() if s.kind in ("split", "switch")]
    if not others:
        return _no_way_on(step, steps, draw)
    chosen = draw(st.sampled_from(others))
    chosen.kind = "switch" if chosen.kind == "split" else "split"
    return None


SPOILERS = [
    _to_nowhere,
    _back_to_the_start,
    _no_way_on,
    _other_arguments,
    _a_way_beyond_the_end,
    _a_lost_step,
    _split_and_switch_exchanged,
]


@quick
@given(shapes, st.sampled_from(SPOILERS), st.data())
def test_a_spoilt_flow_is_refused_before_anything_runs(flowtester, shape, spoil, data):
    written = Written(shape, data.draw)
    goes_on = [name for name, step in written.steps.items() if step.targets]
    spoil(written.steps[data.draw(st.sampled_from(goes_on))], written.steps, data.draw)
    outcome = flowtester.run(written.source())
    assert isinstance(outcome.error, LintError), written.source()
    assert all(p.line and p.hint and p.message for p in outcome.error.problems)
    assert outcome.run == ""
    assert not list(outcome.store.list("runs/"))


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
        elif step.name != "end":
            step.kind = data.draw(st.sampled_from(["line", "foreach", "switch"]))
    outcome = flowtester.run(written.source())
    assert not isinstance(outcome.error, StateError), (outcome.error, written.source())
    if isinstance(outcome.error, LintError):
        assert all(p.line and p.hint and p.message for p in outcome.error.problems)
    else:
        assert outcome.error is None, (outcome.error, written.source())
        assert outcome.state is RunState.SUCCEEDED
