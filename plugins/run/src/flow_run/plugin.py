"""Hooks: the reuse of finished tasks by ``resume``."""

from __future__ import annotations

from flow_core.api import (
    OK_STATES,
    AttemptState,
    Graph,
    Manifest,
    RunRecord,
    Session,
    TaskSpec,
    hookimpl,
    manifest_key,
)

_PAGE = 5000


class Reuse:
    """The finished tasks of the run that is resumed: (step, foreach indices) → (task, attempt).

    A task is the same in two runs when its step and its place in the foreaches are the same.
    """

    def __init__(self, session: Session, run: RunRecord, step_to_rerun: str | None) -> None:
        self._session = session
        self._flow, _, self._run = (run.origin or "").partition("/")
        self._step_to_rerun = step_to_rerun
        self._finished: dict[tuple[str, tuple[int, ...]], tuple[int, int]] = {}
        self._read_index()

    def _read_index(self) -> None:
        after = -1
        while True:
            page = self._session.metadata.attempts(
                self._flow, self._run, after=after, limit=_PAGE
            )
            for record in page:
                # The index of a run whose launcher was killed may lag behind: a task that it
                # believes to be running may have committed its manifest.
                if record.state in OK_STATES or record.state is AttemptState.RUNNING:
                    key = (record.step, record.indices)
                    self._finished[key] = (record.task, record.attempt)
            if len(page) < _PAGE:
                return
            after = page[-1].task

    def find(self, task: TaskSpec) -> Manifest | None:
        """Return the manifest that stands for ``task``, or None."""
        found = self._finished.get((task.step, task.indices))
        if found is None or task.step == self._step_to_rerun:
            return None
        key = manifest_key(self._flow, self._run, task.step, *found)
        raw = next(iter(self._session.store.read([key])))
        manifest = Manifest.decode(raw, key) if raw is not None else None
        return manifest if manifest is not None and manifest.ok else None


class _Resume:
    """Registered for one run: answers whether a task is reused."""

    def __init__(self, reuse: Reuse) -> None:
        self._reuse = reuse

    @hookimpl
    def flow_reuse_task(self, task: TaskSpec, inputs_reused: bool) -> Manifest | None:
        """Reuse a task only when everything that it reads was reused: else its inputs differ."""
        return self._reuse.find(task) if inputs_reused else None


@hookimpl
def flow_run_started(session: Session, run: RunRecord, graph: Graph) -> None:
    """Read what the resumed run has finished."""
    if run.origin is not None:
        _, step = session.resume_from or (run.origin, None)
        session.plugins.manager.register(_Resume(Reuse(session, run, step)), "resume")
