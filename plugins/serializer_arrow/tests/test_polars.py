"""polars: frames and series come back with their schemas."""

import datetime
import decimal

import pytest

from flow_arrow.serializers import PolarsArrow, PolarsParquet
from flow_core.api import Declined
from flow_core.testing import SerializerSuite

pl = pytest.importorskip("polars")

FRAME = pl.DataFrame(
    {
        "i": [1, None, 3],
        "f": [1.0, float("nan"), None],
        "s": ["a", None, "c"],
        "b": [True, None, False],
        "cat": pl.Series(["x", "y", None], dtype=pl.Categorical),
        "enum": pl.Series(["x", None, "x"], dtype=pl.Enum(["x", "y"])),
        "day": [datetime.date(2020, 1, 1), None, None],
        "when": pl.Series([datetime.datetime(2020, 1, 1)] * 3, dtype=pl.Datetime("ms", "UTC")),  # noqa: DTZ001
        "took": [datetime.timedelta(1)] * 3,
        "price": [decimal.Decimal("1.50")] * 3,
        "list": [[1], [], None],
        "struct": [{"a": 1, "b": "x"}] * 3,
        "array": pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int8, 2)),
        "bytes": [b"a", None, b""],
        "nothing": [None] * 3,
    }
)


class OfPolars(SerializerSuite):
    values = (FRAME, FRAME.clear(), pl.DataFrame(), FRAME["s"], FRAME["cat"], pl.Series("n", [1]))

    def check_equal(self, found, value):
        assert type(found) is type(value)
        assert found.equals(value)
        if isinstance(value, pl.Series):
            assert (found.name, found.dtype) == (value.name, value.dtype)
        else:
            assert found.schema == value.schema

    def test_objects_are_declined(self):
        with pytest.raises(Declined):
            self.serializer.dump(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}))

    def test_queries_are_left_to_others(self):
        assert self.serializer.can(FRAME.lazy()) is False


class TestPolarsArrow(OfPolars):
    serializer = PolarsArrow()


class TestPolarsParquet(OfPolars):
    serializer = PolarsParquet()
