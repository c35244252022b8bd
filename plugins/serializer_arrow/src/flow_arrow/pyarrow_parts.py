"""pyarrow's tables, batches and chunked arrays: a word that says which, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flow_arrow.tables import Form
from flow_core.api import Buffer

_TABLE, _BATCH, _CHUNKED = b"table", b"batch", b"chunked"


def dump(value: Any, form: Form) -> Sequence[Buffer]:
    """Return the parts of a table, batch or chunked array."""
    if isinstance(value, pa.Table):
        return [_TABLE, form.write(value)]
    if isinstance(value, pa.RecordBatch):
        return [_BATCH, form.write(pa.Table.from_batches([value]))]
    return [_CHUNKED, form.write(pa.table([value], names=["values"]))]


def load(parts: Sequence[Buffer], form: Form) -> Any:
    """Undo `dump`."""
    kind, table = bytes(parts[0]), form.read(parts[1])
    if kind == _TABLE:
        return table
    if kind == _CHUNKED:
        return table.column(0)
    (batch,) = table.combine_chunks().to_batches() or [_no_rows(table.schema)]
    return batch


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
