"""The serializers. Each is asked about every value once its library is imported: nothing is imported
here before a value is really one of theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flow_core.api import Buffer

if TYPE_CHECKING:
    from flow_arrow.tables import Form


class _Tables:
    """What all have in common: values of some classes of a library become tables.

    The classes must be exactly these. A subclass may hold more than its tables, so it is left to
    other serializers.
    """

    tag: str
    safe = True
    library: str
    classes: tuple[str, ...]

    def can(self, value: Any) -> bool:
        """Whether ``value`` is of one of the classes."""
        library = sys.modules.get(self.library)
        kind = type(value)
        return kind.__name__ in self.classes and getattr(library, kind.__name__, None) is kind

    @property
    def _form(self) -> Form:
        from flow_arrow import tables

        return tables.ARROW if self.tag.endswith(".arrow") else tables.PARQUET


class _Pandas(_Tables):
    library = "pandas"
    classes = ("DataFrame", "Series")

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the parts; `Declined` for what would not come back as it is."""
        from flow_arrow import pandas_parts

        return pandas_parts.dump(value, self._form)

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`. Numbers are used where they lie, if that memory can be written to."""
        from flow_arrow import pandas_parts

        return pandas_parts.load(parts, self._form)


class _Pyarrow(_Tables):
    library = "pyarrow"
    classes = ("Table", "RecordBatch", "ChunkedArray")

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the parts; `Declined` for what would not come back as it is."""
        from flow_arrow import pyarrow_parts

        return pyarrow_parts.dump(value, self._form)

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`. The table is used where it lies."""
        from flow_arrow import pyarrow_parts

        return pyarrow_parts.load(parts, self._form)


class _Polars(_Tables):
    library = "polars"
    classes = ("DataFrame", "Series")

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the parts; `Declined` for what would not come back as it is."""
        from flow_arrow import polars_parts

        return polars_parts.dump(value, self.tag.endswith(".parquet"))

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`. The frame is used where it lies."""
        from flow_arrow import polars_parts

        return polars_parts.load(parts, self.tag.endswith(".parquet"))


class PandasArrow(_Pandas):
    """pandas as Arrow."""

    tag = "pandas.arrow"


class PandasParquet(_Pandas):
    """pandas as Parquet."""

    tag = "pandas.parquet"


class PyarrowArrow(_Pyarrow):
    """pyarrow as Arrow."""

    tag = "pyarrow.arrow"


class PyarrowParquet(_Pyarrow):
    """pyarrow as Parquet."""

    tag = "pyarrow.parquet"


class PolarsArrow(_Polars):
    """polars as Arrow."""

    tag = "polars.arrow"


class PolarsParquet(_Polars):
    """polars as Parquet."""

    tag = "polars.parquet"
