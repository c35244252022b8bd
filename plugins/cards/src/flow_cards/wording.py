"""Numbers, sizes and text as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flow_core.api import harmless

MOST_DECIMALS = 4
_IN_MEGABYTES = frozenset({"memory", "disk", "shared_memory"})


def number_text(value: float, decimals: int = 0) -> str:
    """Return a number as people read it: ``12,345``, ``0.1235``, ``1.2e+20``.

    Args:
        value: the number.
        decimals: how many a float has, for numbers that stand below each other; 0 = as few as it needs.
    """
    if isinstance(value, int):
        digits = value.bit_length() * 0.30103
        return f"{value:,}" if digits < 15 else f"{value:.6g}" if digits < 300 else "a huge integer"
    if not math.isfinite(value):
        return str(value)
    if 0.001 <= abs(value) < 1e15:
        if decimals:
            return f"{value:,.{decimals}f}"
        text = f"{value:,.{MOST_DECIMALS}f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    return f"{0:.{decimals or 1}f}" if value == 0 else f"{value:.4g}"


def decimals_of(value: float) -> int:
    """Return how many decimals `number_text` writes of a number; 0 = it says it in another way."""
    if not 0.001 <= abs(value) < 1e15:  # also nan
        return 0
    return 1 if value.is_integer() else len(number_text(value).partition(".")[2])


def size_text(count: float) -> str:
    """Return ``12 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def memory_text(count: float) -> str:
    """Return ``1,234 MB``: in one unit, so that steps and tasks compare at a glance."""
    return f"{count / 1e6:,.0f} MB"


def amounts_text(amounts: Mapping[str, float]) -> str:
    """Return ``cpu 2, memory 8,000 MB``."""
    return ", ".join(
        f"{name.replace('_', ' ')} {amount:,.10g}{' MB' * (name in _IN_MEGABYTES)}"
        for name, amount in sorted(amounts.items())
    )


def count_text(count: int, what: str) -> str:
    """Return ``1 line``, ``12,345 lines``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def clean(text: object) -> str:
    """Return text without what would do something on a terminal, or in a page."""
    found = str(text)
    return found if found.isprintable() else harmless(found)
