"""Times as Kubernetes writes them."""

from __future__ import annotations

import time
from datetime import datetime, timezone


def timestamp(seconds: float | None = None) -> str:
    """Return a time, by default now, as ``2026-03-01T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def fine_timestamp(seconds: float) -> str:
    """Return a time with nanoseconds, as in logs: ``2026-03-01T12:00:00.123456000Z``."""
    return f"{timestamp(seconds)[:-1]}.{int(seconds % 1 * 1e9):09d}Z"


def seconds_of(text: str) -> float:
    """Return what `timestamp` wrote, or anybody by RFC 3339, as seconds since 1970."""
    return datetime.fromisoformat(_whole(text)).astimezone(timezone.utc).timestamp()


def _whole(text: str) -> str:
    """Write a time so that Python 3.10 reads it."""
    text = text.replace("Z", "+00:00").replace("z", "+00:00")
    if "." in text:
        head, _, tail = text.partition(".")
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    return text
