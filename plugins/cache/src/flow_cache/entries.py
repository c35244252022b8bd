"""What the cache keeps in the store, so that all machines which share it find the same results.

``cache/ab/abcdef…/reads/<hash>``: names of what some task with this step key has read.
``cache/ab/abcdef…/<hash>``: which task read exactly this: its pathspec and attempt, and when.
``cache/steps/<Flow>/<step>``: the latest run of the step and its key, for saying what has changed.

The first two are named after their content and written once; of two runs that finish the same at
the same time either may be found. What cannot be read is not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from flow_cache.keys import digest
from flow_core.api import Store

_MOST_SETS = 64


class Entry(NamedTuple):
    """Which task has the result: its manifest's place, and when it finished (seconds)."""

    flow: str
    run: str
    step: str
    task: int
    attempt: int
    finished: float


class Entries:
    """The entries of one step key.

    Args:
        store: where they lie.
        key: hash of the step key.
    """

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._prefix = f"cache/{key[:2]}/{key}/"
        self._sets: dict[str, tuple[str, ...]] | None = None

    def sets(self) -> list[tuple[str, ...]]:
        """Return the sets of facts that some task has read."""
        if self._sets is None:
            self._sets = {}
            names = self._store.folders(f"{self._prefix}reads/")[:_MOST_SETS]
            found = self._store.read([f"{self._prefix}reads/{name}" for name in names])
            for name, raw in zip(names, found, strict=True):
                facts = _parse(raw)
                if isinstance(facts, list) and all(isinstance(fact, str) for fact in facts):
                    self._sets[name] = tuple(facts)
        return list(self._sets.values())

    def find(self, reads: Sequence[tuple[str, str]]) -> Entry | None:
        """Return which task has read exactly this."""
        return parse_entry(next(iter(self._store.read([self._prefix + digest(sorted(reads))]))))

    def add(self, reads: Iterable[tuple[str, str]], entry: Entry, *, replace: bool) -> None:
        """Remember a task.

        Args:
            reads: what it has read.
            entry: where its result is.
            replace: whether what is there is known to be of no use.
        """
        pairs = sorted(reads)
        names = tuple(fact for fact, _ in pairs)
        known = self._sets if self._sets is not None else {}
        name = digest(names)
        if name not in known:
            content = json.dumps(names).encode()
            self._store.write([(f"{self._prefix}reads/{name}", content)], create_only=True)
            known[name] = names
        key = self._prefix + digest(pairs)
        content = json.dumps(entry._asdict()).encode()
        self._store.write([(key, content)], create_only=not replace)


def parse_entry(raw: bytes | None) -> Entry | None:
    """Return what an object says of a result; None for none, and for what cannot be read."""
    data = _parse(raw)
    try:
        return Entry(**data) if isinstance(data, dict) else None
    except TypeError:
        return None


def read_latest(store: Store, flow: str, step: str) -> dict[str, Any] | None:
    """Return what is known of the latest run of a cached step: its ``run`` and ``key``."""
    data = _parse(next(iter(store.read([f"cache/steps/{flow}/{step}"]))))
    return data if isinstance(data, dict) and {"run", "key"} <= set(data) else None


def write_latest(store: Store, flow: str, step: str, data: dict[str, Any]) -> None:
    """Undo `read_latest`."""
    store.write([(f"cache/steps/{flow}/{step}", json.dumps(data).encode())])


def _parse(raw: bytes | None) -> Any:
    try:
        return None if raw is None else json.loads(raw)
    except ValueError:
        return None
