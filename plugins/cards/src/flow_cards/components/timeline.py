"""What happened when: bars over time, row by row. Of many, how long they took."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from flow_cards.components.base import Component
from flow_cards.components.graph import address
from flow_core.api import duration

MANY = 40
"""Bars in a row above which it is shown as a distribution."""

_SLOTS = 120
_BINS = 32
_NAMED = 5
_MOST_ROWS = 300
_BAD = ("failed", "cancelled", "interrupted")
_STATES = (
    "succeeded",
    "failed",
    "caught",
    "reused",
    "running",
    "queued",
    "cancelled",
    "interrupted",
)
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300,
          600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # fmt: skip


class Bar(NamedTuple):
    """Something that took time: an attempt of a task.

    Attributes:
        name: what it is called.
        start, end: seconds since any moment, the same for all.
        state: ``succeeded``, ``failed``, ``running``, ….
        link: address of a page on it; ``""`` = none.
        text: why it failed, for example.

    Since 0.1.
    """

    name: str
    start: float
    end: float
    state: str = "succeeded"
    link: str = ""
    text: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0.0, self.end - self.start)


class Spread(NamedTuple):
    """What remains of many bars.

    Attributes:
        count: how many there were.
        states: how many of each state.
        median, p95, longest: of their durations, in seconds.
        bins: how many took how long: equal parts from the shortest to the longest.
        shortest: seconds.
        start, end: when the first began and the last ended.
        at_once: how many ran at a time, on average, in equal parts of the time from start to end.
        most: how many ran at a time at most.
        slowest, failed: some of them.
    """

    count: int  # type: ignore[assignment]
    states: tuple[tuple[str, int], ...]
    median: float
    p95: float
    longest: float
    bins: tuple[int, ...]
    shortest: float
    start: float
    end: float
    at_once: tuple[float, ...]
    most: int
    slowest: tuple[Bar, ...]
    failed: tuple[Bar, ...]


class Row(NamedTuple):
    """A row: its name, and bars, or what remains of many."""

    name: str
    bars: tuple[Bar, ...] = ()
    spread: Spread | None = None


@dataclass(frozen=True)
class Timeline(Component):
    """Bars over time, in rows with names. A row of more than 40 is shown as a distribution: how long
    they took, how many ran at once, and which were slowest or failed.

    Attributes:
        rows: pairs of a name and its bars: ``[("train", [Bar("train/7", 0.0, 2.5)])]``. Bars are
            tuples as `Bar`.

    Since 0.1.
    """

    rows: Any = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        self._set(rows=tuple(_row(*row) for row in list(self.rows)[:_MOST_ROWS]))

    @property
    def drawn(self) -> Drawn:
        """All that is drawn."""
        rows = [_row(*row) for row in self.rows]
        spans = [(bar.start, bar.end) for row in rows for bar in row.bars]
        spans += [(row.spread.start, row.spread.end) for row in rows if row.spread]
        start = min((begin for begin, _ in spans), default=0.0)
        end = max((until for _, until in spans), default=0.0)
        scale = Scale(start, max(end - start, 1e-6))
        found = {bar.state for row in rows for bar in row.bars}
        states = tuple(state for state in _STATES if state in found)
        return Drawn(tuple(_drawn(row, scale) for row in rows), tuple(_ticks(scale)), states)


class Scale(NamedTuple):
    """Moments as parts of the width, in percent."""

    start: float
    length: float

    def at(self, moment: float) -> float:
        """Return where a moment is."""
        return round(100 * (moment - self.start) / self.length, 3)


class Tick(NamedTuple):
    """A moment that is named."""

    x: float
    text: str


class DrawnBar(NamedTuple):
    """A bar with its place: in percent of the width, and in pixels from above."""

    bar: Bar
    x: float
    width: float
    y: float
    words: str


class DrawnRow(NamedTuple):
    """A row with all that is drawn of it."""

    name: str
    words: str
    height: float
    thickness: float
    bars: tuple[DrawnBar, ...]
    spread: DrawnSpread | None


class DrawnSpread(NamedTuple):
    """What is drawn of many bars."""

    spread: Spread
    x: float
    width: float
    area: str
    bins: tuple[tuple[float, float, float], ...]
    marks: tuple[Tick, ...]


class Drawn(NamedTuple):
    """All that is drawn."""

    rows: tuple[DrawnRow, ...]
    ticks: tuple[Tick, ...]
    states: tuple[str, ...]


# --- from bars to what remains of them ----------------------------------------------------------


def _row(name: Any, bars: Iterable[Any] = (), spread: Any = None) -> Row:
    """Return a row, also from what the codec makes of one."""
    found = tuple(_bar(bar) for bar in bars)
    if spread is not None:
        return Row(str(name), (), _spread_of(spread))
    if len(found) > MANY:
        return Row(str(name), (), _summed(found))
    return Row(str(name), tuple(sorted(found, key=lambda bar: (bar.start, bar.end, bar.name))))


def _bar(bar: Any) -> Bar:
    name, start, end, *rest = bar
    state, link, text = (*map(str, rest), *("succeeded", "", "")[len(rest) :])
    for moment in (start, end):
        if not math.isfinite(moment):
            raise ValueError(f"Timeline: a bar begins and ends at a moment, not at {moment!r}")
    return Bar(str(name), float(start), max(float(start), float(end)), state, address(link), text)


def _spread_of(data: Any) -> Spread:
    one = Spread(*data)
    return one._replace(
        states=tuple((str(state), int(count)) for state, count in one.states),
        bins=tuple(one.bins),
        at_once=tuple(one.at_once),
        slowest=tuple(_bar(bar) for bar in one.slowest),
        failed=tuple(_bar(bar) for bar in one.failed),
    )


def _summed(bars: Sequence[Bar]) -> Spread:
    took = sorted(bar.seconds for bar in bars)
    start, end = min(bar.start for bar in bars), max(bar.end for bar in bars)
    failed = [bar for bar in bars if bar.state in _BAD]
    at_once, most = _concurrency(bars, start, end)
    return Spread(
        len(bars),
        tuple(sorted(Counter(bar.state for bar in bars).items())),
        quantile(took, 0.5),
        quantile(took, 0.95),
        took[-1],
        _histogram(took),
        took[0],
        start,
        end,
        at_once,
        most,
        tuple(sorted(bars, key=lambda bar: -bar.seconds)[:_NAMED]),
        tuple(failed[:_NAMED]),
    )


def quantile(ordered: Sequence[float], part: float) -> float:
    """Return the value below which a part of them lies; 0 of none."""
    if not ordered:
        return 0.0
    place = part * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def _histogram(took: Sequence[float]) -> tuple[int, ...]:
    shortest, longest = took[0], took[-1]
    width = (longest - shortest) / _BINS
    bins = [0] * _BINS
    for seconds in took:
        bins[min(_BINS - 1, int((seconds - shortest) / width)) if width > 0 else 0] += 1
    return tuple(bins)


def _concurrency(bars: Sequence[Bar], start: float, end: float) -> tuple[tuple[float, ...], int]:
    """Return how many ran at a time on average in each part of the time, and at most at once."""
    width = (end - start) / _SLOTS
    busy = [0.0] * _SLOTS
    if width > 0:
        for bar in bars:
            first = min(_SLOTS - 1, int((bar.start - start) / width))
            last = min(_SLOTS - 1, int((bar.end - start) / width))
            for slot in range(first, last + 1):
                begin = start + slot * width
                busy[slot] += max(0.0, min(bar.end, begin + width) - max(bar.start, begin))
    changes = sorted([(bar.start, 1) for bar in bars] + [(bar.end, -1) for bar in bars])
    now, most = 0, 1
    for _, change in changes:
        now += change
        most = max(most, now)
    return tuple(round(time / width, 3) if width > 0 else 0.0 for time in busy), most


# --- from what there is to where it is drawn ----------------------------------------------------


def _drawn(row: Row, scale: Scale) -> DrawnRow:
    if row.spread is not None:
        drawn = _drawn_spread(row.spread, scale)
        return DrawnRow(row.name, _spread_words(row.spread), 44.0, 0.0, (), drawn)
    lanes = _lanes(row.bars)
    count = 1 + max(lanes, default=0)
    thickness = 14.0 if count <= 3 else 9.0 if count <= 8 else 5.0
    pitch = thickness + (3.0 if thickness > 5 else 2.0)
    bars = tuple(
        DrawnBar(
            bar,
            scale.at(bar.start),
            round(100 * bar.seconds / scale.length, 3),
            5.0 + lane * pitch,
            _bar_words(bar),
        )
        for bar, lane in zip(row.bars, lanes, strict=True)
    )
    words = "; ".join(one.words for one in bars)
    return DrawnRow(row.name, words, 10.0 + count * pitch, thickness, bars, None)


def _lanes(bars: Sequence[Bar]) -> list[int]:
    """Return for each bar, in the order of their starts, the first lane that is free."""
    ends: list[float] = []
    lanes = []
    for bar in bars:
        lane = next((n for n, end in enumerate(ends) if end <= bar.start), len(ends))
        ends[lane : lane + 1] = [bar.end]
        lanes.append(lane)
    return lanes


def _bar_words(bar: Bar) -> str:
    words = f"{bar.name}, {bar.state}, {duration(bar.seconds)}"
    return f"{words}: {bar.text}" if bar.text else words


def _spread_words(spread: Spread) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in spread.states)
    return (
        f"{spread.count:,} attempts ({states}), median {duration(spread.median)}, "
        f"95 % within {duration(spread.p95)}, longest {duration(spread.longest)}, "
        f"{spread.most:,} at once at most"
    )


def _drawn_spread(spread: Spread, scale: Scale) -> DrawnSpread:
    high = max(spread.at_once, default=0.0) or 1.0
    area = "M0 40"
    for slot, running in enumerate(spread.at_once):
        y = round(40 - 36 * running / high, 1)
        area += f"L{slot * 10} {y:g}H{slot * 10 + 10}"
    fullest = max(spread.bins) or 1
    size = 100 / len(spread.bins)
    bins = tuple(
        (round(n * size, 2), round(size * 0.88, 2), round(max(64 * count / fullest, 1.5), 1))
        for n, count in enumerate(spread.bins)
        if count
    )
    length = spread.longest - spread.shortest
    marks = tuple(
        Tick(round(100 * (seconds - spread.shortest) / length, 2) if length > 0 else 0.0, name)
        for name, seconds in (("median", spread.median), ("95 %", spread.p95))
    )
    return DrawnSpread(
        spread,
        scale.at(spread.start),
        round(100 * (spread.end - spread.start) / scale.length, 3),
        f"{area}V40Z",
        bins,
        marks,
    )


def _ticks(scale: Scale) -> Iterator[Tick]:
    step = next((one for one in _STEPS if scale.length / one <= 6), 0.0)
    while not step or scale.length / step > 6:
        step = (step or 86400.0) * 2
    for number in range(int(scale.length / step) + 1):
        yield Tick(scale.at(scale.start + number * step), _tick_text(number * step))


def _tick_text(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")):
        if seconds >= size * 0.999:
            return f"{round(seconds / size, 1):g} {unit}"
    return "0"
