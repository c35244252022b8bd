"""What stands in a cell of a table, or in a box: text, numbers, components."""

from __future__ import annotations

from typing import Any

from flow_cards.components.base import Component
from flow_cards.previews import preview, shorten

LONGEST = 2000
"""Characters of text in a cell; what is longer is cut."""


def as_cell(value: Any) -> Any:
    """Return what can stand in a cell: text, a number, True, False, None, or a component; anything
    else as Python writes it."""
    if isinstance(value, Component) or value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if type(value) is float else float(value)
    if isinstance(value, str):
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
