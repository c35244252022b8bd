"""Compares the artifacts of two runs, task by task, and sums up what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flow_core.api import ArtifactRef, AttemptRecord, ManifestReader, Session, manifest_key

_PAGE = 500

Place = tuple[str, tuple[int, ...], int]
"""What a task is, in any run of the flow: step, foreach indices, iteration."""


class Side(NamedTuple):
    """The artifacts of one task: its pathspec, and name → reference."""

    pathspec: str
    artifacts: Mapping[str, ArtifactRef]


class ArtifactChange:
    """How one artifact of one step differs.

    Attributes:
        step, name: of which step, its name.
        changed, added, removed: in how many tasks it differs, is only in the second run, only in
            the first.
        old, new: of the first such task; None where it has none.
        place: which task that is.
    """

    __slots__ = ("added", "changed", "name", "new", "old", "place", "removed", "step")

    def __init__(self, step: str, name: str, place: Place) -> None:
        self.step = step
        self.name = name
        self.place = place
        self.changed = self.added = self.removed = 0
        self.old: tuple[str, ArtifactRef] | None = None
        self.new: tuple[str, ArtifactRef] | None = None

    @property
    def tasks(self) -> int:
        """In how many tasks there is a difference."""
        return self.changed + self.added + self.removed

    def count(self, old: Side, new: Side) -> None:
        """Note the difference in one more task."""
        one, two = old.artifacts.get(self.name), new.artifacts.get(self.name)
        if not self.tasks:
            self.old = (old.pathspec, one) if one is not None else None
            self.new = (new.pathspec, two) if two is not None else None
        self.added += one is None
        self.removed += two is None
        self.changed += one is not None and two is not None


class TaskComparison(NamedTuple):
    """What `compare_tasks` finds.

    Attributes:
        compared: step → number of tasks that both runs have.
        only_old, only_new: step → number of tasks that only one run has.
        changes: the artifacts that differ, in the order of the steps; one that came unchanged from
            an earlier step, where it differs already, does not count again.
    """

    compared: dict[str, int]
    only_old: dict[str, int]
    only_new: dict[str, int]
    changes: list[ArtifactChange]


def compare_tasks(session: Session, old: tuple[str, str], new: tuple[str, str]) -> TaskComparison:
    """Compare the artifacts of all finished tasks of two runs; each is (flow, run)."""
    before = dict(_tasks(session, *old))
    compared: dict[str, int] = {}
    only_new: dict[str, int] = {}
    changes: dict[tuple[str, str], ArtifactChange] = {}
    told: set[tuple[str, str | None, str | None]] = set()
    for place, side in _tasks(session, *new):
        earlier = before.pop(place, None)
        counts = only_new if earlier is None else compared
        counts[place[0]] = counts.get(place[0], 0) + 1
        if earlier is not None:
            _compare(place, earlier, side, changes, told)
    only_old: dict[str, int] = {}
    for step, _, _ in before:
        only_old[step] = only_old.get(step, 0) + 1
    return TaskComparison(compared, only_old, only_new, list(changes.values()))


def _compare(
    place: Place,
    old: Side,
    new: Side,
    changes: dict[tuple[str, str], ArtifactChange],
    told: set[tuple[str, str | None, str | None]],
) -> None:
    step = place[0]
    for name in sorted({*old.artifacts, *new.artifacts}):
        one, two = old.artifacts.get(name), new.artifacts.get(name)
        hashes = (one.hash if one else None, two.hash if two else None)
        if hashes[0] == hashes[1]:
            continue
        known = changes.get((step, name))
        if known is None:
            if (name, *hashes) in told:  # it came from an earlier step as it is
                continue
            known = changes[step, name] = ArtifactChange(step, name, place)
        told.add((name, *hashes))
        known.count(old, new)


def _tasks(session: Session, flow: str, run: str) -> Iterator[tuple[Place, Side]]:
    """Yield the tasks of a run that have left a record, by id."""
    after = -1
    while True:
        page = session.metadata.attempts(flow, run, after=after, limit=_PAGE)
        yield from _read(session, page)
        if len(page) < _PAGE:
            return
        after = page[-1].task


def _read(session: Session, page: list[AttemptRecord]) -> Iterator[tuple[Place, Side]]:
    keys = [manifest_key(*record[:5]) for record in page]
    for manifest in ManifestReader(session.store).read(keys):
        if manifest is None:
            continue  # it runs, or its launcher was killed
        indices = tuple(frame.index for frame in manifest.foreach)
        place = (manifest.step, indices, manifest.iteration)
        yield place, Side(manifest.pathspec, manifest.artifacts)


def label(place: Place) -> str:
    """Return ``train[1,0]``: step and indices; with the iteration behind ``#`` where it repeats."""
    step, indices, iteration = place
    shown = f"[{','.join(map(str, indices))}]" if indices else ""
    return f"{step}{shown}" + (f"#{iteration}" if iteration else "")


def reference(session: Session, side: tuple[str, ArtifactRef] | None, name: str) -> Any:
    """Return JSON data of one side of a difference."""
    if side is None:
        return None
    owner, ref = side
    return {
        "task": owner,
        "type": ref.type,
        "size": ref.size,
        "hash": ref.hash,
        "summary": session.artifacts.summary(ref, f"artifact '{name}' of {owner}"),
    }
