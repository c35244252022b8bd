"""Which runs may go: the policies of the command line, applied to what the index knows."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    RunRecord,
    RunState,
    find_runs,
    launcher_is_gone,
    result_key,
    run_key,
)

if TYPE_CHECKING:
    from flow_core.api import Metadata, Store

_OPEN = (RunState.CREATED, RunState.RUNNING)
_SILENCE = 60.0
"""Seconds without a sign of life after which a run of another machine counts as dead at the least."""


class Policy(NamedTuple):
    """What is to go. A run goes when nothing here keeps it.

    Attributes:
        keep_last: of each flow the newest so many runs stay, not counting those going on.
        keep_tags: runs with one of these tags stay.
        keep_tagged: runs with any tag of a user stay.
        older_than: runs stay that were created less than so many seconds ago.
        flows: only runs of these flows go; empty = of all.
        margin: seconds for which all that was written or used lately is left alone.
    """

    keep_last: int | None = None
    keep_tags: tuple[str, ...] = ()
    keep_tagged: bool = False
    older_than: float | None = None
    flows: tuple[str, ...] = ()
    margin: float = 900.0

    @property
    def removes_runs(self) -> bool:
        """Whether it lets any run go; else only what no run reaches is freed."""
        return self.keep_last is not None or self.older_than is not None


class Choice(NamedTuple):
    """What a policy says of the runs in the index.

    Attributes:
        going: the runs that go, newest first.
        staying: the others, newest first.
        alive: those of them that are going on.
        since: when the oldest run was started that goes on, or may do so, seconds since the epoch;
            None when there is none. A run that the index does not know may go on until it ends.
    """

    going: tuple[RunRecord, ...]
    staying: tuple[RunRecord, ...]
    alive: tuple[RunRecord, ...]
    since: float | None

    @property
    def unindexed(self) -> bool:
        """Whether a run may go on that the index does not know."""
        return self.since is not None and self.since not in {r.created_at for r in self.alive}

    def horizon(self, margin: float) -> float:
        """Return the time since which all that was written, or found to be there, is left alone.

        A blob is written before the record that names it, by a run that goes on or is about to.
        """
        now = time.time()
        return min(now, self.since if self.since is not None else now) - margin


def choose(store: Store, metadata: Metadata, policy: Policy) -> Choice:
    """Say which runs go. Never one that is going on, nor one from which such a one comes."""
    runs = list(_all_runs(metadata))
    alive = tuple(run for run in runs if goes_on(run, policy.margin))
    needed = {run[:2] for run in alive} | _origins(alive, {run[:2]: run for run in runs})
    now, ranks = time.time(), dict[str, int]()
    going: list[RunRecord] = []
    staying: list[RunRecord] = []
    for run in runs:
        kept = run[:2] in needed or not policy.removes_runs
        if run not in alive:
            ranks[run.flow] = ranks.get(run.flow, 0) + 1
            kept = kept or _is_kept(run, ranks[run.flow], policy, now)
        (staying if kept else going).append(run)
    began = [run.created_at for run in alive]
    began += _unindexed(store, {run[:2] for run in runs})
    return Choice(tuple(going), tuple(staying), alive, min(began, default=None))


def _unindexed(store: Store, known: Collection[tuple[str, ...]]) -> Iterator[float]:
    """Yield when those runs of the store began that have not ended, and which are not ``known``."""
    for flow in store.folders("runs/"):
        for run in store.folders(f"runs/{flow}/"):
            if (flow, run) not in known and not store.exists([result_key(flow, run)])[0]:
                key = run_key(flow, run)
                yield from (e.modified for e in store.list(key) if e.key == key)


def goes_on(run: RunRecord, margin: float) -> bool:
    """Whether a run must be taken for one that goes on: rather too long than not long enough."""
    if run.state not in _OPEN:
        return False
    silence = time.time() - (run.heartbeat_at or run.created_at)
    if launcher_is_gone(run):  # its tasks may take a moment to end
        return silence <= margin
    # A laptop that slept, a launcher that was stopped: silent, but it lives.
    return silence <= max(margin, _SILENCE) or _is_here(run)


def _is_here(run: RunRecord) -> bool:
    return os.name == "posix" and bool(run.pid) and run.host == os.uname().nodename


def _is_kept(run: RunRecord, rank: int, policy: Policy, now: float) -> bool:
    return bool(
        (policy.flows and run.flow not in policy.flows)
        or (policy.keep_last is not None and rank <= policy.keep_last)
        or (policy.older_than is not None and run.created_at > now - policy.older_than)
        or (policy.keep_tagged and run.tags)
        or {*policy.keep_tags} & {*run.tags, *run.system_tags}
    )


def _origins(
    runs: tuple[RunRecord, ...], known: dict[tuple[str, ...], RunRecord]
) -> set[tuple[str, ...]]:
    """Return the runs that ``runs`` resume, and those that these resumed in their time."""
    found: set[tuple[str, ...]] = set()
    waiting = [run.origin for run in runs]
    while waiting:
        origin = waiting.pop()
        place = tuple(origin.split("/")[:2]) if origin else ()
        if place in known and place not in found:
            found.add(place)
            waiting.append(known[place].origin)
    return found


def _all_runs(metadata: Metadata) -> Iterator[RunRecord]:
    for flow in metadata.flows():
        yield from find_runs(metadata, flow, page=1000)
