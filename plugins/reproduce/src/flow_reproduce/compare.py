"""Compares two runs task by task, by their manifests alone: no artifact is read.

Which task is which is told by step, indices in the foreaches and iteration, not by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from flow_core.api import ArtifactRef, Manifest, Session, list_manifests

Place = tuple[str, tuple[int, ...], int]
"""What a task is, in any run of the flow: step, foreach indices, iteration."""

EQUAL, BY_VALUE, DIFFERENT = "equal", "equal in value", "different"
UNKNOWN = "not compared"


class Pair(NamedTuple):
    """An artifact of a task in both runs; None where one has none."""

    old: ArtifactRef | None
    new: ArtifactRef | None
    old_task: str
    new_task: str

    @property
    def hashes(self) -> tuple[str, str]:
        """Both hashes, ``""`` for none."""
        return (self.old.hash if self.old else "", self.new.hash if self.new else "")


class Difference:
    """An artifact of a step that is not the same in both runs.

    Attributes:
        step, name: which.
        place: the first task in which it differs.
        pairs: one for each two hashes that differ, the first first.
        tasks: in how many tasks it differs.
        inherited: whether an earlier step has made it, where it differs already.
        verdict: `BY_VALUE`, `DIFFERENT`, or `UNKNOWN` until both values were read.
        reason: why the values were not compared; ``""`` when they were.
    """

    __slots__ = ("inherited", "name", "pairs", "place", "reason", "step", "tasks", "verdict")

    def __init__(self, step: str, name: str, place: Place, inherited: bool) -> None:
        self.step = step
        self.name = name
        self.place = place
        self.inherited = inherited
        self.pairs: dict[tuple[str, str], Pair] = {}
        self.tasks = 0
        self.verdict = UNKNOWN
        self.reason = ""

    @property
    def first(self) -> Pair:
        """How it differs in the first task."""
        return next(iter(self.pairs.values()))


class StepComparison:
    """What is equal in the tasks of one step.

    Attributes:
        step: its name.
        tasks: how many both runs have.
        only_old, only_new: how many only one of them has.
        artifacts: how many artifacts the tasks of both have, each counted in each task.
        equal: how many of them have equal bytes.
        ends: tasks that ended in another way, by the first: (place, old, new) or None, and how many.
        differences: by name of the artifact.
        read: what tasks that differ have read that was another thing, in words.
        alone: how many tasks differ although all that they have read was the same.
        unknown: how many tasks differ of which is not known what they have read.
    """

    def __init__(self, step: str) -> None:
        self.step = step
        self.tasks = self.only_old = self.only_new = 0
        self.artifacts = self.equal = 0
        self.first_end: tuple[Place, str, str] | None = None
        self.ends = 0
        self.differences: dict[str, Difference] = {}
        self.read: dict[str, None] = {}
        self.alone = self.unknown = 0

    @property
    def same_tasks(self) -> bool:
        """Whether both runs have the same tasks, which ended alike."""
        return not self.only_old and not self.only_new and not self.ends

    @property
    def verdict(self) -> str:
        """`EQUAL`, `BY_VALUE`, `UNKNOWN` (not in bytes, and some value was not read) or `DIFFERENT`."""
        if not self.same_tasks:
            return DIFFERENT
        if not self.differences:
            return EQUAL
        verdicts = {d.verdict for d in self.differences.values()}
        return next(v for v in (DIFFERENT, UNKNOWN, BY_VALUE) if v in verdicts)


def compare(
    session: Session, old: tuple[str, str], new: tuple[str, str], steps: Iterable[str] = ()
) -> list[StepComparison]:
    """Compare two runs; each is (flow, run). The steps are in the order in which they first began.

    Args:
        session: reads the store of both.
        old, new: the runs.
        steps: only these; none = all.
    """
    wanted = frozenset(steps)
    before, after = (_tasks(session, run, wanted) for run in (old, new))
    found: dict[str, StepComparison] = {}
    told: set[tuple[str, tuple[str, str]]] = set()
    for place in sorted({**after, **before}, key=lambda p: _order(p, before, after)):
        step = found.setdefault(place[0], StepComparison(place[0]))
        one, two = before.get(place), after.get(place)
        if one is not None and two is not None:
            _compare(step, place, one, two, told)
        else:
            step.only_old += two is None
            step.only_new += one is None
    return list(found.values())


def _tasks(session: Session, run: tuple[str, str], steps: frozenset[str]) -> dict[Place, Manifest]:
    """Return the last attempt of each task that has left a record."""
    found: dict[Place, Manifest] = {}
    for key, raw in list_manifests(session.store, *run):
        if steps and key.split("/")[3] not in steps:
            continue
        manifest = Manifest.decode(raw, key)
        place = (manifest.step, tuple(f.index for f in manifest.foreach), manifest.iteration)
        known = found.get(place)
        if known is None or (known.task, known.attempt) < (manifest.task, manifest.attempt):
            found[place] = manifest
    return found


def _order(place: Place, before: Mapping[Place, Manifest], after: Mapping[Place, Manifest]) -> int:
    known = before.get(place) or after[place]
    return known.task


def _compare(
    step: StepComparison,
    place: Place,
    old: Manifest,
    new: Manifest,
    told: set[tuple[str, tuple[str, str]]],
) -> None:
    step.tasks += 1
    ends = _end(old), _end(new)
    if ends[0] != ends[1]:
        step.ends += 1
        step.first_end = step.first_end or (place, *ends)
    own = False
    for name in sorted({*old.artifacts, *new.artifacts}):
        pair = Pair(old.artifacts.get(name), new.artifacts.get(name), old.pathspec, new.pathspec)
        step.artifacts += 1
        if pair.hashes[0] == pair.hashes[1]:
            step.equal += 1
            continue
        key = (name, pair.hashes)
        inherited = key in told
        told.add(key)
        own = own or not inherited
        known = step.differences.get(name)
        if known is None:
            known = step.differences[name] = Difference(step.step, name, place, inherited)
        known.inherited = known.inherited and inherited
        known.tasks += 1
        known.pairs.setdefault(pair.hashes, pair)
    if own or ends[0] != ends[1]:
        _explain(step, old, new)


def _end(manifest: Manifest) -> str:
    """How a task ended, in words that are the same where it is."""
    failure = manifest.failure
    if failure is not None and not manifest.ok:
        return f"failed: {failure.summary}"
    state = "succeeded" if manifest.failure is None else "failed, and it was caught"
    way = manifest.transition
    count = f" {way.count} times" if way is not None and way.count is not None else ""
    return state + (f" → {', '.join(way.targets)}{count}" if way and way.targets else "")


def _explain(step: StepComparison, old: Manifest, new: Manifest) -> None:
    """Note why a task may have come to something else: it has read other things, or it has not."""
    if old.trace is None or new.trace is None:
        step.unknown += 1
        return
    one, two = old.trace.reads, new.trace.reads
    others = [fact for fact in {**one, **two} if one.get(fact) != two.get(fact)]
    if not others:
        step.alone += 1
    for fact in others:
        step.read.setdefault(_words(fact))


def _words(fact: str) -> str:
    kind, _, name = fact.partition(":")
    if kind == "parameter":
        return f"parameter '{name}'"
    if kind == "artifact":
        return f"'{name}'"
    if kind == "item":
        return "its item of the foreach"
    if kind == "branch":
        name = name.rpartition("@")[0]
        return "the place of a branch" if name.startswith(".") else f"'{name}' of its branches"
    if kind == "merge":
        return "artifacts of its branches"
    return {"index": "its index", "count": "the number of items"}.get(kind, "its branches")


def label(place: Place) -> str:
    """Return ``train[1,0]``: step and indices; with the iteration behind ``#`` where it repeats."""
    step, indices, iteration = place
    shown = f"[{','.join(map(str, indices))}]" if indices else ""
    return f"{step}{shown}" + (f"#{iteration}" if iteration else "")


def differences_of(found: Iterable[StepComparison]) -> Iterator[Difference]:
    """Yield the differences of all steps."""
    for step in found:
        yield from step.differences.values()
