"""Tables: of rows, or of a DataFrame."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.components.cells import as_cell

_MOST_ROWS = 10_000
_MOST_COLUMNS = 50


@dataclass(frozen=True)
class Table(Component):
    """Rows of cells.

    Attributes:
        data: the rows, or a DataFrame. A cell is text, a number, True, False, None, or a component;
            anything else is shown as Python writes it. Rows with too few get empty ones. None = no
            rows.
        headers: the titles of the columns.
        note: a line below it.

    Raises:
        TypeError: the rows, or the headers, are no list.
    """

    data: Any = ()
    headers: Any = ()
    note: str = ""
    live: ClassVar[tuple[str, ...]] = ("data", "headers")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        if is_frame(self.data):
            table = type(self).from_dataframe(self.data)
            self._set(data=table.data, headers=table.headers, note=self.note or table.note)
            return
        rows = _listed(self.data, "rows: lists of cells, or a DataFrame")
        heads = tuple(str(head) for head in _listed(self.headers, "headers: a list of titles"))
        cells = (row if _is_row(row) else (row,) for row in rows)
        data = tuple(tuple(as_cell(cell) for cell in row) for row in cells)
        width = max(map(len, (heads, *data)))
        self._set(
            data=tuple(_filled(row, width) for row in data),
            headers=_filled(heads, width) if heads else (),
        )

    @classmethod
    def from_dataframe(cls, frame: Any, truncate: bool = True) -> Table:
        """Return the table of a DataFrame of pandas or polars, or of what has their methods.

        Args:
            frame: the DataFrame.
            truncate: whether to show no more than 10,000 rows and 50 columns; a note then says so.
        """
        rows, columns = frame.shape
        limit, width = (_MOST_ROWS, _MOST_COLUMNS) if truncate else (rows, columns)
        names = [str(name) for name in list(frame.columns)[:width]]
        cut = frame.head(limit)
        if hasattr(cut, "itertuples"):  # pandas
            indexed = _has_own_index(frame)
            start = 0 if indexed else 1
            data = [
                list(itertools.islice(row, start, width + 1)) for row in cut.itertuples(name=None)
            ]
            names = ["", *names] if indexed else names
        else:
            data = [list(row)[:width] for row in cut.iter_rows()]
        note = ""
        if rows > limit or columns > width:
            note = (
                f"{min(rows, limit):,} of {rows:,} rows, {min(columns, width)} of {columns} columns"
            )
        return cls(data, names, note)


def is_frame(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("columns", "shape", "head"))


def _listed(value: Any, what: str) -> Iterable[Any]:
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"Table takes {what}, not {type(value).__name__}")
    listed: Iterable[Any] = value
    return listed


def _filled(row: tuple[Any, ...], width: int) -> tuple[Any, ...]:
    return row if len(row) == width else (*row, *[""] * (width - len(row)))


def _is_row(value: Any) -> bool:
    """Whether something among the rows is one; a single value stands for a row with one cell."""
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict, Component))


def _has_own_index(frame: Any) -> bool:
    return type(frame.index).__name__ != "RangeIndex"
