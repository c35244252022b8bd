"""Random flows, random edits, random parameters: what is reused gives what a fresh run would give.

A program is data: it is written as a flow, and interpreted as plain Python.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_core.api import AttemptState, RunRequest, hookimpl
from flow_core.testing import FlowTester
from flow_core.testing.fakes import MemoryMetadata, MemoryStore
from flow_run.reuse import Choice, Reuse

PARAMETERS = ("alpha", "beta", "gamma")


class Helper(NamedTuple):
    """``def h3(x): return (x * FACTOR_3 + h1(x) + …) % 997``; it calls helpers before it only."""

    factor: int
    calls: tuple[int, ...]


class Step(NamedTuple):
    """Sets ``self.vN`` from parameters and earlier values; a foreach goes over three items."""

    constant: int
    parameters: tuple[str, ...]
    values: tuple[int, ...]
    helper: int
    foreach: bool
    inside: tuple[int, ...]  # values that the tasks of the foreach read
    merges: bool  # whether its join merges, or takes value by value


class Program(NamedTuple):
    helpers: tuple[Helper, ...]
    steps: tuple[Step, ...]


@st.composite
def programs(draw: Any) -> Program:
    number = st.integers(0, 9)
    helpers = tuple(
        Helper(draw(number), tuple(draw(st.sets(st.integers(0, n - 1), max_size=2))) if n else ())
        for n in range(4)
    )
    steps = []
    for n in range(draw(st.integers(1, 4))):
        earlier = st.sets(st.integers(0, n - 1), max_size=2) if n else st.just(set())
        steps.append(
            Step(
                draw(number),
                tuple(sorted(draw(st.sets(st.sampled_from(PARAMETERS), max_size=2)))),
                tuple(sorted(draw(earlier))),
                draw(st.integers(0, 3)),
                draw(st.booleans()),
                tuple(sorted(draw(earlier))),
                draw(st.booleans()),
            )
        )
    return Program(helpers, tuple(steps))


parameters = st.fixed_dictionaries({name: st.integers(0, 4) for name in PARAMETERS})


@st.composite
def edits(draw: Any, program: Program) -> Program:
    """Change one number of the program, or none."""
    kind = draw(st.sampled_from(["none", "helper", "step"]))
    if kind == "helper":
        at = draw(st.integers(0, 3))
        changed = [*program.helpers]
        changed[at] = changed[at]._replace(factor=draw(st.integers(0, 9)))
        return program._replace(helpers=tuple(changed))
    if kind == "step":
        place = draw(st.integers(0, len(program.steps) - 1))
        steps = [*program.steps]
        steps[place] = steps[place]._replace(constant=draw(st.integers(0, 9)))
        return program._replace(steps=tuple(steps))
    return program


# --- as a flow ----------------------------------------------------------------------------------


def as_flow(program: Program) -> str:
    lines = ["from flow_core import FlowSpec, Parameter, step", ""]
    for n, helper in enumerate(program.helpers):
        calls = "".join(f" + h{called}(x)" for called in helper.calls)
        lines += [f"FACTOR_{n} = {helper.factor}", f"def h{n}(x):"]
        lines += [f"    return (x * FACTOR_{n}{calls}) % 997", ""]
    lines += ["class F(FlowSpec):"]
    lines += [f"    {name} = Parameter('{name}', default=0)" for name in PARAMETERS]
    lines += _method("start", "self.junk = self.alpha, self.beta, self.gamma", "s0")
    for n, step in enumerate(program.steps):
        following = f"s{n + 1}" if n + 1 < len(program.steps) else "end"
        lines += _foreach(n, step, following) if step.foreach else _plain(n, step, following)
    lines += ["    @step", "    def end(self):", "        pass"]
    return "\n".join(lines) + "\n"


def _method(name: str, body: str, following: str, arguments: str = "") -> list[str]:
    head = ["    @step", f"    def {name}(self{arguments}):"]
    return [
        *head,
        *(f"        {line}" for line in body.split("\n")),
        f"        self.next({following})"
        if following.startswith("self.")
        else f"        self.next(self.{following})",
    ]


def _sum(step: Step) -> str:
    terms = [str(step.constant), *(f"self.{p}" for p in step.parameters)]
    return " + ".join([*terms, *(f"self.v{k}" for k in step.values)])


def _plain(n: int, step: Step, following: str) -> list[str]:
    return _method(f"s{n}", f"self.v{n} = h{step.helper}({_sum(step)})", following)


def _foreach(n: int, step: Step, following: str) -> list[str]:
    inside = "".join(f" + self.v{k}" for k in step.inside)
    lines = _method(f"s{n}", f"self.items = [{_sum(step)}, 5, 6]", f"self.w{n}, foreach='items'")
    lines += _method(f"w{n}", f"self.part = (h{step.helper}(self.input){inside}) % 997", f"j{n}")
    total = f"self.v{n} = sum(i.part for i in inputs) % 997"
    if step.merges:
        take = "self.merge_artifacts(inputs, exclude=['part'])"
    else:
        take = "\n".join(f"self.v{k} = inputs[{k % 3}].v{k}" for k in range(n)) or "pass"
    return lines + _method(f"j{n}", f"{total}\n{take}", following, ", inputs")


# --- as plain Python ----------------------------------------------------------------------------


def as_python(program: Program, given: dict[str, int]) -> list[int]:
    def call(n: int, x: int) -> int:
        helper = program.helpers[n]
        return (x * helper.factor + sum(call(called, x) for called in helper.calls)) % 997

    values: list[int] = []
    for step in program.steps:
        total = step.constant + sum(given[p] for p in step.parameters)
        total += sum(values[k] for k in step.values)
        if step.foreach:
            more = sum(values[k] for k in step.inside)
            parts = [(call(step.helper, item) + more) % 997 for item in (total, 5, 6)]
            values.append(sum(parts) % 997)
        else:
            values.append(call(step.helper, total))
    return values


# --- the test -----------------------------------------------------------------------------------


class Laboratory:
    """Runs and resumes flows in this process, in one store."""

    def __init__(self, tester: FlowTester) -> None:
        self._tester = tester
        self.providers = {
            ("store", "local"): MemoryStore(),
            ("metadata", "local"): MemoryMetadata(),
        }

    def run(
        self,
        program: Program,
        given: dict[str, int],
        origin: str | None = None,
        cached: bool = False,
    ) -> tuple[list[int], int]:
        """Return the values at the end, and how many tasks ran."""
        modules: list[Any] = []
        options: dict[str, Any] = {"plugins": ["cache"], "decorators": ["cache"]} if cached else {}
        if origin:
            modules.append(_Resume(origin))
        outcome = self._tester.run(
            as_flow(program),
            modules=modules,
            providers=self.providers,
            request=RunRequest(parameters=given, origin=origin),
            **options,
        )
        assert outcome.error is None, outcome.error
        end = outcome.artifacts("end")[0]
        steps = ["start", "end"]
        steps += [f"{letter}{n}" for n in range(len(program.steps)) for letter in "swj"]
        manifests = [m for step in steps for m in outcome.manifests(step)]
        ran = sum(m.state is not AttemptState.REUSED for m in manifests)
        return [end[f"v{n}"] for n in range(len(program.steps))], ran


class _Resume:
    """Stands for the command ``resume --changed-code``."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    @hookimpl
    def flow_run_draft(self, session: Any) -> None:
        reuse = Reuse(session, self._origin, Choice(changed_code=True))
        session.plugins.manager.register(reuse, "resume")


@pytest.mark.parametrize("cached", [False, True], ids=["resume", "cache"])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_reused_gives_what_a_fresh_run_would(
    flowtester: FlowTester, cached: bool, data: Any
) -> None:
    laboratory = Laboratory(flowtester)
    program, given_now = data.draw(programs()), data.draw(parameters)
    found, every = laboratory.run(program, given_now, cached=cached)
    assert found == as_python(program, given_now)
    for number in range(1, 4):
        program = data.draw(edits(program))
        given_now = data.draw(parameters)
        origin = None if cached else f"F/{number}"
        found, ran = laboratory.run(program, given_now, origin, cached)
        assert found == as_python(program, given_now)
        assert ran <= every
    origin = None if cached else "F/4"
    found, ran = laboratory.run(program, given_now, origin, cached)
    assert (found, ran) == (as_python(program, given_now), 0)


def test_hundreds_of_reused_tasks_are_a_few_objects(flowtester: FlowTester) -> None:
    """Their number decides how long it takes to reuse ten thousand of them."""
    source = """
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                self.items = list(range(600))
                self.next(self.work, foreach="items")

            @step
            def work(self):
                self.y = self.input
                self.next(self.join)

            @step
            def join(self, inputs):
                self.total = sum(i.y for i in inputs)
                self.next(self.end)

            @step
            def end(self):
                pass
    """
    laboratory = Laboratory(flowtester)
    flowtester.run(source, providers=laboratory.providers)
    outcome = flowtester.run(
        source,
        modules=[_Resume("F/1")],
        providers=laboratory.providers,
        request=RunRequest(origin="F/1"),
    )
    assert outcome.error is None, outcome.error
    assert len(outcome.manifests("work")) == 600
    assert {m.state for m in outcome.manifests("work")} == {AttemptState.REUSED}
    assert len(list(outcome.store.list("runs/F/2/"))) < 20
