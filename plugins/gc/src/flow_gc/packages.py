"""Packages of environments that are kept in the store, but which no run's lock names any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flow_core.api import RunDocument, blob_key, run_key
from flow_gc.reach import PACKAGES, RUNS, Entry, Finder, references

if TYPE_CHECKING:
    from flow_core.api import Store, StoredObject


def unused_packages(margin: float) -> Finder:
    """Return what finds the packages that no lock of a run that stays names.

    Args:
        margin: seconds for which a package is left alone: a run that starts now may be about to name it.
    """

    def find(store: Store, gone: Callable[[str, str], bool]) -> Iterator[StoredObject]:
        bound = time.time() - margin
        named = {digest.hex() for digest in references(store, list(_locks(store, gone)))}
        for entry in store.list(PACKAGES):
            name = entry.key.rpartition("/")[2]
            if entry.modified < bound and name not in named:
                yield entry

    return find


def _locks(store: Store, gone: Callable[[str, str], bool]) -> Iterator[Entry]:
    """Yield the locks of all runs that stay, each once."""
    seen: set[str] = set()
    for flow in store.folders(RUNS):
        for run in store.folders(f"{RUNS}{flow}/"):
            key = run_key(flow, run)
            raw = None if gone(flow, run) else next(iter(store.read([key])))
            document = RunDocument.decode(raw, key) if raw is not None else None
            for one in document.environments.values() if document is not None else ():
                if one["lock"] not in seen:
                    seen.add(one["lock"])
                    place = blob_key(one["lock"])
                    yield Entry(place, store.size(place) or 0, 0.0)
