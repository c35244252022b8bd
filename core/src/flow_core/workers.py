"""Workers: how many tasks run at a time, and what waits until there is one for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flow_core.gang import Gang
from flow_core.interfaces import Compute

if TYPE_CHECKING:
    from flow_core.scheduler import _Range, _Task


class Workers:
    """A number of workers, and the tasks that share them.

    Attributes:
        limit: how many tasks run at a time.
        running: how many run now.
        ready: what waits, in order.
    """

    __slots__ = ("limit", "ready", "running")

    def __init__(self, limit: int) -> None:
        self.limit = max(1, limit)
        self.running = 0
        self.ready: deque[_Task | _Range | Gang] = deque()

    def has_room(self) -> bool:
        """Whether there are workers for what comes next. Behind a gang that waits nothing starts,
        or it would wait for ever; one that is bigger than all gets them all, and more."""
        free = self.limit - self.running
        if free <= 0 or not self.ready:
            return False
        first = self.ready[0]
        return not isinstance(first, Gang) or first.workers <= free or not self.running


def share_workers(computes: Mapping[str, Compute], number: int, chosen: bool) -> dict[str, Workers]:
    """Return for each compute provider the workers of its tasks.

    A number that a person has chosen is shared by all. Else each provider has its own: a cluster is
    not limited to what this machine has processors for, and no task waits for a worker elsewhere.

    Args:
        computes: the providers of a run, by name, after their `Compute.prepare`.
        number: the number of workers that counts where it is chosen, or where a provider names none.
        chosen: whether a person has chosen it.
    """
    if chosen:
        return dict.fromkeys(computes, Workers(number))
    return {n: Workers(c.capabilities.workers or number) for n, c in computes.items()}
