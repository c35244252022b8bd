"""pandas: what is stored comes back to the last detail, and the rest is declined."""

import datetime
import mmap
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_arrow.serializers import PandasArrow, PandasParquet
from flow_core.api import Declined
from flow_core.testing import SerializerSuite

N = 5


def same(found, value):
    """Assert that a frame or series is what another one was, to the last detail."""
    assert type(found) is type(value)
    check = pd.testing.assert_frame_equal
    if isinstance(value, pd.Series):
        check = pd.testing.assert_series_equal
    check(found, value, check_exact=True, check_freq=True, check_flags=True)
    same_index(found.index, value.index)
    assert found.attrs == value.attrs
    assert repr(found.attrs) == repr(value.attrs)
    if isinstance(value, pd.Series):
        same_values(found, value)
        assert type(found.name) is type(value.name)
    else:
        same_index(found.columns, value.columns)
        for number in range(value.shape[1]):
            same_values(found.iloc[:, number], value.iloc[:, number])


def same_index(found, value):
    assert type(found) is type(value)
    assert list(found.names) == list(value.names)
    if isinstance(value, pd.MultiIndex):
        for mine, theirs in zip(found.levels, value.levels, strict=True):
            same_index(mine, theirs)
        for mine, theirs in zip(found.codes, value.codes, strict=True):
            assert mine.dtype == theirs.dtype
            assert list(mine) == list(theirs)
        return
    assert getattr(found, "freq", None) == getattr(value, "freq", None)
    same_values(found, value)


def same_values(found, value):
    assert found.dtype == value.dtype
    assert repr(found.dtype) == repr(value.dtype)
    if isinstance(value.dtype, pd.DatetimeTZDtype):
        assert type(found.dtype.tz) is type(value.dtype.tz)
    if isinstance(value.dtype, pd.CategoricalDtype):
        same_index(found.dtype.categories, value.dtype.categories)
    if value.dtype == object:
        for mine, theirs in zip(found, value, strict=True):
            assert type(mine) is type(theirs)
            assert mine is theirs or mine == theirs or (mine != mine and theirs != theirs)
    if isinstance(value.dtype, np.dtype) and value.dtype.kind in "iufbmM":
        assert found.to_numpy().tobytes() == value.to_numpy().tobytes()


def _numpy(kind: str) -> st.SearchStrategy[Any]:
    dtype = np.dtype(kind)
    bits = st.binary(min_size=N * dtype.itemsize, max_size=N * dtype.itemsize)
    if dtype.kind == "b":
        return st.lists(st.booleans(), min_size=N, max_size=N).map(np.array)
    return bits.map(lambda raw: np.frombuffer(raw, dtype).copy())


def _some(values: st.SearchStrategy[Any], missing: Any = None) -> st.SearchStrategy[Any]:
    return st.lists(st.one_of(values, st.just(missing)), min_size=N, max_size=N)


def _objects(values, missing) -> st.SearchStrategy[Any]:
    def array(items):
        made = np.empty(N, object)
        made[:] = items
        return made

    return _some(values, missing).map(array)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
MOMENTS = st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1))  # noqa: DTZ001
DATES = st.dates(datetime.date(1900, 1, 1))


def _of(dtype: Any, values: st.SearchStrategy[Any], missing: Any = None):
    return _some(values, missing).map(lambda items: pd.array(items, dtype=dtype))


def _zoned(zone: Any, unit: str = "ns"):
    def make(items):
        return pd.DatetimeIndex(items).as_unit(unit).tz_localize("UTC").tz_convert(zone).array

    return _some(MOMENTS, pd.NaT).map(make)


def _categorical(categories: Any, ordered: bool):
    codes = st.lists(st.integers(-1, len(categories) - 1), min_size=N, max_size=N)
    dtype = pd.CategoricalDtype(categories, ordered)
    return codes.map(lambda chosen: pd.Categorical.from_codes(chosen, dtype=dtype))


def _arrow(kind: pa.DataType, values: st.SearchStrategy[Any]):
    return _some(values).map(
        lambda items: pd.arrays.ArrowExtensionArray(pa.chunked_array([pa.array(items, kind)]))
    )


ARRAYS: dict[str, st.SearchStrategy[Any]] = {
    **{k: _numpy(k) for k in ("i1", "i8", "u2", "u8", "f2", "f4", "f8", "bool")},
    **{k: _numpy(k) for k in ("M8[ns]", "M8[s]", "m8[us]", "m8[ms]")},
    "text objects": _objects(TEXT, None),
    "text objects or NaN": _objects(TEXT, np.nan),
    "text objects or NA": _objects(TEXT, pd.NA),
    "bytes objects": _objects(st.binary(max_size=4), None),
    "dates": _objects(DATES, None),
    "truth objects": _objects(st.booleans(), None),
    "string python": _of(pd.StringDtype("python"), TEXT),
    "string pyarrow": _of(pd.StringDtype("pyarrow"), TEXT),
    "str": _of(pd.StringDtype("pyarrow", np.nan), TEXT, np.nan),
    "Int8": _of("Int8", st.integers(-128, 127)),
    "UInt64": _of("UInt64", st.integers(0, 2**64 - 1)),
    "Float32": _of("Float32", st.floats(width=32, allow_nan=False)),
    "boolean": _of("boolean", st.booleans()),
    "arrow decimals": _arrow(
        pa.decimal128(10, 2), st.decimals(-1000, 1000, places=2, allow_nan=False)
    ),
    "arrow lists": _arrow(pa.list_(pa.int32()), st.lists(st.integers(0, 9), max_size=3)),
    "arrow texts": _arrow(pa.string(), TEXT),
    "zoneinfo": _zoned("Europe/Berlin"),
    "utc": _zoned("UTC", "ms"),
    "offset": _zoned(datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    "categories": _categorical(["b", "a", "unused"], False),
    "ordered numbers": _categorical([3, 1, 2], True),
    "intervals as categories": _categorical(pd.interval_range(0, 4), True),
    "periods": _some(DATES, pd.NaT).map(lambda items: pd.PeriodIndex(items, freq="M").array),
    "intervals": st.lists(st.integers(0, 9), min_size=N, max_size=N).map(
        lambda left: pd.arrays.IntervalArray.from_arrays(left, [n + 1 for n in left], "both")
    ),
}
"""Columns of `N` values, by a name of their kind."""

NAMES = st.one_of(st.none(), TEXT, st.integers(), st.booleans(), st.tuples(TEXT, st.integers()))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.tuples(inner, inner),
    ),
    max_leaves=5,
)
INDEXES: st.SearchStrategy[Any] = st.one_of(
    st.just(pd.RangeIndex(10, 10 + 3 * N, 3, name="ids")),
    st.just(pd.date_range("2020-01-01", periods=N, freq="2D", tz="Europe/Berlin", name="day")),
    st.just(pd.timedelta_range("1h", periods=N, freq="15min")),
    st.just(pd.period_range("2020", periods=N, freq="Q")),
    st.just(pd.CategoricalIndex(list("abcab"), name=("a", 1))),
    st.just(pd.MultiIndex.from_product([["x"], range(N)], names=["a", None])),
    st.sampled_from(sorted(set(ARRAYS) - {"f2", "dates", "arrow lists", "arrow decimals"})).flatmap(
        lambda kind: ARRAYS[kind].map(lambda values: pd.Index(values, dtype=values.dtype))
    ),
)


@st.composite
def frames(draw: Callable[..., Any]) -> pd.DataFrame:
    """Frames with up to four columns of any kinds, any index, labels that may repeat, attributes."""
    kinds = draw(st.lists(st.sampled_from(sorted(ARRAYS)), max_size=4))
    index = draw(INDEXES)
    columns = {
        n: pd.Series((a := draw(ARRAYS[kind])), index=index, dtype=a.dtype)
        for n, kind in enumerate(kinds)
    }
    frame = pd.DataFrame(columns, index=index)
    labels = draw(st.lists(NAMES, min_size=len(kinds), max_size=len(kinds)))
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False, name=draw(TEXT))
    frame.attrs = draw(st.dictionaries(st.text(max_size=3), PLAIN, max_size=2))
    return frame


@st.composite
def series(draw: Callable[..., Any]) -> pd.Series:
    """Series of any kind."""
    kind = draw(st.sampled_from(sorted(ARRAYS)))
    values = draw(ARRAYS[kind])
    return pd.Series(values, index=draw(INDEXES), dtype=values.dtype, name=draw(NAMES))


# --- the suite ----------------------------------------------------------------------------------

EMPTY = pd.DataFrame()
NUMBERS = pd.DataFrame(np.arange(4000.0).reshape(400, 10), columns=[*"abcdefghij"])
PEOPLE = pd.DataFrame(
    {
        "name": ["Ada", None, "Grace"],
        "born": pd.to_datetime(["1815-12-10", None, "1906-12-09"]),
        "field": pd.Categorical(["maths", "maths", None], ["maths", "unused"]),
        "age": pd.array([36, None, 85], dtype="Int64"),
    },
    index=pd.Index(["a", "b", "c"], name="key"),
)
SERIES = pd.Series([1.5, np.nan], name="x", index=pd.date_range("2020", periods=2, tz="UTC"))
NO_ROWS = PEOPLE.iloc[:0]
NO_COLUMNS = pd.DataFrame(index=[1, 2, 3])
WIDE = pd.DataFrame({f"c{n}": [n] if n % 2 else [str(n)] for n in range(150)})


class OfPandas(SerializerSuite):
    values = (EMPTY, NUMBERS, PEOPLE, SERIES, NO_ROWS, NO_COLUMNS, WIDE, PEOPLE["name"])

    def check_equal(self, found, value):
        same(found, value)

    def back(self, value):
        return self.serializer.load([bytearray(p) for p in self.serializer.dump(value)])

    @pytest.mark.parametrize("values", [frames(), series()], ids=["frames", "series"])
    def test_any_frame_and_series(self, values):
        @settings(max_examples=40)
        @given(values)
        def check(value):
            same(self.back(value), value)

        check()

    @pytest.mark.parametrize("kind", sorted(ARRAYS))
    def test_each_kind_of_column(self, kind):
        @settings(max_examples=10)
        @given(ARRAYS[kind])
        def check(values):
            frame = pd.DataFrame({"x": pd.Series(values, dtype=values.dtype)})
            parts = [bytearray(part) for part in self.serializer.dump(frame)]
            found = self.serializer.load(parts)
            same(found, frame)
            again = [bytearray(part) for part in self.serializer.dump(found)]
            assert again == parts, "what has not changed has the same hash"

        check()

    def test_a_piece_of_a_frame_is_stored_alone(self):
        piece = NUMBERS.iloc[10:13]
        same(self.back(piece), piece)
        parts = self.serializer.dump(piece)
        assert sum(memoryview(p).nbytes for p in parts) < 12_000

    def test_what_is_loaded_can_be_changed(self):
        for value in (NUMBERS, PEOPLE, WIDE):
            found = self.back(value)
            found.iloc[0, 0] = found.iloc[1, 0] if len(found) > 1 else "other"
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # as for too many blocks
                found["new"] = 1
            assert found.shape[1] == value.shape[1] + 1
        found = self.serializer.load([memoryview(bytes(p)) for p in self.serializer.dump(NUMBERS)])
        found.iloc[0, 0] = 5.0
        assert found.iloc[0, 0] == 5.0

    def test_equal_labels(self):
        frame = pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"])
        same(self.back(frame), frame)

    def test_a_promise_of_different_labels(self):
        frame = NUMBERS.set_flags(allows_duplicate_labels=False)
        assert self.back(frame).flags.allows_duplicate_labels is False

    def test_labels_in_levels(self):
        frame = pd.DataFrame(
            np.ones((2, 4)), columns=pd.MultiIndex.from_product([["a", "b"], [1, 2]])
        )
        same(self.back(frame), frame)

    @pytest.mark.parametrize(
        ("values", "why"),
        [
            ([1, "two"], "column 'x' holds objects: int and str"),
            ([{}, {}], "column 'x' holds objects: dict"),
            (["a", None, np.nan], "column 'x' holds objects: NoneType and float and str"),
            (["a", 1.5], "column 'x' holds floats among objects"),
            (["\ud800"], "column 'x' holds a text that is no UTF-8"),
            (np.array([1j]), "column 'x' has the type complex128"),
            (np.array([1], ">i4"), "column 'x' has the type >i4"),
            (pd.arrays.SparseArray([0, 1]), "column 'x' has the type Sparse[int64, 0]"),
        ],
    )
    def test_what_cannot_be_stored_exactly_is_declined_with_its_name(self, values, why):
        dtype = object if isinstance(values, list) else values.dtype
        frame = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
        with pytest.raises(Declined) as caught:
            self.serializer.dump(frame)
        assert caught.value.what == why

    def test_labels_and_attributes_that_are_declined(self):
        frame = pd.DataFrame({pd.Timestamp("2020"): [1], "x": [2]})
        with pytest.raises(Declined, match="the index of the columns holds a Timestamp"):
            self.serializer.dump(frame)
        frame = pd.DataFrame({"x": [2]})
        frame.attrs["source"] = {1}
        with pytest.raises(Declined, match="attrs holds a set"):
            self.serializer.dump(frame)
        frame = pd.DataFrame({"x": [2]}, index=pd.Index([1], name=pd.Timestamp("2020")))
        with pytest.raises(Declined, match="the name of the index holds a Timestamp"):
            self.serializer.dump(frame)

    def test_subclasses_are_left_to_others(self):
        class Frame(pd.DataFrame):
            pass

        assert self.serializer.can(Frame()) is False

    def test_nothing_of_pickle_is_stored(self):
        """What is stored is JSON and tables: nothing of pickle, nothing that names code."""
        for value in self.values:
            head = bytes(self.serializer.dump(value)[0])
            assert head.startswith(b'{"')
            for part in self.serializer.dump(value):
                assert b"\x80\x05\x95" not in bytes(part), "the head of a pickle"
        assert self.serializer.safe is True


class TestPandasArrow(OfPandas):
    serializer = PandasArrow()

    @pytest.mark.parametrize("columns", [10, 1])
    def test_numbers_are_used_where_they_lie(self, tmp_path, columns):
        frame = NUMBERS.iloc[:, :columns]
        parts = self.serializer.dump(frame)
        file = tmp_path / "blob"
        file.write_bytes(parts[1])
        with open(file, "rb") as opened:
            mapped = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY))
        found = self.serializer.load([parts[0], mapped, *parts[2:]])
        place = np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
        for number in range(columns):
            at = found.iloc[:, number].to_numpy().__array_interface__["data"][0]
            assert place <= at < place + mapped.nbytes
        found.iloc[3, 0] = -1.0  # changes a page of its own
        assert file.read_bytes() == bytes(parts[1])
        same(self.serializer.load(parts), frame)


class TestPandasParquet(OfPandas):
    serializer = PandasParquet()

    def test_it_is_smaller(self):
        def size(serializer, value):
            return sum(memoryview(part).nbytes for part in serializer.dump(value))

        value = pd.DataFrame({"day": np.arange(10_000) // 100, "word": ["same"] * 10_000})
        assert size(PandasParquet(), value) * 10 < size(PandasArrow(), value)


def test_a_zone_of_pytz():
    pytz = pytest.importorskip("pytz")
    moments = pd.date_range("2020-03-28", periods=3).tz_localize(pytz.timezone("Europe/Berlin"))
    value = pd.Series(moments)
    found = PandasArrow().load(PandasArrow().dump(value))
    same(found, value)


def test_a_zone_that_nobody_knows_is_declined():
    class Mars(datetime.tzinfo):
        def utcoffset(self, moment):
            return datetime.timedelta(hours=1)

        def dst(self, moment):
            return datetime.timedelta(0)

    value = pd.Series(pd.date_range("2020", periods=2).tz_localize(Mars()))
    with pytest.raises(Declined, match="it has the time zone"):
        PandasArrow().dump(value)
