"""Sink: a text stream that takes whatever is written, and gives up quietly when it is gone."""

from __future__ import annotations

import contextlib
import os
from typing import Any


class Sink:
    """Writes to a stream at once, in its encoding. A run never ends because nobody reads.

    Args:
        stream: as `sys.stdout`.

    Attributes:
        broken: whether the reader is gone; then nothing is written any more.
    """

    def __init__(self, stream: Any) -> None:
        self.broken = False
        self._stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> None:
        """Write and flush."""
        if self.broken:
            return
        try:
            self._write(text)
        except (OSError, ValueError):  # a closed pipe, a full disk, a terminal that is gone
            self._give_up()

    def _write(self, text: str) -> None:
        raw = getattr(self._stream, "buffer", None)
        if raw is None:
            self._stream.write(text)
        else:
            self._stream.flush()  # what others wrote to the text layer comes first
            # Lone surrogates, and letters that a small encoding lacks, must not end a run.
            raw.write(text.encode(self.encoding, "replace"))
        self._stream.flush()

    def _give_up(self) -> None:
        """Point the descriptor at nothing: else Python fails at exit when it flushes the rest."""
        self.broken = True
        with contextlib.suppress(OSError, ValueError):
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)
