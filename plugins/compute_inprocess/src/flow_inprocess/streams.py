"""A standard stream that keeps what is written to it, and passes it on."""

from __future__ import annotations

import io
from typing import Any


class _Raw(io.RawIOBase):
    """The bytes below a `Both`."""

    def __init__(self, owner: Both) -> None:
        self._owner = owner

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Keep and pass on."""
        self._owner.take(bytes(data))
        return len(data)


class Both(io.TextIOWrapper):
    """Takes the place of `sys.stdout` while a task runs.

    It looks like the stream behind it (a terminal, its descriptor), so that `input` and debuggers
    edit lines there as ever.

    Args:
        behind: the stream in whose place it stands.
        shown: whether what is written is passed on to it.

    Attributes:
        kept: all bytes that were written.
        shown: as above; may be changed.
    """

    def __init__(self, behind: Any, shown: bool) -> None:
        self._behind = behind
        self.shown = shown
        self.kept = io.BytesIO()
        encoding = getattr(behind, "encoding", None) or "utf-8"
        super().__init__(io.BufferedWriter(_Raw(self)), encoding, "backslashreplace")
        self.reconfigure(write_through=True, line_buffering=True)

    def write(self, text: str) -> int:
        """Write at once: what follows may stop for a person."""
        written = super().write(text)
        self.flush()
        return written

    def take(self, data: bytes) -> None:
        """Keep bytes, and pass them on."""
        self.kept.write(data)
        if not self.shown:
            return
        raw = getattr(self._behind, "buffer", None)
        if raw is not None:
            self._behind.flush()
            raw.write(data)
        else:
            self._behind.write(data.decode(self.encoding, "replace"))
        self._behind.flush()

    def fileno(self) -> int:
        """The descriptor of the stream behind."""
        number: int = self._behind.fileno()
        return number

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return bool(self._behind.isatty())
