"""Summary: where the time of a run went, how it ended, and what to type next."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flow_core.api import Failure, RunFinished, RunState, TaskSpec, duration
from flow_terminal import wording
from flow_terminal.progress import Progress, StepProgress
from flow_terminal.quantities import size
from flow_terminal.style import Style, clip, pad, width

_BAR = 24
_SHOWN_FAILURES = 10
_LONGEST_NAME = 32

Commands = Callable[[str, str], str]
"""Turns a command and its arguments into what a person types: ``python x.py logs 12/work/3``."""


def summary(
    progress: Progress, event: RunFinished, style: Style, commands: Commands, columns: int = 0
) -> Iterator[str]:
    """Yield the lines that close a run: the table of steps, the outcome, the failures.

    Args:
        columns: width of the terminal, 0 = without limit.
    """
    steps = [step for step in progress.steps.values() if step.total]
    if steps:
        yield ""
        yield from table(steps, event.at - event.seconds, event.seconds, style, columns)
        yield ""
    yield from outcome(progress, event, style, commands)


def table(
    steps: list[StepProgress], start: float, seconds: float, style: Style, columns: int = 0
) -> Iterator[str]:
    """Yield one line per step: numbers, and a bar that shows when in the run it ran."""
    names = [clip(s.name, _LONGEST_NAME, style.ellipsis) for s in steps]
    column = max(4, *map(width, names))
    head = f"{pad('step', column)}  {'tasks':>7}  {'time':>10}  {'CPU':>10}  {'memory':>7}"
    yield style.paint(head, "dim")
    notes = [", ".join(wording.exceptions(step)) for step in steps]
    room = not columns or width(head) + _BAR + 4 + max(map(len, notes)) <= columns
    for name, step, note in zip(names, steps, notes, strict=True):
        bar = _bar(step, start, seconds, style) if room else ""
        said = style.paint(note, "red" if step.failed else "yellow")
        parts = (pad(name, column), _numbers(step, start + seconds), bar, said)
        yield "  ".join(part for part in parts if part)


def _numbers(step: StepProgress, end: float) -> str:
    return (
        f"{step.done:>7,}  {duration(step.seconds(end) or 0.0):>10}"
        f"  {duration(step.cpu_seconds):>10}  {size(step.peak_memory):>7}"
    )


def _bar(step: StepProgress, start: float, seconds: float, style: Style) -> str:
    """Return the run as a line of `_BAR` cells, with those filled in which the step ran."""
    if step.started is None or step.finished is None or seconds <= 0:
        return ""
    first = min(_BAR - 1, max(0, int((step.started - start) / seconds * _BAR)))
    last = min(_BAR, max(first + 1, round((step.finished - start) / seconds * _BAR)))
    filled = style.paint(style.full * (last - first), style.step(step.position))
    rest = style.empty
    return style.paint(rest * first, "dim") + filled + style.paint(rest * (_BAR - last), "dim")


def outcome(
    progress: Progress, event: RunFinished, style: Style, commands: Commands
) -> Iterator[str]:
    """Yield how the run ended; when it failed, each failed task and the commands to type next."""
    state = event.result.state
    if state is RunState.SUCCEEDED:
        yield style.paint(wording.run_finished(event), "bold green")
        return
    colour = "bold yellow" if state is RunState.INTERRUPTED else "bold red"
    yield style.paint(wording.run_finished(event), colour)
    if not progress.failures and event.result.message and state is RunState.FAILED:
        yield f"  {wording.one_line(event.result.message)}"
    for spec, failure in progress.failures[:_SHOWN_FAILURES]:
        yield from _failure(spec, failure, style, commands)
    hidden = len(progress.failures) - _SHOWN_FAILURES
    if hidden > 0:
        yield f"  … and {hidden:,} more"
    yield f"  go on:     {commands('resume', f'--origin-run-id {event.run.run}')}"


def _failure(spec: TaskSpec, failure: Failure, style: Style, commands: Commands) -> Iterator[str]:
    place = f"{spec.run}/{spec.step}/{spec.task}"
    items = ", ".join(
        f"{frame.artifact}[{frame.index}]" if frame.artifact else f"member {frame.index}"
        for frame in spec.foreach
    )
    yield f"  {style.paint(place, 'red')}{f' ({items})' if items else ''}: " + wording.one_line(
        failure.summary
    )
    where = wording.place(failure)
    if where:
        yield f"    where:   {where}"
    if failure.hint:
        yield f"    try:     {wording.one_line(failure.hint)}"
    yield f"    its log: {commands('logs', spec.pathspec)}"
