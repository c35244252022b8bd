"""Lengths of time as Slurm writes them: ``90`` minutes, ``1:30:00``, ``2-12``."""

from __future__ import annotations

import math
import re

UNLIMITED = "UNLIMITED"

_FORMS = (
    r"(?P<m>\d+)",
    r"(?P<m>\d+):(?P<s>\d+)",
    r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+):(?P<m>\d+)",
    r"(?P<d>\d+)-(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)",
)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def seconds_of_time(text: str) -> float:
    """Return the seconds of a length of time; infinity for one without an end.

    Args:
        text: in one of Slurm's forms: ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``,
            ``days-hours``, ``days-hours:minutes``, ``days-hours:minutes:seconds``, ``UNLIMITED``.

    Raises:
        ValueError: it has none of them.
    """
    text = text.strip()
    if text.upper() in (UNLIMITED, "INFINITE"):
        return math.inf
    for form in _FORMS:
        found = re.fullmatch(form, text)
        if found is not None:
            return float(sum(int(n) * _SECONDS[unit] for unit, n in found.groupdict().items()))
    raise ValueError(f"'{text}' is no time of Slurm's: 90 (minutes), 1:30:00, 2-12 (days-hours)")


def time_of_seconds(seconds: float) -> str:
    """Return a length of time as Slurm takes it, in whole minutes: it knows no shorter ones."""
    minutes = max(math.ceil(seconds / 60), 1)
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    return f"{days}-{hours:02}:{minutes:02}:00" if days else f"{hours}:{minutes:02}:00"
