"""What a task reads of the run that it belongs to: the store's word, before the index has heard it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from flow_client.reader import Page, Reader
from flow_core.api import (
    OK_STATES,
    AttemptRecord,
    AttemptState,
    StepSummary,
    manifest_key,
    run_prefix,
)

if TYPE_CHECKING:
    from flow_core.api import InputRange, TaskContext

_OPEN = frozenset({"queued", "running"})


class TaskReader(Reader):
    """Reads for the task that runs in this process.

    The launcher writes the index in batches, a moment after things have happened. From outside
    nobody can tell; but a task knows that those whose results it reads have ended, and that it
    runs itself. So of its own run the manifests in the store count before the index, and of other
    runs, which no task has to wait for, the index alone.

    Args:
        task: the task.
    """

    def __init__(self, task: TaskContext) -> None:
        super().__init__(task.session)
        self._spec = spec = task.spec
        self.own = AttemptRecord(
            spec.flow,
            spec.run,
            spec.step,
            spec.task,
            spec.attempt,
            AttemptState.RUNNING,
            spec.indices,
            time.time(),
        )
        """The record of the task itself."""

    def _is_own(self, flow: str, run: str) -> bool:
        return (flow, run) == self.own[:2]

    def attempts_of(self, flow: str, run: str, step: str, task: int) -> list[AttemptRecord]:
        """Return all attempts of one task, in order."""
        if not self._is_own(flow, run):
            return super().attempts_of(flow, run, step, task)
        listed = self.session.metadata.attempts(flow, run, step=step, task=task, all_attempts=True)
        known = {r.attempt: r for r in listed}
        if (step, task) == self.own[2:4]:
            known.setdefault(self.own.attempt, self.own)
        folders = self.session.store.folders(f"{run_prefix(flow, run)}{step}/{task}/")
        # A reused task has its first attempt only, and may have no folder.
        numbers = {*known, *(int(name) for name in folders if name.isdigit())} or {0}
        open_ones = [n for n in numbers if n not in known or known[n].state.value in _OPEN]
        keys = [manifest_key(flow, run, step, task, n) for n in open_ones]
        for number, manifest in zip(open_ones, self._manifests.read(keys), strict=True):
            if manifest is not None:
                known[number] = AttemptRecord.from_manifest(manifest)
        return [known[n] for n in sorted(known)]

    def upwards(self, flow: str, run: str, step: str, after: int = -1) -> Iterator[AttemptRecord]:
        """Yield the last attempt of each task of a step with an id above ``after``, in order."""
        if not self._is_own(flow, run):
            return super().upwards(flow, run, step, after)
        return (r for r in self._all(step) if r.task > after)

    def downwards(
        self,
        flow: str,
        run: str,
        step: str,
        states: Sequence[AttemptState] = (),
        page: int | None = None,
        before: int | None = None,
    ) -> Iterator[AttemptRecord]:
        """Yield the last attempt of each task of a step with an id below ``before``, newest first."""
        if not self._is_own(flow, run):
            return super().downwards(flow, run, step, states, page, before)
        below = (r for r in reversed(self._all(step)) if before is None or r.task < before)
        return (r for r in below if not states or r.state in states)

    def pages(self, flow: str, run: str, step: str, before: int | None = None) -> Iterator[Page]:
        """Yield the last attempt of each task of a step with an id below ``before``, newest first."""
        if not self._is_own(flow, run):
            return super().pages(flow, run, step, before)
        records = list(self.downwards(flow, run, step, before=before))
        return iter([Page(self, records, complete=True)])

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run that have started, in that order."""
        found = super().steps(flow, run)
        if not self._is_own(flow, run):
            return found
        known = {summary.step: summary for summary in found}
        folders = {*self.session.store.folders(run_prefix(flow, run)), self.own.step}
        started = {*known, *folders} & self.document(flow, run).graph["steps"].keys()
        for step in started:
            if step not in known or step == self.own.step or _OPEN & known[step].states.keys():
                known[step] = _summary(step, self._all(step))
        late = sorted(started - {s.step for s in found}, key=lambda s: known[s].started_at or 0.0)
        return [known[name] for name in (*(s.step for s in found), *late)]

    def inputs_of(self, record: AttemptRecord) -> Sequence[InputRange]:
        """Return what an attempt without a manifest reads from, as far as that is known here."""
        return self._spec.inputs if record[:5] == self.own[:5] else ()

    def _all(self, step: str) -> list[AttemptRecord]:
        """Return the last attempt of each task of a step of this run, in order."""
        flow, run = self.own[:2]
        known = {r.task: r for r in super().upwards(flow, run, step)}
        names = self.session.store.folders(f"{run_prefix(flow, run)}{step}/")
        ids = {*known, *(int(name) for name in names if name.isdigit())}
        if step == self.own.step:
            ids.add(self.own.task)
        for task in ids:
            # What ended well stays so; anything else may have gone on since.
            if task not in known or known[task].state not in OK_STATES:
                attempts = self.attempts_of(flow, run, step, task)
                if attempts:
                    known[task] = attempts[-1]
        return [known[task] for task in sorted(known)]


def _summary(step: str, records: Sequence[AttemptRecord]) -> StepSummary:
    starts = [r.started_at for r in records if r.started_at]
    ends = [r.finished_at for r in records if r.finished_at]
    states = Counter(r.state.value for r in records)
    return StepSummary(
        step, len(records), dict(states), min(starts, default=None), max(ends, default=None)
    )
