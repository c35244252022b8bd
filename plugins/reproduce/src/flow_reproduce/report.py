"""What is shown of a comparison: a table of the steps, what differs, and why as far as it is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from flow_core.api import RunState, Session, harmless
from flow_reproduce.compare import (
    BY_VALUE,
    EQUAL,
    UNKNOWN,
    Difference,
    StepComparison,
    label,
)
from flow_reproduce.runs import FoundRun

_NAMES = 3
_WIDTH = 32


def ends_well(found: Sequence[StepComparison]) -> bool:
    """Whether there are steps, and all of them are equal bit by bit."""
    return bool(found) and all(step.verdict == EQUAL for step in found)


# --- text ---------------------------------------------------------------------------------------


def as_text(
    session: Session, old: FoundRun, new: FoundRun, found: Sequence[StepComparison]
) -> Iterator[str]:
    """Yield the lines for people."""
    yield ""
    yield f"{click.style(old.pathspec, bold=True)} → {click.style(new.pathspec, bold=True)}"
    yield from _environments(old, new)
    yield ""
    yield from _table(found)
    for step in found:
        yield from _details(session, step, _other_environment(old, new, step.step))
    yield ""
    yield _conclusion(found) + _ends(old, new)


def _environments(old: FoundRun, new: FoundRun) -> Iterator[str]:
    for step in new.document.graph["steps"]:
        other = _other_environment(old, new, step)
        if other:
            yield harmless(f"  {step}: environment {other}")


def _other_environment(old: FoundRun, new: FoundRun, step: str) -> str:
    """``pypi 1a2b3c4d → local``, where a step ran in another environment; else ``""``."""
    one, two = (run.document.environment_name(step) for run in (old, new))
    return f"{one} → {two}" if one != two else ""


def _table(found: Sequence[StepComparison]) -> Iterator[str]:
    rows = [("step", "tasks", "artifacts", "equal")]
    rows += [(s.step, _tasks(s), f"{s.artifacts:,}", _equal(s)) for s in found]
    widths = [max(len(row[n]) for row in rows) for n in range(3)]
    for number, (step, tasks, artifacts, equal) in enumerate(rows):
        text = f"{step:{widths[0]}}  {tasks:>{widths[1]}}  {artifacts:>{widths[2]}}  "
        if number == 0:
            yield click.style(text + equal, bold=True)
        else:
            yield harmless(text) + click.style(harmless(equal), fg=_colour(found[number - 1]))


def _tasks(step: StepComparison) -> str:
    old, new = step.tasks + step.only_old, step.tasks + step.only_new
    return f"{old:,}" if old == new else f"{old:,} → {new:,}"


def _colour(step: StepComparison) -> str:
    return {EQUAL: "green", BY_VALUE: "yellow", UNKNOWN: "yellow"}.get(step.verdict, "red")


def _equal(step: StepComparison) -> str:
    if step.verdict == EQUAL:
        return "yes"
    parts = []
    if step.only_old or step.only_new:
        parts.append(f"{_count(step.only_old + step.only_new)} in one run only")
    if step.ends:
        parts.append(f"{_count(step.ends)} ended in another way")
    if step.differences:
        names = [*step.differences]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        parts.append(", ".join(names[:_NAMES]) + more)
    word = {BY_VALUE: "in value, not in bytes", UNKNOWN: "not in bytes, values not compared"}
    return f"{word.get(step.verdict, 'no')}: {'; '.join(parts)}"


def _count(tasks: int) -> str:
    return f"{tasks:,} task{'s' if tasks != 1 else ''}"


def _details(session: Session, step: StepComparison, environments: str) -> Iterator[str]:
    own = [d for d in step.differences.values() if not d.inherited]
    if not own and step.first_end is None:
        return
    yield ""
    if step.first_end is not None:
        place, old, new = step.first_end
        yield harmless(f"{label(place)}  {old}  →  {new}")
    width = max((len(d.name) for d in own), default=0)
    for difference in own:
        yield harmless(_difference(session, step, difference, width))
    yield click.style("  " + harmless(_cause(step, environments)), dim=True)


def _difference(session: Session, step: StepComparison, found: Difference, width: int) -> str:
    pair = found.first
    old, new = (
        session.artifacts.summary(ref, f"artifact '{found.name}'", _WIDTH) if ref else "(none)"
        for ref in pair[:2]
    )
    word = {BY_VALUE: "  equal in value, not in bytes", UNKNOWN: "  values not compared"}
    text = f"{label(found.place)}  {found.name:{width}}  {old} → {new}"
    if found.verdict == BY_VALUE and old == new:
        text = f"{label(found.place)}  {found.name:{width}}  {old}"
    more = f"  (in {found.tasks:,} of {step.tasks:,} tasks)" if step.tasks > 1 else ""
    reason = f" ({found.reason})" if found.verdict == UNKNOWN and found.reason else ""
    return text + more + word.get(found.verdict, "") + reason


def _cause(step: StepComparison, environments: str) -> str:
    """Say why the step came to something else, as far as what was recorded tells it.

    Args:
        step: the step.
        environments: both, where they are not the same.
    """
    if step.alone and environments:
        return f"{step.step} read the same, in another environment: {environments}"
    if step.alone:
        if all(d.verdict == BY_VALUE for d in step.differences.values()) and step.same_tasks:
            return (
                f"{step.step} read the same, and made the same in another form: sets have their "
                "order from PYTHONHASHSEED, objects may have been shared in another way"
            )
        return (
            f"it begins here: {step.step} read the same, and made something else of it: time, "
            "chance, order, or something from outside of the run"
        )
    if step.read:
        names = [*step.read]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        return f"{step.step} read something else: {', '.join(names[:_NAMES])}{more}"
    return f"what {step.step} has read is not recorded: a process that it started has read, too"


def _conclusion(found: Sequence[StepComparison]) -> str:
    if not found:
        return click.style("There is nothing to compare: no task has ended.", fg="red")
    verdicts = [step.verdict for step in found]
    count, equal, in_value = len(found), verdicts.count(EQUAL), verdicts.count(BY_VALUE)
    if equal == count:
        text = "The step is bit-equal." if count == 1 else f"All {count} steps are bit-equal."
        return click.style(text, fg="green", bold=True)
    text = f"{equal} of {count} steps {'is' if equal == 1 else 'are'} bit-equal"
    if in_value:
        text += f", {in_value} {'is' if in_value == 1 else 'are'} equal in value"
    if equal + in_value == count:
        return click.style(f"{text}.", fg="yellow", bold=True)
    first = next(s.step for s in found if s.verdict not in (EQUAL, BY_VALUE))
    text += f"; the first that differs is {first}."
    return click.style(harmless(text), fg="red", bold=True)


def _ends(old: FoundRun, new: FoundRun) -> str:
    """A word on how the runs ended, where one did not succeed."""
    one, two = (_state(run) for run in (old, new))
    if one == two == RunState.SUCCEEDED.value:
        return ""
    return f" Both runs {one}." if one == two else f" {old.pathspec} {one}, {new.pathspec} {two}."


def _state(run: FoundRun) -> str:
    if run.result is None:
        return "was killed"
    state = run.result.state
    return "was interrupted" if state is RunState.INTERRUPTED else state.value


# --- JSON ---------------------------------------------------------------------------------------


def as_data(
    session: Session,
    old: FoundRun,
    new: FoundRun,
    remarks: Sequence[str],
    found: Sequence[StepComparison],
) -> dict[str, Any]:
    """Return the comparison as JSON data."""
    return {
        "old": old.pathspec,
        "new": new.pathspec,
        "states": [run.result.state.value if run.result else None for run in (old, new)],
        "equal": ends_well(found),
        "remarks": list(remarks),
        "steps": [
            {
                "step": step.step,
                "equal": step.verdict,
                "tasks": step.tasks,
                "only_old": step.only_old,
                "only_new": step.only_new,
                "artifacts": step.artifacts,
                "equal_artifacts": step.equal,
                "other_ends": step.ends,
                "differences": [_entry(session, d) for d in step.differences.values()],
                "read": list(step.read),
                "read_the_same": step.alone,
            }
            for step in found
        ],
    }


def _entry(session: Session, found: Difference) -> dict[str, Any]:
    return {
        "name": found.name,
        "equal": found.verdict,
        "why_not_compared": found.reason if found.verdict == UNKNOWN else "",
        "inherited": found.inherited,
        "tasks": found.tasks,
        "first": label(found.place),
        **{
            side: None
            if ref is None
            else {
                "type": ref.type,
                "size": ref.size,
                "hash": ref.hash,
                "summary": session.artifacts.summary(ref, f"artifact '{found.name}'"),
            }
            for side, ref in (("old", found.first.old), ("new", found.first.new))
        },
    }
