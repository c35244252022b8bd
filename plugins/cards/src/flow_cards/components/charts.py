"""Charts: specifications of Vega and Vega-Lite, which the page draws; and small ones within a line."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.components.table import Table, is_frame
from flow_cards.previews import readable_times, shorten

_MOST_ROWS = 50
_MOST_COLUMNS = 8
_TOO_DEEP = "The specification of the chart is nested too deeply.\nIt may contain itself."


@dataclass(frozen=True)
class VegaChart(Component):
    """A chart that the page draws: a specification of Vega-Lite or Vega, whose data stands in it.

        VegaChart({
            "data": {"values": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.3}]},
            "mark": "line",
            "encoding": {"x": {"field": "epoch"}, "y": {"field": "loss", "type": "quantitative"}},
        })

    It takes the colours and the font of the page, and as much width as there is, unless the
    specification says others. A card fetches nothing: where the data has an address instead of values, the
    card says so in the place of the chart.

    Attributes:
        spec: the specification, as a dict or as JSON; or a chart of altair. Values may be a
            DataFrame. It is kept as JSON.
        show_controls: whether there are buttons below it: save it as SVG or PNG, see its data and its
            specification.
        title: a line above it.
        alt: what it shows, for who does not see it; by default it is told from the specification.
        problem: why it cannot be drawn; ``""`` = it can.
        summary: what it shows, as told from the specification.

    Raises:
        TypeError: ``spec`` is nothing of the kind.

    Since 0.1.
    """

    spec: Any = ""
    show_controls: bool = False
    title: str | None = None
    alt: str | None = None
    problem: str = ""
    summary: str = ""
    live: ClassVar[tuple[str, ...]] = ("spec",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        try:
            spec = _spec_of(self.spec)
            text, problem, summary = _json(spec), _problem_of(spec), describe(spec)
        except _Unfit as unfit:
            text, problem, summary = "{}", str(unfit), ""
        except RecursionError:
            text, problem, summary = "{}", _TOO_DEEP, ""
        self._set(spec=text, problem=problem, summary=summary)

    @classmethod
    def from_altair_chart(
        cls,
        chart: Any,
        show_controls: bool = False,
        title: str | None = None,
        alt: str | None = None,
    ) -> VegaChart:
        """Return what shows a chart of altair.

        Args:
            chart: the chart.
            show_controls, title, alt: see the attributes.
        """
        return cls(chart, show_controls, title, alt)

    @property
    def table(self) -> Table | None:
        """Its data, where it is small enough to be read as a table."""
        if len(self.spec) > 50_000:
            return None
        rows = _rows(json.loads(self.spec))
        heads = list(dict.fromkeys(name for row in rows for name in row))
        if not rows or len(rows) > _MOST_ROWS or len(heads) > _MOST_COLUMNS:
            return None
        return Table([[row.get(head) for head in heads] for row in rows], heads)


class _Unfit(Exception):
    """A specification from which no chart can be made. Its first line says what, the others why."""


def is_altair(value: Any) -> bool:
    """Whether it is a chart of altair, which is not imported for that."""
    return callable(getattr(value, "to_dict", None)) and any(
        cls.__module__.partition(".")[0] == "altair" for cls in type(value).__mro__
    )


def _spec_of(given: Any) -> Mapping[str, Any]:
    if is_altair(given):
        given = _from_altair(given)
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise _Unfit(f"The specification of the chart is no JSON.\n{error}") from None
    if not isinstance(given, Mapping):
        raise TypeError(
            f"VegaChart: spec must be a dict, JSON of one, or a chart of altair, not "
            f"{type(given).__name__}"
        )
    return given


def _from_altair(chart: Any) -> Any:
    try:
        return chart.to_dict()
    except Exception as error:  # whatever altair may raise: too many rows, a field without a type
        line = shorten(str(error).strip().partition("\n")[0], 500)
        raise _Unfit(
            f"altair cannot make a specification of this chart.\n{type(error).__name__}: {line}"
        ) from error


def _json(spec: Mapping[str, Any]) -> str:
    try:
        return json.dumps(spec, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        return json.dumps(_plain(spec, 0), allow_nan=False, separators=(",", ":"))


def _plain(value: Any, depth: int) -> Any:
    """Return JSON data for what stands in specifications: frames, arrays, times, NaN too."""
    if depth > 100:
        raise _Unfit(_TOO_DEEP)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, depth + 1) for part in value]
    if is_frame(value):
        return [_plain(row, depth + 1) for row in _records(value)]
    for name in ("isoformat", "tolist", "to_list"):  # times; arrays and numbers of numpy; series
        if callable(convert := getattr(readable_times(value), name, None)):
            return _plain(convert(), depth + 1)
    raise _Unfit(
        f"The specification of the chart holds what is no JSON: {type(value).__name__}.\n"
        "It may hold text, numbers, lists, dicts, times, arrays and data frames."
    )


def _records(frame: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(frame, "to_dicts"):  # polars
        return list(frame.to_dicts())
    return list(frame.to_dict("records"))


def _problem_of(spec: Mapping[str, Any]) -> str:
    if not spec:
        return "The chart is empty.\nIts specification says nothing."
    url = next(_addresses(spec), None)
    if url is None:
        return ""
    return (
        f"The chart is not drawn: its data would be fetched from {shorten(str(url), 200)}\n"
        "A card needs no network, and fetches nothing. Put the data itself into the specification: "
        '"data": {"values": rows}, where rows are dicts or a data frame.'
    )


def _addresses(value: Any) -> Iterator[Any]:
    """Yield the addresses from which a specification would fetch data."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            if key == "data":
                for source in part if isinstance(part, (list, tuple)) else [part]:
                    if isinstance(source, Mapping) and source.get("url") is not None:
                        yield source["url"]
            if key not in ("values", "datasets"):
                yield from _addresses(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _addresses(part)


def _rows(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the rows that stand in a specification, where they are rows."""
    data = spec.get("data")
    if isinstance(data, list):  # Vega has several, each with a name
        data = data[0] if data else None
    if not isinstance(data, Mapping):
        return []
    named = spec.get("datasets")
    values = data.get("values")
    if values is None and isinstance(named, Mapping):
        values = named.get(str(data.get("name")))
    if not isinstance(values, (list, tuple)):
        return []
    rows = [row if isinstance(row, Mapping) else {"value": row} for row in values]
    plain = all(not isinstance(v, (dict, list)) for row in rows for v in row.values())
    return rows if plain else []


# --- in words -----------------------------------------------------------------------------------


def describe(spec: Mapping[str, Any]) -> str:
    """Return in words what a specification shows: ``Chart of loss by epoch (line), 25 rows``."""
    said = spec.get("description") or _title(spec.get("title"))
    if isinstance(said, str) and said.strip():
        return shorten(said.strip(), 500)
    views = list(itertools.islice(_views(spec), 20))
    fields = dict.fromkeys(text for view in views for text in [_fields(view)] if text)
    marks = dict.fromkeys(text for view in views for text in [_mark(view)] if text)
    text = "Chart" + (f" of {'; '.join(fields)}" if fields else "")
    text += f" ({', '.join(marks)})" if marks else ""
    try:
        count = len(_rows(spec))
    except (AttributeError, TypeError):  # whatever stands where rows should
        count = 0
    return shorten(text + (f", {count:,} rows" if count else ""), 500)


def _title(title: Any) -> Any:
    return title.get("text") if isinstance(title, Mapping) else title


def _views(spec: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a view and all that it is composed of."""
    if not isinstance(spec, Mapping):
        return
    yield spec
    for name in ("layer", "concat", "hconcat", "vconcat"):
        parts = spec.get(name)
        for part in parts if isinstance(parts, (list, tuple)) else ():
            yield from _views(part)
    yield from _views(spec.get("spec"))


def _mark(view: Mapping[str, Any]) -> str:
    mark = view.get("mark")
    kind = mark.get("type") if isinstance(mark, Mapping) else mark
    return kind if isinstance(kind, str) else ""


def _fields(view: Mapping[str, Any]) -> str:
    encoding = view.get("encoding")
    if not isinstance(encoding, Mapping):
        return ""
    y, x, color = (_field(encoding.get(name)) for name in ("y", "x", "color"))
    y = y or _field(encoding.get("theta"))
    first, second = (y, x) if y else (x, "")
    text = first + (f" by {second}" if second else "")
    return text + (f", for each {color}" if text and color not in ("", first, second) else "")


def _field(channel: Any) -> str:
    if not isinstance(channel, Mapping):
        return ""
    title, name, aggregate = (channel.get(key) for key in ("title", "field", "aggregate"))
    if isinstance(title, str) and title:
        return title
    if isinstance(name, str) and name:
        return f"{aggregate} of {name}" if isinstance(aggregate, str) else name
    return aggregate if isinstance(aggregate, str) else ""


# --- within a line ------------------------------------------------------------------------------

_MOST_POINTS = 60
_WIDTH, _HEIGHT = 120.0, 28.0
_EDGE = 2.0
SHAPES = ("line", "bars")


@dataclass(frozen=True)
class Sparkline(Component):
    """Numbers as a small chart, which fits into a line or a cell.

    Attributes:
        values: the numbers; None and NaN are gaps. Of more than 60, those are kept which show the
            shape.
        shape: ``line``, or ``bars`` from 0.
        label: what it shows, for who does not see it.
        summary: how many numbers there were, and from where to where they went.

    Since 0.1.
    """

    values: Any = ()
    shape: str = "line"
    label: str | None = None
    summary: str = ""
    live: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Sparkline: shape cannot be {self.shape!r}: {', '.join(SHAPES)}")
        values = self.values.tolist() if hasattr(self.values, "tolist") else self.values
        numbers = [_number(value) for value in values]
        self._set(values=tuple(thinned(numbers, _MOST_POINTS)), summary=_summary(numbers))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the drawing."""
        return _WIDTH, _HEIGHT

    @property
    def lines(self) -> list[str]:
        """The lines between gaps: ``x,y x,y …``."""
        found: list[list[str]] = [[]]
        for n, y in enumerate(self._heights()):
            if y is None:
                found.append([])
            else:
                found[-1].append(f"{self._x(n):.1f},{y:.1f}")
        return [" ".join(line if len(line) > 1 else line * 2) for line in found if line]

    @property
    def bars(self) -> list[tuple[float, float, float, float]]:
        """The bars: x, y, width and height."""
        step = _WIDTH / max(1, len(self.values))
        low, high = self._range()
        floor = self._y(min(max(0.0, low), high))
        return [
            (n * step + step * 0.1, min(y, floor), step * 0.8, max(0.5, abs(floor - y)))
            for n, y in enumerate(self._heights())
            if y is not None
        ]

    def _heights(self) -> list[float | None]:
        return [None if value is None else self._y(value) for value in self.values]

    def _range(self) -> tuple[float, float]:
        known = [value for value in self.values if value is not None]
        if not known:
            return 0.0, 0.0
        if self.shape == "bars":
            known.append(0.0)
        return min(known), max(known)

    def _x(self, number: int) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * number / max(1, len(self.values) - 1)

    def _y(self, value: float) -> float:
        low, high = self._range()
        scale = max(abs(low), abs(high)) or 1.0  # differences of huge numbers may be infinite
        spread = high / scale - low / scale
        share = (value / scale - low / scale) / spread if spread else 0.5
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * share


def _number(value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def thinned(values: Sequence[float | None], most: int) -> list[float | None]:
    """Return at most ``most`` values, with the lowest and the highest of each stretch."""
    if len(values) <= most:
        return list(values)
    stretches = most // 2
    found: list[float | None] = []
    for n in range(stretches):
        part = values[n * len(values) // stretches : (n + 1) * len(values) // stretches]
        known = [value for value in part if value is not None]
        if not known:
            found.append(None)
            continue
        ends = (known.index(min(known)), known.index(max(known)))
        found.extend(known[place] for place in sorted(ends))
    return found


def _summary(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "no numbers"
    missing = f", {len(values) - len(known):,} missing" if len(known) < len(values) else ""
    return (
        f"{len(values):,} numbers from {min(known):.4g} to {max(known):.4g}, "
        f"the last {known[-1]:.4g}{missing}"
    )
