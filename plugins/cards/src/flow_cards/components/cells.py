"""What stands in a cell of a table, or in a box: text, numbers, components."""

from __future__ import annotations

from datetime import date, timedelta
from datetime import time as clock_time
from pathlib import PurePath
from typing import Any

from flow_cards.components.base import Component
from flow_cards.previews import preview, shorten

LONGEST = 2000
"""Characters of text in a cell; what is longer is cut."""


_AS_TEXT = frozenset(
    ["decimal.Decimal", "uuid.UUID", "numpy.datetime64", "numpy.timedelta64"]
)  # by name: none of these modules is imported for it
_MISSING = frozenset(["NAType", "NaTType"])  # of pandas


def as_cell(value: Any) -> Any:
    """Return what can stand in a cell: text, a number, True, False, None, or a component; dates,
    decimals and paths as text; anything else as Python writes it."""
    if isinstance(value, Component) or value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if type(value) is float else float(value)
    if isinstance(value, str):
        return shorten(str(value), LONGEST)
    kind = type(value)
    if kind.__name__ in _MISSING:
        return None
    if (
        isinstance(value, (date, clock_time, timedelta, PurePath))
        or f"{kind.__module__}.{kind.__name__}" in _AS_TEXT
    ):
        return shorten(str(value), LONGEST)
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        try:
            plain = item()
        except Exception:
            plain = None
        if isinstance(plain, (bool, int, float, str)):
            return plain
    return preview(value, LONGEST)
