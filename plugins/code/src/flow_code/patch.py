"""What differs between two sets of source files, as a patch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_core.api import CodeFile

_NO_END = "\\ No newline at end of file\n"


class FileChange(NamedTuple):
    """How a file differs.

    Attributes:
        name: its path.
        change: ``added``, ``removed`` or ``changed``.
        added, removed: numbers of lines; 0 for a file that is no text.
        text: the lines of the patch; for a file that is no text one sentence.
    """

    name: str
    change: str
    added: int
    removed: int
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "file": self.name,
            "change": self.change,
            "added": self.added,
            "removed": self.removed,
            "diff": self.text,
        }


def compare(old: Mapping[str, CodeFile], new: Mapping[str, CodeFile]) -> list[FileChange]:
    """Return what differs, by name."""
    changes = []
    for name in sorted({*old, *new}):
        before = old[name].content if name in old else None
        after = new[name].content if name in new else None
        if before != after:
            changes.append(_change(name, before, after))
    return changes


def _change(name: str, old: bytes | None, new: bytes | None) -> FileChange:
    change = "added" if old is None else "removed" if new is None else "changed"
    try:
        before, after = _lines(old), _lines(new)
    except UnicodeDecodeError:
        return FileChange(name, change, 0, 0, f"Binary files a/{name} and b/{name} differ\n")
    lines = [
        line if line.endswith("\n") else f"{line}\n{_NO_END}"
        for line in difflib.unified_diff(
            before,
            after,
            "/dev/null" if old is None else f"a/{name}",
            "/dev/null" if new is None else f"b/{name}",
        )
    ]
    body = lines[2:]
    added = sum(line.startswith("+") for line in body)
    removed = sum(line.startswith("-") for line in body)
    return FileChange(name, change, added, removed, "".join(lines))


def _lines(content: bytes | None) -> list[str]:
    # Not by `splitlines`, for which more than a line feed ends a line.
    text = (content or b"").decode()
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop().removesuffix("\n")
    return [*lines, last] if last else lines
