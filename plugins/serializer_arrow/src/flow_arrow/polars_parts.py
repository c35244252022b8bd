"""polars' frames and series: a word that says which, and a table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import polars as pl

from flow_arrow.tables import ARROW
from flow_core.api import Buffer, Declined

_FRAME, _SERIES = b"frame", b"series"


def dump(value: Any, parquet: bool) -> Sequence[Buffer]:
    """Return the parts of a frame or series."""
    series = isinstance(value, pl.Series)
    frame = value.to_frame() if series else value
    # What types cannot do shows in a table without rows, at no cost.
    empty = frame.clear()
    try:
        found = _read(_write(empty, parquet), parquet).schema
    except Exception as error:  # each library has its own, and a panic of polars is one more
        raise Declined(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error
    for name, kind in empty.schema.items():
        if found.get(name) != kind:
            raise Declined(f"the type of column '{name}' would change from {kind}")
    return [_SERIES if series else _FRAME, _write(frame, parquet)]


def load(parts: Sequence[Buffer], parquet: bool) -> Any:
    """Undo `dump`."""
    frame = _read(parts[1], parquet)
    return frame.to_series() if bytes(parts[0]) == _SERIES else frame


def _write(frame: pl.DataFrame, parquet: bool) -> Buffer:
    if not parquet:
        return ARROW.write(frame.to_arrow(compat_level=pl.CompatLevel.newest()))
    sink = io.BytesIO()
    frame.write_parquet(sink, compression="zstd")
    return sink.getbuffer()


def _read(content: Buffer, parquet: bool) -> pl.DataFrame:
    if parquet:
        return pl.read_parquet(io.BytesIO(content))
    frame = pl.from_arrow(ARROW.read(content))
    assert isinstance(frame, pl.DataFrame), "a table becomes a frame"
    return frame
