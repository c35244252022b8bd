"""pandas' frames and series: a description in JSON, and tables with their columns.

What is described comes back as it was: index, types, categories, time zones, names, attributes.
Columns of numpy are stored as their bits, so that every value of them is itself; others as Arrow has
them. What cannot be described is declined, with its name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from flow_arrow.columns import ColumnReader, ColumnWriter
from flow_arrow.plain import pack, unpack
from flow_arrow.tables import Form
from flow_arrow.zones import pack_zone, unpack_zone
from flow_core.api import Buffer, Declined

_MANY_BLOCKS = 90  # pandas warns from a hundred on

Description = dict[str, Any]


def dump(value: pd.DataFrame | pd.Series, form: Form) -> Sequence[Buffer]:
    """Return the parts of a frame or series."""
    columns = ColumnWriter()
    pack_value = _pack_frame if isinstance(value, pd.DataFrame) else _pack_series
    described = pack_value(value, columns)
    described["index"] = _pack_index(value.index, "the index", columns)
    described["attrs"] = pack(value.attrs, "attrs")
    described["unique_labels"] = not value.flags.allows_duplicate_labels
    described["places"] = columns.places()
    return [json.dumps(described).encode(), *columns.parts(form)]


def load(parts: Sequence[Buffer], form: Form) -> pd.DataFrame | pd.Series:
    """Undo `dump`."""
    described = json.loads(bytes(parts[0]))
    columns = ColumnReader(described["places"], parts[1:], form)
    index = _unpack_index(described["index"], columns)
    value = (_unpack_frame if "columns" in described else _unpack_series)(described, index, columns)
    value.attrs.update(unpack(described["attrs"]))
    if described["unique_labels"]:
        value.flags.allows_duplicate_labels = False
    return value


# --- frames and series --------------------------------------------------------------------------


def _pack_frame(frame: pd.DataFrame, columns: ColumnWriter) -> Description:
    return {
        "data": [
            _pack_array(_values(series), f"column {label!r}", columns)
            for label, series in frame.items()
        ],
        "columns": _pack_labels(frame.columns, columns),
    }


def _pack_series(series: pd.Series, columns: ColumnWriter) -> Description:
    return {
        "data": _pack_array(_values(series), "it", columns),
        "name": pack(series.name, "the name"),
    }


def _unpack_frame(described: Description, index: pd.Index, columns: ColumnReader) -> pd.DataFrame:
    labels = _unpack_index(described["columns"], columns)
    arrays = [_unpack_array(data, columns) for data in described["data"]]
    block = _one_block(arrays)
    if block is not None:
        return pd.DataFrame(block, index=index, columns=labels, copy=False)
    data = {number: _kept_as_it_is(array, index) for number, array in enumerate(arrays)}
    frame = pd.DataFrame(data, index=index, copy=False)
    frame.columns = labels
    # One block of each column would be slow to work with, and pandas would say so.
    return frame.copy() if len(arrays) > _MANY_BLOCKS else frame


def _unpack_series(described: Description, index: pd.Index, columns: ColumnReader) -> pd.Series:
    values = _unpack_array(described["data"], columns)
    name = unpack(described["name"])
    return pd.Series(values, index=index, dtype=values.dtype, name=name, copy=False)


def _values(values: pd.Series | pd.Index) -> Any:
    """Return numpy's array where it is one, else pandas' own."""
    return values.to_numpy() if isinstance(values.dtype, np.dtype) else values.array


def _kept_as_it_is(array: Any, index: pd.Index) -> Any:
    """Return a column of which pandas does not guess another type."""
    return pd.Series(array, index=index, dtype=object, copy=False) if _is_object(array) else array


def _one_block(arrays: Sequence[Any]) -> Any:
    """Return all columns as one array, without a copy, where they lie at equal distances."""
    if len(arrays) < 2 or not all(isinstance(a, np.ndarray) for a in arrays):
        return None
    first = arrays[0]
    if any(a.dtype != first.dtype or a.base is not first.base for a in arrays) or not first.size:
        return None
    if first.base is None or _is_object(first):
        return None
    places = [a.__array_interface__["data"][0] for a in arrays]
    steps = {b - a for a, b in pairwise(places)}
    if len(steps) != 1 or min(steps) < first.nbytes:
        return None
    block = np.lib.stride_tricks.as_strided(
        first, (len(arrays), len(first)), (steps.pop(), first.itemsize)
    )
    return block.T


def _is_object(array: Any) -> bool:
    return bool(array.dtype == np.dtype(object))


def _pack_labels(labels: pd.Index, columns: ColumnWriter) -> Description:
    """Describe the labels of columns, which may be of several types: names, numbers, pairs."""
    what = "the index of the columns"
    if type(labels) is not pd.Index or not _is_object(labels):
        return _pack_index(labels, what, columns)
    found = [pack(label, what) for label in labels]
    return {"kind": "labels", "labels": found, "name": pack(labels.name, f"the name of {what}")}


# --- indexes ------------------------------------------------------------------------------------


def _pack_index(index: pd.Index, what: str, columns: ColumnWriter) -> Description:
    if isinstance(index, pd.RangeIndex):
        name = pack(index.name, f"the name of {what}")
        return {"kind": "range", "range": [index.start, index.stop, index.step], "name": name}
    if isinstance(index, pd.MultiIndex):
        return {
            "kind": "multi",
            "levels": [_pack_index(level, what, columns) for level in index.levels],
            "codes": [_pack_array(np.asarray(c), what, columns) for c in index.codes],
            "names": [pack(name, f"a name of {what}") for name in index.names],
        }
    if type(index) not in _INDEXES:
        raise Declined(f"{what} is a {type(index).__name__}")
    freq = getattr(index, "freq", None) if isinstance(index, _STEADY) else None
    if freq is not None and pd.tseries.frequencies.to_offset(freq.freqstr) != freq:
        raise Declined(f"{what} has the frequency {freq!r}")
    return {
        "kind": "array",
        "values": _pack_array(_values(index), what, columns),
        "name": pack(index.name, f"the name of {what}"),
        "freq": freq.freqstr if freq is not None else None,
    }


_STEADY = (pd.DatetimeIndex, pd.TimedeltaIndex)
_INDEXES = (*_STEADY, pd.Index, pd.CategoricalIndex, pd.IntervalIndex, pd.PeriodIndex)


def _unpack_index(described: Description, columns: ColumnReader) -> pd.Index:
    if described["kind"] == "range":
        return pd.RangeIndex(*described["range"], name=unpack(described["name"]))
    if described["kind"] == "multi":
        return pd.MultiIndex(
            levels=[_unpack_index(level, columns) for level in described["levels"]],
            codes=[_unpack_array(codes, columns) for codes in described["codes"]],
            names=[unpack(name) for name in described["names"]],
            verify_integrity=False,
        )
    name = unpack(described["name"])
    if described["kind"] == "labels":
        labels = [unpack(label) for label in described["labels"]]
        return pd.Index(labels, dtype=object, name=name, tupleize_cols=False)
    values = _unpack_array(described["values"], columns)
    index = pd.Index(values, dtype=values.dtype, name=name, copy=False)
    if described["freq"] is not None:
        index.freq = described["freq"]
    return index


# --- arrays -------------------------------------------------------------------------------------


def _pack_array(values: Any, what: str, columns: ColumnWriter) -> Description:
    """Describe an array of numpy or pandas.

    Raises:
        Declined: there is no way to store it exactly. ``what`` names it.
    """
    for kind, (takes, pack_values, _) in _KINDS.items():
        if takes(values):
            return {"kind": kind, **pack_values(values, what, columns)}
    raise Declined(f"{what} has the type {values.dtype}")


def _unpack_array(described: Description, columns: ColumnReader) -> Any:
    return _KINDS[described["kind"]][2](described, columns)


def _pack_numpy(values: Any, what: str, columns: ColumnWriter) -> Description:
    bits = np.ascontiguousarray(values).view(_BITS.get(values.dtype.kind, values.dtype))
    return {"dtype": values.dtype.str, "values": columns.add(pa.array(bits, from_pandas=False))}


_BITS = {"b": "u1", "m": "i8", "M": "i8"}


def _is_numpy(values: Any) -> bool:
    return (
        isinstance(values, np.ndarray) and values.dtype.kind in "biufmM" and values.dtype.isnative
    ) and values.dtype.itemsize <= 8


def _unpack_numpy(described: Description, columns: ColumnReader) -> Any:
    return columns.numpy(described["values"], np.dtype(described["dtype"]))


def _is_objects(values: Any) -> bool:
    return isinstance(values, np.ndarray) and _is_object(values)


def _pack_objects(values: Any, what: str, columns: ColumnWriter) -> Description:
    from datetime import date

    stored = {str: pa.large_string(), bytes: pa.large_binary(), date: pa.date32(), bool: pa.bool_()}
    kinds = set(map(type, values))
    missing = kinds & {type(None), float, type(pd.NA)}
    if float in missing and not all(v != v for v in values if type(v) is float):
        raise Declined(f"{what} holds floats among objects")
    present = kinds - missing
    if len(missing) > 1 or len(present) > 1 or not present <= stored.keys():
        names = sorted(kind.__name__ for kind in kinds)
        raise Declined(f"{what} holds objects: {' and '.join(names)}")
    type_ = stored[present.pop()] if present else pa.large_string()
    none = missing.pop().__name__ if missing else "NoneType"
    plain = values if none == "NoneType" else np.where(pd.isna(values), None, values)
    try:
        return {"none": none, "values": columns.add(pa.array(plain, type_, from_pandas=False))}
    except UnicodeEncodeError as error:
        raise Declined(f"{what} holds a text that is no UTF-8") from error


def _unpack_objects(described: Description, columns: ColumnReader) -> Any:
    values = np.empty(len(columns.arrow(described["values"])), object)
    values[:] = columns.arrow(described["values"]).to_pylist()
    none = {"NoneType": None, "float": np.nan, "NAType": pd.NA}[described["none"]]
    if none is not None:
        values[[value is None for value in values]] = none
    return values


def _pack_text(values: Any, what: str, columns: ColumnWriter) -> Description:
    dtype = values.dtype
    try:
        column = pa.array(values, pa.large_string())
    except UnicodeEncodeError as error:
        raise Declined(f"{what} holds a text that is no UTF-8") from error
    na = "NA" if dtype.na_value is pd.NA else "nan"
    return {"storage": dtype.storage, "na": na, "values": columns.add(_whole(column))}


def _unpack_text(described: Description, columns: ColumnReader) -> Any:
    na = pd.NA if described["na"] == "NA" else np.nan
    dtype = pd.StringDtype(described["storage"], na)
    return dtype.__from_arrow__(columns.arrow(described["values"]))


def _pack_masked(values: Any, what: str, columns: ColumnWriter) -> Description:
    numpy = values.dtype.numpy_dtype
    mask = np.asarray(values.isna())
    data = values.to_numpy(dtype=numpy, na_value=numpy.type(0))
    if values.dtype.kind == "f" and (np.isnan(data) & ~mask).any():
        raise Declined(f"{what} holds NaN beside NA")
    return {
        "data": _pack_numpy(data, what, columns),
        "mask": _pack_numpy(mask, what, columns),
    }


def _unpack_masked(described: Description, columns: ColumnReader) -> Any:
    data, mask = (_unpack_numpy(described[part], columns) for part in ("data", "mask"))
    arrays = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    return arrays.get(data.dtype.kind, pd.arrays.IntegerArray)(data, mask)


def _pack_arrow(values: Any, what: str, columns: ColumnWriter) -> Description:
    return {"values": columns.add(pa.chunked_array(values.__arrow_array__()))}


def _unpack_arrow(described: Description, columns: ColumnReader) -> Any:
    return pd.arrays.ArrowExtensionArray(columns.arrow(described["values"]))


def _pack_categorical(values: Any, what: str, columns: ColumnWriter) -> Description:
    return {
        "codes": _pack_numpy(np.asarray(values.codes), what, columns),
        "categories": _pack_index(values.categories, f"the categories of {what}", columns),
        "ordered": bool(values.ordered),
    }


def _unpack_categorical(described: Description, columns: ColumnReader) -> Any:
    categories = _unpack_index(described["categories"], columns)
    dtype = pd.CategoricalDtype(categories, described["ordered"])
    return pd.Categorical.from_codes(_unpack_numpy(described["codes"], columns), dtype=dtype)


def _pack_zoned(values: Any, what: str, columns: ColumnWriter) -> Description:
    return {
        "zone": pack_zone(values.dtype.tz, what),
        "unit": values.dtype.unit,
        "values": _pack_numpy(np.asarray(values.asi8), what, columns),
    }


def _unpack_zoned(described: Description, columns: ColumnReader) -> Any:
    moments = _unpack_numpy(described["values"], columns).view(f"M8[{described['unit']}]")
    zone = unpack_zone(described["zone"])
    return pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(zone).array


def _pack_periods(values: Any, what: str, columns: ColumnWriter) -> Description:
    freq = values.freqstr
    if pd.PeriodDtype(freq) != values.dtype:
        raise Declined(f"{what} has the type {values.dtype}")
    return {"freq": freq, "values": _pack_numpy(np.asarray(values.asi8), what, columns)}


def _unpack_periods(described: Description, columns: ColumnReader) -> Any:
    ordinals = _unpack_numpy(described["values"], columns)
    return pd.PeriodIndex.from_ordinals(ordinals, freq=described["freq"]).array


def _pack_intervals(values: Any, what: str, columns: ColumnWriter) -> Description:
    return {
        "closed": values.closed,
        "left": _pack_index(pd.Index(values.left), what, columns),
        "right": _pack_index(pd.Index(values.right), what, columns),
    }


def _unpack_intervals(described: Description, columns: ColumnReader) -> Any:
    left, right = (_unpack_index(described[side], columns) for side in ("left", "right"))
    return pd.arrays.IntervalArray.from_arrays(left, right, described["closed"])


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _has_dtype(*kinds: type) -> Callable[[Any], bool]:
    return lambda values: type(values.dtype) in kinds


_MASKED = (
    pd.BooleanDtype,
    *(getattr(pd, f"{sign}Int{n}Dtype") for sign in ("", "U") for n in (8, 16, 32, 64)),
    pd.Float32Dtype,
    pd.Float64Dtype,
)

_KINDS: dict[str, tuple[Callable[[Any], bool], Any, Any]] = {
    "numpy": (_is_numpy, _pack_numpy, _unpack_numpy),
    "objects": (_is_objects, _pack_objects, _unpack_objects),
    "text": (_has_dtype(pd.StringDtype), _pack_text, _unpack_text),
    "masked": (_has_dtype(*_MASKED), _pack_masked, _unpack_masked),
    "arrow": (_has_dtype(pd.ArrowDtype), _pack_arrow, _unpack_arrow),
    "categorical": (_has_dtype(pd.CategoricalDtype), _pack_categorical, _unpack_categorical),
    "zoned": (_has_dtype(pd.DatetimeTZDtype), _pack_zoned, _unpack_zoned),
    "periods": (_has_dtype(pd.PeriodDtype), _pack_periods, _unpack_periods),
    "intervals": (_has_dtype(pd.IntervalDtype), _pack_intervals, _unpack_intervals),
}
"""Kind of an array → whether it is one, how it is described, how it comes back."""
