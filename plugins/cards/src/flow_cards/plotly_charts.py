"""Figures of plotly as specifications of Vega-Lite: the common traces, in the look of the page.

plotly's own script has 4.6 MB, which no card carries.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from flow_cards.previews import readable_times

_CODES = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
          "f4": "f", "f8": "d"}  # fmt: skip
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_MANY_POINTS = 20
_MOST_ROWS = 20_000

Row = dict[str, Any]
Spec = dict[str, Any]


class Translated(NamedTuple):
    """What became of a figure.

    Attributes:
        specs: a specification for each of its plots.
        left: the types of the traces that are not drawn, with how many there are of each.
    """

    specs: list[Spec]
    left: dict[str, int]


def translate(figure: Any) -> Translated:
    """Return the specifications for a figure of plotly.

    Args:
        figure: the figure, or its JSON data.
    """
    data = figure if isinstance(figure, Mapping) else figure.to_plotly_json()
    layout = data.get("layout") or {}
    plots: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    left: Counter[str] = Counter()
    for trace in data.get("data") or ():
        if trace.get("visible") in (False, "legendonly"):
            continue
        kind = trace.get("type") or "scatter"
        family = _FAMILIES.get(kind)
        if family is None:
            left[kind] += 1
        else:
            alone = str(len(plots)) if family in ("heatmap", "pie") else ""
            place = (family + alone, trace.get("xaxis") or "x", trace.get("yaxis") or "y")
            plots.setdefault(place, []).append(trace)
    specs = []
    for (family, x, y), traces in plots.items():
        spec = _PLOTS[family.rstrip("0123456789")](traces, layout, x, y)
        specs.append(spec)
    title = _text(layout.get("title"))
    if title and specs:
        specs[0]["title"] = title
    return Translated(specs, dict(left))


def _text(title: Any) -> str:
    """Return a title without plotly's tags."""
    text = title.get("text") if isinstance(title, Mapping) else title
    if not isinstance(text, str):
        return ""
    return re.sub(r"<[^<>]*>", "", re.sub(r"<br ?/?>", " ", text)).strip()


def numbers(values: Any) -> list[Any]:
    """Return the values of a trace, which plotly may have packed, as plain ones."""
    if values is None:
        return []
    if isinstance(values, Mapping) and "bdata" in values:
        packed = array(_CODES[values["dtype"]], base64.b64decode(values["bdata"]))
        if sys.byteorder == "big":  # plotly packs little-endian
            packed.byteswap()
        found: list[Any] = packed.tolist()
        shape = values.get("shape")
        if isinstance(shape, str):
            shape = [int(part) for part in shape.split(",")]
        if shape and len(shape) == 2:
            return [found[n * shape[1] : (n + 1) * shape[1]] for n in range(shape[0])]
        return found
    if hasattr(values, "tolist"):
        values = readable_times(values).tolist()
    return [_plain(value) for value in values] if isinstance(values, Iterable) else [values]


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = readable_times(value).item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _thin(rows: list[Row]) -> list[Row]:
    """Return so many of the rows that a card does not become too large."""
    step = -(-len(rows) // _MOST_ROWS)
    return rows[::step] if step > 1 else rows


# --- traces with an x and a y -------------------------------------------------------------------


def _xy(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str) -> Spec:
    series = [_points(trace, number) for number, trace in enumerate(traces)]
    bars = all(trace.get("type") == "bar" for trace in traces)
    turned = bars and any(trace.get("orientation") == "h" for trace in traces)
    rows = [row for one in series for row in one]
    across, along = ("y", "x") if turned else ("x", "y")
    encoding: Spec = {
        name: _channel(name, rows, layout, axis, names=bars and name == across, zero=bars)
        for name, axis in (("x", x), ("y", y))
    }
    if len(traces) > 1:
        names = list(dict.fromkeys(_name(trace, n) for n, trace in enumerate(traces)))
        encoding["color"] = {
            "field": "series", "type": "nominal", "title": None, "scale": {"domain": names},
        }  # fmt: skip
        if bars:
            mode = layout.get("barmode") or "group"
            if mode == "group":
                encoding[f"{across}Offset"] = {"field": "series", "sort": None}
            encoding[along]["stack"] = "zero" if mode in ("stack", "relative") else None
    layers: list[Spec] = []
    for trace, points in zip(traces, series, strict=True):
        layers += [{"data": {"values": _thin(points)}, **mark} for mark in _marks(trace, points)]
    if bars:  # one mark for all of them, so that they are stacked, or stand side by side
        return {"data": {"values": _thin(rows)}, "mark": "bar", "encoding": encoding}
    return {"encoding": encoding, "layer": layers}


def _points(trace: Mapping[str, Any], number: int) -> list[Row]:
    xs, ys = numbers(trace.get("x")), numbers(trace.get("y"))
    xs = xs or list(range(len(ys)))
    ys = ys or list(range(len(xs)))
    name = _name(trace, number)
    return [
        {"x": x, "y": y, "n": n, "series": name}
        for n, (x, y) in enumerate(zip(xs, ys, strict=False))
    ]


def _name(trace: Mapping[str, Any], number: int) -> str:
    return str(trace.get("name") or f"trace {number}")


def _marks(trace: Mapping[str, Any], points: Sequence[Row]) -> list[Spec]:
    if trace.get("type") == "bar":
        return [{"mark": "bar"}]
    few = len(points) < _MANY_POINTS
    mode = trace.get("mode") or ("lines+markers" if few else "lines")
    found: list[Spec] = []
    if "lines" in mode:
        kind = "area" if trace.get("fill") in ("tozeroy", "tonexty") else "line"
        order = {} if kind == "area" else {"encoding": {"order": {"field": "n"}}}
        found.append({"mark": {"type": kind}, **order})
    if "markers" in mode or not found:
        found.append({"mark": {"type": "point", "filled": True}})
    return found


def _channel(
    name: str, rows: Sequence[Row], layout: Mapping[str, Any], axis: str, *, names: bool, zero: bool
) -> Spec:
    about = layout.get(axis.replace(name, f"{name}axis", 1)) or {}
    kind = "nominal" if names else _type([row[name] for row in rows])
    channel: Spec = {"field": name, "type": kind, "title": _text(about.get("title")) or None}
    if kind == "nominal":
        channel["sort"] = None
    scale: Spec = {}
    if kind == "quantitative" and about.get("type") == "log":
        scale["type"] = "log"
    elif kind == "quantitative" and not zero:
        scale["zero"] = False
    if about.get("autorange") == "reversed":
        scale["reverse"] = True
    return {**channel, "scale": scale} if scale else channel


def _type(values: Iterable[Any]) -> str:
    known = [value for value in values if value is not None]
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in known):
        return "quantitative"
    if all(isinstance(v, str) and _TIME.fullmatch(v) for v in known):
        return "temporal"
    return "nominal"


# --- distributions ------------------------------------------------------------------------------


def _spread(
    traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str
) -> tuple[list[Row], bool, Spec]:
    """Return the values of histograms or boxes, whether they lie on their side, and a channel."""
    turned = not any(trace.get("x") is not None for trace in traces)
    name = "y" if turned else "x"
    rows = [
        {"value": value, "series": _name(trace, number)}
        for number, trace in enumerate(traces)
        for value in numbers(trace.get(name))
    ]
    about = layout.get((y if turned else x).replace(name, f"{name}axis", 1)) or {}
    return rows, turned, {"field": "value", "title": _text(about.get("title")) or None}


def _histogram(
    traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str
) -> Spec:
    rows, turned, channel = _spread(traces, layout, x, y)
    channel["type"] = _type(row["value"] for row in rows)
    if channel["type"] == "quantitative":
        bins = max((trace.get("nbinsx") or trace.get("nbinsy") or 0 for trace in traces), default=0)
        channel["bin"] = {"maxbins": bins or 30}
    across, along = ("y", "x") if turned else ("x", "y")
    encoding: Spec = {across: channel, along: {"aggregate": "count", "title": "count"}}
    mark: Spec = {"type": "bar"}
    if len(traces) > 1:
        encoding["color"] = {"field": "series", "title": None, "sort": None}
        overlay = layout.get("barmode") == "overlay"
        encoding[along]["stack"] = None if overlay else "zero"
        mark["opacity"] = 0.6 if overlay else 1
    return {"data": {"values": _thin(rows)}, "mark": mark, "encoding": encoding}


def _box(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str) -> Spec:
    rows: list[Row] = []
    turned = all(trace.get("y") is None for trace in traces)
    for number, trace in enumerate(traces):
        values = numbers(trace.get("x" if turned else "y"))
        groups = numbers(trace.get("y" if turned else "x"))
        names = groups if len(groups) == len(values) else [_name(trace, number)] * len(values)
        series = _name(trace, number)
        rows += [
            {"value": value, "group": group, "series": series}
            for value, group in zip(values, names, strict=True)
        ]
    axis = x if turned else y
    about = layout.get(axis.replace(axis[0], f"{axis[0]}axis", 1)) or {}
    title = _text(about.get("title")) or None
    across, along = ("y", "x") if turned else ("x", "y")
    encoding: Spec = {
        along: {"field": "value", "type": "quantitative", "title": title, "scale": {"zero": False}},
        across: {"field": "group", "type": "nominal", "title": None, "sort": None},
    }
    if len({row["series"] for row in rows}) > 1 and any(r["group"] != r["series"] for r in rows):
        encoding["color"] = {"field": "series", "title": None, "sort": None}
        encoding[f"{across}Offset"] = {"field": "series", "sort": None}
    return {"data": {"values": _thin(rows)}, "mark": "boxplot", "encoding": encoding}


# --- heat maps and pies -------------------------------------------------------------------------


def _heatmap(
    traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str
) -> Spec:
    (trace,) = traces
    grid = numbers(trace.get("z"))
    xs = numbers(trace.get("x")) or list(range(max(map(len, grid), default=0)))
    ys = numbers(trace.get("y")) or list(range(len(grid)))
    rows = [
        {"x": x_value, "y": y_value, "value": value}
        for y_value, line in zip(ys, grid, strict=False)
        for x_value, value in zip(xs, line, strict=False)
    ]
    if len(rows) > _MOST_ROWS:
        raise ValueError(f"a heat map of {len(rows):,} cells is too large for a card")
    upward = (layout.get(y.replace("y", "yaxis", 1)) or {}).get("autorange") != "reversed"

    def side(name: str, axis: str, sort: str) -> Spec:
        about = layout.get(axis.replace(name, f"{name}axis", 1)) or {}
        kind = "ordinal" if _type(row[name] for row in rows) == "quantitative" else "nominal"
        order = sort if kind == "ordinal" else None
        return {
            "field": name,
            "type": kind,
            "sort": order,
            "title": _text(about.get("title")) or None,
        }

    encoding: Spec = {
        "x": side("x", x, "ascending"),
        "y": side("y", y, "descending" if upward else "ascending"),
        "color": {"field": "value", "type": "quantitative", "title": None},
    }
    return {"data": {"values": rows}, "mark": "rect", "encoding": encoding}


def _pie(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any], x: str, y: str) -> Spec:
    (trace,) = traces
    values = numbers(trace.get("values"))
    labels = numbers(trace.get("labels")) or [str(n) for n in range(len(values))]
    values = values or [1] * len(labels)
    rows = [{"label": la, "value": v} for la, v in zip(labels, values, strict=False)]
    mark: Spec = {"type": "arc"}
    if trace.get("hole"):
        mark["innerRadius"] = 60
    encoding = {
        "theta": {"field": "value", "type": "quantitative", "aggregate": "sum"},
        "color": {"field": "label", "title": None, "sort": None},
    }
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


_FAMILIES = {
    "scatter": "xy", "scattergl": "xy", "bar": "xy", "histogram": "histogram", "box": "box",
    "heatmap": "heatmap", "pie": "pie",
}  # fmt: skip
_PLOTS: Mapping[str, Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any], str, str], Spec]] = {
    "xy": _xy,
    "histogram": _histogram,
    "box": _box,
    "heatmap": _heatmap,
    "pie": _pie,
}

_TO_PICTURE = (
    "import sys, plotly.io; "
    "sys.stdout.buffer.write(plotly.io.from_json(sys.stdin.read()).to_image(format='png', scale=2))"
)


_given_up: list[bool] = []  # that it took too long once: a card has not the time to wait again


def picture(figure: Any, seconds: float = 15) -> bytes | None:
    """Return a figure as PNG, made by kaleido where it is installed; None when that does not work.

    It is made by another process, since it starts a browser.
    """
    import importlib.util
    import subprocess

    if _given_up or importlib.util.find_spec("kaleido") is None:
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TO_PICTURE],
            input=_json(figure),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        _given_up.append(True)
        return None
    return done.stdout if done.returncode == 0 else None


def _json(figure: Any) -> bytes:
    text = figure.to_json() if hasattr(figure, "to_json") else json.dumps(figure)
    return str(text).encode()
