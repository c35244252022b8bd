"""Several questions to a store at the same time, where each takes the time of a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flow_core.interfaces import Store

_T = TypeVar("_T")
_S = TypeVar("_S")
_THREADS = 16


def together(store: Store, ask: Callable[[_S], _T], subjects: Iterable[_S]) -> Sequence[_T]:
    """Return what ``ask`` says of each of ``subjects``, in order.

    It is called in threads, unless the store's objects are files of this machine.

    Args:
        store: what ``ask`` asks.
        ask: safe in many threads, as stores are.
        subjects: of what.

    Since 0.1.
    """
    waiting = list(subjects)
    if len(waiting) < 2 or store.capabilities.mappable:
        return [ask(one) for one in waiting]
    from concurrent.futures import ThreadPoolExecutor  # a local store needs none

    with ThreadPoolExecutor(min(len(waiting), _THREADS)) as pool:
        return [*pool.map(ask, waiting)]
