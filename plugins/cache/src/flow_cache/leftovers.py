"""Which entries of the cache lead nowhere, since the runs are gone whose results they name: for gc."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from flow_cache.entries import parse_entry
from flow_core.api import Store, StoredObject

_BATCH = 500


def leftovers(store: Store, gone: Callable[[str, str], bool]) -> Iterator[StoredObject]:
    """Yield the objects of the cache that are of no use any more (group ``flow.leftovers``).

    Args:
        store: where the cache lies.
        gone: says of a flow and a run whether it is gone, or goes.
    """
    # cache/ab/abcdef…/<hash>, cache/ab/abcdef…/reads/<hash>; and cache/steps/…, of which each step
    # has one, whatever runs there are: it tells in what the code has changed since.
    found = (o for o in store.list("cache/") if not o.key.startswith("cache/steps/"))
    for _, group in itertools.groupby(found, key=lambda o: o.key.split("/")[:3]):
        objects = list(group)
        results = [o for o in objects if o.key.count("/") == 3]
        useless = list(_useless(store, results, gone))
        # What some task had read is of use as long as there is a result of such a task.
        yield from objects if len(useless) == len(results) else useless


def _useless(
    store: Store, results: Sequence[StoredObject], gone: Callable[[str, str], bool]
) -> Iterator[StoredObject]:
    for start in range(0, len(results), _BATCH):
        batch = results[start : start + _BATCH]
        for stored, raw in zip(batch, store.read([o.key for o in batch]), strict=True):
            entry = parse_entry(raw)
            if entry is None or gone(entry.flow, entry.run):
                yield stored
