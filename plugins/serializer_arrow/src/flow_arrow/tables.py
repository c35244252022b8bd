"""Tables as bytes: the Arrow stream format, and Parquet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa

from flow_core.api import Buffer, Declined


class Form(NamedTuple):
    """A form in which a table is stored.

    Attributes:
        write: table → bytes; `Declined` where another table would come back.
        read: the opposite; the table refers to the bytes where it can.
    """

    write: Callable[[pa.Table], memoryview]
    read: Callable[[Buffer], pa.Table]


def _write_arrow(table: pa.Table) -> memoryview:
    """Write the table as it lies in memory. Its size is computed first, so nothing is copied twice."""
    size = pa.MockOutputStream()
    _stream(table, size)
    content = pa.allocate_buffer(size.size())
    _stream(table, pa.FixedSizeBufferWriter(content))
    _check_schema(table, pa.ipc.open_stream(content).schema)
    return memoryview(content)


def _stream(table: pa.Table, sink: Any) -> None:
    try:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    except pa.ArrowException as error:
        raise Declined(f"Arrow cannot write it: {_first_line(error)}") from error


def _read_arrow(content: Buffer) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()


def _write_parquet(table: pa.Table) -> memoryview:
    from pyarrow import parquet

    for field in table.schema:
        if _has_dictionary(field.type):
            raise Declined(f"Parquet does not keep the dictionary of column '{field.name}'")
    texts = [field.name for field in table.schema if _is_text(field.type)]
    sink = pa.BufferOutputStream()
    try:
        # Texts repeat; numbers are kept bit by bit, which a dictionary of them may not do.
        parquet.write_table(
            table,
            sink,
            compression="zstd",
            use_dictionary=texts,
            use_compliant_nested_type=False,  # items of lists keep their names
        )
    except pa.ArrowException as error:
        raise Declined(f"Parquet cannot hold it: {_first_line(error)}") from error
    content = sink.getvalue()
    _check_schema(table, parquet.read_schema(pa.BufferReader(content)))
    return memoryview(content)


def _read_parquet(content: Buffer) -> pa.Table:
    from pyarrow import parquet

    return parquet.read_table(pa.BufferReader(pa.py_buffer(content)))


def _check_schema(table: pa.Table, found: pa.Schema) -> None:
    if table.num_rows and not table.num_columns:
        raise Declined("it has rows and no column")
    if not found.equals(table.schema, check_metadata=True):
        changed = [a.name for a, b in zip(table.schema, found, strict=False) if not a.equals(b)]
        where = f"the type of column '{changed[0]}'" if changed else "its metadata"
        raise Declined(f"{where} would change")


def _has_dictionary(kind: pa.DataType) -> bool:
    children = (kind.field(n).type for n in range(kind.num_fields))
    return bool(pa.types.is_dictionary(kind)) or any(map(_has_dictionary, children))


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


ARROW = Form(_write_arrow, _read_arrow)
PARQUET = Form(_write_parquet, _read_parquet)
