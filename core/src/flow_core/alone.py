"""One attempt of one step outside of a run: for commands that run a step again, and look at it.

The inputs are those of an earlier attempt: `find_attempt` finds it, `again` makes its specification.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from flow_core.errors import NotFound, UsageError, did_you_mean
from flow_core.finding import no_run
from flow_core.interfaces import (
    Begun,
    Compute,
    Exited,
    Metadata,
    Output,
    Started,
    Store,
    TaskCommand,
    Update,
)
from flow_core.manifests import ManifestReader
from flow_core.records import (
    OK_STATES,
    AttemptRecord,
    AttemptState,
    Failure,
    Manifest,
    RunDocument,
    RunResult,
    RunState,
    TaskSpec,
    manifest_key,
    result_key,
)
from flow_core.run import register_run
from flow_core.scheduler import FORCE_SECONDS, dead_manifest, latest_end, overdue

if TYPE_CHECKING:
    from flow_core.session import Session

_RUNS = 50
_POLL_SECONDS = 0.2


class Earlier(NamedTuple):
    """An attempt of the past, found by `find_attempt`.

    Attributes:
        manifest: what came of it.
        others: how many other tasks the pathspec fits: a step of a foreach has many.

    Since 0.1.
    """

    manifest: Manifest
    others: int


def find_attempt(
    metadata: Metadata, store: Store, pathspec: str, flow: str | None = None
) -> Earlier:
    """Return the attempt that a pathspec means: of many tasks one that failed, else the first.

    Args:
        metadata: the index.
        store: the store.
        pathspec: ``Flow/run``, ``Flow/run/step`` or ``Flow/run/step/task``; where ``flow`` is given
            also without ``Flow/``, or ``step``: that of the newest run which has a task of it.
        flow: name of the flow that is meant.

    Raises:
        UsageError: it has another form, or names another flow.
        NotFound: there is no such task, or it has left no record.

    Since 0.1.
    """
    name, run, step, task = _parts(pathspec, flow)
    runs = [run] if run is not None else [r.run for r in metadata.runs(name, limit=_RUNS)]
    if run is not None and metadata.run(name, run) is None:
        raise no_run(metadata, name, run)
    for one in runs:
        found = _of_run(metadata, store, name, one, step, task)
        if found is not None:
            return found
    raise _nothing(metadata, name, runs, step, task)


def _parts(pathspec: str, flow: str | None) -> tuple[str, str | None, str | None, int | None]:
    """Return flow, run, step and task, as far as the pathspec says; a run id begins with a digit."""
    parts = pathspec.strip("/").split("/")
    run: str | None = None
    if parts[0].isidentifier() and len(parts) > 1:
        name = parts.pop(0)
        if flow is not None and name != flow:
            raise UsageError(
                f"'{pathspec}' belongs to another flow",
                where=f"flow {flow}",
                hint=f"use the file of {name}, or name a task of {flow}: "
                + (f"3/{pathspec}" if parts[0].isdigit() and len(parts) == 1 else "3/start"),
            )
    elif flow is not None:
        name = flow
    else:
        raise _wrong_form(pathspec, "MyFlow/")
    if len(parts) > 1 or not parts[0].isidentifier():
        run = parts.pop(0)
    step = parts[0] if parts else None
    task = parts[1] if len(parts) > 1 else None
    digits = task is None or (task.isascii() and task.isdigit())
    sound = run != "" and (step is None or step.isidentifier())
    if len(parts) > 2 or not digits or not sound:
        raise _wrong_form(pathspec, "" if flow is not None else "MyFlow/")
    return name, run, step, int(task) if task is not None else None


def _wrong_form(pathspec: str, prefix: str) -> UsageError:
    return UsageError(
        f"'{pathspec}' names no task",
        why="a task is Flow/run/step/task; with the file of the flow also run/step/task",
        hint=f"{prefix}3/train/7   {prefix}3/train",
    )


def _of_run(
    metadata: Metadata, store: Store, flow: str, run: str, step: str | None, task: int | None
) -> Earlier | None:
    bad = (AttemptState.FAILED, AttemptState.CANCELLED)
    first: AttemptRecord | None = None
    for states in ((AttemptState.FAILED,), bad, ()):
        page = metadata.attempts(flow, run, step=step, task=task, states=states, limit=1)
        first = page[0] if page else None
        if first is not None:
            break
    if first is None:
        return None
    manifest = ManifestReader(store).one(*first[:5])
    if manifest is None:
        raise NotFound(
            f"Task {first.pathspec} has left no record",
            where=f"state '{first.state.value}'",
            why="it still runs, or its launcher was killed: what its inputs are is not known",
            hint="wait for its end, resume the run, or name another task",
        )
    others = sum(s.tasks for s in metadata.steps(flow, run) if s.step == first.step) - 1
    return Earlier(manifest, others if task is None else 0)


def _nothing(
    metadata: Metadata, flow: str, runs: list[str], step: str | None, task: int | None
) -> NotFound:
    if not runs:
        known = did_you_mean(flow, metadata.flows())
        return NotFound(
            f"There is no run of {flow}", where=metadata.url, hint=known or "start one with: run"
        )
    place = f"{flow}/{runs[0]}" if len(runs) == 1 else f"the latest runs of {flow}"
    if step is None:
        return NotFound(f"No task of {place} has started", where=metadata.url)
    steps = [s.step for s in metadata.steps(flow, runs[0])]
    if task is not None and step in steps:
        some = metadata.attempts(flow, runs[0], step=step, limit=5)
        return NotFound(
            f"Step {place}/{step} has no task {task}",
            where=metadata.url,
            hint="its first tasks: " + ", ".join(str(r.task) for r in some),
        )
    return NotFound(
        f"No task of step '{step}' has started in {place}",
        where=metadata.url,
        why="its inputs are those of an earlier task, and there is none",
        hint=did_you_mean(step, steps) or "run or resume the flow up to this step first",
    )


def again(manifest: Manifest, run: str | None = None) -> TaskSpec:
    """Return the specification of an attempt with the same inputs as an earlier one.

    Args:
        manifest: the earlier one.
        run: the run that it belongs to; None = that of the earlier one.

    Raises:
        UsageError: it was a member of a gang, which cannot run by itself.

    Since 0.1.
    """
    if manifest.foreach and not manifest.foreach[-1].artifact:
        raise UsageError(
            f"Task {manifest.pathspec} cannot run by itself",
            why=f"it is one of {manifest.foreach[-1].count} members of a gang (num_parallel), "
            "which start together and talk to each other",
            hint="resume the run, or choose a step before or behind the gang",
        )
    return TaskSpec(
        manifest.flow,
        run or manifest.run,
        manifest.step,
        manifest.task,
        manifest.attempt,
        manifest.inputs,
        manifest.foreach,
        iteration=manifest.iteration,
    )


def task_command(session: Session, task: TaskSpec, *, interpreter: bool = True) -> TaskCommand:
    """Return how an attempt is launched: variables of its plan, and what plugins add.

    Args:
        session: a session of the flow; the environment of the step was prepared.
        task: which attempt.
        interpreter: whether it matters in which Python; False = this process is of that one.

    Since 0.1.
    """
    plan = session.plans[task.step]
    command = TaskCommand()
    command.variables.update(plan.variables)
    command.resources.update(plan.resources)
    command.timed = plan.timeout is not None
    if interpreter and plan.environment is not None:
        session.environments.choose(task.step, command)
    session.plugins.hook.flow_task_command(task=task, plan=plan, command=command)
    return command


class LoneAttempt:
    """Runs one attempt by the compute provider of its step, as a run would, but outside of one.

    It is recorded as a run of its own, with one task, in the store and the index of the session:
    let these be others than those of real runs. There is no retry, and hooks of runs and events are
    not called; those of tasks are.

        with LoneAttempt(session, "train") as alone:
            document = alone.register(document)
            manifest = alone.run(again(earlier, document.run))

    Args:
        session: a session of the flow.
        step: name of the step.

    Raises:
        FlowError: something stands in the way of any run of the flow.

    Since 0.1.
    """

    def __init__(self, session: Session, step: str) -> None:
        self._session = session
        self._step = step
        session.check()
        self._hook = session.plugins.hook  # those of all decorators are there now
        session.close_index()  # the provider may fork now
        self._plan = session.plans[step]
        self._deadline = math.inf
        self._overdue = False
        self._cancelled = False
        self._compute: Compute = session.compute(self._plan.compute)
        self._compute.prepare(session)

    def __enter__(self) -> LoneAttempt:
        return self

    def __exit__(self, *_: object) -> None:
        self._compute.close()

    def register(self, document: RunDocument, run_id_file: str | None = None) -> RunDocument:
        """Record the run that is to hold the attempt; return it with the id that it got.

        Args:
            document: its fixed facts; its ``run`` does not count, and its origin may be elsewhere.
            run_id_file: file that gets the run id, or None.
        """
        document = document._replace(environments=self._environments(document))
        return register_run(self._session, document, run_id_file, origin_is_here=False)

    def _environments(self, document: RunDocument) -> dict[str, dict[str, str]]:
        """Make that of the step, which is that of the run in ``document`` if it asks for the same.
        Where its compute provider makes it, only its lock is found."""
        if self._plan.environment is None:
            return {}
        environments = self._session.environments
        environments.resolve([self._step], document)
        if not environments.is_built_there(self._step):
            environments.prepare([self._step])
        return environments.record()

    def run(self, task: TaskSpec, output: Callable[[str, bytes], None] | None = None) -> Manifest:
        """Run the attempt to its end; return what came of it.

        Args:
            task: which attempt; its run was registered.
            output: called with ``stdout`` or ``stderr`` and what the task wrote there.

        Raises:
            KeyboardInterrupt: the person ended it; it is recorded as interrupted.
        """
        metadata = self._session.metadata
        record = metadata.run(task.flow, task.run)
        assert record is not None, "its run was registered"
        metadata.update_run(task.flow, task.run, state=RunState.RUNNING, heartbeat_at=time.time())
        self._compute.open(record, self._session.store)
        started = time.time()
        handle = self._compute.launch(task, task_command(self._session, task))
        self._hook.flow_task_launched(task=task, handle=handle)
        try:
            exited = self._follow(handle, output)
        except KeyboardInterrupt:
            self._cancelled = True
            self._compute.cancel([handle], self._session.settings["cancel_grace"])
            with suppress(KeyboardInterrupt):  # a second one: what is not over is left to `close`
                exited = self._follow(handle, output)
                self._end(self._manifest(task, exited, started), RunState.INTERRUPTED)
            raise
        manifest = self._manifest(task, exited, started)
        self._end(manifest, RunState.SUCCEEDED if manifest.ok else RunState.FAILED)
        self._hook.flow_task_finished(task=task, manifest=manifest)
        return manifest

    def _follow(self, handle: object, output: Callable[[str, bytes], None] | None) -> Exited:
        for update in self._updates(handle):
            if update.handle != handle:
                continue
            if isinstance(update, (Started, Begun)):
                self._set_deadline(update)
            elif isinstance(update, Output) and output is not None:
                output(update.stream, update.data)
            elif isinstance(update, Exited):
                return update
        raise AssertionError("news never end")

    def _updates(self, handle: object) -> Iterator[Update]:
        while True:
            yield from self._compute.poll(_POLL_SECONDS)
            if not self._overdue and time.time() > self._deadline:
                self._overdue = True
                self._compute.cancel([handle], FORCE_SECONDS)

    def _set_deadline(self, update: Started | Begun) -> None:
        if self._plan.timeout is not None:
            self._deadline = latest_end(self._plan, update, self._compute.capabilities)

    def _manifest(self, task: TaskSpec, exited: Exited, started: float) -> Manifest:
        """Return what the attempt committed; when it committed nothing, commit that it failed."""
        if exited.manifest is not None:
            return exited.manifest
        store, key = self._session.store, manifest_key(*task[:5])
        raw = next(iter(store.read([key])))
        if raw is None:
            late = Failure("timeout", "", overdue(self._plan)) if self._overdue else None
            dead = dead_manifest(task, exited, started, late, cancelled=self._cancelled)
            if store.write([(key, dead.encode())], create_only=True)[0]:
                return dead
            raw = next(iter(store.read([key])))
            assert raw is not None
        return Manifest.decode(raw, key)

    def _end(self, manifest: Manifest, state: RunState) -> None:
        flow, run = manifest.flow, manifest.run
        message = manifest.failure.summary if manifest.failure else ""
        failed = () if manifest.state in OK_STATES else (manifest.pathspec,)
        result = RunResult(flow, run, state, time.time(), message, failed)
        self._session.store.write([(result_key(flow, run), result.encode())], create_only=True)
        metadata = self._session.metadata
        metadata.write_attempts([AttemptRecord.from_manifest(manifest)])
        metadata.update_run(flow, run, state=state, finished_at=result.finished_at, message=message)
