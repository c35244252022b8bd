"""Text to show: free of what a terminal would obey, and in the words that a person types."""

from __future__ import annotations

import re
import sys
from typing import Any

# As texts, compiled when they are first used: most commands that import this use neither.
_ESCAPE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: cursor movement, erasure, colours
    r"|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"  # OSC and its kin: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_COLOUR = r"\x1b\[[0-9;:]*m"


def harmless(text: str, colours: bool = False) -> str:
    """Return ``text`` without control characters and escape sequences.

    What a carriage return overwrites is left out, as on a terminal. Newlines and tabs stay.

    Args:
        text: any text, of one line or many.
        colours: whether colours stay.

    Since 0.1.
    """
    if "\r" in text:
        text = "\n".join([line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")])
    return re.sub(_ESCAPE, _keep_colour if colours else "", text)


def _keep_colour(found: re.Match[str]) -> str:
    text = found.group()
    return text if re.fullmatch(_COLOUR, text) else ""


def duration(seconds: float) -> str:
    """Return a duration as people read it: ``26 ms``, ``0.3 s``, ``12.0 s``, ``4 min 05 s``, ``2 h 05 min``.

    Since 0.1.
    """
    if seconds < 0.0995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def type_name(value: Any) -> str:
    """Return the qualified name of a value's class; without the module for built-in ones."""
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def module_of(program: str) -> str:
    """Return ``-m package.module`` if ``program``, as in `sys.argv`, was started so, else ``""``."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if not spec or getattr(main, "__file__", None) != program:
        return ""
    return f"-m {spec.name.removesuffix('.__main__')}"
