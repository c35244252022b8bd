"""Pathspecs: ``Flow/run/step/task/artifact``, cut to the depth of the object."""

from __future__ import annotations

from typing import Any

from flow_core.api import UsageError

_KINDS = ("Flow", "Run", "Step", "Task", "DataArtifact")
_PARTS = ("Flow", "run", "step", "task", "artifact")
_EXAMPLE = ("MyFlow", "3", "start", "1", "x")


def split(kind: str, pathspec: Any) -> list[str]:
    """Return the parts of the pathspec of a ``kind`` (``Run``: two).

    Raises:
        UsageError: it is no text, or has more or fewer parts, or an empty one.
    """
    depth = _KINDS.index(kind) + 1
    if not isinstance(pathspec, str):
        raise _wrong(kind, depth, pathspec, f"it is of type {type(pathspec).__name__}, not text")
    parts = pathspec.split("/")
    if len(parts) != depth:
        count = f"{len(parts)} part{'s' if len(parts) > 1 else ''}"
        raise _wrong(kind, depth, pathspec, f"it has {count} instead of {depth}")
    if any(part in ("", ".", "..") for part in parts):
        raise _wrong(kind, depth, pathspec, "one of its parts is empty, '.' or '..'")
    return parts


def _wrong(kind: str, depth: int, pathspec: Any, why: str) -> UsageError:
    hint = f'{kind}("{"/".join(_PARTS[:depth])}"), for example {kind}("{_example(depth)}")'
    parts = pathspec.split("/") if isinstance(pathspec, str) else []
    if all(parts) and len(parts) != depth and len(parts) in range(1, len(_KINDS) + 1):
        hint += f'\nor, for what it names: {_KINDS[len(parts) - 1]}("{pathspec}")'
    return UsageError(f"{pathspec!r} is not the pathspec of a {kind}", why=why, hint=hint)


def _example(depth: int) -> str:
    return "/".join(_EXAMPLE[:depth])
