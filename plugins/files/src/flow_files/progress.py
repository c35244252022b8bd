"""How a transfer goes, for people: a line that is drawn anew, or one line at the end."""

from __future__ import annotations

import sys
import threading
import time

from flow_core.api import Settings, current, duration

_PATIENCE = 1.0
_PATIENCE_IN_TASKS = 10.0
_PAUSE = 0.1
_WIDTH = 20


def size_text(count: float) -> str:
    """``0 B``, ``812 kB``, ``1.2 GB``: decimal units."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 999.5:
            break
        count, unit = count / 1000, larger
    return f"{count:.1f} {unit}" if count < 9.95 and unit != "B" else f"{count:.0f} {unit}"


class Meter:
    """Counts what was transferred; what takes more than a second is told on standard error.

    On a terminal there is a line with bytes, rate and the time that is left, at the end a summary;
    elsewhere only the summary, in a task only of what took ten seconds. The setting ``quiet`` keeps
    all of it back.

    Args:
        verb: what is done: ``downloading``.
        done: what was done: ``downloaded``.
        items: how many objects there are; None = not known.
        size: how many bytes; None = not known.
        shown: whether anything may be told.
        summary: whether the end is told, too.
    """

    def __init__(
        self,
        verb: str,
        done: str,
        items: int | None = None,
        size: int | None = None,
        *,
        shown: bool = True,
        summary: bool = True,
    ) -> None:
        self._verb, self._done = verb, done
        self._all_items, self._all_bytes = items, size
        self._items = self._bytes = 0
        self._shown = shown
        self._at_end = summary
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._next = self._start + _PATIENCE
        self._drawn = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        taken = time.monotonic() - self._start
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
        in_task = current.is_running_flow and not self._drawn
        patience = _PATIENCE_IN_TASKS if in_task else _PATIENCE
        if kind is None and self._at_end and self._items and taken > patience and self._may_tell():
            sys.stderr.write(self._summary(taken) + "\n")
        sys.stderr.flush()

    def add(self, size: int) -> None:
        """Count bytes."""
        with self._lock:
            self._bytes += size
            if time.monotonic() >= self._next:
                self._draw()

    def item(self, size: int = 0) -> None:
        """Count an object that is complete, and ``size`` bytes of it that were not counted yet."""
        with self._lock:
            self._items += 1
        self.add(size)

    @property
    def bytes(self) -> int:
        """How many bytes were counted."""
        return self._bytes

    def _may_tell(self) -> bool:
        return self._shown and not Settings()["quiet"]

    def _draw(self) -> None:
        now = time.monotonic()
        if not self._drawn and not (sys.stderr.isatty() and self._may_tell()):
            self._next = float("inf")
            return
        self._drawn = True
        self._next = now + _PAUSE
        sys.stderr.write(f"\r\x1b[K{self._line(now - self._start)}")
        sys.stderr.flush()

    def _line(self, taken: float) -> str:
        rate = self._bytes / taken
        parts = [f"{self._verb} {self._count()}", size_text(self._bytes)]
        if self._all_bytes:
            parts[-1] += f" of {size_text(self._all_bytes)}"
        parts.append(f"{size_text(rate)}/s")
        part = self._part()
        if part:
            filled = round(part * _WIDTH)
            parts.insert(1, f"[{'#' * filled}{'.' * (_WIDTH - filled)}]")
            parts.append(f"{duration(taken * (1 - part) / part)} left")
        return "  ".join(parts)

    def _count(self) -> str:
        if self._all_items == 1:
            return "1 file"
        of = f" of {self._all_items:,}" if self._all_items else ""
        return f"{self._items:,}{of} files"

    def _part(self) -> float:
        """Return how much is done, from 0 to 1; 0 where that is not known."""
        if self._all_bytes:
            return min(1.0, self._bytes / self._all_bytes)
        return self._items / self._all_items if self._all_items else 0.0

    def _summary(self, taken: float) -> str:
        files = "1 file" if self._items == 1 else f"{self._items:,} files"
        rate = size_text(self._bytes / taken)
        return f"{self._done} {files}, {size_text(self._bytes)} in {duration(taken)} ({rate}/s)"
