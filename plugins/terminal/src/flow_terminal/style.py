"""Style: colours, glyphs, and how wide text is on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

RESET = "\x1b[0m"
_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "bold red": "1;31",
    "bold green": "1;32",
    "bold yellow": "1;33",
}
_STEP_STYLES = ("cyan", "magenta", "blue", "green")

Part = tuple[str, str]
"""A piece of a line and its style (``""`` = none). Lines are clipped before they are painted."""


class Style:
    """What a view may use.

    Args:
        colour: whether ANSI colours are wanted.
        encoding: of the stream; glyphs that it lacks are replaced by ASCII.
    """

    def __init__(self, colour: bool, encoding: str = "utf-8") -> None:
        self.colour = colour
        fancy = _can_encode("✓✗●·↻━╌", encoding)
        self.done, self.failed, self.running, self.waiting, self.again = (
            "✓✗●·↻" if fancy else "+x*.~"
        )
        self.full, self.empty = "━╌" if fancy else "=-"
        self.ellipsis = "…" if fancy else "~"

    def paint(self, text: str, style: str) -> str:
        """Return ``text`` in a style, or as it is without colours."""
        return f"\x1b[{_CODES[style]}m{text}{RESET}" if self.colour and text else text

    def step(self, position: int) -> str:
        """Return the style of a step: neighbours differ."""
        return _STEP_STYLES[position % len(_STEP_STYLES)]


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def width(text: str) -> int:
    """Return the number of terminal columns of ``text``, which holds no control sequences."""
    if text.isascii():
        return len(text)
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def clip(text: str, columns: int, ellipsis: str = "…") -> str:
    """Return ``text`` cut to at most ``columns`` columns, with an ellipsis where it was cut."""
    if width(text) <= columns:
        return text
    if columns < 1:
        return ""
    room = columns - width(ellipsis)
    kept = 0
    for position, char in enumerate(text):
        room -= _char_width(char)
        if room < 0:
            break
        kept = position + 1
    return text[:kept] + ellipsis


def pad(text: str, columns: int) -> str:
    """Fill with blanks on the right."""
    return text + " " * max(0, columns - width(text))


def painted_line(style: Style, parts: Sequence[Part], columns: int) -> tuple[str, int]:
    """Return a line of at most ``columns`` columns, painted, and its width."""
    painted, left = [], columns
    for text, name in parts:
        shown = clip(text, left, style.ellipsis)
        painted.append(style.paint(shown, name) if name else shown)
        left -= width(shown)
        if shown != text or not left:
            break
    return "".join(painted), columns - left
