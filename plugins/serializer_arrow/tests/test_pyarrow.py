"""pyarrow: tables, batches and chunked arrays come back with their schemas."""

import datetime
import mmap

import pyarrow as pa
import pytest

from flow_arrow.serializers import PyarrowArrow, PyarrowParquet
from flow_core.api import Declined
from flow_core.testing import SerializerSuite

TABLE = pa.table(
    {
        "n": pa.array([1, None, 3], pa.int16()),
        "text": ["a", None, "ü"],
        "items": [[1, 2], [], None],
        "pair": [{"a": 1, "b": "x"}, None, {"a": None, "b": None}],
        "when": pa.array([datetime.datetime(2020, 1, 1)] * 3, pa.timestamp("us", "Europe/Berlin")),  # noqa: DTZ001
    }
)
DESCRIBED = TABLE.replace_schema_metadata({"source": "a sensor"})
IN_PIECES = pa.concat_tables([TABLE, TABLE.slice(1)])
WORDS = pa.table({"word": pa.array(["a", "b", "a"]).dictionary_encode()})
LONG = pa.table({"n": range(10_000)})
BATCH = TABLE.to_batches()[0]
CHUNKED = pa.chunked_array([[1, 2], [3]])


class OfPyarrow(SerializerSuite):
    values = (TABLE, DESCRIBED, IN_PIECES, LONG, TABLE.slice(0, 0), BATCH, BATCH.slice(3), CHUNKED)

    def check_equal(self, found, value):
        assert type(found) is type(value)
        assert found.equals(value)
        if not isinstance(value, pa.ChunkedArray):
            assert found.schema.equals(value.schema, check_metadata=True)

    def test_rows_without_a_column_are_declined(self):
        with pytest.raises(Declined, match="it has rows and no column"):
            self.serializer.dump(TABLE.select([]))


class TestPyarrowArrow(OfPyarrow):
    serializer = PyarrowArrow()
    values = (*OfPyarrow.values, WORDS)

    def test_the_table_is_used_where_it_lies(self, tmp_path):
        head, body = self.serializer.dump(LONG)
        file = tmp_path / "blob"
        file.write_bytes(body)
        before = pa.total_allocated_bytes()
        with open(file, "rb") as opened:
            mapped = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        found = self.serializer.load([head, mapped])
        assert pa.total_allocated_bytes() - before < 10_000
        assert found.equals(LONG)


class TestPyarrowParquet(OfPyarrow):
    serializer = PyarrowParquet()

    @pytest.mark.parametrize(
        ("table", "why"),
        [
            (WORDS, "Parquet does not keep the dictionary of column 'word'"),
            (
                pa.table({"when": pa.array([0], pa.timestamp("s"))}),
                "the type of column 'when' would change",
            ),
        ],
    )
    def test_what_parquet_would_change_is_declined(self, table, why):
        with pytest.raises(Declined) as caught:
            self.serializer.dump(table)
        assert caught.value.what == why
