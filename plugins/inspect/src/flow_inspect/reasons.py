"""Reasons for reuse, in words. Plugins note them as data, ``{"by": …, "kind": …}``, by these kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ITEM = re.compile(r"\bitem \d+ of ")
_MOST_CHANGES = 6


def in_words(noted: Sequence[Mapping[str, Any]], reused: bool) -> tuple[str, ...]:
    """Return lines for what was noted about one task.

    Of a reused task the last reason is the one that counts. Of one that ran, all do: each plugin
    that was asked gives its own.
    """
    counting = noted[-1:] if reused else noted
    return tuple(line for reason in counting for line in _lines(reason))


def without_place(line: str) -> str:
    """Return a line as it is for all items of a foreach."""
    return _ITEM.sub("its item of ", line)


def _lines(reason: Mapping[str, Any]) -> list[str]:
    say = _WORDS.get(reason.get("kind", ""))
    by = "cache: " if reason.get("by") == "cache" else ""
    try:
        lines = say(reason) if say is not None else None
    except (KeyError, TypeError, ValueError):  # a plugin's own, with the name of one of ours
        lines = None
    if lines is None:
        details = {k: v for k, v in reason.items() if k not in ("by", "kind")}
        return [f"{reason.get('by', '?')}: {reason.get('kind', '?')} {details or ''}".rstrip()]
    found = [lines] if isinstance(lines, str) else lines
    return [f"{by}{found[0]}", *(f"  {line}" for line in found[1:])]


def _parameter(reason: Mapping[str, Any]) -> str:
    return (
        f"it reads parameter '{reason['name']}', which was {reason['old']} and is {reason['new']}"
    )


def _artifact(reason: Mapping[str, Any]) -> str:
    made = f", which {reason['producer']} made" if reason.get("producer") else ""
    return f"it reads the artifact '{reason['name']}'{made}: it is another now"


def _item(reason: Mapping[str, Any]) -> str:
    what = f"item {reason['index']} of '{reason['name']}'" if reason["name"] else "its item"
    return f"it reads {what}, which {reason['producer']} made: it is another now"


def _code(reason: Mapping[str, Any]) -> list[str]:
    changes = reason["changes"]
    lines = ["its code has changed:"]
    for change in changes[:_MOST_CHANGES]:
        where = f"{change['file']}:{change['line']}"
        role = "the step itself" if change["is_step"] else "which it uses"
        lines.append(f"{change['name']} was {change['change']}, {role} ({where})")
    if len(changes) > _MOST_CHANGES:
        lines.append(f"and {len(changes) - _MOST_CHANGES} more")
    return lines


def _changed(what: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda r: f"{what.format(**r)} was {r['old']!r} and is {r['new']!r}"


def _failed(reason: Mapping[str, Any]) -> str:
    message = f": {reason['message']}" if reason.get("message") else ""
    return f"it did not end well in the run that is resumed, as {reason['origin']}{message}"


def _branches(structure: str) -> str:
    """``3 of work and 1 of side`` for ``work*3,side*1``."""
    parts = [part.rpartition("*") for part in structure.split(",") if part]
    texts = [f"{int(count):,} of {step}" for step, _, count in parts]
    return " and ".join(texts) or "nothing"


def _over(reason: Mapping[str, Any]) -> str:
    return f" over '{reason['name']}'" if reason["name"] else ""


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str | list[str] | None]] = {
    # reused
    "finished": lambda r: "it was finished, and so was all that it reads",
    "adopted": lambda r: f"it still ran as {r['origin']} when this run began",
    "unaffected": lambda r: "it was finished, and has read nothing that is another now",
    "same": lambda r: "its input was made anew, but all that it has read of it is the same",
    "hit": lambda r: "code, what it has read, and environment are the same",
    # ran
    "parameter": _parameter,
    "artifact": _artifact,
    "item": _item,
    "branches": lambda r: f"it joins {_branches(r['new'])} now, and joined {_branches(r['old'])}",
    "count": lambda r: f"its foreach{_over(r)} has {r['new']:,} items now, and had {r['old']:,}",
    "index": lambda r: (
        f"its place in its foreach{_over(r)} is {r['new']:,} now, and was {r['old']:,}"
    ),
    "inputs": lambda r: f"its inputs, or its place in the foreaches, are others now ({r['name']})",
    "code": _code,
    "value": lambda r: f"the value of {r['name']} is another now",
    "environment": _changed("{name}"),
    "decorator": _changed("@{name}"),
    "salt": _changed("the option salt"),
    "step": lambda r: "its step was named on the command line",
    "after-step": lambda r: f"it follows step '{r['name']}', which was to run again",
    "upstream": lambda r: f"its input was made anew, by {' and '.join(r['steps'])}",
    "failed": _failed,
    "missing": lambda r: f"{r['origin']} has no finished task of it",
    "no-record": lambda r: f"nobody noted what it read in {r['origin']}, so it may be anything",
    "code-unknown": lambda r: f"the code of {r['origin']} is not known, or had no such step",
    "way": lambda r: f"today's code goes on to other steps than {r['origin']} did",
    "no-cache": lambda r: "--no-cache was given",
    "first": lambda r: "no task of the step has been remembered yet",
    "new": lambda r: "no task that read the same has been remembered",
    "gone": lambda r: f"the result of {r['origin']} is not in the store any more",
    "expired": lambda r: f"the result of {r['origin']} is older than max_age='{r['max_age']}'",
}
