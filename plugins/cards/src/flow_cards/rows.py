"""The rows of a table as data for its script, ``scripts/table.js``: what it sorts and draws.

    [[1, "a", null], [[0.00012, "0.00012"], {"html": "<b>x</b>"}, true]]

A number stands alone where the script writes it as `number_text` does, else together with its text.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from flow_cards.components import Component, Table
from flow_cards.wording import MOST_DECIMALS, clean, decimals_of, number_text

_dumps = functools.partial(json.dumps, separators=(",", ":"), ensure_ascii=False)


def column_decimals(table: Table) -> tuple[int, ...]:
    """Return how many decimals the numbers of each column have, so that they stand below each other: as
    few as say all of them. 0 = each has its own: in a column that holds something else, too."""
    return tuple(_decimals(column) for column in zip(*table.data, strict=False))


def _decimals(column: Sequence[Any]) -> int:
    if any(type(value) is not float and value is not None for value in column):
        return 0
    most = 0
    for value in column:
        if value is not None and (most := max(most, decimals_of(value))) == MOST_DECIMALS:
            break
    return most


def raw_value(value: Any, decimals: int = 0) -> str:
    """Return by what a cell is sorted when its text does not say it exactly; else ``""``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ""
    text = number_text(value, decimals)
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
    decimals = column_decimals(table)
    return htmlsafe_json_dumps(
        [
            [_cell(value, draw, digits) for value, digits in zip(row, decimals, strict=True)]
            for row in table.data
        ],
        dumps=_dumps,
    )


def _cell(value: Any, draw: Callable[[Component], Markup], decimals: int) -> Any:
    if type(value) is float:  # most cells of a large table
        return value if _is_plain(value) else [_number(value), number_text(value, decimals)]
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
    # What lies in the midst of two numbers of up to four decimals, which is rounded to even here and
    # up there, is a multiple of 1/32.
    return 0.001 <= abs(value) < 1e14 and not (32 * value).is_integer()


def _number(value: float) -> float | str | None:
    text = _sorted_by(value)
    return text if text.endswith("Infinity") else float(text) if text else None
