"""What would go: runs, and the blobs that nothing else reaches. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from flow_gc import journal
from flow_gc.policy import Choice, Policy, choose
from flow_gc.reach import Entry, Finder, Folder, blobs, files, folders, others, references, useless

if TYPE_CHECKING:
    from flow_core.api import Metadata, Store
    from flow_gc.journal import Journal

Place = tuple[str, str]


class Going(NamedTuple):
    """A run that goes.

    Attributes:
        size: bytes below it, and of the files beside it.
        reached: the hashes that it names.
        cut_short: whether it was decided before: a gc was cut short.
    """

    size: int
    reached: set[bytes]
    cut_short: bool


class Share(NamedTuple):
    """What goes of one flow: runs, and the bytes of these and of the blobs that only they reach."""

    runs: int
    kept: int
    size: int


class Plan(NamedTuple):
    """What there is, and what of it goes.

    Attributes:
        policy: what was asked for.
        choice: the runs of the index.
        going: the runs that go, by flow and number.
        leftovers: folders without a record of a run, and not touched for a while.
        ended: runs that stay and have ended, whose references are in ``reached``.
        reached: hashes that they, and what plugins keep, name.
        unknown: runs of the store that the index does not know. They stay.
        freed: blobs that go.
        later: blobs that nothing reaches, but that are too young, or that a run may be taking over.
        kept_size: bytes of what stays.
        journals: of earlier gcs.
        finders: say what plugins keep of runs that are gone.
        useless: what they say: it goes.
    """

    policy: Policy
    choice: Choice
    going: dict[Place, Going]
    leftovers: tuple[Folder, ...]
    ended: frozenset[Place]
    reached: set[bytes]
    unknown: tuple[str, ...]
    freed: dict[bytes, Entry]
    later: dict[bytes, Entry]
    kept_size: int
    journals: tuple[Journal, ...]
    finders: tuple[Finder, ...]
    useless: tuple[Entry, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        unfinished = any(journal.runs for journal in self.journals)
        return not (self.going or self.leftovers or self.freed or self.useless or unfinished)

    @property
    def size(self) -> int:
        """Bytes that are freed."""
        return sum(share.size for share in self.shares().values())

    def shares(self) -> dict[str, Share]:
        """Return what goes by flow; ``""`` is for what no run reaches. A blob counts once."""
        runs: dict[str, int] = {}
        sizes: dict[str, int] = {}
        owners: dict[bytes, str] = {}
        for (flow, _), going in self.going.items():
            runs[flow] = runs.get(flow, 0) + 1
            sizes[flow] = sizes.get(flow, 0) + going.size
            owners.update(dict.fromkeys(going.reached & self.freed.keys(), flow))
        for digest, entry in self.freed.items():
            flow = owners.get(digest, "")
            sizes[flow] = sizes.get(flow, 0) + entry.size
        others = sum(f.size for f in self.leftovers) + sum(e.size for e in self.useless)
        if others:
            sizes[""] = sizes.get("", 0) + others
        kept: dict[str, int] = {}
        for run in self.choice.staying:
            kept[run.flow] = kept.get(run.flow, 0) + 1
        return {
            flow: Share(runs.get(flow, 0), kept.get(flow, 0), sizes.get(flow, 0))
            for flow in sorted({*sizes, *kept}, key=lambda name: (not name, name))
        }


def make_plan(
    store: Store, metadata: Metadata, policy: Policy, finders: Iterable[Finder] = ()
) -> Plan:
    """Return what goes when ``policy`` is applied now."""
    finders = tuple(finders)
    journals = tuple(journal.read(store))
    choice = choose(store, metadata, policy)
    sorting = _Sorting(choice, journals, choice.horizon(policy.margin))
    for folder in folders(store):
        sorting.add(store, folder)
    for place, size in files(store).items():
        sorting.add_files(place, size)
    sorting.reached |= references(store, others(store))
    reached = sorting.reached | sorting.open_reached
    freed, later, size = _sort_blobs(store, reached, sorting, policy)
    nowhere = useless(store, finders, sorting.going)
    return Plan(
        policy,
        choice,
        sorting.going,
        tuple(sorting.leftovers),
        frozenset(sorting.ended),
        sorting.reached,
        tuple(sorting.unknown),
        freed,
        later,
        sorting.kept_size + size,
        journals,
        finders,
        tuple(nowhere),
    )


class _Sorting:
    """Sorts the folders of runs while they are listed."""

    def __init__(self, choice: Choice, journals: tuple[Journal, ...], horizon: float) -> None:
        self.horizon = horizon
        self.alive = choice.since is not None
        self._unindexed = choice.unindexed
        self.condemned = {digest for j in journals for digest in j.blobs}
        self.going: dict[Place, Going] = {}
        self.leftovers: list[Folder] = []
        self.ended: set[Place] = set()
        self.reached: set[bytes] = set()
        self.open_reached: set[bytes] = set()
        self.unknown: list[str] = []
        self.kept_size = 0
        self._goes = {run[:2] for run in choice.going}
        self._known = self._goes | {run[:2] for run in choice.staying}
        self._cut_short = {place for j in journals for place in j.runs} - self._known

    def add(self, store: Store, folder: Folder) -> None:
        place, is_run = folder.place, folder.has("run.json")
        # One that is still whole may be needed by a run that only the store knows.
        cut_short = place in self._cut_short and not (is_run and self._unindexed)
        if place in self._goes or cut_short:
            reached = references(store, folder.entries)
            self.going[place] = Going(folder.size, reached, cut_short)
            return
        if not is_run and folder.modified < self.horizon:
            self.leftovers.append(folder)
            return
        if is_run and place not in self._known:
            self.unknown.append("/".join(place))
        self.kept_size += folder.size
        if is_run and folder.has("finished.json"):
            self.ended.add(place)
            self.reached |= references(store, folder.entries)
        else:
            self.open_reached |= references(store, folder.entries)

    def add_files(self, place: Place, size: int) -> None:
        """Count the files beside a run; those of a run that is not there stay, whosever they are."""
        if place in self.going:
            going = self.going[place]
            self.going[place] = going._replace(size=going.size + size)
        else:
            self.kept_size += size


def _sort_blobs(
    store: Store, reached: set[bytes], sorting: _Sorting, policy: Policy
) -> tuple[dict[bytes, Entry], dict[bytes, Entry], int]:
    """Return the blobs that go, those that go later, and the bytes of the others."""
    freed: dict[bytes, Entry] = {}
    later: dict[bytes, Entry] = {}
    size = 0
    held = sorting.condemned.union(*(g.reached for g in sorting.going.values()))
    for digest, entry in blobs(store):
        if digest in reached:
            size += entry.size
        elif entry.modified >= sorting.horizon or (sorting.alive and digest in held):
            later[digest] = entry
        else:
            freed[digest] = entry
    return freed, later, size
