"""The reuse of finished tasks: what ``resume`` adds to a run."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from flow_core.api import (
    OK_STATES,
    AttemptRecord,
    AttemptState,
    Facts,
    Graph,
    Manifest,
    ManifestReader,
    Message,
    ReuseDraft,
    RunDocument,
    RunReader,
    RunRecord,
    RunState,
    Session,
    TaskSpec,
    changed_code,
    explain,
    hookimpl,
    list_manifests,
    manifest_key,
    rebase,
    result_key,
    run_key,
    seems_lost,
    unfinished_attempts,
)

_PAGE = 5000
_CLOCKS = 3600.0  # seconds by which the clocks of two launchers and of a store may differ
_AHEAD = 200  # manifests that are read at once: a request each would be slow from a far store
_Place = tuple[str, tuple[int, ...], int]
_BY = "resume"


class Choice(NamedTuple):
    """What a person asks of a resume.

    Attributes:
        step: a step that runs again although it was finished, with all that follows; or None.
        changed_code: whether a step runs again when its code has changed.
        only_reuse: whether nothing runs.
    """

    step: str | None = None
    changed_code: bool = False
    only_reuse: bool = False


class Reuse:
    """A plugin object that knows the finished tasks of the run that is resumed.

    A task is the same in two runs when its step, its place in the foreaches and, for a step that
    chooses itself, its iteration are the same.

    Without changed parameters a finished task is reused when all its inputs were, whatever the code.
    With changed parameters, or when the code counts, it is reused when what it has read is the same.

    Args:
        session: the session of the new run.
        origin: pathspec of the run to resume.
        choice: what is asked for.
    """

    def __init__(self, session: Session, origin: str, choice: Choice) -> None:
        self._session = session
        self._flow, _, self._run = origin.partition("/")
        self._choice = choice
        self._finished: dict[_Place, tuple[int, int]] = {}
        self._unfinished: dict[_Place, AttemptRecord] = {}
        self._awaited: dict[_Place, str] = {}  # which attempt of an earlier run it waited for
        self._repeating = {node.name for node in session.graph if node.repeats}
        self._manifests = ManifestReader(session.store)
        self._ahead: dict[_Place, Manifest | None] = {}
        self._again = _follows(session.graph, choice.step)
        self._compares = choice.changed_code
        self._read_index()
        if not session.store.exists([result_key(self._flow, self._run)])[0]:
            self._read_store()

    # --- what is finished -----------------------------------------------------------------------

    def _read_index(self) -> None:
        after = -1
        begun: Counter[tuple[str, tuple[int, ...]]] = Counter()
        while True:
            page = self._session.metadata.attempts(self._flow, self._run, after=after, limit=_PAGE)
            for record in page:
                iteration = 0
                if record.step in self._repeating:  # its tasks at one place follow each other
                    iteration = begun[record.step, record.indices]
                    begun[record.step, record.indices] += 1
                key = (record.step, record.indices, iteration)
                if record.state is AttemptState.QUEUED and record.origin is not None:
                    self._awaited[key] = record.origin
                # A task that the launcher left running may have committed its manifest since.
                if record.state in OK_STATES or record.state is AttemptState.RUNNING:
                    self._finished[key] = (record.task, record.attempt)
                else:
                    self._unfinished[key] = record
            if len(page) < _PAGE:
                return
            after = page[-1].task

    def _read_store(self) -> None:
        """Find what the index lacks: that of a run whose launcher was killed lags behind."""
        known = {
            manifest_key(self._flow, self._run, step, *found)
            for (step, _, _), found in self._finished.items()
        }
        for key, raw in list_manifests(self._session.store, self._flow, self._run):
            if key not in known:
                self._add(Manifest.decode(raw, key))

    def _add(self, manifest: Manifest) -> None:
        if manifest.ok:
            indices = tuple(frame.index for frame in manifest.foreach)
            place = (manifest.step, indices, manifest.iteration)
            self._finished[place] = (manifest.task, manifest.attempt)

    # --- the run --------------------------------------------------------------------------------

    @hookimpl
    def flow_run_started(self, session: Session, run: RunRecord) -> None:
        """Learn what the new run's parameters are."""
        self._new = session.run_document(run.flow, run.run)
        origin = session.metadata.run(self._flow, self._run)
        if origin is not None and origin.state == RunState.RUNNING and not seems_lost(origin):
            text = f"{origin.pathspec} still goes on: what it has not finished yet runs twice"
            session.emit(Message(text, "warning", time.time()))
        self._compares = self._compares or bool(self._changed)

    @hookimpl
    def flow_unfinished_attempts(self, session: Session, run: RunRecord) -> list[TaskSpec]:
        """Return what may still run of the origin, and of runs that it went on from, whose launchers
        are gone. Where nothing is to run, it is left to run; a later resume finds it."""
        if self._choice.only_reuse:
            return []
        found: list[TaskSpec] = []
        origin: str | None = f"{self._flow}/{self._run}"
        since = math.inf  # what the origin itself has finished was looked up already
        while origin is not None:
            document = session.run_document(*origin.split("/"))
            if self._ended_unseen(document):
                found += self._unfinished_of(document, since)
            origin, since = self._origin_of(document), document.created_at - _CLOCKS
        for spec in found:  # one may end before it can be adopted
            place = (spec.step, spec.indices, spec.iteration)
            self._awaited.setdefault(place, f"{spec.pathspec}/{spec.attempt}")
        return found

    def _unfinished_of(self, document: RunDocument, since: float) -> list[TaskSpec]:
        """Return what may still run of a run; nothing runs without its launcher where its compute
        providers find nothing again."""
        used = {plan.compute for plan in self._session.plans.values()}
        computes = {plan["compute"] for plan in document.plans.values()}
        if all(name in used and not self._can_adopt(name) for name in computes):
            return []
        return unfinished_attempts(self._session.store, document.flow, document.run, since)

    def _can_adopt(self, compute: str) -> bool:
        return hasattr(self._session.compute(compute), "adopt")

    def _ended_unseen(self, document: RunDocument) -> bool:
        """Whether the launcher of a run is gone, and did not see its end."""
        if self._session.store.exists([result_key(document.flow, document.run)])[0]:
            return False
        record = self._session.metadata.run(document.flow, document.run)
        return record is None or record.state != RunState.RUNNING or seems_lost(record)

    def _origin_of(self, document: RunDocument) -> str | None:
        """Return the run that another one went on from, while it is in the store."""
        if document.origin is None:
            return None
        there = self._session.store.exists([run_key(*document.origin.split("/"))])[0]
        return document.origin if there else None

    @cached_property
    def _old(self) -> RunReader:
        document = self._session.run_document(self._flow, self._run)
        return RunReader(self._session.artifacts, document)

    @cached_property
    def _changed(self) -> frozenset[str]:
        """The facts of parameters that have another value than in the origin."""
        old, new = self._old.document.parameters, self._new.parameters
        names = (n for n, ref in new.items() if n not in old or old[n].hash != ref.hash)
        return frozenset(f"parameter:{name}" for name in names)

    @hookimpl
    def flow_reuse_task(
        self, task: TaskSpec, inputs_reused: bool, draft: ReuseDraft
    ) -> Manifest | None:
        """Reuse a task when the choice allows it, and say why it is, or is not."""
        if self._choice.only_reuse:
            draft.leave()
        named = self._choice.step
        if task.step == named or (task.step in self._again and not inputs_reused):
            draft.refuse()
            draft.because(_BY, "step" if task.step == named else "after-step", name=named)
            return None
        found = self._find(task, draft)
        if found is None:
            if draft.inputs_reused and not self._compares:
                draft.adopt()
            return None
        if not self._compares:
            return self._when_inputs_are(found, task, draft)
        return self._when_the_same(found, task, draft)

    def _find(self, task: TaskSpec, draft: ReuseDraft) -> Manifest | None:
        place = (task.step, task.indices, task.iteration)
        if place in self._finished:
            manifest = self._read(place)
            if manifest is not None and manifest.ok and manifest.iteration == task.iteration:
                return manifest
        if place in self._awaited:
            flow, run, step, number, attempt = self._awaited[place].split("/")
            manifest = self._manifests.one(flow, run, step, int(number), int(attempt))
            if manifest is not None and manifest.ok:
                return manifest
        failed = self._unfinished.get(place)
        origin = f"{self._flow}/{self._run}"
        if failed is None:
            draft.because(_BY, "missing", origin=origin)
        else:
            draft.because(_BY, "failed", origin=failed.pathspec, message=failed.message)
        return None

    def _read(self, place: _Place) -> Manifest | None:
        """Read a finished task, and with it its neighbours in the foreach, which are asked for next."""
        if place not in self._ahead:
            places = [near for near in _neighbours(place) if near in self._finished]
            keys = [manifest_key(self._flow, self._run, p[0], *self._finished[p]) for p in places]
            self._ahead.update(zip(places, self._manifests.read(keys), strict=True))
        return self._ahead.pop(place)

    def _when_inputs_are(
        self, found: Manifest, task: TaskSpec, draft: ReuseDraft
    ) -> Manifest | None:
        if not draft.inputs_reused:
            draft.because(_BY, "upstream", steps=sorted({r.step for r in task.inputs}))
            return None
        draft.because(_BY, "finished")
        return found

    # --- with changed parameters or code ----------------------------------------------------------

    def _when_the_same(self, found: Manifest, task: TaskSpec, draft: ReuseDraft) -> Manifest | None:
        if self._code_differs(task, draft):
            return None
        if found.trace is None:
            draft.because(_BY, "no-record", origin=found.pathspec)
            return None
        joins = self._session.graph[task.step].joins
        facts = Facts(draft.reader, task, joins)
        if draft.inputs_reused:
            # What it inherits is what it was: only parameters can be others.
            fact = next((f for f in found.trace.reads if f in self._changed), None)
        else:
            fact = facts.first_difference(found.trace)
        if fact is not None:
            reason = explain(facts, fact, found, self._old)
            draft.because(_BY, **reason, origin=found.pathspec)
            return None
        if draft.inputs_reused:
            draft.because(_BY, "unaffected")
            return found
        draft.because(_BY, "same")
        rebased = rebase(found, facts.inherited, joins)
        draft.exact = rebased is found
        return rebased

    def _code_differs(self, task: TaskSpec, draft: ReuseDraft) -> bool:
        """Code counts when the person says so, and for a task whose input was made anew."""
        if draft.inputs_reused and not self._choice.changed_code:
            return False
        changes = self._code.get(task.step)
        if changes is None:
            draft.because(_BY, "code-unknown", origin=f"{self._flow}/{self._run}")
            return True
        if changes:
            draft.because(_BY, "code", changes=changes)
        return bool(changes) or self._environment_differs(task.step, draft)

    def _environment_differs(self, step: str, draft: ReuseDraft) -> bool:
        """What a step's code imports is part of it: the lock of its environment."""
        old, new = self._old.document, self._new
        if old.environments.get(step, {}).get("lock") == new.environments.get(step, {}).get("lock"):
            return False
        names = {"old": old.environment_name(step), "new": new.environment_name(step)}
        draft.because(_BY, "environment", name="its environment", **names)
        return True

    @cached_property
    def _code(self) -> dict[str, list[dict[str, Any]] | None]:
        """For each step, what of its code is another than in the origin; None = not known."""
        return changed_code(self._session, self._old.document, self._new)


def _neighbours(place: _Place) -> Iterable[_Place]:
    """Return a place and those that follow it in the same foreach."""
    step, indices, iteration = place
    if not indices:
        return [place]
    *outer, index = indices
    return [(step, (*outer, n), iteration) for n in range(index, index + _AHEAD)]


def _follows(graph: Graph, step: str | None) -> frozenset[str]:
    """Return a step and all that can come after it."""
    found: set[str] = set()
    waiting: Iterable[str] = [step] if step is not None else []
    while waiting := [name for name in waiting if name not in found]:
        found.update(waiting)
        waiting = [target for name in waiting for target in graph[name].targets]
    return frozenset(found)
