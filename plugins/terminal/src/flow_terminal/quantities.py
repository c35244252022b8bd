"""Quantities as people read them: sizes and counts."""

from __future__ import annotations


def size(count: int) -> str:
    """``0 B``, ``812 kB``, ``45 MB``, ``1.2 GB``: decimal units, two digits or three."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if amount < 9.95 and unit != "B" else f"{amount:.0f} {unit}"


def plural(count: int, noun: str) -> str:
    """``1 task``, ``3,200 tasks``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
