"""What is shown of a value, by its type: a line, and a picture, a table or a chart where it has one.

Nothing is imported for it but what the value itself comes from: which module that is tells which function
here knows the type. A class of your own says how it is shown by a method ``_flow_card_``, which returns a
component, or whatever else ``current.card.append`` takes.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flow_cards.components import (
    Component,
    Error,
    Facts,
    Image,
    JSONViewer,
    Log,
    Markdown,
    Section,
    Sparkline,
    Table,
    VegaChart,
    as_component,
)
from flow_cards.previews import preview, shorten
from flow_cards.wording import count_text

_TIMES = "\N{MULTIPLICATION SIGN}"
_LINE = 240
_TEXT = 10_000
_CELL = 200
_ROWS, _COLUMNS = 100, 30
_SERIES_ROWS = 20
_SAMPLE = 100_000
_MOST_NUMBERS = 1_000_000
_BARS = 30
_SMALL_ARRAY = 12
_LARGEST_PICTURE = 4_000_000
_LARGEST_CHART = 1_000_000
_SIDE = 400
_SMALL_SIDE = 112


class Shown(NamedTuple):
    """What is shown of a value.

    Attributes:
        line: in a few words; a component where that is smaller than words.
        block: what more there is to see; None = nothing.
    """

    line: str | Component
    block: Component | None = None


def show(value: Any) -> Shown:
    """Return what is shown of a value. What goes wrong with that is told in its place.

    Since 0.1.
    """
    try:
        return _show(value)
    except Exception as error:  # whatever the code of others may raise
        line = shorten(f"{type(error).__name__}: {error}".partition("\n")[0], _LINE)
        return Shown(f"({type(value).__name__} cannot be shown: {line})")


def _show(value: Any) -> Shown:
    own = getattr(type(value), "_flow_card_", None)
    if own is not None:
        return Shown(type(value).__name__, as_component(own(value)))
    for cls in type(value).__mro__:
        make = _BY_CLASS.get(cls)
        if make is None and cls.__module__ != "builtins":
            make = _BY_MODULE.get(cls.__module__.partition(".")[0])
        if make is not None and (shown := make(value)) is not None:
            return shown
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _dataclass(value)
    return _drawn_by_itself(value) or _words(value)


def _words(value: Any) -> Shown:
    """Show a value as Python writes it."""
    text = preview(value, _TEXT)
    if len(text) <= _LINE and text.count("\n") < 3:
        return Shown(text)
    return Shown(shorten(text.partition("\n")[0], 80), Log(text))


def _drawn_by_itself(value: Any) -> Shown | None:
    """Show the picture that a value makes of itself for notebooks."""
    for name in ("_repr_png_", "_repr_jpeg_", "_repr_svg_"):
        if callable(getattr(type(value), name, None)):
            made = getattr(value, name)()
            if isinstance(made, str):
                made = made.encode()
            if isinstance(made, bytes) and (image := Image(made)).media:
                return Shown(type(value).__name__, image)
    return None


# --- what comes with Python ---------------------------------------------------------------------


def _text(value: str) -> Shown:
    if len(value) <= _LINE and value.count("\n") < 3:
        return Shown(preview(value, _LINE))
    lines = count_text(value.count("\n") + 1, "line")
    more = "" if len(value) <= _TEXT else f", the first {_TEXT:,}"
    return Shown(f"{len(value):,} characters, {lines}{more}", Log(shorten(value, _TEXT)))


def _bytes(value: bytes) -> Shown:
    image = Image(value) if len(value) <= _LARGEST_PICTURE else None
    if image is not None and image.media:
        return Shown(image.media, image)
    return Shown(preview(value, _LINE))


def _error(value: BaseException) -> Shown:
    return Shown(preview(value, _LINE), Error(value))


def _sequence(value: Sequence[Any]) -> Shown:
    text = preview(value, _LINE + 1)
    first = value[:_ROWS]
    if len(value) >= 8 and all(type(one) in (int, float) for one in value[:_MOST_NUMBERS]):
        return Shown(f"{len(value):,} numbers", _numbers(value))
    rows = _rows_of(first)
    if rows is not None and (len(text) > 60 or len(value) > 2):
        note = "" if len(value) <= _ROWS else f"{_ROWS} of {len(value):,} rows"
        return Shown(count_text(len(value), "row"), Table(*rows, note))
    if len(text) <= _LINE:
        return Shown(text)
    return Shown(count_text(len(value), "item"), _tree(value))


def _numbers(values: Sequence[float]) -> Component:
    first = values[:_MOST_NUMBERS]
    known = [value for value in first if abs(value) < math.inf]
    facts: list[tuple[str, Any]] = [("length", len(values))]
    if len(values) > len(first):
        facts.append(("of these", f"the first {len(first):,}"))
    if known and max(map(abs, known)) < 1e300:
        facts += [("min", min(known)), ("mean", sum(known) / len(known)), ("max", max(known))]
    return Facts([*facts, ("values", Sparkline(values[:_SAMPLE]))])


def _rows_of(values: Sequence[Any]) -> tuple[list[list[Any]], list[str]] | None:
    """Return rows and titles, where all values are rows of a table."""
    if not values:
        return None
    if all(type(row) is dict for row in values):
        heads = list(dict.fromkeys(key for row in values for key in row))
        if 0 < len(heads) <= _COLUMNS and all(isinstance(head, str) for head in heads):
            return [[_cell(row.get(head, "")) for head in heads] for row in values], heads
    elif all(type(row) in (list, tuple) for row in values):
        widths = {len(row) for row in values}
        if len(widths) == 1 and 0 < min(widths) <= _COLUMNS:
            return [[_cell(one) for one in row] for row in values], []
    return None


def _cell(value: Any) -> Any:
    """Return what stands in a cell: text and numbers as they are, anything else as Python writes it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return shorten(value, _CELL) if isinstance(value, str) else preview(value, _CELL)


def _mapping(value: Mapping[Any, Any]) -> Shown:
    text = preview(value, _LINE + 1)
    if len(text) <= _LINE and value.keys() and len(value) <= 8:
        return Shown(text)
    if not value:
        return Shown(text)
    return Shown(count_text(len(value), "key"), _tree(value))


def _tree(value: Any) -> Component:
    """Return what shows nested data."""
    return JSONViewer(value, show_copy_button=False)


def _dataclass(value: Any) -> Shown:
    text = preview(value, _LINE + 1)
    if len(text) <= _LINE:
        return Shown(text)
    pairs = [
        (one.name, Log(preview(getattr(value, one.name), 500))) for one in dataclasses.fields(value)
    ]
    return Shown(type(value).__name__, Table(pairs, ["field", "value"]))


def _component(value: Component) -> Shown:
    return Shown(type(value).__name__, value)


# --- arrays -------------------------------------------------------------------------------------


def _of_numpy(value: Any) -> Shown | None:
    numpy = sys.modules["numpy"]
    if isinstance(value, numpy.generic) and value.dtype.kind in "biufSU":
        return show(value.item())
    if not isinstance(value, numpy.ndarray):
        return None
    return _array(numpy, value)


def _of_torch(value: Any) -> Shown | None:
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value).__name__ not in ("Tensor", "Parameter"):
        return None
    try:
        array = value.detach().cpu().numpy()
    except (TypeError, RuntimeError):  # a type that numpy has not, as bfloat16
        array = value.detach().cpu().float().numpy()
    line = f"{value.dtype} {_shape(value.shape)} on {value.device}"
    return Shown(line, _array(numpy, array, always=True).block)


def _array(numpy: Any, value: Any, *, always: bool = False) -> Shown:
    if value.size <= _SMALL_ARRAY and not always:
        return Shown(shorten(preview(value, _LINE), _LINE))
    line = f"{value.dtype} {_shape(value.shape)}"
    if value.dtype.kind not in "biufmM":
        return Shown(line, Log(preview(value, 2000)))
    facts = Facts(
        [("type", str(value.dtype)), ("shape", _shape(value.shape)), *_measures(numpy, value)]
    )
    picture = _picture_of(numpy, value)
    return Shown(line, facts if picture is None else Section(None, [picture, facts]))


def _shape(shape: Sequence[int]) -> str:
    return f" {_TIMES} ".join(f"{size:,}" for size in shape) if shape else "a single value"


def _measures(numpy: Any, value: Any) -> Iterator[tuple[str, Any]]:
    if value.size == 0:
        return
    if value.dtype.kind in "mM":
        known = value[~numpy.isnat(value)]
        if known.size:
            yield "first", str(known.min())
            yield "last", str(known.max())
        return
    if value.dtype.kind == "b":
        yield "true", int(value.sum())
        yield "false", int(value.size - value.sum())
        return
    known = value
    if value.dtype.kind == "f":
        finite = numpy.isfinite(value)
        if not finite.all():
            known = value[finite]
            yield "NaN", int(numpy.isnan(value).sum())
            if infinite := int(numpy.isinf(value).sum()):
                yield "infinite", infinite
    if not known.size:
        return
    yield "min", known.min().item()
    yield "mean", float(known.mean(dtype="float64"))
    yield "max", known.max().item()
    if value.ndim == 1:
        yield "values", Sparkline(_sampled(value), label="values")
    bars = _distribution(numpy, _sampled(known.ravel()))
    if bars is not None:
        yield "distribution", Sparkline(bars, "bars", label="distribution")


def _sampled(values: Any) -> Any:
    step = -(-len(values) // _SAMPLE)
    return values[::step] if step > 1 else values


def _distribution(numpy: Any, values: Any) -> Any:
    values = values.astype("float64")
    low, high = values.min(), values.max()
    if low == high or not numpy.isfinite(high - low):
        return None
    return numpy.histogram(values, bins=min(_BARS, max(5, len(values) // 4)))[0]


def _picture_of(numpy: Any, value: Any) -> Component | None:
    """Return an array as a picture where it looks like one."""
    if value.ndim not in (2, 3) or min(value.shape[:2]) < 8:
        return None
    channels = value.shape[2] if value.ndim == 3 else 1
    if channels not in (1, 3, 4) or max(value.shape[:2]) > 40 * min(value.shape[:2]):
        return None
    step = -(-max(value.shape[:2]) // _SIDE)
    pixels = value[::step, ::step]
    if value.dtype != "uint8":
        pixels = _grey(numpy, pixels, channels)
        if pixels is None:
            return None
    grown = max(1, _SMALL_SIDE // max(pixels.shape[:2]))
    pixels = pixels.repeat(grown, axis=0).repeat(grown, axis=1)
    from flow_cards.png import png

    height, width = pixels.shape[:2]
    content = png(numpy.ascontiguousarray(pixels).tobytes(), width, height, channels)
    note = f"{value.shape[1]:,} {_TIMES} {value.shape[0]:,}"
    what = "as a picture" if value.dtype == "uint8" else "as a picture: the lowest value is dark"
    return Image(content, f"{note}, {what}" + (f", each {step}th pixel" if step > 1 else ""))


def _grey(numpy: Any, values: Any, channels: int) -> Any:
    """Return numbers as bytes, from the lowest to the highest; None where that shows nothing."""
    if values.dtype.kind not in "fiu" or (channels != 1 and values.dtype.kind != "f"):
        return None
    values = values.astype("float64")
    finite = values[numpy.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return None
    low, high = finite.min(), finite.max()
    if channels != 1:
        if low < 0 or high > 1:
            return None
        low, high = 0.0, 1.0
    scaled = numpy.nan_to_num((values - low) / (high - low), nan=0, posinf=1, neginf=0)
    return (scaled.clip(0, 1) * 255).astype("uint8")


# --- tables -------------------------------------------------------------------------------------


def _of_pandas(value: Any) -> Shown | None:
    if hasattr(value, "columns") and hasattr(value, "itertuples"):
        types = [(str(name), str(kind)) for name, kind in value.dtypes.items()]
        table = Table.from_dataframe(value.iloc[:_ROWS, :_COLUMNS])
        return _frame(value.shape, types, table)
    if hasattr(value, "to_numpy") and hasattr(value, "to_frame") and hasattr(value, "head"):
        return _series(value, value.head(_SERIES_ROWS).items())
    return None


def _of_polars(value: Any) -> Shown | None:
    if hasattr(value, "iter_rows"):
        types = [(name, str(kind)) for name, kind in value.schema.items()]
        table = Table.from_dataframe(value[:_ROWS, :_COLUMNS])
        return _frame(value.shape, types, table)
    if hasattr(value, "to_numpy") and hasattr(value, "head"):
        return _series(value, enumerate(value.head(_SERIES_ROWS)))
    return None


def _of_pyarrow(value: Any) -> Shown | None:
    if not (hasattr(value, "num_rows") and hasattr(value, "schema")):
        return None
    types = [(one.name, str(one.type)) for one in value.schema]
    names = [name for name, _ in types]
    columns = [value.column(n).slice(0, _ROWS).to_pylist() for n in range(len(names))][:_COLUMNS]
    table = Table(zip(*columns, strict=True), names[:_COLUMNS])
    return _frame((value.num_rows, len(names)), types, table)


def _frame(shape: tuple[int, int], types: Sequence[tuple[str, str]], table: Table) -> Shown:
    rows, columns = shape
    line = f"{count_text(rows, 'row')} {_TIMES} {count_text(columns, 'column')}"
    cells = tuple(tuple(_short_cell(cell) for cell in row) for row in table.data)
    extra = len(table.headers) - min(columns, _COLUMNS)  # the index of pandas
    heads = (
        *table.headers[:extra],
        *(f"{name} ({kind})" for name, kind in types[:_COLUMNS]),
    )
    cut = []
    if rows > len(cells):
        cut.append(f"the first {len(cells):,} of {rows:,} rows")
    if columns > _COLUMNS:
        cut.append(f"the first {_COLUMNS} of {columns:,} columns")
    return Shown(line, Table(cells, heads, ", ".join(cut)))


def _short_cell(cell: Any) -> Any:
    return shorten(cell, _CELL) if isinstance(cell, str) else cell


def _series(value: Any, pairs: Any) -> Shown:
    numpy = sys.modules.get("numpy")
    line = f"{value.dtype}, {len(value):,} values"
    facts: list[tuple[str, Any]] = [("type", str(value.dtype)), ("length", len(value))]
    array = value.to_numpy()
    if (
        numpy is not None
        and getattr(array, "dtype", None) is not None
        and array.dtype.kind in "biufmM"
    ):
        facts += _measures(numpy, array)
    rows = [(_cell_text(key), _short_cell(one)) for key, one in pairs]
    note = f"the first {len(rows):,} of {len(value):,}" if len(value) > len(rows) else ""
    title = str(getattr(value, "name", None) or "value")
    return Shown(line, Section(None, [Facts(facts), Table(rows, ["", title], note)]))


def _cell_text(key: Any) -> Any:
    return key if isinstance(key, int) else shorten(str(key), _CELL)


# --- pictures and charts ------------------------------------------------------------------------


def _of_matplotlib(value: Any) -> Shown | None:
    if hasattr(value, "savefig"):
        return Shown("a figure of matplotlib", Image.from_matplotlib(value))
    if hasattr(value, "get_figure") and value.get_figure() is not None:
        return Shown("a part of a figure of matplotlib", Image.from_matplotlib(value))
    return None


def _of_pillow(value: Any) -> Shown | None:
    if not (hasattr(value, "save") and hasattr(value, "thumbnail")):
        return None
    line = f"{value.mode} {value.size[0]:,} {_TIMES} {value.size[1]:,}"
    picture = value
    if max(value.size) > 2 * _SIDE:
        exact = value.mode.startswith(("1", "P", "I"))  # which cannot be mixed
        picture = value.copy()
        picture.thumbnail((2 * _SIDE, 2 * _SIDE), 0 if exact else 3, reducing_gap=None)
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"):
        picture = picture.convert("RGB")
    return Shown(line, Image.from_pil_image(picture))


def _of_altair(value: Any) -> Shown | None:
    if not callable(getattr(value, "to_dict", None)):
        return None
    return Shown("a chart of altair", _fitting(VegaChart(value)))


def _fitting(chart: VegaChart) -> Component:
    if len(chart.spec) <= _LARGEST_CHART:
        return chart
    return Markdown(
        f"The chart is not drawn: its specification has {len(chart.spec) / 1e6:.1f} MB, and a card draws "
        "those up to 1 MB. `current.card.append(chart)` draws it all the same."
    )


def _of_plotly(value: Any) -> Shown | None:
    if not callable(getattr(value, "to_plotly_json", None)) or not hasattr(value, "data"):
        return None
    from flow_cards.plotly_charts import picture, translate

    made = translate(value)
    line = f"a figure of plotly, {count_text(len(value.data), 'trace')}"
    if made.left and (content := picture(value)):
        return Shown(line, Image(content))
    parts: list[Component] = [_fitting(VegaChart(spec)) for spec in made.specs]
    if made.left:
        kinds = ", ".join(f"{count} {_TIMES} {kind}" for kind, count in sorted(made.left.items()))
        parts.append(
            Markdown(
                f'Not drawn: traces of plotly that cards do not know ({kinds}). `@card(type="html")` '
                "shows the whole figure as it is: `self.html = figure.to_html()`."
            )
        )
    return Shown(line, parts[0] if len(parts) == 1 else Section(None, parts))


Make = Callable[[Any], "Shown | None"]

_BY_CLASS: dict[type, Make] = {
    str: _text,
    bytes: _bytes,
    bytearray: lambda value: _bytes(bytes(value)),
    BaseException: _error,
    list: _sequence,
    tuple: lambda value: _words(value) if hasattr(value, "_fields") else _sequence(value),
    dict: _mapping,
    Component: _component,
}
"""Functions that show values of a class, or of one derived of it."""

_BY_MODULE: dict[str, Make] = {
    "PIL": _of_pillow,
    "altair": _of_altair,
    "matplotlib": _of_matplotlib,
    "numpy": _of_numpy,
    "pandas": _of_pandas,
    "plotly": _of_plotly,
    "polars": _of_polars,
    "pyarrow": _of_pyarrow,
    "torch": _of_torch,
}
"""Functions that show values of the classes of a package, by its name; None = one that they do not know."""
