"""Values in a few words: never longer than asked for, and never an exception."""

from __future__ import annotations

import reprlib
from typing import Any

_MANY = 50


def shorten(text: str, limit: int) -> str:
    """Return ``text``, cut to ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def preview(value: Any, limit: int = 1000) -> str:
    """Return ``value`` as Python writes it, in at most ``limit`` characters.

    What is long is cut before it is written: a list of a million numbers costs as much as one of
    fifty. An exception of the value's own ``__repr__`` is told instead.
    """
    writer = reprlib.Repr()
    writer.maxlevel = 4
    for name in (
        "maxlist",
        "maxtuple",
        "maxset",
        "maxfrozenset",
        "maxdeque",
        "maxarray",
        "maxdict",
    ):
        setattr(writer, name, _MANY)
    writer.maxstring = writer.maxlong = writer.maxother = limit
    try:
        return shorten(_written(writer, value), limit)
    except Exception as error:  # whatever a __repr__ may raise
        return f"({type(value).__name__} cannot be shown: {type(error).__name__})"


def _written(writer: reprlib.Repr, value: Any) -> str:
    module = type(value).__module__.partition(".")[0]
    if isinstance(value, (bytes, bytearray)):
        value = value[: writer.maxstring]
    if module == "builtins":
        return writer.repr(value)
    # Arrays and tables shorten themselves, in lines that reprlib would cut in the middle.
    return repr(value)


def readable_times(value: Any) -> Any:
    """Return ``value``; an array of times of numpy in microseconds, since those of nanoseconds become
    bare integers when the array becomes a list."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    return value.astype("datetime64[us]") if kind == "M" and hasattr(value, "tolist") else value
