"""The scheduler: which task runs when. One loop over events, with O(1) work for each.

Foreach tasks are expanded when they are launched, joins count arrivals, nothing is scanned twice;
what waits costs bytes, not objects. The scheduler reads only plans and manifests: it knows no
decorator and no backend.
"""

from __future__ import annotations

import heapq
import math
import selectors
import signal
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from flow_core.adoption import (
    Survivor,
    Survivors,
    find_survivors,
    out_of_reach,
    still_running,
)
from flow_core.errors import StateError, StoreError
from flow_core.gang import Ended, Gang, is_whole, notice, too_few_workers
from flow_core.graph import FOREACH, PARALLEL, SPLIT, SWITCH, Node
from flow_core.interfaces import (
    Begun,
    Compute,
    ComputeCapabilities,
    Exited,
    GangCompute,
    Output,
    Started,
    TaskCommand,
    Update,
    Waiting,
)
from flow_core.plan import (
    Decision,
    Fallback,
    GiveUp,
    RetryAfter,
    RetryPolicy,
    TaskPlan,
    seconds_until,
)
from flow_core.records import (
    EXIT_NOT_COMMITTED,
    AttemptRecord,
    AttemptState,
    Failure,
    ForeachFrame,
    InputRange,
    InputRef,
    Manifest,
    Message,
    RunDocument,
    RunFinished,
    RunRecord,
    RunResult,
    RunStarted,
    RunState,
    TaskFinished,
    TaskOutput,
    TaskQueued,
    TaskSpec,
    TaskStarted,
    advance_attempt,
    advance_run,
    heartbeat_key,
    manifest_key,
    pack_inputs,
    result_key,
)
from flow_core.run import command_line
from flow_core.workers import Workers, share_workers

if TYPE_CHECKING:
    from flow_core.binding import RunReader
    from flow_core.session import Session

_FLUSH_SECONDS = 0.25
_FLUSH_RECORDS = 500
_HEARTBEAT_SECONDS = 10.0
_WAKE_SECONDS = 0.2
_QUIET_SECONDS = 1.0  # after Ctrl-C; most tasks end meanwhile
_REUSED_AT_ONCE = 256
FORCE_SECONDS = 1.0  # between the polite and the forced end of an attempt that has had its grace
_START_SECONDS = 60  # beyond its time limit, that an attempt may take until its body begins
_SPARE_DEADLINES = 64  # of attempts that have ended; more are thrown away


INTERRUPTS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""The signals by which a person, a terminal or a machine that shuts down ends a run."""


@contextmanager
def interrupts_waiting() -> Iterator[None]:
    """Let signals wait, from the birth of a run on, until `Scheduler.execute` answers them."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not (on_main_thread and hasattr(signal, "pthread_sigmask")):
        yield
        return
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


_NOT_STORED = "its result could not be stored: its log says why"
_UNKNOWN = Failure("exit", "", "it failed without saying why")


class _Frame:
    """One open split: where its branches come from, and what has arrived at its join."""

    __slots__ = (
        "arrived",
        "artifact",
        "attempts",
        "count",
        "index",
        "outer",
        "reused",
        "split",
        "steps",
        "tasks",
    )

    def __init__(
        self, outer: _Frame | None, index: int, split: InputRef, artifact: str | None, count: int
    ) -> None:
        self.outer = outer
        self.index = index  # which branch of `outer` this split stands in
        self.split = split
        self.artifact = artifact  # None for a static split, '' for a gang
        self.count = count
        self.arrived = 0
        self.reused = True
        self.steps: list[str] | str = ""  # one name while all branches end in the same step
        self.tasks = array("q", bytes(8 * count))
        self.attempts = array("i", bytes(4 * count))

    def arrive(self, index: int, ref: InputRef, reused: bool) -> bool:
        """Note that a branch has reached the join; True when it was the last one."""
        if not self.arrived:
            self.steps = ref.step
        elif isinstance(self.steps, str) and self.steps != ref.step:
            self.steps = [self.steps] * self.count
        if isinstance(self.steps, list):
            self.steps[index] = ref.step
        self.tasks[index] = ref.task
        self.attempts[index] = ref.attempt
        self.arrived += 1
        self.reused = self.reused and reused
        return self.arrived == self.count

    def inputs(self) -> tuple[InputRange, ...]:
        """Return all branches in order."""
        return pack_inputs(
            InputRef(
                self.steps if isinstance(self.steps, str) else self.steps[n],
                self.tasks[n],
                self.attempts[n],
            )
            for n in range(self.count)
        )


class _Task:
    """A task that is ready, running, or waits for its next attempt."""

    __slots__ = (
        "adopts",
        "attempt",
        "deadline",
        "exact",
        "fallback",
        "frame",
        "gang",
        "id",
        "index",
        "inputs",
        "inputs_reused",
        "iteration",
        "left",
        "origin",
        "overdue",
        "pid",
        "previous",
        "reasons",
        "spec",
        "started",
        "state",
        "step",
        "too_little",
    )

    def __init__(
        self,
        step: str,
        task_id: int,
        frame: _Frame | None,
        index: int,
        inputs: tuple[InputRange, ...],
        inputs_reused: bool,
        iteration: int = 0,
    ) -> None:
        self.step = step
        self.id = task_id
        self.frame = frame
        self.index = index
        self.inputs = inputs
        self.inputs_reused = inputs_reused
        self.iteration = iteration
        self.attempt = 0
        self.previous: Failure | None = None
        self.fallback = False
        self.deadline = math.inf
        self.overdue = False
        self.pid = ""
        self.started = 0.0
        self.state = AttemptState.QUEUED
        self.spec: TaskSpec | None = None
        self.gang: Gang | None = None
        self.exact = True  # of a reused one: whether it is what it was in the earlier run
        self.reasons: list[dict[str, Any]] | None = None  # why it runs
        self.left = False  # whether it is not to run
        self.too_little = 0  # attempts that ran out of memory
        self.adopts = False  # whether a survivor may stand for it
        self.origin: Survivor | None = None  # which one does

    def anew(self) -> _Task:
        """Return the task as it was before anything came of it."""
        place = (self.step, self.id, self.frame, self.index, self.inputs, self.inputs_reused)
        return _Task(*place, self.iteration)

    def again(self, previous: Failure, fallback: bool) -> _Task:
        """Return the task with its next attempt."""
        again = _Task(
            self.step,
            self.id,
            self.frame,
            self.index,
            self.inputs,
            self.inputs_reused,
            self.iteration,
        )
        again.attempt = self.attempt + 1
        again.previous = previous
        again.fallback = fallback
        again.reasons = self.reasons
        again.too_little = self.too_little + (previous.cause == "out-of-memory")
        return again


class _Range:
    """The tasks of a foreach that are not expanded yet: one object for all of them."""

    __slots__ = ("first_id", "frame", "inputs", "next", "reused", "step")

    def __init__(
        self, step: str, frame: _Frame, first_id: int, inputs: tuple[InputRange, ...], reused: bool
    ) -> None:
        self.step = step
        self.frame = frame
        self.first_id = first_id
        self.inputs = inputs
        self.reused = reused
        self.next = 0

    def pop(self) -> _Task:
        """Return the next task."""
        index = self.next
        self.next += 1
        return _Task(self.step, self.first_id + index, self.frame, index, self.inputs, self.reused)


class Scheduler:
    """Runs one run to its end.

    Args:
        session: the session, with its compute providers prepared.
        document: the run, already in the store and recorded as ``created``.
        max_workers: tasks that run at the same time.
        workers_chosen: whether a person has chosen that number: it then limits all tasks together,
            and a gang keeps to it too. Else it counts for each compute provider that names no
            other number (`ComputeCapabilities.workers`).
    """

    def __init__(
        self,
        session: Session,
        document: RunDocument,
        max_workers: int,
        workers_chosen: bool = True,
    ) -> None:
        self._session = session
        self._document = document
        self._flow = document.flow
        self._run = document.run
        self._graph = session.graph
        self._plans = session.plans
        self._workers_chosen = workers_chosen
        self._hook = session.plugins.hook
        self._heard = {
            name: session.plugins.implemented(name)
            for name in (
                "flow_event",
                "flow_reuse_task",
                "flow_unfinished_attempts",
                "flow_task_command",
                "flow_task_launched",
                "flow_task_finished",
                "flow_attempt_decision",
            )
        }
        self._delayed: list[tuple[float, int, _Task | Gang]] = []
        self._running: dict[tuple[str, Any], _Task] = {}
        # When running attempts are ended by force: (time, task, attempt, key in `_running`).
        self._deadlines: list[tuple[float, int, int, tuple[str, Any]]] = []
        self._next_id = 1
        self._records: dict[tuple[str, int, int], AttemptRecord] = {}
        self._flushed = self._heartbeat = time.time()
        self._reused: dict[str, Manifest] = {}  # by key: not in the store yet
        self._reused_since = False  # since the last flush
        self._reader: RunReader | None = None
        self._survivors = Survivors()
        self._left = 0  # tasks that a plugin wants not to run
        self._failed: list[tuple[_Task, Failure]] = []
        self._interrupts = 0
        self._signal = signal.SIGINT  # the one that interrupted first
        self._cancelled = False
        self._give_up_at: float | None = None  # when siblings of a failed task are ended
        self._say_waiting_at = 0.0  # when it is told for what Ctrl-C still waits; 0 = never
        self._end_reached = False
        self._state = RunState.CREATED
        self._error: Exception | None = None
        self._soon: dict[str, tuple[str, ...]] = {}
        self._computes: dict[str, Compute] = {
            name: session.compute(name) for name in {p.compute for p in self._plans.values()}
        }
        self._workers = share_workers(self._computes, max_workers, workers_chosen)
        self._pools = [*{id(w): w for w in self._workers.values()}.values()]

    # --- the run --------------------------------------------------------------------------------

    def execute(self) -> RunResult:
        """Run all tasks; return how the run ended. The result is in the store and the index."""
        with self._signals():  # to the last line: a late Ctrl-C must not leave a run half recorded
            return self._execute()

    def _execute(self) -> RunResult:
        started = time.time()
        record = self._session.metadata.run(self._flow, self._run)
        assert record is not None, "the run was registered"
        try:
            record = self._begin(record)
            self._loop()
        except Exception as error:  # whatever it is, the run must not look as if it went on
            self._error = error
        finally:
            self._close_computes()
        result = self._write_down(record)
        self._emit(RunFinished(record, result, time.time() - started, time.time()))
        if self._error is not None:
            raise self._error
        return result

    def _close_computes(self) -> None:
        for compute in self._computes.values():
            try:
                compute.close()
            except Exception as error:  # the others are closed, and the run is recorded
                self._error = self._error or error

    def _begin(self, found: RunRecord) -> RunRecord:
        for compute in self._computes.values():
            compute.open(found, self._session.store)
        self._set_state(RunState.RUNNING)
        record = found._replace(state=self._state)
        steps = tuple(node.name for node in self._graph.order())
        self._emit(RunStarted(record, steps, time.time()))
        for compute in self._computes.values():
            if compute.notice:
                self._emit(Message(compute.notice, "info", time.time()))
        self._soon = self._steps_soon()
        self._hook.flow_run_started(session=self._session, run=record, graph=self._graph)
        self._look_for_survivors(record)
        self._add(self._graph.start, None, 0, (), True)
        return record

    def _loop(self) -> None:
        while self._pending():
            if self._interrupts or self._failed:
                self._wind_down()
            else:
                self._fill()
            for name, update in self._wait():
                self._handle(name, update)
            if self._deadlines:
                self._end_overdue()
            self._keep_up()
        if not (self._end_reached or self._interrupts or self._failed or self._left):
            raise StateError(f"Run {self._flow}/{self._run} stopped before its end step")

    def _pending(self) -> bool:
        if self._running:
            return True
        if self._interrupts or self._failed:
            return False
        return bool(self._delayed) or any(workers.ready for workers in self._pools)

    def _result(self, record: RunRecord) -> RunResult:
        """Return how the run ended."""
        if self._error is not None:
            state, message = RunState.FAILED, _told(self._error)
        elif self._end_reached:
            state, message = RunState.SUCCEEDED, ""
        elif self._interrupts:  # a task that fails because it is ended is not the reason
            state, message = RunState.INTERRUPTED, _interrupted_by(self._signal)
        elif self._failed:
            state, message = RunState.FAILED, self._failed[0][1].summary
        else:
            tasks = f"{self._left} task" + "s" * (self._left != 1)
            state, message = RunState.INTERRUPTED, f"{tasks} and what follows were left to a resume"
        failed = tuple(f"{record.pathspec}/{t.step}/{t.id}" for t, _ in self._failed)
        return RunResult(self._flow, self._run, state, time.time(), message, failed)

    def _write_down(self, record: RunRecord) -> RunResult:
        """Record the result wherever that is possible: a full disk must not hide its own error.

        A run whose results or end are not in the store has not succeeded, whatever its tasks did:
        other machines know only what is there.
        """
        self._try(self._flush)
        result = self._result(record)
        key = result_key(self._flow, self._run)
        self._try(lambda: self._session.store.write([(key, result.encode())], create_only=True))
        if result.state is RunState.SUCCEEDED:
            result = self._result(record)
        self._try(
            lambda: self._set_state(
                result.state, finished_at=result.finished_at, message=result.message
            )
        )
        finished = self._hook.flow_run_finished
        self._try(lambda: finished(session=self._session, run=record, result=result))
        return result

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:
            self._error = self._error or error

    def _set_state(self, state: RunState, **changes: Any) -> None:
        self._state = advance_run(self._state, state)
        self._session.metadata.update_run(
            self._flow, self._run, state=state, heartbeat_at=time.time(), **changes
        )

    # --- launching ------------------------------------------------------------------------------

    def _fill(self) -> None:
        while self._delayed and self._delayed[0][0] <= time.time():
            again = heapq.heappop(self._delayed)[2]
            self._workers_for(again.step).ready.appendleft(again)
        while not self._interrupts and (workers := self._with_room()) is not None:
            task = self._take(workers.ready)
            if isinstance(task, Gang):
                self._start_gang(task)
                continue
            reused = self._reuse(task) if self._heard["flow_reuse_task"] else None
            survivor = self._survivors.take(self._spec(task)) if self._survivors else None
            if survivor is not None and reused is None and task.adopts:
                self._await(task, survivor)
                continue
            if survivor is not None:
                self._end_survivor(survivor)
            if reused is not None:
                self._settled(task, reused)
            elif task.left:
                self._left += 1
            else:
                self._launch(task)

    def _workers_for(self, step: str) -> Workers:
        return self._workers[self._plans[step].compute]

    def _with_room(self) -> Workers | None:
        """Return workers that have room for what waits for them; there are few to ask."""
        return next((workers for workers in self._pools if workers.has_room()), None)

    def _take(self, ready: deque[_Task | _Range | Gang]) -> _Task | Gang:
        first = ready[0]
        if isinstance(first, _Range):
            task = first.pop()
            if first.next == first.frame.count:
                ready.popleft()
            return task
        ready.popleft()
        return first

    def _spec(self, task: _Task) -> TaskSpec:
        return TaskSpec(
            self._flow,
            self._run,
            task.step,
            task.id,
            task.attempt,
            task.inputs,
            _foreach(task),
            task.previous,
            task.fallback,
            task.iteration,
            task.gang.place(task) if task.gang else None,
            {"reuse": task.reasons} if task.reasons else {},
        )

    def _launch(self, task: _Task) -> None:
        self._tell_reused()
        plan = self._plans[task.step]
        spec, command = self._order(task, plan)
        handle = self._computes[plan.compute].launch(spec, command)
        self._launched(task, plan, spec, handle)

    def _order(self, task: _Task, plan: TaskPlan) -> tuple[TaskSpec, TaskCommand]:
        """Return all that the compute provider must know of an attempt."""
        task.spec = spec = self._spec(task)
        command = self._command(plan)
        command.timed = plan.timeout is not None and not task.fallback  # which runs no user's code
        if task.too_little and "memory" in command.resources:
            amount = plan.retry.memory(command.resources["memory"], task.too_little)
            command.resources["memory"] = amount
        if self._heard["flow_task_command"]:
            self._hook.flow_task_command(task=spec, plan=plan, command=command)
        if command.resources:
            task.spec = spec = spec._replace(
                notes={**spec.notes, "resources": dict(command.resources)}
            )
        return spec, command

    def _command(self, plan: TaskPlan) -> TaskCommand:
        """Return how attempts of a step are started, before plugins have their say on each."""
        command = TaskCommand()
        command.variables.update(plan.variables)
        command.resources.update(plan.resources)
        if plan.environment is not None:
            self._session.environments.choose(plan.step, command)
        return command

    def _steps_soon(self) -> dict[str, tuple[str, ...]]:
        """Return for each step those with an environment that come at most two steps later."""
        if not self._session.has_environments:
            return {}
        nodes, found = self._graph.nodes, {}
        for step, node in nodes.items():
            later = [*node.targets, *(two for one in node.targets for two in nodes[one].targets)]
            able = [n for n in later if self._plans[n].environment is not None]
            found[step] = tuple(dict.fromkeys(able))
        return {step: later for step, later in found.items() if later}

    def _expect(self, step: str) -> None:
        """Let what the steps after ``step`` run in be started ahead, while that one runs."""
        for name in self._soon.pop(step, ()):
            plan = self._plans[name]
            expect = getattr(self._computes[plan.compute], "expect", None)
            if expect is not None:
                expect(self._command(plan))

    def _launched(self, task: _Task, plan: TaskPlan, spec: TaskSpec, handle: Any) -> None:
        task.started = time.time()
        task.state = advance_attempt(task.state, AttemptState.RUNNING)
        self._running[plan.compute, handle] = task
        self._workers[plan.compute].running += 1
        if self._heard["flow_task_launched"]:
            self._hook.flow_task_launched(task=spec, handle=handle)
        self._record(task)
        if self._soon:
            self._expect(task.step)

    def _reuse(self, task: _Task) -> Manifest | None:
        """Let an earlier result stand for the task, if a plugin offers one; commit it as ours."""
        found = self._find_result(task)
        return self._adopt(task, found) if found is not None else None

    def _find_result(self, task: _Task) -> Manifest | None:
        """Return an earlier result that may stand for the task."""
        if task.attempt:
            return None
        from flow_core.reuse import ReuseDraft

        task.spec = self._spec(task)
        draft = ReuseDraft(task.spec, task.inputs_reused, self._run_reader())
        found: Manifest | None = self._hook.flow_reuse_task(
            task=task.spec, inputs_reused=task.inputs_reused, draft=draft
        )
        if found is not None and not self._goes_the_same_way(found):
            draft.because("flow-core", "way", origin=found.pathspec)
            found = None
        task.exact, task.reasons, task.left = draft.exact, draft.reasons, draft.left
        task.adopts = draft.adopts and not (draft.refused or draft.left)
        return None if draft.refused else found

    def _adopt(self, task: _Task, found: Manifest) -> Manifest:
        """Take an earlier result as that of the task; it is committed before anything reads it."""
        spec = task.spec
        assert spec is not None
        now = time.time()
        manifest = found._replace(
            run=self._run,
            task=task.id,
            attempt=0,
            state=advance_attempt(task.state, AttemptState.REUSED),
            inputs=task.inputs,
            foreach=spec.foreach,
            iteration=spec.iteration,
            origin=f"{found.pathspec}/{found.attempt}",
            started=task.started or now,
            finished=now,
            cpu_seconds=0.0,
            notes={**found.notes, "reuse": task.reasons},
        )
        self._reused[manifest.key] = manifest
        self._reused_since = True
        if len(self._reused) == _REUSED_AT_ONCE:
            self._commit_reused()
        return manifest

    def _run_reader(self) -> RunReader:
        """Return what reads this run, with the manifests that are not in the store yet."""
        if self._reader is None:
            from flow_core.binding import RunReader

            self._reader = RunReader(self._session.artifacts, self._document, self._reused)
        return self._reader

    def _tell_reused(self) -> None:
        """Before a task starts: it reads from reused ones, and its client looks for them too, which
        have no folder in the store by which it could find them before the index knows them."""
        if self._reused_since:
            self._flush()

    def _commit_reused(self) -> None:
        """Write the manifests of reused tasks, many in one object."""
        if self._reused:
            from flow_core.manifests import pack

            self._session.store.write([pack([*self._reused.values()])], create_only=True)
            self._reused.clear()

    def _goes_the_same_way(self, found: Manifest) -> bool:
        """Today's code may go on otherwise than the earlier run did: then the task runs again."""
        node = self._graph[found.step]
        transition = found.transition
        if transition is None or transition.artifact != (node.foreach or node.condition):
            return False
        if node.kind == SWITCH:
            return (transition.case, *transition.targets) in node.cases
        if node.kind == PARALLEL and not _has_size(node, transition.count):
            return False
        if transition.count == 0 and not node.allow_empty:
            return False
        return transition.targets == node.targets

    # --- survivors of an earlier launcher -------------------------------------------------------

    def _look_for_survivors(self, record: RunRecord) -> None:
        """Find what an earlier launcher has started that still runs."""
        if not self._heard["flow_unfinished_attempts"]:
            return
        answers = self._hook.flow_unfinished_attempts(session=self._session, run=record)
        specs = (spec for answer in answers for spec in answer or () if spec.step in self._plans)
        self._survivors, elsewhere = find_survivors(self._computes, specs, self._compute_of)
        if self._survivors:
            self._emit(Message(still_running(self._survivors), "info", time.time()))
        for compute, count in elsewhere.items():
            self._emit(Message(out_of_reach(compute, count), "warning", time.time()))

    def _compute_of(self, spec: TaskSpec) -> str:
        """Return the provider that has started an attempt of an earlier run."""
        plans = self._session.run_document(spec.flow, spec.run).plans
        return str(plans[spec.step]["compute"])

    def _await(self, task: _Task, survivor: Survivor) -> None:
        """Let a survivor stand for the task: it waits for that one's end, in which it is reused."""
        task.origin = survivor
        task.reasons = [{"by": "flow-core", "kind": "adopted", "origin": survivor.pathspec}]
        task.spec = self._spec(task)._replace(notes={"adopts": survivor.pathspec})
        task.started = time.time()
        self._running[survivor.compute, survivor.handle] = task
        self._workers[survivor.compute].running += 1
        self._record(task)

    def _end_survivor(self, survivor: Survivor) -> None:
        """End one whose result this run does not want: nobody else would."""
        grace = self._session.settings["cancel_grace"]
        self._computes[survivor.compute].cancel([survivor.handle], grace)

    def _survivor_ended(self, task: _Task, exited: Exited) -> None:
        """Take the result of a survivor; where it has none that will do, the task runs itself."""
        assert task.origin is not None
        assert task.spec is not None
        found = self._manifest(task, exited)
        if found.ok and self._goes_the_same_way(found):
            self._settled(task, self._adopt(task, found))
        elif self._interrupts or self._failed:
            ended = Failure(
                "cancelled", "", f"the run ended before {task.origin.pathspec} was done"
            )
            left = dead_manifest(task.spec, exited, task.started, ended)
            self._session.store.write([(left.key, left.encode())], create_only=True)
            self._settled(task, left, exited)
        else:
            self._emit_end(task, found, RetryAfter(0.0), exited.notes)
            self._workers_for(task.step).ready.appendleft(task.anew())

    # --- gangs ----------------------------------------------------------------------------------

    def _add_gang(
        self, node: Node, frame: _Frame, inputs: tuple[InputRange, ...], reused: bool
    ) -> None:
        """Queue the members of a gang, which ``node`` leads to.

        Raises:
            UsageError: there will never be enough workers.
        """
        size, step = frame.count, node.targets[0]
        workers = self._workers_for(step)
        if size > workers.limit and self._workers_chosen:
            hint = command_line(self._session, "resume", f"--max-workers {size}")
            raise too_few_workers(node, size, workers.limit, hint)
        first = self._next_id
        self._next_id += size
        tasks = [_Task(step, first + n, frame, n, inputs, reused) for n in range(size)]
        workers.ready.append(Gang(tasks, size, first))
        if self._heard["flow_event"]:
            self._emit(TaskQueued(self._flow, self._run, step, size, time.time(), True))

    def _start_gang(self, gang: Gang) -> None:
        """Start all members, unless earlier results stand for all of them."""
        if self._heard["flow_reuse_task"]:
            found = [self._find_result(task) for task in gang.tasks]
            if is_whole(found, gang.size):
                for task, manifest in zip(gang.tasks, found, strict=True):
                    assert manifest is not None
                    self._settled(task, self._adopt(task, manifest))
                return
            if gang.tasks[0].left:
                self._left += gang.size
                return
        for task in gang.tasks if self._survivors else ():
            survivor = self._survivors.take(self._spec(task))
            if survivor is not None:  # the others could not join those that run already
                self._end_survivor(survivor)
        plan = self._plans[gang.step]
        self._notice_size(gang, plan)
        self._tell_reused()
        orders = [self._order(task, plan) for task in gang.tasks]
        compute = cast("GangCompute", self._computes[plan.compute])
        handles = compute.launch_gang(orders)
        for task, (spec, _), handle in zip(gang.tasks, orders, handles, strict=True):
            self._launched(task, plan, spec, handle)

    def _notice_size(self, gang: Gang, plan: TaskPlan) -> None:
        """Say that a gang is bigger than the number of workers, which nobody has chosen."""
        limit = self._workers[plan.compute].limit
        if gang.workers <= limit or gang.tasks[0].attempt:
            return
        own = self._computes[plan.compute].capabilities.workers is None
        text = notice(plan.step, gang.size, limit, "" if own else plan.compute)
        self._emit(Message(text, "info", time.time()))

    def _settled_in_gang(
        self, gang: Gang, task: _Task, manifest: Manifest, notes: tuple[str, ...]
    ) -> None:
        """Note how a member ended. The first that fails ends the others; and only together they
        go on, or start again."""
        gang.ended[task.index] = Ended(task, manifest, notes)
        caught = manifest.state is AttemptState.CAUGHT and not task.fallback
        if (caught or not manifest.ok) and gang.decision is None:
            self._break_up(gang, task, manifest)
        self._note_end(task, manifest)
        if not manifest.ok:
            self._emit_end(task, manifest, gang.decision, notes)
        if gang.is_over:
            self._gang_over(gang)

    def _break_up(self, gang: Gang, task: _Task, manifest: Manifest) -> None:
        """Decide what follows the first failure of a gang, and end the members that still run."""
        failure = manifest.failure or _UNKNOWN
        gang.failure = (task, failure)
        # What a plugin handled in the task itself it handles for the other members too.
        gang.decision = Fallback() if manifest.ok else self._verdict(task, manifest, failure)
        mine = [(key, other) for key, other in self._running.items() if other.gang is gang]
        if mine and not self._cancelled:  # else they are asked already, with a time of their own
            compute = self._computes[mine[0][0][0]]
            compute.cancel(
                [handle for (_, handle), _ in mine], self._session.settings["cancel_grace"]
            )

    def _gang_over(self, gang: Gang) -> None:
        """All members have ended: go on with their results, or start them again."""
        ended = [gang.ended[index] for index in range(gang.size)]
        starts_again = isinstance(gang.decision, RetryAfter)
        for task, manifest, notes in ended:
            # That a member did well is told now that it is known whether it has to do it again.
            if manifest.ok and task.gang is gang:
                self._emit_end(task, manifest, gang.decision if starts_again else None, notes)
        if isinstance(gang.decision, GiveUp):
            return
        again = gang.next_attempt() if gang.decision is not None else None
        if again is not None:
            at = time.time() + (seconds_until(gang.decision) or 0.0)
            heapq.heappush(self._delayed, (at, again.tasks[0].id, again))
            return
        for task, manifest, _ in ended:
            self._go_on(task, manifest)

    # --- waiting --------------------------------------------------------------------------------

    def _wait(self) -> Iterator[tuple[str, Update]]:
        timeout = self._timeout()
        if len(self._computes) == 1:
            ((name, compute),) = self._computes.items()
            if self._running:
                yield from ((name, update) for update in compute.poll(timeout))
            elif timeout:
                time.sleep(timeout)
            return
        sources = [c.fileno() for c in self._computes.values()]
        if timeout:
            readable = [s for s in sources if s is not None]
            _wait_for_any(readable, timeout if len(readable) == len(sources) else 0.05)
        for name, compute in self._computes.items():
            yield from ((name, update) for update in compute.poll(0.0))

    def _timeout(self) -> float:
        ending = self._failed or self._interrupts
        if not ending and self._with_room() is not None:
            return 0.0
        if not self._running and not self._delayed:
            return 0.0  # all that was left was reused
        if self._delayed:
            return min(_WAKE_SECONDS, max(0.0, self._delayed[0][0] - time.time()))
        # Signals set a flag, which must be seen soon; and the index is written now and then.
        return _WAKE_SECONDS

    def _handle(self, name: str, update: Update) -> None:
        task = self._running.get((name, update.handle))
        if task is None:  # it has ended already, or is one that nobody waits for yet
            if isinstance(update, Exited) and self._survivors:
                self._survivors.forget(name, update.handle)
            return
        if isinstance(update, Output):
            self._output(task, update)
        elif isinstance(update, Started):
            task.pid = update.pid
            self._set_deadline((name, update.handle), task, update)
            self._emit_started(task, update.at)
        elif isinstance(update, Begun):
            self._set_deadline((name, update.handle), task, update)
        elif isinstance(update, Waiting):
            self._emit(Message(f"{task.step}/{task.id} waits: {update.why}", "info", update.at))
        else:
            del self._running[name, update.handle]
            self._workers[name].running -= 1
            ended_well = update.manifest.ok if update.manifest else update.code == 0
            if ended_well and not (self._interrupts or self._failed):
                self._fill()  # its worker need not wait until all that follows is written down
            if task.origin is not None:
                self._survivor_ended(task, update)
            else:
                self._settled(task, self._manifest(task, update), update)

    def _output(self, task: _Task, update: Output) -> None:
        if self._heard["flow_event"] and task.spec is not None:
            self._emit(TaskOutput(task.spec, task.pid, update.stream, update.data, update.at))

    def _emit_started(self, task: _Task, at: float) -> None:
        if self._heard["flow_event"] and task.spec is not None:
            self._emit(TaskStarted(task.spec, task.pid, at))

    def _manifest(self, task: _Task, exited: Exited) -> Manifest:
        """Return what the attempt committed; when it committed nothing, commit that it failed."""
        if exited.manifest is not None:
            return exited.manifest
        spec = task.origin.spec if task.origin is not None else task.spec
        assert spec is not None
        key = manifest_key(*spec[:5])
        raw = next(iter(self._session.store.read([key])))
        if raw is None:
            dead = self._dead(task, spec, exited)
            # Create-only: a result that was on its way after all comes first, or never.
            if self._session.store.write([(key, dead.encode())], create_only=True)[0]:
                return dead
            raw = next(iter(self._session.store.read([key])))
            assert raw is not None
        return Manifest.decode(raw, key)

    def _dead(self, task: _Task, spec: TaskSpec, exited: Exited) -> Manifest:
        failure, ours = None, self._is_ending(task)
        if task.overdue and exited.cause not in ("lost", "launch"):
            failure = Failure("timeout", "", overdue(self._plans[task.step]))
        elif exited.cause == "cancelled" and ours and task.gang is not None:
            failure = task.gang.ended_by_the_others()
        elif exited.code == EXIT_NOT_COMMITTED and exited.cause == "exit":
            failure = Failure(StoreError.failure_cause, "", _NOT_STORED)
        return dead_manifest(spec, exited, task.started, failure, cancelled=ours)

    def _is_ending(self, task: _Task) -> bool:
        """Whether it was asked to end, as all are, or all of its gang. Others may cancel tasks too,
        such as the administrator of a cluster: that is a failure."""
        return self._cancelled or (task.gang is not None and task.gang.decision is not None)

    # --- after an attempt -----------------------------------------------------------------------

    def _settled(self, task: _Task, manifest: Manifest, exited: Exited | None = None) -> None:
        if manifest.state is not AttemptState.REUSED:
            task.state = advance_attempt(task.state, manifest.state)
        notes = exited.notes if exited else ()
        if task.gang is not None:
            self._settled_in_gang(task.gang, task, manifest, notes)
            return
        decision = None if manifest.ok else self._decide(task, manifest)
        self._note_end(task, manifest)
        self._emit_end(task, manifest, decision, notes)
        if manifest.ok:
            self._go_on(task, manifest)

    def _note_end(self, task: _Task, manifest: Manifest) -> None:
        self._record(task, manifest)
        if self._heard["flow_task_finished"]:
            self._hook.flow_task_finished(task=task.spec, manifest=manifest)

    def _emit_end(
        self, task: _Task, manifest: Manifest, decision: Decision | None, notes: tuple[str, ...]
    ) -> None:
        if self._heard["flow_event"] and task.spec is not None:
            again, fallback = seconds_until(decision), isinstance(decision, Fallback)
            now = time.time()
            self._emit(TaskFinished(task.spec, task.pid, manifest, again, now, notes, fallback))

    def _decide(self, task: _Task, manifest: Manifest) -> Decision:
        """Return what follows a failure, and schedule the next attempt if there is one."""
        failure = manifest.failure or _UNKNOWN
        decision = self._verdict(task, manifest, failure)
        seconds = seconds_until(decision)
        if seconds is not None:
            again = task.again(failure, isinstance(decision, Fallback))
            heapq.heappush(self._delayed, (time.time() + seconds, task.id, again))
        return decision

    def _verdict(self, task: _Task, manifest: Manifest, failure: Failure) -> Decision:
        """Return what follows a failure; remember one after which all is lost."""
        decision = self._decision(task, manifest)
        if not (isinstance(decision, GiveUp) or self._interrupts or self._failed):
            return decision
        if manifest.state is not AttemptState.CANCELLED:
            self._failed.append((task, failure))
        return GiveUp()

    def _decision(self, task: _Task, manifest: Manifest) -> Decision:
        plan = self._plans[task.step]
        if manifest.state is AttemptState.CANCELLED or task.fallback:
            return GiveUp()
        if self._heard["flow_attempt_decision"]:
            decided: Decision | None = self._hook.flow_attempt_decision(
                task=task.spec, plan=plan, manifest=manifest
            )
            if decided is not None:
                return decided
        if plan.retry.allows(task.attempt, manifest.failure or _UNKNOWN):
            return RetryAfter(plan.retry.wait(task.attempt, _chance(plan.retry)))
        # What the plugin could handle in the task itself does not come here as a failure.
        return Fallback() if plan.handles_failure else GiveUp()

    def _go_on(self, task: _Task, manifest: Manifest) -> None:
        """Queue what follows a finished task."""
        transition = manifest.transition
        assert transition is not None, "a manifest that is ok has a transition"
        reused = manifest.state is AttemptState.REUSED and task.exact
        ref = InputRef(task.step, task.id, manifest.attempt)
        node = self._graph[task.step]
        if not transition.targets:
            self._end_reached = True
        elif node.kind == FOREACH:
            count = transition.count or 0
            if not count:
                self._add_empty_join(task, ref, reused)
                return
            frame = _Frame(task.frame, task.index, ref, transition.artifact, count)
            inputs = (InputRange(ref.step, ref.task, ref.task, ref.attempt),)
            self._add_range(transition.targets[0], frame, inputs, reused)
        elif node.kind == PARALLEL:
            frame = _Frame(task.frame, task.index, ref, "", transition.count or 0)
            inputs = (InputRange(ref.step, ref.task, ref.task, ref.attempt),)
            self._add_gang(node, frame, inputs, reused)
        elif node.kind == SPLIT:
            frame = _Frame(task.frame, task.index, ref, None, len(transition.targets))
            for index, target in enumerate(transition.targets):
                self._follow(target, frame, index, ref, reused)
        elif transition.targets[0] == task.step:
            inputs = (InputRange(ref.step, ref.task, ref.task, ref.attempt),)
            self._add(task.step, task.frame, task.index, inputs, reused, task.iteration + 1)
        else:
            self._follow(transition.targets[0], task.frame, task.index, ref, reused)

    def _add_empty_join(self, task: _Task, ref: InputRef, reused: bool) -> None:
        """Queue the join of a foreach without items: see `InputRange`."""
        inputs = (InputRange(ref.step, ref.task, ref.task - 1, ref.attempt),)
        self._add(self._graph.join_of(task.step), task.frame, task.index, inputs, reused)

    def _follow(
        self, target: str, frame: _Frame | None, index: int, ref: InputRef, reused: bool
    ) -> None:
        if not self._graph[target].joins:
            inputs = (InputRange(ref.step, ref.task, ref.task, ref.attempt),)
            self._add(target, frame, index, inputs, reused)
        else:
            assert frame is not None, "lint lets no join stand outside of a split"
            if frame.arrive(index, ref, reused):
                self._add(target, frame.outer, frame.index, frame.inputs(), frame.reused)

    def _add(
        self,
        step: str,
        frame: _Frame | None,
        index: int,
        inputs: tuple[InputRange, ...],
        reused: bool,
        iteration: int = 0,
    ) -> None:
        # In front of what waits: a foreach item goes on to its join before the next one begins,
        # so that the number of half-done items stays near the number of workers.
        task = _Task(step, self._next_id, frame, index, inputs, reused, iteration)
        self._workers_for(step).ready.appendleft(task)
        self._next_id += 1
        self._emit_queued(step, 1)

    def _add_range(
        self, step: str, frame: _Frame, inputs: tuple[InputRange, ...], reused: bool
    ) -> None:
        waiting = _Range(step, frame, self._next_id, inputs, reused)
        self._workers_for(step).ready.append(waiting)
        self._next_id += frame.count
        self._emit_queued(step, frame.count)

    def _emit_queued(self, step: str, count: int) -> None:
        if self._heard["flow_event"]:
            self._emit(TaskQueued(self._flow, self._run, step, count, time.time()))

    # --- deadlines ------------------------------------------------------------------------------

    def _set_deadline(self, key: tuple[str, Any], task: _Task, update: Started | Begun) -> None:
        plan = self._plans[task.step]
        if plan.timeout is None or task.fallback:
            return
        task.deadline = latest_end(plan, update, self._computes[key[0]].capabilities)
        if len(self._deadlines) > 2 * len(self._running) + _SPARE_DEADLINES:
            self._deadlines = [d for d in self._deadlines if self._attempt_of(d) is not None]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (task.deadline, task.id, task.attempt, key))

    def _end_overdue(self) -> None:
        """End attempts that should have ended by themselves: stuck in C code, for example."""
        now = time.time()
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline = heapq.heappop(self._deadlines)
            task = self._attempt_of(deadline)
            if task is not None:
                task.overdue = True
                name, handle = deadline[3]
                self._computes[name].cancel([handle], FORCE_SECONDS)

    def _attempt_of(self, deadline: tuple[float, int, int, tuple[str, Any]]) -> _Task | None:
        """Return the attempt of a deadline, while it runs and has no newer one."""
        task = self._running.get(deadline[3])
        same = task is not None and (task.deadline, task.id, task.attempt) == deadline[:3]
        return task if same else None

    # --- ending early ---------------------------------------------------------------------------

    def _wind_down(self) -> None:
        """Start nothing more. After a failure, what runs may still finish, for a while; after
        Ctrl-C it is asked to end, and after a second one it ends."""
        seen = self._interrupts
        if seen:
            if not self._cancelled or seen > 1:
                self._cancel(self._session.settings["cancel_grace"] if seen == 1 else 0.0)
                self._say_waiting_at = time.time() + _QUIET_SECONDS if seen == 1 else 0.0
                self._interrupts -= max(0, seen - 1)  # the next Ctrl-C is a new second one
            elif 0 < self._say_waiting_at <= time.time():
                self._say_waiting_at = 0.0
                self._tell_whom_ctrl_c_waits_for()
        elif self._running and not self._cancelled:
            self._wait_for_siblings()

    def _tell_whom_ctrl_c_waits_for(self) -> None:
        grace, count = self._session.settings["cancel_grace"], len(self._running)
        if count == 1:
            text = f"1 task is still ending: it has {grace:g} s. Ctrl-C again ends it at once."
        else:
            text = f"{count} tasks are still ending: they have {grace:g} s. Ctrl-C again ends them at once."
        if count:
            self._emit(Message(text, "warning", time.time()))

    def _wait_for_siblings(self) -> None:
        now, settings = time.time(), self._session.settings
        if self._give_up_at is None:
            self._give_up_at = now + settings["failure_grace"]
            count = sum(t.gang is None or t.gang.decision is None for t in self._running.values())
            what = f"{count} running tasks get" if count > 1 else "the running task gets"
            text = f"A step failed: {what} {settings['failure_grace']:g} s to finish."
            if count:  # the others of its gang are being ended already
                self._emit(Message(text, "warning", now))
        if now >= self._give_up_at:
            self._cancel(settings["cancel_grace"])

    def _cancel(self, grace: float) -> None:
        """Have all running tasks end within ``grace`` seconds."""
        self._cancelled = True
        for name, compute in self._computes.items():
            handles = [handle for owner, handle in self._running if owner == name]
            if handles:
                compute.cancel(handles, grace)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn Ctrl-C, SIGTERM and SIGHUP into an orderly end. Only a main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: Any) -> None:
            if not self._interrupts:
                self._signal = signal.Signals(number)
            self._interrupts += 1

        earlier = {number: signal.getsignal(number) for number in INTERRUPTS}
        for number in [n for n, handler in earlier.items() if handler is signal.SIG_IGN]:
            del earlier[number]  # by `nohup`, or a shell for what runs in its background
        for number in earlier:
            signal.signal(number, interrupt)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)  # see `interrupts_waiting`
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    # --- writing down ---------------------------------------------------------------------------

    def _record(self, task: _Task, manifest: Manifest | None = None) -> None:
        """Note for the index that the task runs, or, with its manifest, how it ended."""
        assert task.spec is not None
        if manifest is None:
            started = task.started
            indices = task.spec.indices
            record = AttemptRecord(
                self._flow,
                self._run,
                task.step,
                task.id,
                task.attempt,
                task.state,
                indices,
                started,
                origin=task.origin.pathspec if task.origin is not None else None,
            )
        else:
            record = AttemptRecord.from_manifest(manifest)
        # A task that starts and ends between two writes is written once.
        self._records[task.step, task.id, task.attempt] = record

    def _keep_up(self) -> None:
        now = time.time()
        if len(self._records) >= _FLUSH_RECORDS or now - self._flushed > _FLUSH_SECONDS:
            self._flush()
        if now - self._heartbeat > _HEARTBEAT_SECONDS:
            self._heartbeat = now
            self._session.metadata.update_run(self._flow, self._run, heartbeat_at=now)
            self._give_sign(now)

    def _give_sign(self, now: float) -> None:
        """Let other machines see in a shared store that the run goes on."""
        store = self._session.store
        if store.capabilities.shared:
            content = str(now).encode()
            with suppress(StoreError):  # what tasks and launcher need of it, tells why
                store.write([(heartbeat_key(self._flow, self._run), content)])

    def _flush(self) -> None:
        self._commit_reused()  # first: the index knows nothing that is not in the store
        self._flushed, self._reused_since = time.time(), False
        if self._records:
            self._session.metadata.write_attempts(list(self._records.values()))
            self._records.clear()

    def _emit(self, event: Any) -> None:
        if self._heard["flow_event"]:
            self._hook.flow_event(event=event)


def _told(error: Exception) -> str:
    """Return what the run's record says of an error of the launcher."""
    what: str = getattr(error, "what", f"{type(error).__name__}: {error}")
    # That the disk is full says more than that a write failed.
    return f"{what}: {error.why}" if isinstance(error, StoreError) and error.why else what


def _has_size(node: Node, count: int | None) -> bool:
    """Whether an earlier run made a gang as big as the source says now, where it does say that."""
    size = node.num_parallel or ""
    return count is not None and (not size.isdigit() or int(size) == count)


def _foreach(task: _Task) -> tuple[ForeachFrame, ...]:
    """Return the foreaches around a task, outermost first; static splits do not show."""
    frames: list[ForeachFrame] = []
    frame, index = task.frame, task.index
    while frame is not None:
        if frame.artifact is not None:
            frames.append(ForeachFrame(*frame.split, frame.artifact, index, frame.count))
        index = frame.index
        frame = frame.outer
    return tuple(reversed(frames))


def dead_manifest(
    spec: TaskSpec,
    exited: Exited,
    started: float,
    failure: Failure | None = None,
    *,
    cancelled: bool = True,
) -> Manifest:
    """Return the manifest of an attempt whose process is gone and has left none.

    Args:
        spec: the attempt.
        exited: what its compute provider told.
        started: when it was launched, seconds.
        failure: why it failed; None = what ``exited`` says.
        cancelled: whether the launcher had asked it to end: if it is ``cancelled`` then, that is no
            failure, but its own will.
    """
    failure = failure or Failure(
        exited.cause, _signal_name(exited), _death(exited, cancelled), hint=exited.hint
    )
    ended_by_us = cancelled and failure.cause == "cancelled"
    return Manifest(
        spec.flow,
        spec.run,
        spec.step,
        spec.task,
        spec.attempt,
        AttemptState.CANCELLED if ended_by_us else AttemptState.FAILED,
        inputs=spec.inputs,
        foreach=spec.foreach,
        iteration=spec.iteration,
        notes=spec.notes,
        started=started,
        finished=exited.at or time.time(),
        cpu_seconds=exited.cpu_seconds,
        peak_memory=exited.peak_memory,
        failure=failure,
    )


def _wait_for_any(descriptors: list[int], timeout: float) -> None:
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        selector.select(timeout)


def _chance(policy: RetryPolicy) -> float:
    if not policy.jitter:
        return 0.0
    import random  # few runs ask for chance

    return random.random()


def latest_end(plan: TaskPlan, update: Started | Begun, capabilities: ComputeCapabilities) -> float:
    """Return when an attempt with a time limit must be ended by force.

    The limit counts from where the body begins. Until a provider that tells of it has done so, the
    start is bounded too: an import may hang for ever.
    """
    starts = isinstance(update, Started) and capabilities.tells_begin
    return update.at + (plan.timeout or 0) + plan.timeout_grace + _START_SECONDS * starts


def overdue(plan: TaskPlan) -> str:
    """Return what is told of an attempt that a person would have waited for in vain."""
    return f"it took longer than {plan.timeout:g} s and was ended by force"


def _interrupted_by(number: signal.Signals) -> str:
    name = "Ctrl-C" if number is signal.SIGINT else number.name
    return f"interrupted by a signal ({name})"


def _signal_name(exited: Exited) -> str:
    if exited.signal is None:
        return ""
    try:
        return signal.Signals(exited.signal).name
    except ValueError:
        return f"signal {exited.signal}"


def _death(exited: Exited, cancelled: bool) -> str:
    if exited.message:
        return exited.message
    if exited.cause == "cancelled" and not cancelled:
        return "somebody else cancelled it"
    if exited.signal is not None:
        return f"the process was killed by {_signal_name(exited)}"
    return f"the process ended with exit status {exited.code} before the step was finished"
