"""Records: what is written down about runs, tasks and attempts, and what is told about them.

Records are immutable values without behaviour beyond conversion. They are `NamedTuple`s, since a run
makes them by the hundred thousand and a frozen dataclass costs five times as much to make.
The JSON forms are the stored formats; they carry `FORMAT`, and a reader refuses a newer one.
"""

# Annotations are not postponed here: a NamedTuple compiles those that are text, at every start.

import json
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from flow_core.errors import FormatError, IntegrityError, StateError

FORMAT = 1
"""Version of the stored formats (manifest, run.json, task specification) written by this version."""

LONGEST_TEXT = 500
"""Characters of the JSON text of a parameter up to which runs are found by it."""

# Made once: `json.dumps` and `json.loads` do more each time.
_JSON = json.JSONEncoder(separators=(",", ":"))
_FROM_JSON = json.JSONDecoder().raw_decode


class RunState(str, Enum):
    """Where a run is in its life. See `RUN_TRANSITIONS` for the ways between the states."""

    CREATED = "created"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class AttemptState(str, Enum):
    """Where one attempt of a task is in its life.

    ``caught``: the step failed and a plugin handled it, the flow goes on. ``reused``: the result of
    an earlier run stands for it. ``cancelled``: the launcher ended it before its end.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CAUGHT = "caught"
    REUSED = "reused"
    FAILED = "failed"
    CANCELLED = "cancelled"


RUN_TRANSITIONS: Mapping[RunState, frozenset[RunState]] = {
    RunState.CREATED: frozenset({RunState.RUNNING, RunState.FAILED, RunState.INTERRUPTED}),
    RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.INTERRUPTED}),
    RunState.SUCCEEDED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.INTERRUPTED: frozenset(),
}

ATTEMPT_TRANSITIONS: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.QUEUED: frozenset(
        {AttemptState.RUNNING, AttemptState.REUSED, AttemptState.CANCELLED}
    ),
    AttemptState.RUNNING: frozenset(
        {
            AttemptState.SUCCEEDED,
            AttemptState.CAUGHT,
            AttemptState.FAILED,
            AttemptState.CANCELLED,
        }
    ),
    AttemptState.SUCCEEDED: frozenset(),
    AttemptState.CAUGHT: frozenset(),
    AttemptState.REUSED: frozenset(),
    AttemptState.FAILED: frozenset(),
    AttemptState.CANCELLED: frozenset(),
}

OK_STATES = frozenset({AttemptState.SUCCEEDED, AttemptState.CAUGHT, AttemptState.REUSED})
"""The states after which the flow goes on."""


def advance_run(old: RunState, new: RunState) -> RunState:
    """Return ``new`` if a run may go there from ``old``; else raise `StateError`."""
    if new not in RUN_TRANSITIONS[old]:
        raise StateError(f"A run cannot go from '{old.value}' to '{new.value}'")
    return new


def advance_attempt(old: AttemptState, new: AttemptState) -> AttemptState:
    """Return ``new`` if an attempt may go there from ``old``; else raise `StateError`."""
    if new not in ATTEMPT_TRANSITIONS[old]:
        raise StateError(f"An attempt cannot go from '{old.value}' to '{new.value}'")
    return new


class ArtifactRef(NamedTuple):
    """Where the value of one artifact is.

    Attributes:
        hash: BLAKE3 of the packed bytes, 64 hex digits: equal hash = equal value.
        size: length of the packed bytes.
        type: qualified name of the value's class, for display.
        serializer: tag of the serializer that reads it.
        value: the packed bytes as base64, or the JSON value for the tag ``json``, when the artifact
            is small enough to travel inside the manifest.
        inline: whether ``value`` counts; else the bytes are the blob ``hash``.
    """

    hash: str
    size: int
    type: str
    serializer: str
    inline: bool = False
    value: Any = None


class InputRange(NamedTuple):
    """Attempts that feed a task: tasks ``first`` to ``last`` (inclusive) of ``step``, in order.

    A join of 10,000 foreach tasks is one range, not 10,000 records. An empty range (``last`` =
    ``first`` - 1) stands for a foreach without items: ``first`` is then the task that split.
    """

    step: str
    first: int
    last: int
    attempt: int


class InputRef(NamedTuple):
    """One attempt that feeds a task."""

    step: str
    task: int
    attempt: int


def pack_inputs(refs: Iterable[InputRef]) -> tuple[InputRange, ...]:
    """Fold consecutive references into ranges; order is kept."""
    ranges: list[InputRange] = []
    for step, task, attempt in refs:
        if ranges:
            last = ranges[-1]
            if (last.step, last.last + 1, last.attempt) == (step, task, attempt):
                ranges[-1] = last._replace(last=task)
                continue
        ranges.append(InputRange(step, task, task, attempt))
    return tuple(ranges)


def unpack_inputs(ranges: Iterable[InputRange]) -> Iterator[InputRef]:
    """Undo `pack_inputs`."""
    for step, first, last, attempt in ranges:
        for task in range(first, last + 1):
            yield InputRef(step, task, attempt)


class ForeachFrame(NamedTuple):
    """One foreach around a task: which item of which split it is.

    Attributes:
        step, task, attempt: the attempt that split.
        artifact: name of the artifact that was split over; ``''`` for a gang (``num_parallel``),
            whose members have their own number as item.
        index: number of this task's item, from 0.
        count: number of items.
    """

    step: str
    task: int
    attempt: int
    artifact: str
    # A tuple has methods of these names; nobody needs them of a record.
    index: int  # type: ignore[assignment]
    count: int  # type: ignore[assignment]


EXIT_OK, EXIT_FAILED, EXIT_NOT_COMMITTED = 0, 1, 75
"""How the process of an attempt ends: it is committed, that it failed is committed, nothing is."""


CAUSES = (
    "error",
    "killed",
    "out-of-memory",
    "timeout",
    "exit",
    "lost",
    "evicted",
    "preempted",
    "cancelled",
    "launch",
    "store",
)
"""All causes by which failures are told apart: see `Failure.cause`. Since 0.1."""


class Failure(NamedTuple):
    """Why an attempt failed, as data.

    Attributes:
        cause: ``error`` (an exception of the user's code), ``killed`` (a signal), ``out-of-memory``,
            ``exit`` (the process ended without a result), ``timeout``, ``lost`` (machine or
            launcher gone), ``evicted`` (its machine needed the room), ``preempted`` (for something
            of more weight), ``cancelled`` (somebody ended it), ``launch`` (it could not be started),
            ``store`` (the result could not be written).
        type: qualified name of the exception, or the signal's name, or ``''``.
        message: one sentence for people.
        traceback: text of the traceback, without frames of flow-core; ``''`` if none.
        bases: qualified names of the classes that the exception's class is derived from, nearest
            first.
        hint: what a person may type or change next; ``''`` = nothing special.
    """

    cause: str
    type: str
    message: str
    traceback: str = ""
    bases: tuple[str, ...] = ()
    hint: str = ""

    @property
    def summary(self) -> str:
        """``KeyError: 'title'``: the type, unless the message names it already, and the message."""
        name = self.type.rpartition(".")[2]
        if not name or name in self.message:
            return self.message
        return f"{name}: {self.message}" if self.message else name

    @property
    def details(self) -> str:
        """All that is known: the traceback, or the summary where there is none, and the hint."""
        text = self.traceback or self.summary
        return f"{text}\ntry: {self.hint}" if self.hint else text


class Transition(NamedTuple):
    """The way that a finished task took.

    Attributes:
        targets: the steps that follow; empty after the end step.
        artifact: for a foreach, the artifact that was split over; for a switch, its condition.
        count: for a foreach, the number of items; for a gang, its size; else None.
        items: for a foreach, reference to the blob that holds the items one by one.
        case: for a switch, the case that was chosen, as in `Node.cases`; else None.
    """

    targets: tuple[str, ...] = ()
    artifact: str | None = None
    count: int | None = None  # type: ignore[assignment]
    items: ArtifactRef | None = None
    case: str | None = None


class GangMember(NamedTuple):
    """A task's place in its gang: the tasks of one ``num_parallel``, which start together.

    Attributes:
        size: number of members.
        index: number of this one, from 0; 0 is the main one, at whose address the others meet.
        control: number of the task of the main one.
    """

    size: int
    index: int  # type: ignore[assignment]
    control: int


class TaskSpec(NamedTuple):
    """All that a task process must be told, besides the run: the rest it reads from the store.

    ``iteration`` counts the tasks of a step that chooses itself, from 0; 0 for all others.
    ``gang`` is the task's place in its gang; None for a task that runs by itself. ``notes`` are JSON
    data of the launcher for the manifest, by name: ``resources`` is what the attempt asks for.
    """

    flow: str
    run: str
    step: str
    task: int
    attempt: int = 0
    inputs: tuple[InputRange, ...] = ()
    foreach: tuple[ForeachFrame, ...] = ()
    previous: Failure | None = None
    fallback: bool = False
    iteration: int = 0
    gang: GangMember | None = None
    notes: Mapping[str, Any] = {}

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @property
    def indices(self) -> tuple[int, ...]:
        """Indices in the surrounding foreaches, outermost first.

        With the step and the iteration they say what the task is, in any run of the flow.
        """
        return tuple(frame.index for frame in self.foreach)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {"format": FORMAT, **self._asdict()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TaskSpec":
        """Undo `to_json`; `FormatError` for a newer format."""
        check_format(data, "task specification")
        return cls(
            flow=data["flow"],
            run=data["run"],
            step=data["step"],
            task=data["task"],
            attempt=data["attempt"],
            inputs=tuple(InputRange(*r) for r in data["inputs"]),
            foreach=tuple(ForeachFrame(*f) for f in data["foreach"]),
            previous=_decode_failure(data["previous"]) if data["previous"] else None,
            fallback=data["fallback"],
            iteration=data.get("iteration", 0),
            gang=GangMember(*data["gang"]) if data.get("gang") else None,
            notes=data.get("notes", {}),
        )


class Trace(NamedTuple):
    """What a task read from outside, and which of its artifacts are its own.

    Attributes:
        reads: what was read → hash of what was there, ``''`` for nothing: ``parameter:alpha``,
            ``artifact:rows``, ``item:0``, … See `flow_core.reuse`.
        own: the artifacts that the task set or loaded; all others came with its input, unread.
        dropped: artifacts of its input that it deleted.
    """

    reads: Mapping[str, str] = {}
    own: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class Manifest(NamedTuple):
    """The commit point of one attempt: what came of it. No manifest: the attempt did not happen.

    Attributes:
        state: how the attempt ended.
        transition: the way taken; None unless ``state`` is one of `OK_STATES`.
        artifacts: name → reference; artifacts set before a failure are kept.
        inputs, foreach, iteration: as in the `TaskSpec`.
        origin: pathspec with attempt (``Flow/run/step/task/attempt``) when reused, else None.
        started, finished: seconds since the epoch.
        cpu_seconds: user + system time of the process and its ended children.
        peak_memory: bytes of resident memory at the peak.
        failure: why it failed or was caught; None on success.
        notes: JSON data of plugins, by name.
        host, pid: where it ran.
        trace: what it read; None when that is not known: it then counts as reading everything.
    """

    flow: str
    run: str
    step: str
    task: int
    attempt: int
    state: AttemptState
    transition: Transition | None = None
    artifacts: Mapping[str, ArtifactRef] = {}
    inputs: tuple[InputRange, ...] = ()
    foreach: tuple[ForeachFrame, ...] = ()
    origin: str | None = None
    started: float = 0.0
    finished: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    failure: Failure | None = None
    notes: Mapping[str, Any] = {}
    host: str = ""
    pid: int = 0
    iteration: int = 0
    trace: Trace | None = None

    @property
    def ok(self) -> bool:
        """Whether the flow goes on after this attempt."""
        return self.state in OK_STATES

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @property
    def key(self) -> str:
        """The store key under which this manifest lies."""
        return manifest_key(self.flow, self.run, self.step, self.task, self.attempt)

    def encode(self) -> bytes:
        """Return the stored form: a line ``flow-manifest FORMAT HASH``, then a JSON document.

        HASH is the BLAKE3 of the document, so that a damaged manifest is never believed.
        """
        data = self._asdict()
        data["artifacts"] = {
            # Most references end in two defaults; leaving them out keeps big tables short.
            name: ref[:4] if not ref.inline else ref
            for name, ref in self.artifacts.items()
        }
        return seal("flow-manifest", data)

    @classmethod
    def decode(cls, raw: bytes, key: str) -> "Manifest":
        """Undo `encode`. ``key`` names the place in errors.

        Raises:
            IntegrityError: the bytes are not what was written.
            FormatError: a newer format.
        """
        data = unseal("flow-manifest", raw, key)
        transition = data["transition"]
        return cls(
            flow=data["flow"],
            run=data["run"],
            step=data["step"],
            task=data["task"],
            attempt=data["attempt"],
            state=AttemptState(data["state"]),
            transition=_decode_transition(transition) if transition else None,
            artifacts={name: ArtifactRef(*ref) for name, ref in data["artifacts"].items()},
            inputs=tuple(InputRange(*r) for r in data["inputs"]),
            foreach=tuple(ForeachFrame(*f) for f in data["foreach"]),
            origin=data["origin"],
            started=data["started"],
            finished=data["finished"],
            cpu_seconds=data["cpu_seconds"],
            peak_memory=data["peak_memory"],
            failure=_decode_failure(data["failure"]) if data["failure"] else None,
            notes=data["notes"],
            host=data["host"],
            pid=data["pid"],
            iteration=data.get("iteration", 0),
            trace=_decode_trace(data.get("trace")),
        )


def _decode_trace(data: list[Any] | None) -> Trace | None:
    if not data:
        return None
    reads, own, dropped, *_ = data
    return Trace(reads, tuple(own), tuple(dropped))


def _decode_failure(data: list[Any]) -> Failure:
    return Failure(*data[:4], *map(tuple, data[4:5]), *data[5:])  # older ones end earlier


def _decode_transition(data: list[Any]) -> Transition:
    targets, artifact, count, items, *later = data
    items = ArtifactRef(*items) if items else None
    return Transition(tuple(targets), artifact, count, items, *later)


class RunRecord(NamedTuple):
    """What the metadata provider keeps of a run. Times are seconds since the epoch.

    ``tags`` are the user's, ``system_tags`` flow-core's (``user:ada``). ``heartbeat_at`` is the last
    sign of life of the launcher: a run that is ``running`` without one for a minute is lost.
    ``parameters`` are pairs of a name and the value's JSON text, by which runs are found: those of
    `RunDocument.parameter_texts`, sorted.
    """

    flow: str
    run: str
    state: RunState
    created_at: float
    finished_at: float | None = None
    user: str = ""
    host: str = ""
    pid: int = 0
    origin: str | None = None
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    heartbeat_at: float | None = None
    message: str = ""
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.flow}/{self.run}"


class AttemptRecord(NamedTuple):
    """What the metadata provider keeps of one attempt: enough to find and list it.

    ``indices`` are the foreach indices, outermost first. ``message`` is the failure in one line.
    """

    flow: str
    run: str
    step: str
    task: int
    attempt: int
    state: AttemptState
    indices: tuple[int, ...] = ()
    started_at: float | None = None
    finished_at: float | None = None
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    origin: str | None = None
    cause: str = ""
    message: str = ""

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @classmethod
    def from_manifest(cls, manifest: Manifest) -> "AttemptRecord":
        """Return what the index keeps of a manifest."""
        failure = manifest.failure
        return cls(
            manifest.flow,
            manifest.run,
            manifest.step,
            manifest.task,
            manifest.attempt,
            manifest.state,
            tuple(frame.index for frame in manifest.foreach),
            manifest.started,
            manifest.finished,
            manifest.cpu_seconds,
            manifest.peak_memory,
            manifest.origin,
            failure.cause if failure else "",
            failure.message.strip().partition("\n")[0][:500] if failure else "",
        )


class StepSummary(NamedTuple):
    """A step of a run: number of tasks by state, first start, last finish (seconds, or None)."""

    step: str
    tasks: int
    states: dict[str, int]
    started_at: float | None
    finished_at: float | None


class RunDocument(NamedTuple):
    """The content of ``run.json``: what is fixed when a run starts.

    Attributes:
        parameters: name of a parameter or configuration → reference to its value.
        constants: class constant → reference to its value.
        code: hash of the blob with the code snapshot (a tar archive), or None.
        graph: the graph as JSON data.
        plans: the plan of each step as JSON data.
        origin: pathspec of the run that this one resumes.
        info: versions, git state, script name, user, host: JSON data for people.
        scope: names in front of the flow's own where it is deployed, outermost first.
        decorators: the flow's own decorators: ``{"name": …, "options": {…}, "source": …}``.
        notes: JSON data of plugins, by name: see `flow_core.api.RunDraft`.
        configs: which of ``parameters`` are configurations.
        values: parameter name → JSON text of its value, for finding runs: of those whose reference
            does not hold the value itself, and which have a short JSON form.
        environments: step → ``{"provider": …, "lock": …, "request": …}`` of those that have one:
            name of the provider, hash of the blob with the lock, hash of what was asked for.
    """

    flow: str
    run: str
    created_at: float
    parameters: Mapping[str, ArtifactRef]
    constants: Mapping[str, ArtifactRef]
    code: str | None
    graph: Mapping[str, Any]
    plans: Mapping[str, Any]
    origin: str | None = None
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    user: str = ""
    info: Mapping[str, Any] = {}
    scope: tuple[str, ...] = ()
    decorators: tuple[Mapping[str, Any], ...] = ()
    notes: Mapping[str, Any] = {}
    configs: tuple[str, ...] = ()
    values: Mapping[str, str] = {}
    environments: Mapping[str, Mapping[str, str]] = {}

    def environment_name(self, step: str) -> str:
        """``venv 1a2b3c4d``: where a step ran, for people; ``local`` = in the launcher's Python."""
        found = self.environments.get(step)
        return f"{found['provider']} {found['lock'][:8]}" if found else "local"

    @property
    def parameter_texts(self) -> dict[str, str]:
        """Parameter name → JSON text of its value, of all that have a short one."""
        texts = dict(self.values)
        for name, ref in self.parameters.items():
            if ref.inline and ref.serializer == "json":
                texts[name] = json_text(ref.value) or ""
        return {name: text for name, text in sorted(texts.items()) if text}

    def record(self, state: RunState) -> RunRecord:
        """Return what an index keeps of the run, as far as it is fixed when the run starts."""
        return RunRecord(
            self.flow,
            self.run,
            state,
            self.created_at,
            user=self.user,
            host=str(self.info.get("host", "")),
            origin=self.origin,
            tags=self.tags,
            system_tags=self.system_tags,
            parameters=tuple(self.parameter_texts.items()),
        )

    def encode(self) -> bytes:
        """Return the stored form: a line ``flow-run FORMAT HASH``, then a JSON document."""
        return seal("flow-run", self._asdict())

    @classmethod
    def decode(cls, raw: bytes, key: str) -> "RunDocument":
        """Undo `encode`; errors as `Manifest.decode`."""
        data = unseal("flow-run", raw, key)
        del data["format"]
        for table in ("parameters", "constants"):
            data[table] = {name: ArtifactRef(*ref) for name, ref in data[table].items()}
        for field in ("tags", "system_tags", "scope", "decorators", "configs"):
            data[field] = tuple(data.get(field, ()))
        return cls(**data)


class RunResult(NamedTuple):
    """The content of ``finished.json``: how a run ended. It is written once."""

    flow: str
    run: str
    state: RunState
    finished_at: float
    message: str = ""
    failed: tuple[str, ...] = ()  # pathspecs of the tasks that failed for good

    def encode(self) -> bytes:
        """Return the stored form: a line ``flow-result FORMAT HASH``, then a JSON document."""
        return seal("flow-result", self._asdict())

    @classmethod
    def decode(cls, raw: bytes, key: str) -> "RunResult":
        """Undo `encode`; errors as `Manifest.decode`."""
        data = unseal("flow-result", raw, key)
        return cls(
            data["flow"],
            data["run"],
            RunState(data["state"]),
            data["finished_at"],
            data["message"],
            tuple(data["failed"]),
        )


class TagRevision(NamedTuple):
    """The user's tags of a run after a change: all of them, in an object that is written once.

    ``number`` counts the changes of the run from 1; the highest one counts.
    """

    flow: str
    run: str
    number: int
    tags: tuple[str, ...]
    changed_at: float

    @property
    def key(self) -> str:
        """The store key under which it lies."""
        return f"{tags_prefix(self.flow, self.run)}{self.number}"

    @property
    def mark(self) -> str:
        """The store key of the empty object that tells of it: ``tags/Flow/run/number-HASH``."""
        return f"{tag_marks_prefix(self.flow)}{self.run}/{self.number}-{tags_hash(self.tags)}"

    def encode(self) -> bytes:
        """Return the stored form: a line ``flow-tag-revision FORMAT HASH``, then a JSON document."""
        return seal("flow-tag-revision", self._asdict())

    @classmethod
    def decode(cls, raw: bytes, key: str) -> "TagRevision":
        """Undo `encode`; errors as `Manifest.decode`."""
        data = unseal("flow-tag-revision", raw, key)
        tags = tuple(data["tags"])
        return cls(data["flow"], data["run"], data["number"], tags, data["changed_at"])


def tags_hash(tags: Iterable[str]) -> str:
    """Return a short hash of a set of tags, as it stands in `TagRevision.mark`."""
    from blake3 import blake3

    return blake3("\n".join(sorted(tags)).encode()).hexdigest()[:16]


# --- keys of the store ------------------------------------------------------------------------


def blob_key(digest: str) -> str:
    """``blobs/ab/abcdef…``: content by its BLAKE3 hash."""
    return f"blobs/{digest[:2]}/{digest}"


def run_prefix(flow: str, run: str) -> str:
    """``runs/Flow/run/``."""
    return f"runs/{flow}/{run}/"


def run_key(flow: str, run: str) -> str:
    """Key of the `RunDocument`."""
    return f"runs/{flow}/{run}/run.json"


def result_key(flow: str, run: str) -> str:
    """Key of the `RunResult`."""
    return f"runs/{flow}/{run}/finished.json"


def files_prefix(flow: str, run: str) -> str:
    """``files/Flow/run/``: what people put beside a run, and not below it, since its content is
    theirs: nobody looks for references in it. It goes with the run. Since 0.1."""
    return f"files/{flow}/{run}/"


def numbers_prefix(flow: str) -> str:
    """Below this lie empty objects named after numbers of runs that were removed: none is given
    again, so the highest one is kept."""
    return f"numbers/{flow}/"


def heartbeat_key(flow: str, run: str) -> str:
    """Key of the last sign of life of a launcher whose store is shared: the time when it was written
    counts. No step can have a name with a dot."""
    return f"runs/{flow}/{run}/heartbeat.json"


def tag_marks_prefix(flow: str) -> str:
    """Below this lies an empty object for each run whose tags were changed: who looks for runs by
    their tags elsewhere sees it by one listing. See `TagRevision.mark`."""
    return f"tags/{flow}/"


def tags_prefix(flow: str, run: str) -> str:
    """The `TagRevision`s of a run lie below this. No step can have a name with a dot."""
    return f"runs/{flow}/{run}/tags.d/"


def attempt_prefix(flow: str, run: str, step: str, task: int, attempt: int) -> str:
    """Everything that an attempt leaves behind lies below this: manifest, stdout, stderr, cards."""
    return f"runs/{flow}/{run}/{step}/{task}/{attempt}/"


SPECIFICATION = "spec.json"
"""Name, below its prefix, of what an attempt on another machine is told: see `task_spec_key`."""


def manifest_key(flow: str, run: str, step: str, task: int, attempt: int) -> str:
    """Key of the `Manifest` of an attempt."""
    return f"runs/{flow}/{run}/{step}/{task}/{attempt}/manifest"


# --- events -----------------------------------------------------------------------------------


class RunStarted(NamedTuple):
    """A run begins. ``steps`` are the step names in topological order."""

    run: RunRecord
    steps: tuple[str, ...]
    at: float


class TaskQueued(NamedTuple):
    """``count`` tasks of ``step`` became ready to run: many at once for a foreach, and for a gang,
    whose tasks start together."""

    flow: str
    run: str
    step: str
    count: int  # type: ignore[assignment]
    at: float
    gang: bool = False


class TaskStarted(NamedTuple):
    """An attempt was launched. ``pid`` is its process or job id, ``''`` when there is none."""

    spec: TaskSpec
    pid: str
    at: float


class TaskOutput(NamedTuple):
    """An attempt wrote to ``stream`` (``stdout`` or ``stderr``). ``data`` may end within a line."""

    spec: TaskSpec
    pid: str
    stream: str
    data: bytes
    at: float


class TaskFinished(NamedTuple):
    """An attempt ended. ``retry_in`` = seconds until the next one; None when there is none.

    ``fallback``: the next one runs no code of the step, it only handles the failure.
    """

    spec: TaskSpec
    pid: str
    manifest: Manifest
    retry_in: float | None
    at: float
    notes: tuple[str, ...] = ()  # things a person should know: children left behind, lost output
    fallback: bool = False


class EnvironmentProgress(NamedTuple):
    """The environment of some steps is resolved or built, before the first task of a run.

    Attributes:
        provider: name of the environment provider.
        steps: the steps that run in it.
        state: ``resolving``, ``resolved``, ``building``, ``ready``, or ``failed``: it could not be made,
            or nobody wants it any more.
        text: how it goes, one line; ``''`` when a state begins or ends; ``given up`` where it is
            another one that has failed, or somebody ended the work.
        part: how much of it is done, 0 to 1; None = not known.
        lock: hash of the lock; ``''`` until it is being built.
    """

    provider: str
    steps: tuple[str, ...]
    state: str
    text: str
    part: float | None
    lock: str
    at: float


class Message(NamedTuple):
    """Something to tell the person who watches: ``level`` is ``info``, ``warning`` or ``error``."""

    text: str
    level: str = "info"
    at: float = 0.0


class RunFinished(NamedTuple):
    """A run ended. ``seconds`` is its wall time."""

    run: RunRecord
    result: RunResult
    seconds: float
    at: float


Event = (
    RunStarted
    | TaskQueued
    | TaskStarted
    | TaskOutput
    | TaskFinished
    | EnvironmentProgress
    | Message
    | RunFinished
)


# --- stored form ------------------------------------------------------------------------------


def json_text(value: Any) -> str | None:
    """Return the JSON text by which runs are found that have ``value`` as a parameter.

    Equal values have equal texts: keys are sorted, and 3.0 is written as 3. None where there is no
    such text, or where it is longer than `LONGEST_TEXT`.
    """
    try:
        text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if len(text) <= LONGEST_TEXT else None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def check_format(data: Mapping[str, Any], what: str, where: str | None = None) -> None:
    """Raise `FormatError` when ``data`` was written by a newer flow-core."""
    found = data.get("format", 0)
    if not isinstance(found, int) or found > FORMAT:
        raise FormatError(
            f"This {what} has format {found}; this flow-core reads formats up to {FORMAT}",
            where=where,
            why="it was written by a newer version of flow-core",
            hint="pip install --upgrade flow-core",
        )


def seal(kind: str, data: Mapping[str, Any]) -> bytes:
    """Return ``kind FORMAT HASH`` and a newline, then ``data`` as JSON."""
    from blake3 import blake3

    body = _JSON.encode({"format": FORMAT, **data}).encode()
    return f"{kind} {FORMAT} {blake3(body).hexdigest()}\n".encode() + body


def unseal(kind: str, raw: bytes, where: str) -> dict[str, Any]:
    """Undo `seal`.

    Raises:
        IntegrityError: another kind, or the hash does not fit the bytes.
        FormatError: a newer format.
    """
    from blake3 import blake3

    head, _, body = raw.partition(b"\n")
    words = head.split(b" ")
    if len(words) == 3 and words[0] == kind.encode() and words[1].isdigit():
        check_format({"format": int(words[1])}, kind.removeprefix("flow-") + " record", where)
        if blake3(body).hexdigest().encode() == words[2]:
            data = typing.cast("dict[str, Any]", _FROM_JSON(body.decode())[0])
            if str(data.get("format")).encode() == words[1]:
                return data
    raise IntegrityError(
        f"The {kind.removeprefix('flow-')} record is damaged",
        where=where,
        why="its bytes do not have the hash that it carries",
        hint="restore the file from a copy, or run the flow again",
    )
