"""The rows of a table as data for its script, ``scripts/table.js``: what it sorts and draws.

    [[1, "a", null], [[0.00012, "0.00012"], {"html": "<b>x</b>"}, true]]

A number stands alone where the script writes it as `number_text` does, else together with its text.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from flow_cards.components import Component, Table
from flow_cards.wording import clean, number_text

_dumps = functools.partial(json.dumps, separators=(",", ":"), ensure_ascii=False)


def raw_value(value: Any) -> str:
    """Return by what a cell is sorted when its text does not say it exactly; else ``""``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    text = number_text(value)
    try:
        if float(text.replace(",", "")) == value:
            return ""
    except ValueError:  # a huge integer
        pass
    return _sorted_by(value)


def _sorted_by(value: float) -> str:
    """Return a number as JavaScript reads it; ``""`` when it is none."""
    if value != value:
        return ""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return repr(number).replace("inf", "Infinity")


def rows_json(table: Table, draw: Callable[[Component], Markup]) -> Markup:
    """Return the rows of a table as JSON data which can stand in a page."""
    return htmlsafe_json_dumps(
        [[_cell(value, draw) for value in row] for row in table.data], dumps=_dumps
    )


def _cell(value: Any, draw: Callable[[Component], Markup]) -> Any:
    if type(value) is float:  # most cells of a large table
        return value if _is_plain(value) else [_number(value), number_text(value)]
    if isinstance(value, str):
        return clean(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Component):
        return {"html": str(draw(value)).strip()}
    return value if _is_plain(value) else [_number(value), number_text(value)]


def _is_plain(value: float) -> bool:
    """Whether the script writes this number as we do: a few need their text, such as 3.0."""
    if isinstance(value, int):
        return abs(value) < 10**14
    # What lies in the midst of two numbers of four decimals, which is rounded to even here and up
    # there, is an odd multiple of 1/32.
    return 0.001 <= abs(value) < 1e14 and not (32 * value).is_integer()


def _number(value: float) -> float | str | None:
    text = _sorted_by(value)
    return text if text.endswith("Infinity") else float(text) if text else None
