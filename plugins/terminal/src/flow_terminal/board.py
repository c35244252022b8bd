"""Board: the lines about steps at the bottom of a terminal, as text. It knows no cursor."""

from __future__ import annotations

from collections.abc import Sequence

from flow_core.api import duration
from flow_terminal import wording
from flow_terminal.progress import DONE, FAILED, RUNNING, WAITING, Progress, StepProgress
from flow_terminal.quantities import plural
from flow_terminal.style import Part, Style, clip, pad, painted_line, width

_BAR = 20
_BAR_FROM = 60  # columns below which there is no room for bars
_LONGEST_NAME = 28


class Board:
    """Draws the progress of a run.

    Args:
        progress: the model.
        style: colours and glyphs.
    """

    def __init__(self, progress: Progress, style: Style) -> None:
        self._progress = progress
        self._style = style

    def lines(self, columns: int, rows: int, now: float) -> list[tuple[str, int]]:
        """Return (painted line, its width), at most ``rows`` lines of ``columns`` columns."""
        parts = [self._head(now), *self._body(columns, rows - 1, now)]
        return [painted_line(self._style, line, columns) for line in parts[:rows]]

    def _head(self, now: float) -> list[Part]:
        steps = self._progress.steps.values()
        done, total = sum(s.done for s in steps), sum(s.total for s in steps)
        running = sum(s.running for s in steps)
        elapsed = duration(now - self._progress.started)
        # How many tasks a step has is known when it begins; some steps never do.
        least = "" if all(s.total for s in steps) else "at least "
        counts = f"  {done:,} of {least}{plural(total, 'task')} done, {running:,} running"
        counts = counts if total else ""
        return [(self._progress.pathspec, "bold"), (f"  {elapsed}{counts}", "")]

    # --- steps ----------------------------------------------------------------------------------

    def _body(self, columns: int, rows: int, now: float) -> list[list[Part]]:
        steps = list(self._progress.steps.values())
        if not steps or rows < 1:
            return []
        names = max(min(width(s.name), _LONGEST_NAME) for s in steps)
        before, shown, after = fold(steps, rows)
        lines = [self._step(step, names, columns, now) for step in shown]
        if before:
            lines.insert(0, [(f"{self._style.done} {plural(before, 'step')} done", "dim")])
        if after:
            lines.append([(f"{self._style.waiting} {plural(after, 'step')} more", "dim")])
        return lines

    def _step(self, step: StepProgress, names: int, columns: int, now: float) -> list[Part]:
        state = step.state
        glyph, colour = self._glyph(step, state)
        name = clip(step.name, names, self._style.ellipsis)
        if state == WAITING:
            return [(f"{glyph} {name}", "dim")]
        parts: list[Part] = [
            (f"{glyph} ", colour),
            (pad(name, names), self._style.step(step.position)),
        ]
        if columns >= _BAR_FROM:
            parts += self._bar(step)
        seconds = step.seconds(now)
        took = "" if seconds is None else duration(seconds)
        parts.append((f"  {f'{step.done:,}/{step.total:,}':>9}  {took:>10}", ""))
        running = [f"{step.running:,} running"] if step.running else []
        notes = ", ".join([*running, *wording.exceptions(step)])
        return [*parts, (f"  {notes}" if notes else "", _notes_style(step))]

    def _glyph(self, step: StepProgress, state: str) -> Part:
        style = self._style
        if step.retried and state == RUNNING and not step.running:
            return style.again, "yellow"
        return {
            WAITING: (style.waiting, "dim"),
            RUNNING: (style.running, "yellow"),
            DONE: (style.done, "green"),
            FAILED: (style.failed, "red"),
        }[state]

    def _bar(self, step: StepProgress) -> list[Part]:
        full = _BAR * step.done // max(1, step.total)
        colour = "red" if step.failed else "green"
        return [
            ("  ", ""),
            (self._style.full * full, colour),
            (self._style.empty * (_BAR - full), "dim"),
        ]


def _notes_style(step: StepProgress) -> str:
    if step.failed:
        return "red"
    return "yellow" if step.retried or step.caught or step.cancelled else "dim"


def fold(steps: Sequence[StepProgress], rows: int) -> tuple[int, list[StepProgress], int]:
    """Choose the steps to show in ``rows`` lines.

    Finished steps go first, then those that have not begun, the farthest first; each kind leaves
    one line that counts them.

    Returns:
        number of folded finished steps, steps to show in order, number of other folded steps.
    """
    if len(steps) <= rows:
        return 0, list(steps), 0
    room = max(1, rows - 2)
    ranks = {FAILED: 0, RUNNING: 0, WAITING: 1, DONE: 2}
    # The latest of the finished ones are the most interesting of them.
    wanted = sorted(
        steps,
        key=lambda s: (ranks[s.state], -s.position if s.state == DONE else s.position),
    )[:room]
    shown = {s.name for s in wanted}
    hidden = [s for s in steps if s.name not in shown]
    done = sum(1 for s in hidden if s.state == DONE)
    return done, sorted(wanted, key=lambda s: s.position), len(hidden) - done
