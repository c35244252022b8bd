"""Sets of completion indexes as jobs write them: ``0-3,5``."""

from __future__ import annotations

from collections.abc import Iterable


def spans(indexes: Iterable[int]) -> str:
    """Return indexes as text."""
    told: list[list[int]] = []
    for index in sorted(indexes):
        if told and told[-1][-1] == index - 1:
            told[-1] = [told[-1][0], index]
        else:
            told.append([index])
    return ",".join(_span(each) for each in told)


def unfolded(text: str) -> list[int]:
    """Return the indexes of a text."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _span(ends: list[int]) -> str:
    if len(ends) == 2 and ends[1] == ends[0] + 1:
        return f"{ends[0]},{ends[1]}"
    return "-".join(map(str, ends))
