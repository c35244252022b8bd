"""What plugins keep in a store, and which of it goes along with some of the runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.api import Store, StoredObject

Finder = Callable[["Store", Callable[[str, str], bool]], "Iterable[StoredObject]"]
"""What a plugin offers in the group ``flow.leftovers``: it says which of its own objects are of no
use when some runs are gone."""

GROUP = "flow.leftovers"
_OF_THE_KERNEL = ("blobs", "runs", "gc", "files", "tags", "numbers", "doctor")


def along(
    store: Store, finders: Sequence[Finder], runs: Collection[tuple[str, str]], *, everything: bool
) -> list[tuple[str, int]]:
    """Return what plugins keep, (key, bytes), that is of use where only ``runs`` are.

    With ``everything`` that is all but what is useless; else only what belongs to these runs: what is
    useless without them, and not with them.
    """

    @functools.cache
    def left_behind(flow: str, run: str) -> bool:
        return (flow, run) not in runs

    useless = {o.key for finder in finders for o in finder(store, left_behind)}
    if everything:
        found = (o for o in _all(store) if o.key not in useless)
        return [(o.key, o.size) for o in found]
    tied = (o for finder in finders for o in finder(store, lambda flow, run: True))
    return sorted((o.key, o.size) for o in tied if o.key not in useless)


def _all(store: Store) -> Iterator[StoredObject]:
    for name in store.folders():
        if name not in _OF_THE_KERNEL and not _is_store(store, name):
            yield from (o for o in store.list(name) if f"{o.key}/".startswith(f"{name}/"))


def _is_store(store: Store, name: str) -> bool:
    """Whether a folder is a store of its own, as that of spins is: it does not belong to this one."""
    return {"runs", "blobs"} & {*store.folders(f"{name}/")} != set()
