"""Finding runs: what is asked for, times as people write them, and whether a launcher still lives."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import NotFound, UsageError, did_you_mean
from flow_core.records import RunState, json_text

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from flow_core.interfaces import Metadata
    from flow_core.records import RunRecord

LOST = "lost"
SILENCE = 60.0
"""Seconds without a sign of life after which a run that should go on counts as lost."""
RUN_STATES = (*(state.value for state in RunState), LOST)
"""The states that people see, which `seen_state` gives."""
_OPEN = (RunState.CREATED, RunState.RUNNING)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PAGE = 100
_SHOWN = 5


class RunQuery(NamedTuple):
    """Which runs of a flow are asked for; the default asks for all.

    Attributes:
        tags: tags that a run carries, all of them, the user's or flow-core's.
        states: states that it may be in, out of `RUN_STATES`; empty = any.
        since, until: seconds since the epoch from which on, and before which, it was created.
        user: who started it.
        parameters: parameter name → JSON texts, of which its value has one: see `value_texts`.

    Since 0.1.
    """

    tags: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    user: str | None = None
    parameters: Mapping[str, Sequence[str]] = {}


def find_runs(
    metadata: Metadata,
    flow: str,
    query: RunQuery = RunQuery(),  # noqa: B008 - it cannot be changed
    *,
    before: RunRecord | None = None,
    page: int = _PAGE,
) -> Iterator[RunRecord]:
    """Yield the runs that ``query`` asks for, newest first, reading ``page`` of them at a time.

    Args:
        metadata: the index.
        flow: name of the flow.
        query: what is asked for.
        before: only runs older than this one.
        page: how many are read at a time.

    Raises:
        UsageError: there is no such state.

    Since 0.1.
    """
    check_states(query.states, RUN_STATES, "a run")
    # Whether a run that has not ended is alive is not in the index.
    stored = [s for s in RunState if s.value in query.states or (s in _OPEN and query.states)]
    while True:
        found = metadata.runs(
            flow,
            states=stored,
            tags=query.tags,
            before=before,
            limit=page,
            since=query.since,
            until=query.until,
            user=query.user,
            parameters=query.parameters,
        )
        for record in found:
            if not query.states or seen_state(record) in query.states:
                yield record
        if len(found) < page:
            return
        before = found[-1]


def check_states(given: Iterable[str], known: Collection[str], what: str) -> None:
    """Raise `UsageError` for a state that ``what`` (``a run``) cannot be in. Since 0.1."""
    for state in given:
        if state not in known:
            raise UsageError(
                f"There is no state '{state}' of {what}", hint=did_you_mean(state, known)
            )


def no_run(metadata: Metadata, flow: str, run: str) -> NotFound:
    """Return the error for a run that the index does not know: it tells which there are.

    Commands have `flow_core.run.unknown_run`, which also tells when only the index lacks it.
    """
    latest = [record.run for record in metadata.runs(flow, limit=_SHOWN)]
    hint = "latest runs: " + ", ".join(latest) if latest else did_you_mean(flow, metadata.flows())
    return NotFound(
        f"There is no run {flow}/{run}",
        where=metadata.url,
        why="the index does not know it",
        hint=hint or "nothing has been run yet: python my_flow.py run",
    )


# --- life ---------------------------------------------------------------------------------------


def seen_state(run: RunRecord) -> str:
    """Return the state of a run as people see it: ``lost`` when it should go on and does not.

    Since 0.1.
    """
    return LOST if seems_lost(run) else run.state.value


def seems_lost(run: RunRecord) -> bool:
    """Whether a run has not ended, but its launcher gave no sign of life for a minute, or was a
    process of this machine that is gone. Since 0.1."""
    if run.state not in _OPEN:
        return False
    if time.time() - (run.heartbeat_at or run.created_at) > SILENCE:
        return True
    return launcher_is_gone(run)


def launcher_is_gone(run: RunRecord) -> bool:
    """Whether a run's launcher is known to be gone: it was a process of this machine. Since 0.1."""
    if os.name != "posix" or not run.pid or run.host != os.uname().nodename:
        return False
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it exists, and is somebody else's
    return False


# --- values and times ---------------------------------------------------------------------------


def value_texts(value: Any) -> tuple[str, ...]:
    """Return the texts for `RunQuery.parameters` by which runs with this value are found.

    Raises:
        UsageError: the value has no JSON form, or too long a one: runs cannot be found by it.

    Since 0.1.
    """
    text = json_text(value)
    if text is None:
        raise UsageError(
            f"Runs cannot be found by the value {value!r:.60}",
            why="only values with a short JSON form are in the index",
            hint="give text, a number, true or false, or a list or dict of them",
        )
    return (text,)


def texts_of_word(word: str) -> tuple[str, ...]:
    """As `value_texts`, for what a person typed: ``3`` is the number and the text. Since 0.1."""
    import json

    found = dict.fromkeys(value_texts(word))
    with suppress(ValueError):  # what is no JSON means itself
        text = json_text(
            json.loads({"True": "true", "False": "false", "None": "null"}.get(word, word))
        )
        if text is not None:
            found[text] = None
    return tuple(found)


def seconds_of(text: str | timedelta) -> float:
    """Return the seconds of a duration: ``90s``, ``30m``, ``12h``, ``7d``, ``2w``, a `timedelta`.

    Raises:
        UsageError: it is none.

    Since 0.1.
    """
    if not isinstance(text, str):
        return float(text.total_seconds())
    number, unit = text.strip()[:-1], text.strip()[-1:].lower()
    try:
        seconds = float(number) * _UNITS[unit]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(
            f"'{text}' is no duration",
            why="a duration is a number and a unit: s, m, h, d or w",
            hint="30m, 12h, 7d, 2w",
        )
    return seconds


def time_of(value: str | datetime | timedelta) -> float:
    """Return the seconds since the epoch of a time as people give it.

    Args:
        value: a `datetime` (without a zone: local time), a `timedelta` or text such as ``7d`` for
            so long ago, or ISO text: ``2026-11-28``, ``2026-11-28 14:30``.

    Raises:
        UsageError: it is none of these.

    Since 0.1.
    """
    from datetime import datetime, timedelta

    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, timedelta):
        return time.time() - value.total_seconds()
    if isinstance(value, str):
        text = value.strip()
        try:
            # Python 3.10 does not know the Z of UTC.
            return datetime.fromisoformat(
                text.removesuffix("Z") + "+00:00" * text.endswith("Z")
            ).timestamp()
        except (ValueError, OverflowError):
            pass  # maybe a duration
        try:
            return time.time() - seconds_of(text)
        except UsageError:
            pass
    raise UsageError(
        f"{value!r} is no time",
        why="a time is a date, a date with a time of day, or how long ago it was",
        hint="2026-11-28, '2026-11-28 14:30', 12h, 7d",
    )
