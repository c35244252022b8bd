"""Adoption: attempts that an earlier launcher started, and which still wait or run without it.

The launcher of a run may be killed while jobs of it run in a cluster. A run that goes on where that
one ended need not start them twice: it finds them again, waits for them, and takes their results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from flow_core.interfaces import AdoptingCompute, Compute, Store
from flow_core.records import (
    SPECIFICATION,
    TaskSpec,
    attempt_prefix,
    check_format,
    manifest_key,
    run_prefix,
)

_BATCH = 500
_Place = tuple[str, tuple[int, ...], int]


class Survivor(NamedTuple):
    """An attempt of an earlier run that still waits or runs.

    Attributes:
        compute: name of its compute provider.
        handle: what that calls it.
        spec: what it was told when it was launched.
    """

    compute: str
    handle: Any
    spec: TaskSpec

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task/attempt``."""
        return f"{self.spec.pathspec}/{self.spec.attempt}"


class Survivors:
    """All survivors that a run has found, until its own tasks take their place."""

    def __init__(self, found: Iterable[Survivor] = ()) -> None:
        self._by_place = {place_of(one.spec): one for one in found}
        self._places = {(one.compute, one.handle): p for p, one in self._by_place.items()}

    def __len__(self) -> int:
        return len(self._by_place)

    def runs(self) -> list[str]:
        """Return the pathspecs of their runs."""
        found = {f"{one.spec.flow}/{one.spec.run}" for one in self._by_place.values()}
        return sorted(found)

    def in_gangs(self) -> int:
        """Return how many of them are members of gangs."""
        return sum(one.spec.gang is not None for one in self._by_place.values())

    def take(self, task: TaskSpec) -> Survivor | None:
        """Return the one that is at the place of ``task``, and forget it; None if there is none."""
        found = self._by_place.pop(place_of(task), None)
        if found is not None:
            del self._places[found.compute, found.handle]
        return found

    def forget(self, compute: str, handle: Any) -> None:
        """Forget one that has ended before anybody took it."""
        place = self._places.pop((compute, handle), None)
        if place is not None:
            del self._by_place[place]


def still_running(survivors: Survivors) -> str:
    """Say that tasks of an earlier run still run, and what becomes of them."""
    in_gangs, runs = survivors.in_gangs(), " and ".join(survivors.runs())
    alone = len(survivors) - in_gangs
    parts = []
    if alone:
        parts.append(
            f"{_tasks(alone)} of {runs} still run{'s' * (alone == 1)}: no such task is started twice"
        )
    if in_gangs:
        members = f"{_tasks(in_gangs)} of gangs of {runs} still run{'s' * (in_gangs == 1)}"
        parts.append(f"{members}: they are ended, since a gang starts whole")
    return "; ".join(parts)


def _tasks(count: int) -> str:
    return f"{count} task{'s' * (count != 1)}"


def place_of(task: TaskSpec) -> _Place:
    """Return what says which task it is, in any run of the flow."""
    return task.step, task.indices, task.iteration


def can_adopt(compute: Compute) -> bool:
    """Whether a compute provider finds attempts again that another launcher has started."""
    return hasattr(compute, "adopt")


def find_survivors(
    computes: Mapping[str, Compute],
    specs: Iterable[TaskSpec],
    compute_of: Callable[[TaskSpec], str],
) -> tuple[Survivors, dict[str, int]]:
    """Ask each compute provider, with one question, which of these attempts still wait or run.

    Args:
        computes: the providers of the run, by name; those that cannot tell are not asked.
        specs: attempts of earlier runs; of two at one place the first counts.
        compute_of: returns the name of the provider that has started an attempt.

    Returns:
        what was found, and for each provider that is none of the run how many attempts may still
        run there.
    """
    asked: dict[str, list[TaskSpec]] = {}
    places = set()
    for spec in specs:
        if place_of(spec) not in places:
            places.add(place_of(spec))
            asked.setdefault(compute_of(spec), []).append(spec)
    found, elsewhere = [], {}
    for name, attempts in asked.items():
        if name not in computes:
            elsewhere[name] = len(attempts)
        elif can_adopt(computes[name]):
            handles = cast("AdoptingCompute", computes[name]).adopt(attempts)
            pairs = zip(handles, attempts, strict=True)
            found += [Survivor(name, handle, spec) for handle, spec in pairs if handle is not None]
    return Survivors(found), elsewhere


def out_of_reach(compute: str, count: int) -> str:
    """Say that attempts may still run where this run starts nothing."""
    tasks = f"{count} task{'s' * (count != 1)} of the earlier run"
    return (
        f"{tasks} may still run on compute '{compute}', which this run does not use: it starts them "
        f"again. End them there, or resume with --compute {compute}"
    )


def unfinished_attempts(
    store: Store, flow: str, run: str, since: float = math.inf
) -> list[TaskSpec]:
    """Return the attempts of a run that have a specification in the store, and no manifest: of each
    task the last one. They may still run, or have been lost.

    Args:
        store: where the run lies. It is listed once, and they are read together.
        flow, run: which run.
        since: also those whose manifest came at this time or later, in seconds since the epoch: who
            went on from the run then cannot have seen it.

    Since 0.1.
    """
    described: dict[tuple[str, int], int] = {}
    committed = set()
    prefix = run_prefix(flow, run)
    for stored in store.list(prefix):
        step, *rest = stored.key[len(prefix) :].split("/")
        if len(rest) != 3 or not (rest[0].isdigit() and rest[1].isdigit()):
            continue
        task, attempt, name = int(rest[0]), int(rest[1]), rest[2]
        if name == SPECIFICATION:
            described[step, task] = max(attempt, described.get((step, task), 0))
        elif name == "manifest" and stored.modified < since:
            committed.add(stored.key)
    places = [(flow, run, step, task, attempt) for (step, task), attempt in described.items()]
    keys = [attempt_prefix(*p) + SPECIFICATION for p in places if manifest_key(*p) not in committed]
    found = []
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        for key, raw in zip(batch, store.read(batch), strict=True):
            if raw is not None:  # else its run was removed meanwhile
                document = json.loads(raw)
                check_format(document, "task specification", key)
                found.append(TaskSpec.from_json(document["task"]))
    return found
