"""Quantities as people read them: durations, sizes and counts."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``26 ms``, ``0.3 s``, ``12.0 s``, ``4 min 05 s``, ``2 h 05 min``."""
    if seconds < 0.0995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


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
