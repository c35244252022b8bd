"""The logs of attempts in the store: where they lie, and when their lines were written."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flow_core.records import AttemptRecord, attempt_prefix

if TYPE_CHECKING:
    from flow_core.interfaces import Store
    from flow_core.manifests import ManifestReader

STREAMS = ("stdout", "stderr")
"""Names of the two logs of an attempt, below its `attempt_prefix`."""

Times = Sequence[tuple[int, float]]
"""Times of a log: that it had so many bytes at such a time, in seconds since the epoch; both grow."""


def home_of_logs(
    store: Store, manifests: ManifestReader, record: AttemptRecord
) -> tuple[str, str | None]:
    """Return below what the logs of an attempt lie, and, for a reused one, which attempt wrote them.

    A reused task wrote nothing: its logs are where it really ran, maybe some runs back. Or they are
    its own by now: when the run where it ran is removed, they are copied.

    Args:
        store: where they lie.
        manifests: what reads manifests there.
        record: the attempt.

    Returns:
        a prefix of keys, and ``Flow/run/step/task/attempt`` or None.

    Since 0.1.
    """
    prefix, origin = attempt_prefix(*record[:5]), record.origin
    named = origin
    while origin and not any(store.exists([prefix + stream for stream in STREAMS])):
        flow, run, step, task, attempt = origin.split("/")
        place, named = (flow, run, step, int(task), int(attempt)), origin
        prefix = attempt_prefix(*place)
        manifest = manifests.one(*place)
        origin = manifest.origin if manifest is not None else None
    return prefix, named


def times_key(key: str) -> str:
    """Return where the times of the log with this key lie, if its provider has kept them."""
    return key + ".times"


def encode_times(times: Times) -> bytes:
    """Return the stored form of times. Since 0.1."""
    return json.dumps([(size, round(at, 3)) for size, at in times]).encode()


def read_times(store: Store, key: str) -> Times:
    """Return the times of the log with this key; empty where none were kept. Since 0.1."""
    content = next(iter(store.read([times_key(key)])))
    return [(int(size), float(at)) for size, at in json.loads(content)] if content else []


def time_of_byte(times: Times, position: int) -> float | None:
    """Return when a log had ``position`` bytes, as far as its times tell; None = later. Since 0.1."""
    found = bisect_left(times, position, key=lambda one: one[0])
    return times[found][1] if found < len(times) else None
