"""The card of a run that comes with the plugin: type ``run`` of the group ``flow.run_cards``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flow_cards.artifacts import Room, values_shown
from flow_cards.components import (
    Bar,
    Component,
    Error,
    Facts,
    Graph,
    Markdown,
    Section,
    Table,
    Timeline,
)
from flow_cards.components.graph import address
from flow_cards.components.timeline import MANY, quantile
from flow_cards.contract import CardRun, Value
from flow_cards.types import first_paragraph
from flow_cards.wording import memory_text
from flow_core.api import AttemptRecord, duration

_WORST_FIRST = ("failed", "running", "queued", "interrupted", "cancelled", "caught", "succeeded")
_MOST_LINKS = 3
_MOST_LISTED = 500
_MOST_LOOKED_UP = 600  # each asks the store once, which may be far away


def run(run: CardRun) -> Iterator[Component]:
    """The whole run: its graph with states, what happened when, failures, parameters, what the end
    step left, and what each step cost, with links to the cards of tasks."""
    steps = steps_of(run)
    links = _Links(run)
    yield from _failures(run, links)
    yield Section("Run", [*first_paragraph(run.flow_doc), Facts([*_facts(run, steps)])])
    if run.graph.get("steps"):
        yield Section("Flow", [_graph(run, steps, links)])
    if any(step.attempts for step in steps):
        yield Section(
            "Timeline", [Timeline([_row(run, step, links) for step in steps if step.attempts])]
        )
    if run.parameters:
        yield Section("Parameters", values_shown(run.parameters, opened=0, room=Room()))
    yield from _artifacts(run)
    if any(step.attempts for step in steps):
        yield Section("Steps", [_table(steps, links), *_all_cards(run, steps, links)])


class StepFacts(NamedTuple):
    """A step of a run.

    Attributes:
        name: its name.
        attempts: all attempts of its tasks, by task and attempt.
        tasks: the last attempt of each task.
        states: how many tasks are in which state.
        seconds: how long each task took that has ended, in order of length.
    """

    name: str
    attempts: tuple[AttemptRecord, ...]
    tasks: tuple[AttemptRecord, ...]
    states: Mapping[str, int]
    seconds: tuple[float, ...]

    @property
    def state(self) -> str:
        """The state that a person should know of first; ``none`` where nothing has started."""
        if not self.states:
            return "none"
        return next((state for state in _WORST_FIRST if state in self.states), "reused")


def steps_of(run: CardRun) -> list[StepFacts]:
    """Return the steps of a run in the order in which they first started, then the others."""
    attempts: dict[str, list[AttemptRecord]] = {}
    for one in run.attempts:
        attempts.setdefault(one.step, []).append(one)
    started = {
        step: min((one.started_at for one in some if one.started_at), default=float("inf"))
        for step, some in attempts.items()
    }
    known = [*sorted(attempts, key=lambda step: started[step])]
    known += [step for step in run.graph.get("steps") or () if step not in attempts]
    return [_step(step, attempts.get(step, ())) for step in known]


def _step(name: str, attempts: Sequence[AttemptRecord]) -> StepFacts:
    last = {one.task: one for one in attempts}
    return StepFacts(
        name,
        tuple(attempts),
        tuple(last.values()),
        Counter(one.state.value for one in last.values()),
        tuple(sorted(s for one in last.values() if (s := _seconds(one)) is not None)),
    )


def _seconds(one: AttemptRecord) -> float | None:
    if one.started_at and one.finished_at and one.origin is None:
        return max(0.0, one.finished_at - one.started_at)
    return None


class _Links:
    """The cards of tasks, of as many as a page names."""

    def __init__(self, run: CardRun) -> None:
        self._run = run
        self._known: dict[tuple[Any, ...], str] = {}

    def of(self, attempt: AttemptRecord) -> str:
        """Return the address of the first card of an attempt; ``""`` = it has none."""
        place = attempt[:5]
        if place not in self._known and len(self._known) < _MOST_LOOKED_UP:
            found = self._run.find(attempt)
            self._known[place] = address(found[0].address) if found else ""
        return self._known.get(place, "")

    def can_find(self, attempts: Sequence[AttemptRecord]) -> bool:
        """Whether the cards of all these can be looked up still."""
        unknown = sum(one[:5] not in self._known for one in attempts)
        return len(attempts) <= _MOST_LISTED and len(self._known) + unknown <= _MOST_LOOKED_UP


# --- parts --------------------------------------------------------------------------------------


def _failures(run: CardRun, links: _Links) -> Iterator[Component]:
    last = {one.pathspec: one for one in run.attempts}
    shown: list[Component] = []
    for pathspec, failure in run.failures.items():
        name = "/".join(pathspec.split("/")[2:])
        link = links.of(last[pathspec]) if pathspec in last else ""
        shown.append(Error(failure.details, f"{name}: {failure.summary}"))
        if link:
            shown.append(Markdown(f"[The card of {name}]({link})"))
    failed = sum(one.state.value == "failed" for one in last.values())
    if failed > len(run.failures):
        shown.append(Markdown(f"{failed - len(run.failures):,} more tasks failed."))
    if shown:
        yield Section("Failures" if failed > 1 else "Failure", shown)
    elif run.failure is not None:
        yield Error("", run.failure.summary)


def _facts(run: CardRun, steps: Sequence[StepFacts]) -> Iterator[tuple[str, Any]]:
    if run.seconds is not None:
        yield "Duration", duration(run.seconds)
    tasks = sum(len(step.tasks) for step in steps)
    again = sum(len(step.attempts) for step in steps) - tasks
    yield "Tasks", f"{tasks:,}"
    if again:
        yield "Tried again", f"{again:,}"
    cpu = sum(one.cpu_seconds for one in run.attempts)
    if cpu:
        yield "CPU time", duration(cpu)
    peak = max((one.peak_memory for one in run.attempts), default=0)
    if peak:
        yield "Peak memory of a task", memory_text(peak)
    if run.host:
        yield "Machine", run.host
    if run.origin:
        yield "Resumes", run.origin
    if run.tags:
        yield "Tags", ", ".join(run.tags)


def _graph(run: CardRun, steps: Sequence[StepFacts], links: _Links) -> Component:
    first = {step.name: _first_to_see(step) for step in steps if step.tasks}
    return Graph(
        run.graph,
        states={step.name: step.state for step in steps},
        notes={step.name: _note(step) for step in steps},
        links={name: link for name, one in first.items() if (link := links.of(one))},
    )


def _first_to_see(step: StepFacts) -> AttemptRecord:
    """Return the task whose card says most of a step: one that failed, if any did."""
    return next((one for one in step.tasks if one.state.value == step.state), step.tasks[0])


def _note(step: StepFacts) -> str:
    count, failed = len(step.tasks), step.states.get("failed", 0)
    if not count:
        return ""
    if failed and count > 1:
        return f"{failed:,} of {count:,} failed"
    took = duration(sum(step.seconds)) if step.seconds else step.state
    return took if count == 1 else f"{count:,} tasks, {took}"


def _row(run: CardRun, step: StepFacts, links: _Links) -> tuple[str, list[Bar]]:
    """Return the bars of a step; where they are many, links for those that are named."""
    named = {*step.attempts}
    if len(step.attempts) > MANY:
        slow = sorted(step.attempts, key=lambda one: -(_seconds(one) or 0.0))[:10]
        named = {*slow, *[one for one in step.attempts if one.state.value == "failed"][:10]}
    bars = []
    for one in step.attempts:
        if not one.started_at or one.origin is not None:
            continue  # waiting still, or it ran in another run
        name = f"{step.name}/{one.task}" + (f", attempt {one.attempt}" if one.attempt else "")
        link = links.of(one) if one in named else ""
        end = one.finished_at or max(run.seen, one.started_at)
        bars.append(Bar(name, one.started_at, end, one.state.value, link, one.message))
    return step.name, bars


def _artifacts(run: CardRun) -> Iterator[Component]:
    room = Room()
    own = [name for name in run.artifacts if name in {*run.own}]
    others = [name for name in run.artifacts if name not in {*run.own}]
    for title, names in (("Artifacts of the end step", own), ("Final artifacts", others)):
        if names:
            chosen: dict[str, Value] = {name: run.artifacts[name] for name in names}
            yield Section(title, values_shown(chosen, room=room))


def _table(steps: Sequence[StepFacts], links: _Links) -> Component:
    heads = ("step", "tasks", "states", "time", "median", "longest", "CPU", "memory", "cards")
    return Table([_cells(step, links) for step in steps], heads)


def _cells(step: StepFacts, links: _Links) -> tuple[Any, ...]:
    states = ", ".join(
        state if count == len(step.tasks) else f"{count:,} {state}"
        for state, count in step.states.items()
    )
    seconds = step.seconds
    cpu = sum(one.cpu_seconds for one in step.attempts)
    peak = max((one.peak_memory for one in step.attempts), default=0)
    found = [(one.task, links.of(one)) for one in step.tasks[:_MOST_LINKS]]
    cards = [f"[{step.name}/{task}]({link})" for task, link in found if link]
    if cards and len(step.tasks) > _MOST_LINKS:
        cards.append("…")
    return (
        step.name,
        len(step.tasks),
        states or "not started",
        _unbroken(duration(sum(seconds)) if seconds else ""),
        _unbroken(duration(quantile(seconds, 0.5)) if len(seconds) > 1 else ""),
        _unbroken(duration(seconds[-1]) if len(seconds) > 1 else ""),
        _unbroken(duration(cpu) if cpu else ""),
        _unbroken(memory_text(peak) if peak else ""),
        Markdown(" ".join(cards)) if cards else "",
    )


def _all_cards(run: CardRun, steps: Sequence[StepFacts], links: _Links) -> Iterator[Component]:
    """Yield links to the cards of the steps that have more than stand in the table."""
    for step in steps:
        if len(step.tasks) <= _MOST_LINKS:
            continue
        if links.can_find(step.tasks):
            found = [(one.task, links.of(one)) for one in step.tasks]
            cards = [f"[{step.name}/{task}]({link})" for task, link in found if link]
            if cards:
                title = f"Cards of {step.name} ({len(cards):,})"
                yield Section(title, [Markdown(" ".join(cards))], folded=True)
        elif any(map(links.of, step.tasks[:_MOST_LINKS])):
            names = f"`flow card list {run.pathspec}/{step.name}`"
            yield Markdown(f"All cards of {step.name}, {len(step.tasks):,} tasks: {names}")


def _unbroken(text: str) -> str:
    """Return ``text`` so that no line ends within it."""
    return text.replace(" ", "\u00a0")
