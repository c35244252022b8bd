"""``.flowignore``: which files people leave out of code snapshots, in the syntax of ``.gitignore``.

A line is a pattern. ``#`` begins a comment, ``!`` takes back what an earlier line said, a slash at the
end means folders only, and a slash elsewhere ties the pattern to the folder of its file; without one
it counts at any depth. ``*`` and ``?`` stay within one name, ``**`` goes over folders. The last line
that fits decides, and a file in a subfolder goes before those above it. What is in a folder that is
left out stays out, whatever is said of it.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from flow_core.errors import FlowError

FILE = ".flowignore"


class Pattern(NamedTuple):
    """One line: ``matches`` is a regular expression for paths relative to the file's folder."""

    matches: re.Pattern[str]
    take_back: bool
    folders_only: bool


class IgnoreRules:
    """The rules of all ``.flowignore`` files in and below a folder, each read when it is needed.

    Args:
        top: the folder. Paths are given relative to it, with ``/``.
    """

    def __init__(self, top: str) -> None:
        self._top = top
        self._patterns: dict[str, list[Pattern]] = {}

    def verdict(self, path: str, is_folder: bool = False) -> bool | None:
        """Return whether a path is left out (True) or wanted (False); None = nothing is said of it.

        What is said of the folders that it is in does not count here.

        Raises:
            FlowError: a file of rules cannot be read.
        """
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            patterns = self._of(folder)
            if patterns:
                rest = path[len(folder) + 1 :] if folder else path
                for pattern in reversed(patterns):
                    if (is_folder or not pattern.folders_only) and pattern.matches.fullmatch(rest):
                        return not pattern.take_back
        return None

    def leaves_out(self, path: str) -> bool:
        """Return whether a file is left out, itself or with a folder that it is in."""
        end = path.find("/")
        while end >= 0:
            if self.verdict(path[:end], is_folder=True):
                return True
            end = path.find("/", end + 1)
        return bool(self.verdict(path))

    def files(self) -> list[str]:
        """Return the paths of the files that rules were found in, as far as they were asked for."""
        folders = (folder for folder, patterns in self._patterns.items() if patterns)
        return sorted(f"{folder}/{FILE}" if folder else FILE for folder in folders)

    def _of(self, folder: str) -> list[Pattern]:
        found = self._patterns.get(folder)
        if found is None:
            found = self._patterns[folder] = _read(os.path.join(self._top, folder, FILE))
        return found


def parse(text: str) -> list[Pattern]:
    """Return the patterns of a file, in its order; lines that can match nothing are left out."""
    found = (_pattern(line) for line in text.removeprefix("\ufeff").split("\n"))
    return [pattern for pattern in found if pattern is not None]


def _read(path: str) -> list[Pattern]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return parse(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FlowError(
            f"{FILE} cannot be read",
            where=path,
            why=error.strerror,
            hint="make it readable: it says what stays out of the code snapshot",
        ) from None


def _pattern(line: str) -> Pattern | None:
    text = _without_spaces_at_end(line.removesuffix("\r"))
    if not text or text.startswith("#"):
        return None
    take_back = text.startswith("!")
    text = text[1:] if take_back else text
    folders_only = text.endswith("/")
    text = text[:-1] if folders_only else text
    anchored = "/" in text
    names = text.removeprefix("/").split("/")
    if not anchored:
        names.insert(0, "**")
    try:
        matches = re.compile(_expression(names), re.DOTALL)
    except (ValueError, KeyError, re.error):
        return None
    return Pattern(matches, take_back, folders_only) if text.strip("/") else None


def _without_spaces_at_end(line: str) -> str:
    bare = line.rstrip(" ")
    if len(bare) == len(line):
        return line
    slashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if slashes % 2 else bare  # a backslash keeps the space behind it


def _expression(names: list[str]) -> str:
    """Return the regular expression of a pattern that is parted at its slashes."""
    parts: list[str] = []
    last = len(names) - 1
    for number, name in enumerate(names):
        if name == "**" and number == last:
            parts.append(".+")  # all that is inside, but not the folder itself
        elif name == "**":
            parts.append("(?:.*/)?")
        else:
            parts.append(_of_name(name) + ("/" if number < last else ""))
    return "".join(parts)


def _of_name(name: str) -> str:
    """Return the regular expression of a pattern for one name; `ValueError` = it matches none."""
    out: list[str] = []
    at = 0
    while at < len(name):
        sign = name[at]
        at += 1
        if sign == "*":
            out.append("[^/]*")
        elif sign == "?":
            out.append("[^/]")
        elif sign == "[":
            text, at = _class(name, at)
            out.append(text)
        elif sign == "\\":
            if at == len(name):
                raise ValueError("nothing behind the backslash")
            out.append(re.escape(name[at]))
            at += 1
        else:
            out.append(re.escape(sign))
    return "".join(out)


_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "digit": "0-9",
    "lower": "a-z",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}


def _class(name: str, at: int) -> tuple[str, int]:
    """Return the expression of a class of characters that begins before ``at``, and where it ends."""
    negated = at < len(name) and name[at] in "!^"
    at += negated
    members: list[str] = []
    while True:
        if at >= len(name):
            raise ValueError("the bracket is not closed")
        sign = name[at]
        if sign == "]" and members:
            break
        if name.startswith("[:", at):
            end = name.index(":]", at)
            members.append(_CLASSES[name[at + 2 : end]])
            at = end + 2
            continue
        first, at = _member(name, at)
        if name.startswith("-", at) and at + 1 < len(name) and name[at + 1] != "]":
            last, at = _member(name, at + 1)
            # An order that is turned round holds nothing, here as there.
            members.append(f"{re.escape(first)}-{re.escape(last)}" if first <= last else "")
        else:
            members.append(re.escape(first))
    text = "".join(members)
    if not text:
        return ("[^/]" if negated else "(?!)"), at + 1
    return f"(?!/)[{'^' if negated else ''}{text}]", at + 1


def _member(name: str, at: int) -> tuple[str, int]:
    if name[at] == "\\":
        at += 1
        if at >= len(name):
            raise ValueError("the bracket is not closed")
    return name[at], at + 1
