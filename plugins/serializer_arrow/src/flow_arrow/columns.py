"""Columns of any lengths in few tables: those of one length lie in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flow_arrow.tables import Form
from flow_core.api import Buffer


class ColumnWriter:
    """Takes columns, and gives each a number."""

    def __init__(self) -> None:
        self._tables: dict[int, list[int]] = {}  # length → numbers
        self._columns: list[Any] = []

    def add(self, column: pa.Array | pa.ChunkedArray) -> int:
        """Add a column; return its number."""
        number = len(self._columns)
        self._columns.append(column)
        self._tables.setdefault(len(column), []).append(number)
        return number

    def places(self) -> list[list[int]]:
        """Return, for each table, the numbers of its columns."""
        return list(self._tables.values())

    def parts(self, form: Form) -> list[Buffer]:
        """Return the tables."""
        return [
            form.write(
                pa.Table.from_arrays(
                    [self._columns[n] for n in numbers], names=[*map(str, numbers)]
                )
            )
            for numbers in self._tables.values()
        ]


class ColumnReader:
    """Gives columns by their numbers.

    Args:
        places: see `ColumnWriter.places`.
        parts: the tables.
        form: how they are stored.
    """

    def __init__(
        self, places: Sequence[Sequence[int]], parts: Sequence[Buffer], form: Form
    ) -> None:
        self._columns: dict[int, tuple[pa.ChunkedArray, memoryview]] = {}
        for numbers, part in zip(places, parts, strict=True):
            table = form.read(part)
            for position, number in enumerate(numbers):
                self._columns[number] = (table.column(position), memoryview(part))

    def arrow(self, number: int) -> pa.ChunkedArray:
        """Return a column."""
        return self._columns[number][0]

    def numpy(self, number: int, dtype: Any) -> Any:
        """Return a column of numbers as an array that can be written to.

        It lies where the column lies, if that can be written to: in memory of its own, or mapped
        so that writing changes a copy of the page.
        """
        import numpy as np

        column, memory = self._columns[number]
        if len(column) and column.num_chunks == 1:
            place = _place(column.chunk(0), memory)
            if place is not None:
                return np.frombuffer(memory, dtype, len(column), place)
        return column.to_numpy().astype(dtype, copy=True)


def _place(array: pa.Array, memory: memoryview) -> int | None:
    """Return where in ``memory`` the values of ``array`` begin; None where they do not lie there."""
    if memory.readonly:
        return None
    begin = pa.py_buffer(memory).address
    values = array.buffers()[1]
    place = int(values.address) - begin + array.offset * (array.type.bit_width // 8)
    return place if 0 <= place <= memory.nbytes - array.nbytes else None
