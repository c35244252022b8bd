"""The reuse of finished tasks: what ``resume`` adds to a run."""

from __future__ import annotations

from collections import Counter

from flow_core.api import (
    OK_STATES,
    AttemptState,
    Manifest,
    Session,
    TaskSpec,
    hookimpl,
    manifest_key,
    result_key,
    run_prefix,
)

_PAGE = 5000


class Reuse:
    """A plugin object that knows the finished tasks of the run that is resumed.

    A task is the same in two runs when its step, its place in the foreaches and, for a step that
    chooses itself, its iteration are the same.

    Args:
        session: the session of the new run.
        origin: pathspec of the run to resume.
        step_to_rerun: a step that runs again although it was finished, or None.
    """

    def __init__(self, session: Session, origin: str, step_to_rerun: str | None) -> None:
        self._session = session
        self._flow, _, self._run = origin.partition("/")
        self._step_to_rerun = step_to_rerun
        self._finished: dict[tuple[str, tuple[int, ...], int], tuple[int, int]] = {}
        self._repeating = {node.name for node in session.graph if node.repeats}
        self._read_index()
        if not session.store.exists([result_key(self._flow, self._run)])[0]:
            self._read_store()

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
                # A task that the launcher left running may have committed its manifest since.
                if record.state in OK_STATES or record.state is AttemptState.RUNNING:
                    key = (record.step, record.indices, iteration)
                    self._finished[key] = (record.task, record.attempt)
            if len(page) < _PAGE:
                return
            after = page[-1].task

    def _read_store(self) -> None:
        """Find what the index lacks: that of a run whose launcher was killed lags behind."""
        known = {(step, *found) for (step, _, _), found in self._finished.items()}
        prefix = run_prefix(self._flow, self._run)
        for entry in self._session.store.list(prefix):
            parts = entry.key.removeprefix(prefix).split("/")
            if len(parts) != 4 or parts[3] != "manifest":
                continue
            if (parts[0], int(parts[1]), int(parts[2])) not in known:
                self._add(entry.key)

    def _add(self, key: str) -> None:
        manifest = self._read(key)
        if manifest is not None and manifest.ok:
            indices = tuple(frame.index for frame in manifest.foreach)
            place = (manifest.step, indices, manifest.iteration)
            self._finished[place] = (manifest.task, manifest.attempt)

    def _read(self, key: str) -> Manifest | None:
        raw = next(iter(self._session.store.read([key])))
        return Manifest.decode(raw, key) if raw is not None else None

    @hookimpl
    def flow_reuse_task(self, task: TaskSpec, inputs_reused: bool) -> Manifest | None:
        """Reuse a task only when everything that it reads was reused: else its inputs differ."""
        found = self._finished.get((task.step, task.indices, task.iteration))
        if found is None or not inputs_reused or task.step == self._step_to_rerun:
            return None
        manifest = self._read(manifest_key(self._flow, self._run, task.step, *found))
        if manifest is None or not manifest.ok or manifest.iteration != task.iteration:
            return None
        return manifest
