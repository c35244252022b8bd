"""The cache of one run: finds results of earlier runs, says why there is none, remembers new ones."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from functools import cached_property
from typing import Any

from flow_cache import CacheOptions
from flow_cache.entries import Entries, Entry, read_latest, write_latest
from flow_cache.keys import StepKey, StepKeys
from flow_core.api import (
    AttemptState,
    Facts,
    FlowError,
    Manifest,
    ManifestReader,
    Message,
    ReuseDraft,
    RunReader,
    RunRecord,
    RunResult,
    Session,
    TaskSpec,
    blob_key,
    duration,
    explain,
    hookimpl,
    rebase,
)

_BY = "cache"
_PAGE = 5000


class _Step:
    """A cached step of the run."""

    def __init__(self, session: Session, keys: StepKeys, name: str, options: CacheOptions) -> None:
        self._session = session
        self.name = name
        self.options = options
        self.node = session.graph[name]
        definition = session.definition.steps[name]
        self.key = keys.key(definition, session.plans[name], options)
        self.entries = Entries(session.store, self.key.digest(session.definition.name, name))
        self.written = False
        self.useless: set[tuple[int, ...]] = (
            set()
        )  # places whose entry is too old, or leads nowhere

    def counted(self, reads: Mapping[str, str], task: TaskSpec) -> list[tuple[str, str]]:
        """Return what a task's key is made of: what it reads, without what is ignored."""
        pairs = [(fact, value) for fact, value in reads.items() if not self._ignores(fact)]
        if self.node.repeats:
            pairs.append(("iteration", str(task.iteration)))
        if task.gang is not None:
            pairs.append(("gang", f"{task.gang.index}/{task.gang.size}"))
        return pairs

    def _ignores(self, fact: str) -> bool:
        kind, _, name = fact.partition(":")
        if kind == "branch":
            name = name.rpartition("@")[0]
        return kind in ("parameter", "artifact", "branch") and name in self.options.ignored

    # --- why there is none ----------------------------------------------------------------------

    @cached_property
    def latest(self) -> dict[str, Any] | None:
        """What is known of the latest run of the step."""
        return read_latest(self._session.store, self._session.definition.name, self.name)

    @cached_property
    def differences(self) -> list[dict[str, Any]]:
        """In what the step is another than in that run."""
        if self.latest is None:
            return [{"kind": "first"}]
        try:
            earlier = StepKey.from_json(self.latest["key"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return [{"kind": "first"}]
        return self.key.differences(earlier)

    @cached_property
    def earlier(self) -> RunReader | None:
        """Reads that run, if it is still there."""
        flow, _, run = str(self.latest["run"] if self.latest else "").partition("/")
        try:
            document = self._session.run_document(flow, run)
        except FlowError:
            return None
        return RunReader(self._session.artifacts, document)

    @cached_property
    def places(self) -> dict[tuple[int, ...], tuple[int, int]]:
        """The tasks of the step in that run: indices → task and attempt."""
        found: dict[tuple[int, ...], tuple[int, int]] = {}
        if self.earlier is None:
            return found
        flow, run, after = self.earlier.document.flow, self.earlier.document.run, -1
        while True:
            page = self._session.metadata.attempts(
                flow, run, step=self.name, after=after, limit=_PAGE
            )
            found.update({record.indices: (record.task, record.attempt) for record in page})
            if len(page) < _PAGE:
                return found
            after = page[-1].task


class Cache:
    """A plugin object that stands for the cache during one run.

    Args:
        session: the session of the run.
        reads: whether earlier results may be used; new ones are remembered in any case.
    """

    def __init__(self, session: Session, *, reads: bool) -> None:
        self._session = session
        self._reads = reads
        self._manifests = ManifestReader(session.store)
        keys = StepKeys(session)
        self._keys = keys
        found = {n: step.options("cache") for n, step in session.definition.steps.items()}
        self._steps = {
            name: _Step(session, keys, name, options)
            for name, options in found.items()
            if isinstance(options, CacheOptions)
        }
        self._asked = self._hits = 0
        self._saved = 0.0

    # --- looking up -----------------------------------------------------------------------------

    @hookimpl(wrapper=True)
    def flow_reuse_task(
        self, task: TaskSpec, draft: ReuseDraft
    ) -> Generator[None, Manifest | None, Manifest | None]:
        """Offer the result of an earlier run, when no other plugin has one, or wants it to run."""
        found = yield
        step = self._steps.get(task.step)
        if found is not None or draft.refused or step is None:
            return found
        self._asked += 1
        if not self._reads:
            draft.because(_BY, "no-cache")
            return None
        facts = Facts(draft.reader, task, step.node.joins)
        hit = self._find(step, task, facts, draft)
        if hit is None:
            return None
        self._hits += 1
        self._saved += hit.finished - hit.started
        draft.because(_BY, "hit", origin=hit.pathspec)
        draft.exact = False
        return rebase(hit, facts.inherited, step.node.joins)

    def _find(
        self, step: _Step, task: TaskSpec, facts: Facts, draft: ReuseDraft
    ) -> Manifest | None:
        sets = step.entries.sets()
        now = facts.values(
            {fact for names in sets for fact in names if ":" in fact or fact == "branches"}
        )
        useless: dict[str, Any] | None = None
        for names in sets:
            reads = {fact: now[fact] for fact in names if fact in now}
            known = {fact: value for fact, value in reads.items() if value is not None}
            if len(known) < len(reads):
                continue
            entry = step.entries.find(step.counted(known, task))
            if entry is None:
                continue
            manifest, problem = self._use(step, entry)
            if manifest is not None:
                return manifest
            useless = problem
            step.useless.add((*task.indices, task.iteration))
        if useless is not None:
            draft.because(_BY, **useless)
        else:
            self._explain(step, task, facts, draft)
        return None

    def _use(self, step: _Step, entry: Entry) -> tuple[Manifest | None, dict[str, Any] | None]:
        """Return the result that an entry leads to, or why it is of no use."""
        where = f"{entry.flow}/{entry.run}/{entry.step}/{entry.task}"
        oldest = step.options.seconds
        if oldest is not None and time.time() - entry.finished > oldest:
            return None, {"kind": "expired", "origin": where, "max_age": step.options.max_age}
        gone = {"kind": "gone", "origin": where}
        try:
            manifest = self._manifests.one(*entry[:5])
        except FlowError:
            return None, gone
        if manifest is None or manifest.state is not AttemptState.SUCCEEDED or not manifest.trace:
            return None, gone
        own = [manifest.artifacts[n] for n in manifest.trace.own if n in manifest.artifacts]
        if manifest.transition is not None and manifest.transition.items is not None:
            own.append(manifest.transition.items)
        blobs = [blob_key(ref.hash) for ref in own if not ref.inline]
        return (manifest, None) if all(self._session.store.exists(blobs)) else (None, gone)

    def _explain(self, step: _Step, task: TaskSpec, facts: Facts, draft: ReuseDraft) -> None:
        for reason in step.differences:
            draft.because(_BY, **reason)
        if step.differences:
            return
        assert step.earlier is not None or step.latest is not None
        place = step.places.get(task.indices)
        if step.earlier is None or place is None:
            draft.because(_BY, "new", origin=step.latest["run"] if step.latest else "")
            return
        document = step.earlier.document
        manifest = self._manifests.one(document.flow, document.run, step.name, *place)
        if manifest is None or manifest.trace is None:
            draft.because(_BY, "no-record", origin=f"{document.flow}/{document.run}")
            return
        reads = dict(step.counted(manifest.trace.reads, task))
        now = facts.values(fact for fact in reads if fact in manifest.trace.reads)
        fact = next((f for f, value in now.items() if value != reads[f]), None)
        if fact is None:
            draft.because(_BY, "new", origin=manifest.pathspec)
        else:
            reason = explain(facts, fact, manifest, step.earlier)
            draft.because(_BY, **reason, origin=manifest.pathspec)

    # --- remembering ----------------------------------------------------------------------------

    @hookimpl
    def flow_task_finished(self, task: TaskSpec, manifest: Manifest) -> None:
        """Remember the result of a task that ran."""
        step = self._steps.get(task.step)
        if step is None or manifest.state is not AttemptState.SUCCEEDED or manifest.trace is None:
            return
        if not self._keys.unchanged():
            return  # somebody edits the files: which of the code ran, nobody knows
        flow, run = manifest.flow, manifest.run
        entry = Entry(flow, run, task.step, task.task, manifest.attempt, manifest.finished)
        replace = not self._reads or (*task.indices, task.iteration) in step.useless
        step.entries.add(step.counted(manifest.trace.reads, task), entry, replace=replace)
        if not step.written:
            step.written = True
            data = {"run": f"{flow}/{run}", "key": step.key._asdict()}
            write_latest(self._session.store, flow, task.step, data)

    @hookimpl
    def flow_run_finished(self, session: Session, run: RunRecord, result: RunResult) -> None:
        """Say what the cache was good for."""
        if self._asked and self._reads:
            tasks = f"{self._asked:,} task" + "s" * (self._asked != 1)
            text = f"Cache: {self._hits:,} of {tasks} found"
            if self._hits:
                text += f", which had taken {duration(self._saved)}"
            session.emit(Message(text, "info", time.time()))
