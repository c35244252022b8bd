"""Amounts such as ``500m``, ``4096M``, ``2Gi``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?")

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}

Amounts = dict[str, Fraction]
"""By the name of a resource: ``cpu``, ``memory``, ``nvidia.com/gpu``."""


def is_quantity(text: str) -> bool:
    """Say whether a text is an amount."""
    return _FORM.fullmatch(text) is not None


@functools.lru_cache(4096)
def amount(text: str) -> Fraction:
    """Return an amount: of bytes, processors, pieces.

    Raises:
        ValueError: when the text is no amount.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity")
    number, suffix, exponent = found.groups()
    if exponent:
        return Fraction(f"{number}e{exponent}")
    if suffix in _BINARY:
        return Fraction(number) * Fraction(1024 ** _BINARY[suffix])
    return Fraction(f"{number}e{_DECIMAL[suffix or '']}")


def written(value: Fraction, name: str = "") -> str:
    """Return an amount as text: in bytes ``1536Mi`` where that is exact, else ``1500m``, ``2``, ``3G``."""
    if value == 0:
        return "0"
    if "memory" in name or "storage" in name:
        for suffix, power in reversed(_BINARY.items()):
            if (value / 1024**power).denominator == 1:
                return f"{value / 1024**power}{suffix}"
    for suffix in ("E", "P", "T", "G", "M", "k", ""):
        scaled = value / Fraction(10) ** _DECIMAL[suffix]
        if scaled.denominator == 1:
            return f"{scaled}{suffix}"
    return f"{-(-value * 1000 // 1)}m"


def amounts(texts: Mapping[str, str]) -> Amounts:
    """Return amounts by name from their texts."""
    return {name: amount(text) for name, text in texts.items()}


def total(parts: Iterable[Amounts]) -> Amounts:
    """Return the sum of amounts, name by name."""
    whole: Amounts = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = whole.get(name, Fraction(0)) + value
    return whole


def largest(parts: Iterable[Amounts]) -> Amounts:
    """Return the largest of amounts, name by name."""
    whole: Amounts = {}
    for part in parts:
        for name, value in part.items():
            whole[name] = max(whole.get(name, Fraction(0)), value)
    return whole
