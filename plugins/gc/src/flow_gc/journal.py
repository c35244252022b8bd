"""What a gc is about to do, written down before it does it: the next one completes it.

A journal is one object below ``gc/``: the runs that go, and the blobs that only they reach. As long
as runs go on, these blobs count as used when the journal was written, since a run that goes on may
just be taking over a result of a run that goes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import StoreError

if TYPE_CHECKING:
    from flow_core.api import Store

PREFIX = "gc/"


class Journal(NamedTuple):
    """What one gc wrote down.

    Attributes:
        key: where it lies.
        at: seconds since the epoch.
        runs: the runs that go.
        blobs: the hashes of the blobs that only these runs reach.
    """

    key: str
    at: float
    runs: frozenset[tuple[str, str]]
    blobs: frozenset[bytes]


def write(store: Store, runs: Iterable[tuple[str, str]], blobs: Iterable[bytes]) -> Journal:
    """Write a new journal."""
    key = f"{PREFIX}{time.time_ns()}-{os.getpid()}"
    journal = Journal(key, time.time(), frozenset(runs), frozenset(blobs))
    store.write([(key, _encode(journal))])
    return journal


def read(store: Store) -> list[Journal]:
    """Return the journals of all gcs that did not come to their end, or left blobs to a later one."""
    keys = [entry.key for entry in store.list(PREFIX)]
    pairs = zip(keys, store.read(keys), strict=True)
    return [_decode(key, content) for key, content in pairs if content is not None]


def close(store: Store, journal: Journal, left: Iterable[bytes]) -> None:
    """Say that its runs are gone; ``left`` are blobs of it that a later gc will look at again."""
    blobs = journal.blobs & {*left}
    if blobs:
        rest = journal._replace(runs=frozenset(), blobs=blobs)
        store.write([(journal.key, _encode(rest))])
    else:
        store.delete([journal.key])


def _encode(journal: Journal) -> bytes:
    data = {
        "format": 1,
        "at": journal.at,
        "runs": sorted(journal.runs),
        "blobs": sorted(digest.hex() for digest in journal.blobs),
    }
    return json.dumps(data).encode()


def _decode(key: str, content: bytes) -> Journal:
    try:
        data = json.loads(content)
        runs = frozenset((flow, run) for flow, run in data["runs"])
        blobs = frozenset(map(bytes.fromhex, data["blobs"]))
        return Journal(key, float(data["at"]), runs, blobs)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "The journal of an earlier gc is damaged",
            where=key,
            why=f"{type(error).__name__}: {error}",
            hint="when no other gc is running, delete it, then: flow reindex",
        ) from None
