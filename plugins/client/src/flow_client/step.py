"""`Step`: the tasks of one step of a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flow_client.base import Container
from flow_client.errors import ObjectNotFound, names_hint
from flow_client.pathspec import split
from flow_client.reader import count_of, moment
from flow_client.task import STATES, Task
from flow_core.api import AttemptState, check_states

if TYPE_CHECKING:
    from flow_client.run import Run
    from flow_core.api import StepSummary

_OPEN = frozenset({"queued", "running"})


class Step(Container[Task]):
    """One step of a run. Its children are its tasks, newest first.

    Args:
        pathspec: ``Flow/run/step``.
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Raises:
        UsageError: the pathspec has another form.
        ObjectNotFound: there is no such run, or no such step in it.
        NamespaceMismatch: the run is not in the namespace.

    Since 0.1.
    """

    __slots__ = ("_name", "_run", "_summary")
    _name: str
    _run: Run
    _summary: StepSummary | None

    def __init__(self, pathspec: str, *, store: str | None = None) -> None:
        flow, run, name = split("Step", pathspec)
        found = Step._find(_run(f"{flow}/{run}", store), name)
        self._reader, self._run, self._name = found._reader, found._run, name
        self._summary = found._summary

    @classmethod
    def _of(cls, run: Run, name: str, summary: StepSummary | None = None) -> Step:
        step = cls.__new__(cls)
        step._reader = run._reader
        step._run = run
        step._name = name
        step._summary = summary
        return step

    @classmethod
    def _find(cls, run: Run, name: str) -> Step:
        """Return a step that has started, or that the graph of the run has."""
        step = cls._of(run, name)
        if run._reader.first(*step._place) is None:
            steps = run.graph["steps"]
            if name not in steps:
                raise ObjectNotFound(
                    f"Run '{run.pathspec}' has no step '{name}'",
                    where=run._reader.session.metadata.url,
                    why="neither its graph nor its tasks know the step",
                    hint=names_hint(name, steps, "steps"),
                )
        return step

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> Step:
        from flow_client.run import Run

        run, _, name = pathspec.rpartition("/")
        return cls._find(Run._restore(run, None), name)

    @property
    def pathspec(self) -> str:
        """``Flow/run/step``."""
        return f"{self._run.pathspec}/{self._name}"

    @property
    def parent(self) -> Run:
        """The run."""
        return self._run

    @property
    def created_at(self) -> datetime | None:
        """When the first of its tasks started; None when none has."""
        summary = self._current_summary()
        return moment(summary.started_at) if summary else None

    @property
    def finished_at(self) -> datetime | None:
        """When the last of its tasks ended; None while one is queued or runs."""
        summary = self._current_summary()
        if summary is None or _OPEN & summary.states.keys():
            return None
        return moment(summary.finished_at)

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the run."""
        return self._run.tags

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags of the run that people gave."""
        return self._run.user_tags

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags of the run that flow-core gave."""
        return self._run.system_tags

    @property
    def origin_pathspec(self) -> str | None:
        """The same step of the run that this one resumes, or None."""
        origin = self._run.origin_pathspec
        return f"{origin}/{self._name}" if origin else None

    # --- tasks ----------------------------------------------------------------------------------

    @property
    def task(self) -> Task | None:
        """The newest task: that of a step that has one. None when none has started."""
        record = self._reader.newest(*self._place)
        return Task._of(self, record) if record is not None else None

    def tasks(
        self,
        *tags: str,
        state: str | Iterable[str] | None = None,
        before: Task | None = None,
        limit: int | None = None,
    ) -> Iterator[Task]:
        """Yield the tasks, newest first; they are read page by page.

        Args:
            tags: none is yielded unless the run carries all of these.
            state: only tasks whose last attempt is in this state, or in one of these, see
                `Task.state`.
            before: only tasks that came before this one, for pages of your own.
            limit: at most so many.

        Raises:
            UsageError: there is no such state.
        """
        states = (state,) if isinstance(state, str) else tuple(state or ())
        check_states(states, STATES, "a task")
        found = self._tasks(states, before._record.task if before is not None else None)
        matches = {*tags} <= self.tags
        return itertools.islice(found if matches else iter(()), count_of(limit))

    @property
    def control_task(self) -> Task | None:
        """The main task of the newest gang (``num_parallel``); None when the step is none."""
        return next(self.control_tasks(), None)

    def control_tasks(self, *tags: str) -> Iterator[Task]:
        """Yield the main tasks of the step's gangs, newest first: of several in a foreach.

        Args:
            tags: none is yielded unless the run carries all of these.
        """
        steps = self._run.graph["steps"]
        parents = steps.get(self._name, {}).get("parents", ())
        if any(steps[p]["kind"] == "parallel" for p in parents if p in steps):
            yield from (task for task in self.tasks(*tags) if task.index == 0)

    @property
    def environment_info(self) -> dict[str, Any]:
        """What its tasks run in: the environment of the plan, and the versions of the run."""
        plan = self._run._document.plans.get(self._name, {})
        facts = self._run.info
        names = ("python", "flow_core", "plugins")
        chosen = {"environment": plan.get("environment"), "variables": plan.get("variables") or {}}
        return {**chosen, **{name: facts[name] for name in names if name in facts}}

    def _tasks(self, states: tuple[str, ...], before: int | None = None) -> Iterator[Task]:
        if not states:
            for page in self._reader.pages(*self._place, before):
                yield from [Task._of(self, record, None, page) for record in page.records]
            return
        # What a dead launcher left behind runs for the index; in truth it ended, or is lost.
        wanted = [s for s in AttemptState if s.value in {*_OPEN, *states}]
        for record in self._reader.downwards(*self._place, wanted, before=before):
            task = Task._of(self, record)
            if task.state in states:
                yield task

    def _repr_html_(self) -> str:
        from flow_client.html import step_table

        return step_table(self)

    def _children(self) -> Iterator[Task]:
        return self.tasks()

    def _child(self, name: str) -> Task:
        return Task._find(self, name, None)

    # --- neighbours -----------------------------------------------------------------------------

    @property
    def parent_steps(self) -> Iterator[Step]:
        """The steps that lead here."""
        return self._neighbours("parents")

    @property
    def child_steps(self) -> Iterator[Step]:
        """The steps that follow."""
        return self._neighbours("targets")

    def _neighbours(self, direction: str) -> Iterator[Step]:
        for name in self._run.graph["steps"].get(self._name, {}).get(direction, ()):
            yield Step._of(self._run, name)

    @property
    def _place(self) -> tuple[str, str, str]:
        record = self._run._record
        return record.flow, record.run, self._name

    def _current_summary(self) -> StepSummary | None:
        if self._summary is None or not self._run.finished:
            flow, run, name = self._place
            found = self._reader.steps(flow, run)
            self._summary = next((s for s in found if s.step == name), None)
        return self._summary


def _run(pathspec: str, store: str | None) -> Run:
    from flow_client.run import Run

    return Run(pathspec, store=store)
