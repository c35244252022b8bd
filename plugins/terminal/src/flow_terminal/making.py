"""The lines about environments that are being made, as text. It knows no cursor."""

from __future__ import annotations

from typing import NamedTuple

from flow_core.api import EnvironmentProgress, duration
from flow_terminal import wording
from flow_terminal.style import Part, Style, clip, painted_line

_BARS = ((100, 20), (70, 10))  # columns, and how long a bar is from there on
_LONGEST_NAME = 32

Key = tuple[str, str, tuple[str, ...]]


class _Made(NamedTuple):
    """An environment: what was told of it last, and since when it is in this state."""

    event: EnvironmentProgress
    since: float


class Making:
    """Keeps which environments are being resolved or built, and draws a line for each.

    Args:
        style: colours and glyphs.
    """

    def __init__(self, style: Style) -> None:
        self._style = style
        self._made: dict[Key, _Made] = {}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._made)

    def update(self, event: EnvironmentProgress) -> float | None:
        """Take an event into account; return the seconds of what it ends, if it ends anything."""
        key = (event.provider, event.lock, event.steps)
        earlier = self._made.get(key)
        if event.state in wording.ENDED:
            self._made.pop(key, None)
            return None if earlier is None else max(0.0, event.at - earlier.since)
        self._made[key] = _Made(event, event.at if earlier is None else earlier.since)
        return None

    def clear(self) -> None:
        """Forget all: what was not finished never will be."""
        self._made.clear()

    def lines(self, columns: int, rows: int, now: float) -> list[tuple[str, int]]:
        """Return (painted line, its width), at most ``rows`` lines of ``columns`` columns."""
        shown = list(self._made.values())
        more = max(0, len(shown) - max(1, rows)) and len(shown) - max(1, rows - 1)
        shown = shown[: len(shown) - more]
        names = [wording.environment_name(one.event) for one in shown]
        longest = min(max(map(len, names), default=0), _LONGEST_NAME)
        parts = [
            self._line(one, clip(name, longest, self._style.ellipsis).ljust(longest), columns, now)
            for one, name in zip(shown, names, strict=True)
        ]
        if more:
            parts.append([(f"{self._style.waiting} {more} more", "dim")])
        return [painted_line(self._style, line, columns) for line in parts]

    def _line(self, one: _Made, name: str, columns: int, now: float) -> list[Part]:
        event = one.event
        parts: list[Part] = [(f"{self._style.running} ", "yellow"), (name, "cyan")]
        length = next((length for least, length in _BARS if columns + 1 >= least), 0)
        if length:
            parts += self._bar(event.part, length)
        percent = "" if event.part is None else f"{event.part:.0%}"
        took = duration(max(0.0, now - one.since))
        news = wording.one_line(event.text or event.state)
        return [*parts, (f"  {percent:>4}  {took:>6}  ", ""), (news, "dim")]

    def _bar(self, part: float | None, length: int) -> list[Part]:
        full = int(length * min(1.0, max(0.0, part or 0.0)))
        return [
            ("  ", ""),
            (self._style.full * full, "green"),
            (self._style.empty * (length - full), "dim"),
        ]
