"""Doing it, in an order in which it may be cut short anywhere. See docs/design/0015."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    RunRecord,
    attempt_prefix,
    files_prefix,
    numbers_prefix,
    run_key,
    run_prefix,
    tag_marks_prefix,
)
from flow_gc import journal
from flow_gc.plan import Plan
from flow_gc.policy import choose
from flow_gc.reach import blobs, folders, others, references, useless

if TYPE_CHECKING:
    from flow_core.api import Metadata, Store
    from flow_gc.journal import Journal
    from flow_gc.reach import Entry

Place = tuple[str, str]
_BATCH = 500


class Done(NamedTuple):
    """What has gone, and the bytes of blobs that are left to a later gc."""

    runs: tuple[Place, ...]
    blobs: int
    size: int
    later: int


def carry_out(store: Store, metadata: Metadata, plan: Plan) -> Done:
    """Do what a plan says, as far as it still holds."""
    goes = {run[:2]: run.created_at for run in choose(store, metadata, plan.policy).going}
    going = [p for p, run in plan.going.items() if p in goes or run.cut_short]
    # The newest first: what a run took over is older, and stays readable as long as itself.
    going.sort(key=lambda place: goes.get(place, math.inf), reverse=True)
    mine = _write_down(store, plan, going)
    _keep_logs(store, metadata, going, plan.choice.staying)
    _keep_numbers(store, going)
    for place in going:
        _remove_run(store, metadata, *place)
    for folder in plan.leftovers:
        store.delete(entry.key for entry in folder.entries)
    nowhere = useless(store, plan.finders, ())
    store.delete([entry.key for entry in nowhere])
    done = _free(store, metadata, plan, going, [*plan.journals, *mine])
    return done._replace(size=done.size + sum(entry.size for entry in nowhere))


def _write_down(store: Store, plan: Plan, going: Sequence[Place]) -> list[Journal]:
    if not going:
        return []
    unreached = plan.freed.keys() | plan.later.keys()
    reached: set[bytes] = set().union(*(plan.going[place].reached for place in going))
    return [journal.write(store, going, unreached & reached)]


# --- runs ---------------------------------------------------------------------------------------


def _remove_run(store: Store, metadata: Metadata, flow: str, run: str) -> None:
    """Remove a run: nobody finds it, then it is none any more, then its parts go."""
    metadata.remove_run(flow, run)
    store.delete([run_key(flow, run)])
    # By what lies below it the next gc finds a run that went only half: that goes last.
    parts = (
        files_prefix(flow, run),
        f"{tag_marks_prefix(flow)}{run}/",
        run_prefix(flow, run),
    )
    store.delete([entry.key for prefix in parts for entry in store.list(prefix)])


def _keep_numbers(store: Store, going: Sequence[Place]) -> None:
    """See to it that no later run gets the number of one that goes."""
    for flow, group in itertools.groupby(sorted(going), key=lambda place: place[0]):
        gone = {run for _, run in group}
        highest = max((int(run) for run in gone if run.isdigit()), default=0)
        stay = [int(r) for r in store.folders(f"runs/{flow}/") if r.isdigit() and r not in gone]
        if highest > max(stay, default=0):
            prefix = numbers_prefix(flow)
            store.write([(f"{prefix}{highest}", b"")])
            lower = [n for n in store.folders(prefix) if n.isdigit() and int(n) < highest]
            store.delete(f"{prefix}{name}" for name in lower)


# --- logs ---------------------------------------------------------------------------------------


def _keep_logs(
    store: Store, metadata: Metadata, going: Sequence[Place], staying: Sequence[RunRecord]
) -> None:
    """Copy what reused tasks of runs that stay wrote, when it lies below a run that goes."""
    gone = {*going}
    for run in staying if gone else ():
        for record in _reused(metadata, run):
            places = list(_places(metadata, record))
            own, *earlier = [attempt_prefix(*place) for place in places]
            for number, source in enumerate(earlier, 1):
                if any(True for _ in _outputs(store, own)):
                    break
                if {place[:2] for place in places[1 : number + 1]} & gone:
                    _copy(store, source, own)


def _reused(metadata: Metadata, run: RunRecord) -> Iterator[AttemptRecord]:
    after = -1
    while True:
        page = metadata.attempts(
            run.flow, run.run, states=[AttemptState.REUSED], after=after, limit=_BATCH
        )
        yield from (record for record in page if record.origin)
        if len(page) < _BATCH:
            return
        after = page[-1].task


def _places(metadata: Metadata, record: AttemptRecord) -> Iterator[tuple[str, str, str, int, int]]:
    """Yield the attempt, that from which it was taken over, that from which this was, …"""
    yield record[:5]
    origin = record.origin
    while origin:
        flow, run, step, task, attempt = origin.split("/")
        yield flow, run, step, int(task), int(attempt)
        found = metadata.attempts(flow, run, step=step, task=int(task), all_attempts=True)
        origin = next((r.origin for r in found if r.attempt == int(attempt)), None)


def _outputs(store: Store, prefix: str) -> Iterator[str]:
    """Yield the names of what an attempt left besides its manifest: logs, cards."""
    names = (entry.key.removeprefix(prefix) for entry in store.list(prefix))
    return (name for name in names if name != "manifest")


def _copy(store: Store, source: str, target: str) -> None:
    names = list(_outputs(store, source))
    contents = store.read([source + name for name in names])
    store.write(
        ((target + n, c) for n, c in zip(names, contents, strict=True) if c is not None),
        create_only=True,
    )


# --- blobs --------------------------------------------------------------------------------------


def _free(
    store: Store,
    metadata: Metadata,
    plan: Plan,
    gone: Sequence[Place],
    journals: Sequence[Journal],
) -> Done:
    """Delete the blobs that nothing reaches now."""
    # First who goes on, then what is reached: a run that ends in between has written all it will.
    choice = choose(store, metadata, plan.policy)
    bound = choice.horizon(plan.policy.margin)
    reached = _reached(store, plan)
    held = {digest for j in journals for digest in j.blobs} if choice.since is not None else set()
    freed: list[Entry] = []
    later: dict[bytes, Entry] = {}
    for digest, entry in blobs(store):
        if digest in reached:
            continue
        if entry.modified >= bound or digest in held:
            later[digest] = entry
        else:
            freed.append(entry)
    for start in range(0, len(freed), _BATCH):
        store.delete([e.key for e in freed[start : start + _BATCH]], older_than=bound)
    for earlier in journals:
        journal.close(store, earlier, later if choice.since is not None else ())
    size = sum(entry.size for entry in freed)
    size += sum(plan.going[place].size for place in gone) + sum(f.size for f in plan.leftovers)
    return Done(tuple(gone), len(freed), size, sum(entry.size for entry in later.values()))


def _reached(store: Store, plan: Plan) -> set[bytes]:
    """Return what is reached now. What runs name that had ended need not be read again."""
    reached = set(plan.reached)
    for folder in folders(store):
        if folder.place not in plan.ended:
            reached |= references(store, folder.entries)
    return reached | references(store, others(store))
