"""`Task`: one task of a run, or one of its attempts."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

from flow_client.artifact import DataArtifact
from flow_client.base import Container
from flow_client.data import FlowData
from flow_client.errors import ObjectNotFound, names_hint
from flow_client.pathspec import split
from flow_client.reader import STREAMS, moment
from flow_core.api import (
    OK_STATES,
    AttemptRecord,
    AttemptState,
    IntegrityError,
    UsageError,
    manifest_key,
)

if TYPE_CHECKING:
    from flow_client.code import Code
    from flow_client.own_run import TaskReader
    from flow_client.reader import Page
    from flow_client.run import Run
    from flow_client.step import Step
    from flow_core.api import ArtifactRef, Manifest, TaskContext

LOST = "lost"
STATES = (*(s.value for s in AttemptState), LOST)
_RUN_FACTS = ("script", "git", "python", "flow_core")
_OPEN = frozenset({AttemptState.QUEUED, AttemptState.RUNNING})
_SHOWN = 10


class Fact(NamedTuple):
    """One thing that is known of a task: see `Task.metadata`. ``type`` is the name again."""

    name: str
    value: Any
    created_at: datetime | None
    type: str
    task: Task


class TaskException(NamedTuple):
    """Why a task failed, as it was written down: the exception itself is not stored.

    Attributes:
        type: qualified name of the exception's class, or of the signal.
        message: one sentence.
        traceback: its text.
        cause: ``error`` for an exception of the step, else how the attempt died: ``killed``,
            ``out-of-memory``, ``exit``, ``timeout``, ``lost``, ``evicted``, ``preempted``,
            ``cancelled``, ``launch``, ``store``.
        hint: what to type or change next; ``''`` = nothing special.
    """

    type: str
    message: str
    traceback: str
    cause: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


class Task(Container[DataArtifact]):
    """One task. Its children are its artifacts, by name, without those that begin with ``_``.

    A task made by a listing costs one record; its manifest is read when it is first needed. What is
    read of a task that has ended is kept; of one that has not, it is read again each time.

    Args:
        pathspec: ``Flow/run/step/task``.
        attempt: number of the attempt, from 0; None = the latest.
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Raises:
        UsageError: the pathspec has another form, or the attempt is no number.
        ObjectNotFound: there is no such run, step, task or attempt.
        NamespaceMismatch: the run is not in the namespace.

    Since 0.1.
    """

    __slots__ = ("_attempt", "_manifest", "_page", "_record", "_step")
    _attempt: int | None
    _manifest: Manifest | None
    _page: Page | None
    _record: AttemptRecord
    _step: Step

    def __init__(
        self, pathspec: str, attempt: int | None = None, *, store: str | None = None
    ) -> None:
        flow, run, step, task = split("Task", pathspec)
        found = Task._find(_step(f"{flow}/{run}", step, store), task, attempt)
        self._reader, self._step = found._reader, found._step
        self._record, self._attempt, self._manifest = found._record, attempt, None
        self._page = None

    @classmethod
    def _of(
        cls,
        step: Step,
        record: AttemptRecord,
        attempt: int | None = None,
        page: Page | None = None,
    ) -> Task:
        task = cls.__new__(cls)
        task._reader = step._reader
        task._step = step
        task._record = record
        task._attempt = attempt
        task._manifest = None
        task._page = page  # of which the record is, as long as it is brief
        return task

    @classmethod
    def _find(cls, step: Step, name: str, attempt: int | None) -> Task:
        if attempt is not None and (not isinstance(attempt, int) or attempt < 0):
            raise UsageError(
                f"{attempt!r} is not the number of an attempt", hint="attempt=0 is the first one"
            )
        number = int(name) if name.isascii() and name.isdigit() else -1
        records = step._reader.attempts_of(*step._place, number) if number >= 0 else []
        if not records:
            raise _missing(step, name)
        if attempt is None:
            return cls._of(step, records[-1])
        for record in records:
            if record.attempt == attempt:
                return cls._of(step, record, attempt)
        raise ObjectNotFound(
            f"Task '{records[0].pathspec}' has no attempt {attempt}",
            where=step._reader.session.metadata.url,
            why="the index knows no such attempt",
            hint="attempts: " + ", ".join(str(r.attempt) for r in records),
        )

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> Task:
        from flow_client.step import Step

        step, _, name = pathspec.rpartition("/")
        return cls._find(Step._restore(step, None), name, attempt)

    # --- what it is -----------------------------------------------------------------------------

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return self._record.pathspec

    @property
    def id(self) -> str:
        """The number of the task within its run, as text."""
        return str(self._record.task)

    @property
    def _pinned(self) -> int | None:
        return self._attempt

    @property
    def parent(self) -> Step:
        """The step."""
        return self._step

    @property
    def attempt(self) -> int:
        """The number of the attempt that this object shows, from 0."""
        return self._fresh().attempt

    @property
    def current_attempt(self) -> int:
        """As `attempt`."""
        return self.attempt

    @property
    def attempts(self) -> list[Task]:
        """All attempts so far, in order, each as a task."""
        records = self._reader.attempts_of(*self._step._place, self._record.task)
        return [Task._of(self._step, r, r.attempt) for r in records]

    @property
    def index(self) -> int | None:
        """The number of its item in the innermost foreach, from 0; None outside of a foreach."""
        return self._record.indices[-1] if self._record.indices else None

    @property
    def foreach_indices(self) -> tuple[int, ...]:
        """The numbers in all surrounding foreaches, outermost first."""
        return self._record.indices

    @property
    def iteration(self) -> int:
        """How often its step had chosen itself before, from 0; 0 for all other steps."""
        manifest = self._result()
        return manifest.iteration if manifest is not None else 0

    @property
    def origin_pathspec(self) -> str | None:
        """The task of an earlier run whose result stands for this one, or None."""
        origin = self._details().origin
        return origin.rpartition("/")[0] if origin else None

    @property
    def runtime_name(self) -> str:
        """The compute provider that ran it: ``local``."""
        plan = self._run._document.plans.get(self._record.step, {})
        return str(plan.get("compute", ""))

    @property
    def environment_info(self) -> dict[str, Any]:
        """What it ran in: as `Step.environment_info`, and the host."""
        manifest = self._read_manifest()
        return {**self._step.environment_info, "host": manifest.host if manifest else ""}

    @property
    def code(self) -> Code | None:
        """The code of the run."""
        return self._run.code

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
    def _run(self) -> Run:
        return self._step._run

    # --- how it goes ----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``caught``, ``reused``, ``failed``,
        ``cancelled``, or ``lost``.

        ``caught``: it failed, a plugin handled it, and the flow went on. ``lost``: the run is over,
        and nobody knows what became of the task.
        """
        record = self._fresh()
        return LOST if self._is_lost(record) else record.state.value

    @property
    def successful(self) -> bool:
        """Whether its step ran to its end: False for a failure that was caught."""
        record = self._details()
        return record.state in OK_STATES and not record.cause

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more: it succeeded, or failed for good, or is lost."""
        record = self._fresh()
        return self._is_final(record) or self._is_lost(record)

    @property
    def failed(self) -> bool:
        """Whether it ended without a result that the flow could go on with."""
        return self.finished and self._record.state not in OK_STATES

    @property
    def exception(self) -> TaskException | None:
        """Why it failed, also when the failure was caught; None on success."""
        manifest = self._read_manifest()
        if manifest is not None and manifest.failure is not None:
            failure = manifest.failure
            return TaskException(
                failure.type, failure.message, failure.traceback, failure.cause, failure.hint
            )
        record = self._details()
        if manifest is None and record.cause:
            return TaskException("", record.message, "", record.cause)
        return None

    @property
    def created_at(self) -> datetime | None:
        """When the attempt started; None while it is queued."""
        return moment(self._details().started_at)

    @property
    def finished_at(self) -> datetime | None:
        """When the attempt ended; None while it runs."""
        return moment(self._details().finished_at)

    @property
    def runtime_seconds(self) -> float | None:
        """How long the attempt took, or has taken so far; None before it started."""
        record = self._details()
        if not record.started_at or self._is_lost(record):
            return None
        return (record.finished_at or time.time()) - record.started_at

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the attempt's process; 0 while it runs."""
        return self._details().cpu_seconds

    @property
    def peak_memory(self) -> int:
        """Bytes of memory that the attempt's process used at most; 0 while it runs."""
        return self._details().peak_memory

    def _fresh(self) -> AttemptRecord:
        """Return the record, read again unless nothing more can come."""
        if not self._is_final(self._record):
            records = self._reader.attempts_of(*self._step._place, self._record.task)
            if self._attempt is not None:
                records = [r for r in records if r.attempt == self._attempt]
            if records and records[-1] != self._record:
                self._record, self._manifest, self._page = records[-1], None, None
            if self._record.state in _OPEN and self._run.finished:
                self._correct()
        return self._record

    def _details(self) -> AttemptRecord:
        """As `_fresh`, with what a listing leaves out."""
        record = self._fresh()
        if self._page is not None:
            record = self._record = self._page.complete(record)
            self._page = None
        return record

    def _correct(self) -> None:
        """The index of a run whose launcher died lags behind: the manifest counts."""
        manifest = self._manifest = self._reader.manifest(self._record)
        if manifest is not None:
            self._record, self._page = AttemptRecord.from_manifest(manifest), None

    def _is_final(self, record: AttemptRecord) -> bool:
        if record.state in OK_STATES or record.state is AttemptState.CANCELLED:
            return True
        if record.state in _OPEN:
            return False
        return self._attempt is not None or self._run.finished or not self._may_retry(record)

    def _may_retry(self, record: AttemptRecord) -> bool:
        """Whether the plan lets another attempt follow a failed one while the run goes on."""
        plan = self._run._document.plans.get(record.step, {})
        times = plan.get("retry", {}).get("times", 0)
        if record.attempt < times:
            return True
        return bool(plan.get("handles_failure")) and record.attempt == times

    def _is_lost(self, record: AttemptRecord) -> bool:
        return record.state in _OPEN and self._run.finished

    # --- artifacts ------------------------------------------------------------------------------

    @property
    def data(self) -> FlowData:
        """The artifacts as attributes: ``task.data.x``. Parameters and constants are among them."""
        return FlowData(self, self._table())

    @property
    def artifacts(self) -> list[DataArtifact]:
        """The artifacts, by name, without those that begin with ``_``."""
        return list(self._children())

    def _children(self) -> Iterator[DataArtifact]:
        for name, ref in sorted(self._table().items()):
            if not name.startswith("_"):
                yield DataArtifact._of(self, name, ref)

    def _child(self, name: str) -> DataArtifact:
        table = self._table()
        if name not in table:
            ended = self._read_manifest() is not None
            raise ObjectNotFound(
                f"Task '{self.pathspec}' has no artifact '{name}'",
                where=f"attempt {self._record.attempt}",
                why=None if ended else "the attempt has not committed any yet",
                hint=names_hint(name, sorted(table), "artifacts"),
            )
        return DataArtifact._of(self, name, table[name])

    def _table(self) -> Mapping[str, ArtifactRef]:
        document = self._run._document
        manifest = self._result()
        own = manifest.artifacts if manifest is not None else {}
        # A step reads the parameter 'learning-rate' as self.learning_rate.
        given = {name.replace("-", "_"): ref for name, ref in document.parameters.items()}
        return {**document.constants, **given, **own}

    def _read_manifest(self) -> Manifest | None:
        record = self._fresh()
        if self._manifest is None:
            self._manifest = self._reader.manifest(record)
        return self._manifest

    def _result(self) -> Manifest | None:
        """As `_read_manifest`; `IntegrityError` when there must be one and is not."""
        manifest = self._read_manifest()
        if manifest is None and self._record.state in OK_STATES:
            raise IntegrityError(
                f"The manifest of task '{self.pathspec}' is missing",
                where=f"{manifest_key(*self._record[:5])} in {self._reader.session.store.url}",
                why="the task ended well, but the file that lists its artifacts is gone",
                hint="restore it from a copy of the store, or run the flow again",
            )
        return manifest

    # --- logs -----------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        """What the attempt wrote to its standard output; for a reused task, the original one's."""
        return "".join(self._text("stdout"))

    @property
    def stderr(self) -> str:
        """What the attempt wrote to its standard error; for a reused task, the original one's."""
        return "".join(self._text("stderr"))

    @property
    def stdout_size(self) -> int:
        """The length of `stdout` in bytes, without reading it."""
        return self._reader.log_size(self._details(), "stdout")

    @property
    def stderr_size(self) -> int:
        """The length of `stderr` in bytes, without reading it."""
        return self._reader.log_size(self._details(), "stderr")

    @overload
    def loglines(
        self, stream: str = "stdout", as_unicode: Literal[True] = True
    ) -> Iterator[str]: ...

    @overload
    def loglines(self, stream: str, as_unicode: Literal[False]) -> Iterator[bytes]: ...

    def loglines(
        self, stream: str = "stdout", as_unicode: bool = True
    ) -> Iterator[str] | Iterator[bytes]:
        """Yield the lines of a stream, without line ends, reading a megabyte at a time.

        Args:
            stream: ``stdout`` or ``stderr``.
            as_unicode: whether the lines are text; else they are the bytes that were written.

        Raises:
            UsageError: the stream is neither ``stdout`` nor ``stderr``.
        """
        if stream not in STREAMS:
            raise UsageError(
                f"There is no stream '{stream}'", hint='loglines("stdout") or loglines("stderr")'
            )
        return self._lines(stream) if as_unicode else self._raw_lines(stream)

    def _raw_lines(self, stream: str) -> Iterator[bytes]:
        rest = b""
        for chunk in self._reader.log(self._details(), stream):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest

    def _lines(self, stream: str) -> Iterator[str]:
        rest = ""
        for text in self._text(stream):
            *lines, rest = (rest + text).split("\n")
            yield from lines
        if rest:
            yield rest

    def _text(self, stream: str) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for chunk in self._reader.log(self._details(), stream):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)

    # --- facts ----------------------------------------------------------------------------------

    @property
    def metadata_dict(self) -> dict[str, Any]:
        """What is known of the attempt, by name: attempt, state, host, pid, times, origin, foreach,
        and of its run: code, script, versions, git state, user, compute, environment, datastore.

        Notes of plugins stand under their own names.
        """
        record, manifest, document = self._details(), self._read_manifest(), self._run._document
        facts: dict[str, Any] = {
            **{name: document.info[name] for name in _RUN_FACTS if name in document.info},
            "code": document.code,
            "user": document.user,
            "compute": self.runtime_name,
            "environment": document.environment_name(record.step),
            "datastore": self._reader.session.store.url,
            "origin_run_id": record.origin.split("/")[1] if record.origin else None,
            "origin_task_id": record.origin.split("/")[3] if record.origin else None,
            "foreach_indices": record.indices,
            "attempt": record.attempt,
            "state": self.state,
            "started_at": moment(record.started_at),
            "finished_at": moment(record.finished_at),
            "cpu_seconds": record.cpu_seconds,
            "peak_memory": record.peak_memory,
            "origin": record.origin,
        }
        if manifest is not None:
            facts["foreach_stack"] = [f"{f.step}:{f.artifact}[{f.index}]" for f in manifest.foreach]
            facts |= {**manifest.notes, "host": manifest.host, "pid": manifest.pid}
        return facts

    @property
    def metadata(self) -> list[Fact]:
        """As `metadata_dict`, as a list of (name, value, time, type, task)."""
        at = self.finished_at or self.created_at
        return [Fact(name, value, at, name, self) for name, value in self.metadata_dict.items()]

    # --- neighbours -----------------------------------------------------------------------------

    @property
    def parent_tasks(self) -> Iterator[Task]:
        """The tasks whose results it read, in order; of a running task only it knows them itself."""
        manifest = self._result()
        flow, run, _ = self._step._place
        inputs = manifest.inputs if manifest else self._reader.inputs_of(self._record)
        for step, first, last, _ in inputs:
            parent = self._sibling_step(step)
            last = max(first, last)  # of a foreach without items it is the task that split
            for record in self._reader.upwards(flow, run, step, first - 1):
                if record.task > last:
                    break
                yield Task._of(parent, record)

    @property
    def child_tasks(self) -> Iterator[Task]:
        """The tasks that read its result, as far as they have started."""
        flow, run, name = self._step._place
        node = self._run.graph["steps"].get(name, {})
        manifest = self._result()
        taken = manifest.transition if manifest is not None else None
        for step in taken.targets if taken is not None else node.get("targets", ()):
            # A task follows another when that went to its step and one's place in the foreaches
            # lies within the other's; ids grow along every way.
            places: set[tuple[int, ...]] = set()  # more tasks at one place: the step repeated
            for record in self._reader.upwards(flow, run, step, self._record.task):
                if _nested(self._record.indices, record.indices) and record.indices not in places:
                    places.add(record.indices)
                    yield Task._of(self._sibling_step(step), record)
                    if node.get("kind") not in ("foreach", "parallel"):
                        break

    @property
    def parent_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of `parent_tasks`."""
        return (task.pathspec for task in self.parent_tasks)

    @property
    def child_task_pathspecs(self) -> Iterator[str]:
        """The pathspecs of `child_tasks`."""
        return (task.pathspec for task in self.child_tasks)

    def _sibling_step(self, name: str) -> Step:
        return type(self._step)._of(self._run, name)

    def _repr_html_(self) -> str:
        from flow_client.html import task_table

        return task_table(self)


def running(context: TaskContext, source: TaskReader) -> Task:
    """Return the task that runs in this process, which needs no index to be found."""
    from flow_client.run import running as running_run
    from flow_client.step import Step

    step = Step._of(running_run(context, source), context.spec.step)
    return Task._of(step, source.own)


def _nested(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    depth = min(len(one), len(other))
    return one[:depth] == other[:depth]


def _step(run: str, name: str, store: str | None) -> Step:
    from flow_client.run import Run
    from flow_client.step import Step

    return Step._find(Run(run, store=store), name)


def _missing(step: Step, name: str) -> ObjectNotFound:
    ids = [str(task.id) for task in step.tasks(limit=_SHOWN + 1)]
    return ObjectNotFound(
        f"Step '{step.pathspec}' has no task '{name}'",
        where=step._reader.session.metadata.url,
        why="tasks have numbers" if not name.isdigit() else "the index knows no such task",
        hint=names_hint("", ids, "newest tasks") or "no task of the step has started",
    )
