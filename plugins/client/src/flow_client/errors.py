"""The errors of the client, and the hints that they give."""

from __future__ import annotations

from collections.abc import Iterable

from flow_core.api import NotFound, near_misses

_MOST_NAMES = 10


class ObjectNotFound(NotFound, KeyError):
    """There is no flow, run, step, task or artifact of this name.

    It is a `KeyError` too, since ``run["step"]`` raises it. Since 0.1.
    """


class NamespaceMismatch(ObjectNotFound):
    """The object exists, but its run does not carry the tag that is the namespace. Since 0.1."""


def names_hint(name: str, known: Iterable[str], label: str) -> str:
    """Return ``did you mean 'x'?`` for near misses, else the first names that there are.

    Args:
        name: what was asked for.
        known: what there is, in the order in which it is to be shown.
        label: what the names are: ``steps``.
    """
    names = list(known)
    close = near_misses(name, names)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    shown = ", ".join(names[:_MOST_NAMES])
    return f"{label}: {shown}{', …' if len(names) > _MOST_NAMES else ''}" if names else ""
