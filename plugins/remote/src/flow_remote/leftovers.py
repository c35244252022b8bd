"""Which runtimes in the store nobody uses any more: for gc."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flow_core.api import Store, StoredObject

PREFIX = "runtime/"
UNUSED = 30 * 86400.0
"""Seconds after its last use from which on a runtime may be removed: none waits so long for a machine."""


def leftovers(store: Store, gone: Callable[[str, str], bool]) -> Iterator[StoredObject]:
    """Yield the archives of runtimes that no run has used for a month (group ``flow.leftovers``).

    They belong to no run: whoever starts tasks with the same versions uses the same ones. What is
    needed again later is written again.

    Args:
        store: where they lie.
        gone: whether a run is gone; not asked.
    """
    bound = time.time() - UNUSED
    return (found for found in store.list(PREFIX) if found.modified < bound)
