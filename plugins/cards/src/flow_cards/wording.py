"""Numbers, sizes and text as people read them."""

from __future__ import annotations

import math

from flow_core.api import harmless


def number_text(value: float) -> str:
    """Return a number as people read it: ``12,345``, ``0.1235``, ``1.2e+20``."""
    if isinstance(value, int):
        digits = value.bit_length() * 0.30103
        return f"{value:,}" if digits < 15 else f"{value:.6g}" if digits < 300 else "a huge integer"
    if not math.isfinite(value):
        return str(value)
    if 0.001 <= abs(value) < 1e15:
        text = f"{value:,.4f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    return "0.0" if value == 0 else f"{value:.4g}"


def size_text(count: float) -> str:
    """Return ``12 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def clean(text: object) -> str:
    """Return text without what would do something on a terminal, or in a page."""
    found = str(text)
    return found if found.isprintable() else harmless(found)
