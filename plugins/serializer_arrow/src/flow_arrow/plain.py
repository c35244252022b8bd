"""Labels, names and attributes as JSON data from which exactly the same come back."""

from __future__ import annotations

import math
from typing import Any

from flow_core.api import Declined


def pack(value: Any, what: str) -> Any:
    """Return ``value`` as JSON data.

    Raises:
        Declined: it, or something in it, is no text, number, truth value, None, list, tuple or
            dictionary with texts as keys. ``what`` names it.
    """
    kind = type(value)
    if value is None or kind in (str, int, bool):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind in (list, tuple):
        return {kind.__name__: [pack(item, what) for item in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: pack(item, what) for key, item in value.items()}}
    raise Declined(f"{what} holds a {kind.__qualname__}")


def unpack(data: Any) -> Any:
    """Undo `pack`."""
    if not isinstance(data, dict):
        return data
    ((kind, value),) = data.items()
    if kind == "float":
        return float(value)
    if kind == "dict":
        return {key: unpack(item) for key, item in value.items()}
    items = [unpack(item) for item in value]
    return tuple(items) if kind == "tuple" else items
