"""The contracts between the kernel and its providers: small Protocols, exactly one chosen by name.

A provider is named by an entry point (``flow.stores``: ``s3 = "flow_s3.store:S3Store"``) and imported
on first use. `flow_core.testing` has a conformance suite for each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import click

    from flow_core.environments import EnvironmentLock
    from flow_core.plan import TaskPlan
    from flow_core.records import (
        AttemptRecord,
        Manifest,
        RunRecord,
        RunState,
        StepSummary,
        TaskSpec,
    )
    from flow_core.travel import Luggage

Buffer = bytes | bytearray | memoryview


# --- store --------------------------------------------------------------------------------------


REFRESH_AGE = 300.0
"""Seconds after which an object that is found, instead of written, counts as changed again."""


class StoreCapabilities(NamedTuple):
    """What a store can do.

    Attributes:
        shared: processes on other machines reach the same data by its URL.
        mappable: `Store.local_path` gives a file that a reader may map into memory.
        create_only: ``write(create_only=True)`` is atomic: of many writers exactly one wins.
        forkable: an instance starts no thread and holds no connection before it is first used, so
            that a server of tasks may make one before it forks; told by the class. False is always
            safe: each task makes its own.
        attributes: it keeps `Attributes` beside the content of an object.
        in_process: it lies in the memory of this process: others, also children of this one, do not
            see what is written. Tasks must run in this process, too.
    """

    shared: bool = False
    mappable: bool = False
    create_only: bool = True
    forkable: bool = False
    attributes: bool = False
    in_process: bool = False


class StoredObject(NamedTuple):
    """One entry of a listing: key, size in bytes, time of the last change in seconds."""

    key: str
    size: int
    modified: float


class Attributes(NamedTuple):
    """What a store may keep beside the content of an object, for other programs that read it.

    Attributes:
        content_type: media type, such as ``text/csv``; None = the service's default.
        metadata: names of letters, digits and ``-`` → texts.

    Since 0.1.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] = {}


class ObjectInfo(NamedTuple):
    """All that a store tells of an object without its content.

    Attributes:
        key: its key.
        size: in bytes.
        modified: time of the last change, seconds since the epoch.
        attributes: what was kept beside it; empty for a store without the capability.
        etag: the service's own name of this version of the object, or None.
        encryption: how the service encrypts it (``AES256``, ``aws:kms``), or None if it does not tell.

    Since 0.1.
    """

    key: str
    size: int
    modified: float
    attributes: Attributes = Attributes()
    etag: str | None = None
    encryption: str | None = None


class Bootstrap(NamedTuple):
    """How a bare Python reads objects of a store, where there is no flow-core yet.

    A task on another machine begins so: it fetches what it is, and what it needs, and checks the hash
    of each.

    Attributes:
        source: text of a module that imports nothing but the standard library, and that Python 3.8
            can compile. It defines ``open(config)``, which returns ``read(key)``: the content of an
            object, or None where there is none. Several threads may call ``read``. It repeats what
            may succeed later, within a bounded time. What a person can mend is an `OSError` whose
            text is one line without any secret; it may have an attribute ``hint``: what to do next.
        config: the argument of ``open``: JSON data, a few kilobytes at most. It holds no secrets,
            since clusters show it to many: credentials are found on the other machine, where the
            tools of the service find them.
        settings: settings by which flow-core itself opens this store on another machine, where only
            variables or files of this one say it: the address of a service. They count where
            nobody has chosen the setting.
        needs: distributions that must be installed there, for programs that the module starts; empty =
            a Python alone will do. Only machines that may run the launcher's own interpreter are
            asked to read so.

    Since 0.1.
    """

    source: str
    config: Mapping[str, Any]
    settings: Mapping[str, str] = {}
    needs: tuple[str, ...] = ()


class Store(Protocol):
    """Bytes under keys. Keys are relative, ``/``-separated, and never start or end with ``/``.

    A write is atomic: a reader sees all of an object or nothing, whatever is killed when. Any number
    of threads and processes may use one store, and an instance may be used after ``fork`` in the
    child. Constructed as ``Store(root)`` with the part of the URL behind ``name://``, or None for
    the default place. The conformance suite is `flow_core.testing.StoreSuite`.

    Errors: `StoreError` for what a person can mend (full, read-only, unreachable); a missing key is
    not an error but None or False.

    A store whose URL does not tell it from all others, such as one that is reached by an address
    from the settings, may have an attribute ``identity``, a text that does: the index that a machine
    keeps for it is found by that (`flow_core.api.StoreIndex`).

    A store that soon gives up a service which it has never reached, since its address may be wrong,
    may have a method ``expect_answers()``, without arguments: it is called in the process of each
    attempt, whose launcher has used the service. There it is out of order for a while, if anything.

    A store whose objects can be read without flow-core and without any library may have a method
    ``bootstrap()``, without arguments, which returns a `Bootstrap`; or None where that store, as it
    is set up, cannot be read so. It makes no request. Compute providers for other machines need it.
    """

    capabilities: StoreCapabilities

    @property
    def url(self) -> str:
        """The URL by which another process opens the same store: ``local:///data/.flow``."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces, in order; None when the key is missing.

        However large the object, few pieces of a few MiB are in memory at a time; a remote store
        fetches some of them at once, ahead of the reader. All pieces are of one version of the
        object: a `StoreError` says when it is replaced or deleted meanwhile. A piece may be changed,
        or used again by the store, as soon as the next one is asked for. Since 0.1.
        """

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content).

        Returns:
            per item, whether it was written: False only with ``create_only`` where the key existed.
        """

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up.

        This is how content-addressed data is hashed and written in one pass. The key is a name of
        the content: an object that is there already is the same, unless it is damaged; it is
        refreshed. A store that can compare them cheaply replaces a damaged one; others may keep
        what they have.

        Returns:
            whether a new object came to be.
        """

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size; few pieces of a few MiB are in memory at a time.

        Args:
            key: its key.
            chunks: the content, in pieces of any sizes; each is taken before the next is asked for.
                What they raise passes unchanged, and nothing is written.
            create_only: write only where there is no object.
            attributes: what to keep beside the content; only for a store with that capability.

        Returns:
            whether it was written: False only with ``create_only`` where the key existed. Then
            ``chunks`` may not have been used up.

        Since 0.1.
        """

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield what the store tells of each object, in order; None where there is none. Since 0.1."""

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix`` (which ends with ``/`` or is
        ``""``), sorted: the ``ls`` of one level, objects and folders alike."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key."""

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error.

        With ``older_than`` only those that were last changed, or used as `refresh` says, before
        that time (seconds since the epoch).
        """

    def refresh(self, key: str, age: float = 300.0) -> bool:
        """Say whether an object exists, and let it count as changed now if it is ``age`` seconds old.

        Who finds that the content which it wants to write is there already calls this before it
        relies on that. `delete` with ``older_than`` then either comes first, and the answer is
        False; or it sees the new time, and leaves the object. A store that cannot promise that
        keeps the moment between its look and its deletion as short as it can.
        """

    def local_path(self, key: str) -> str | None:
        """Return the path of the file that holds ``key``, which need not exist yet, if the store
        keeps its objects as plain files of this machine; else None. Logs are appended there."""


# --- serializers --------------------------------------------------------------------------------


class Serializer(Protocol):
    """Turns values of some types into bytes and back. Group ``flow.serializers``.

    The entry point's name is the tag, and starts with the name of the module whose types it handles:
    ``pandas.parquet``. It is asked only when that module has been imported, so that installed
    serializers cost nothing. Reading finds the serializer by the stored tag. Of several that take a
    value, the first by tag stores it, unless the setting ``serializers`` or a plugin prefers another
    (`TaskContext.prefer_serializers`); pickle comes last.
    Suite: `flow_core.testing.SerializerSuite`.
    """

    tag: str
    safe: bool
    """True when loading runs no code that comes from the data."""

    def can(self, value: Any) -> bool:
        """Whether this serializer stores ``value`` faithfully."""

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the parts of the stored form; big buffers as views, not copies.

        Raises:
            Declined: this very value would not come back as it is; the next serializer is asked, in
                the end pickle, and the person is told who declined, and why.
            ModuleNotFoundError: the library is not here, in an environment of a step for example:
                as `Declined`.
        """

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`. Parts may be views of memory that is mapped copy-on-write."""


# --- compute ------------------------------------------------------------------------------------


class ComputeCapabilities(NamedTuple):
    """What a compute provider can do, compared with the plan before anything starts.

    Attributes:
        needs_shared_store: its tasks run where a store that is not shared cannot be read.
        resources: it honours `TaskCommand.resources`.
        gang: it can start the tasks of a ``num_parallel`` step together: it is a `GangCompute`.
        image: it runs container images of its own.
        foreground: its tasks run in the launcher's process, and what they write is on its standard
            streams already when it is told: nobody shows it again, or draws there meanwhile.
        tells_begin: of attempts with a time limit (`TaskCommand.timed`) it tells `Begun`.
        interpreters: it honours `TaskCommand.interpreter` and `TaskCommand.runtime`.
        platform: where its tasks run, ``linux-x86_64``; None = on a machine like the launcher's.
        workers: how many tasks at a time it takes where nobody has chosen a number (setting
            ``max_workers``); None = one for each processor of the launcher's machine, as for tasks
            that run there. It is read after `Compute.prepare`, where a provider knows its settings.
        environments: it builds environments where its tasks run, from their locks: it honours
            `TaskCommand.lock`, and the launcher builds none of them. See
            `flow_core.api.build_environment`.
    """

    needs_shared_store: bool = False
    resources: bool = False
    gang: bool = False
    image: bool = False
    foreground: bool = False
    tells_begin: bool = False
    interpreters: bool = False
    platform: str | None = None
    workers: int | None = None
    environments: bool = False


class TaskCommand:
    """How a task is launched; hooks ``flow_task_command`` may change it.

    Attributes:
        interpreter: path of the Python to run with; None = the launcher's own.
        runtime: folder with what that Python lacks of flow-core and the plugins in use; None =
            nothing. It is the first folder where that process looks for modules, and is in no
            variable that its children would inherit: start it by `flow_core.api.python_command`.
        variables: environment variables to set in the task process.
        folder: working directory; None = the launcher's.
        timed: whether the attempt has a time limit, so that its `Begun` counts. Not for hooks.
        resources: amounts by name that this attempt asks for: those of the plan, or more memory
            after an attempt that had too little (`RetryPolicy.memory_factor`). They are kept in its
            manifest, as the note ``resources``.
        lock: the environment that the attempt runs in, where the compute provider builds it itself
            (capability ``environments``), in place of ``interpreter`` and ``runtime``; None = none.
            Its text is the blob of its hash in the store.
    """

    __slots__ = ("folder", "interpreter", "lock", "resources", "runtime", "timed", "variables")

    def __init__(self) -> None:
        self.interpreter: str | None = None
        self.runtime: str | None = None
        self.variables: dict[str, str] = {}
        self.folder: str | None = None
        self.timed = False
        self.resources: dict[str, float] = {}
        self.lock: EnvironmentLock | None = None


class Started(NamedTuple):
    """Update: the task's process or job exists. ``pid`` is its id, for people."""

    handle: Any
    pid: str
    at: float


class Waiting(NamedTuple):
    """Update: the task has no machine yet. ``why`` is one sentence for people, in the words of who
    lets it wait. A provider tells it when that is long, or changes; once for tasks that wait for
    the same reason. Since 0.1."""

    handle: Any
    why: str
    at: float


class Begun(NamedTuple):
    """Update: the body of the step begins, after its process has loaded what it needs. Only of
    attempts that are `TaskCommand.timed`, by providers with the capability ``tells_begin``."""

    handle: Any
    at: float


class Output(NamedTuple):
    """Update: the task wrote ``data`` to ``stream`` (``stdout`` or ``stderr``)."""

    handle: Any
    stream: str
    data: bytes
    at: float


class Exited(NamedTuple):
    """Update: the task's process is gone. Whether it succeeded stands in its manifest, not here.

    Attributes:
        handle: what ``launch`` returned.
        code: exit code, or None when a signal ended it or it never started.
        signal: number of the signal that ended it, or None.
        cause: a `Failure.cause`, for when there is no manifest: ``killed``, ``out-of-memory``,
            ``exit``, ``timeout``, ``lost``, ``evicted``, ``preempted``, ``cancelled``, ``launch``.
            What is ``cancelled`` by others than the launcher is a failure like any other.
        message: one sentence for people on what happened; ``''`` = derive it from the above.
        cpu_seconds, peak_memory: of the whole process, when the provider knows; else 0.
        notes: further sentences for people, for example on processes left behind.
        manifest: the manifest that the task committed, when the provider holds it already;
            else the scheduler reads it from the store.
        hint: what a person may type or change next, for when there is no manifest; ``''`` = nothing
            special.
    """

    handle: Any
    code: int | None
    signal: int | None
    cause: str
    message: str = ""
    at: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    notes: tuple[str, ...] = ()
    manifest: Manifest | None = None
    hint: str = ""


Update = Waiting | Started | Begun | Output | Exited


class Runtime(Protocol):
    """What a compute provider gets of the session: how to run an attempt here or elsewhere."""

    @property
    def flow_name(self) -> str:
        """Name of the flow."""

    @property
    def document(self) -> dict[str, Any]:
        """JSON data from which another interpreter on this machine rebuilds the session: pass it,
        with a task, to ``python -m flow_core.launch`` (see `flow_core.api.launch_document`)."""

    @property
    def elsewhere(self) -> dict[str, Any]:
        """JSON data from which ``python -m flow_core.task`` rebuilds the session on another machine
        (see `flow_core.api.describe_task`). Since 0.1."""

    def elsewhere_settings(self) -> dict[str, str]:
        """Return settings that somebody has chosen and that hold on another machine too: name →
        text; none of them is secret. Since 0.1."""

    def luggage(self, store_url: str) -> Luggage:
        """Return what a task needs of flow-core and the plugins where there is neither: what goes
        along as it is, and what is compiled (see `flow_core.api.find_compiled`).

        Args:
            store_url: of the task's store.

        Since 0.1.
        """

    @property
    def interactive(self) -> bool:
        """Whether output of tasks is wanted while they run."""

    def get_ready(self) -> None:
        """Do ahead what every attempt needs whatever its run: for a process from which children
        are forked. Nothing is opened that must not pass through a fork."""

    def adopt_run(self, document: bytes) -> None:
        """Keep the content of a ``run.json``, which attempts in this process, and in children that
        are forked from it later, then need not read from the store."""

    def run_attempt(
        self,
        task: TaskSpec,
        begin: Callable[[], object] | None = None,
        committed: Callable[[bytes], object] | None = None,
    ) -> int:
        """Run one attempt in this process and return its exit status. For forked children.

        ``begin`` is called when the body of the step begins: see `Begun`. ``committed`` is called
        with the stored form of the manifest when that is in the store, so that the provider can
        pass it on: see `Exited.manifest`. It must not raise.
        """

    def plan(self, step: str) -> TaskPlan:
        """Return the plan of a step: what it asks for, as far as no single attempt is meant. A
        provider finds there its own options, the resources, the time limit and the environment.

        Raises:
            NotFound: the flow has no such step.

        Since 0.1.
        """

    def setting(self, name: str) -> Any:
        """Return a setting's value."""


class Compute(Protocol):
    """Starts attempts somewhere and tells what becomes of them. Group ``flow.computes``.

    Called from one thread of the launcher. Order: ``prepare``, ``open``, any number of ``launch``,
    ``poll``, ``cancel``, then ``close`` (also after errors). After `Exited` the logs of the attempt
    lie in the store under its `attempt_prefix`, named ``stdout`` and ``stderr`` (absent if empty);
    beside them, if it knows them, the times of their lines: see `flow_core.api.encode_times`. Short
    ones may lie in one object instead: see `flow_core.api.joined_logs`. `flow_core.api.AttemptLogs`
    reads both.

    A provider whose attempts outlive a launcher that is killed may find them again: see
    `AdoptingCompute`.

    A provider that takes its time before the first attempt in another interpreter may have a method
    ``expect(command)``: it is called, between ``open`` and ``close``, with the `TaskCommand` of a
    step with an environment that will come soon, and returns at once. What is expected may never be
    launched. Since 0.1.
    Suite: `flow_core.testing.ComputeSuite`.
    """

    capabilities: ComputeCapabilities

    @property
    def notice(self) -> str | None:
        """After `prepare`: one line on a choice that a person should know of; None = nothing."""

    def prepare(self, runtime: Runtime) -> None:
        """Called while the launcher has one thread and no open database or store: may fork."""

    def open(self, run: RunRecord, store: Store) -> None:
        """The run has its id and its ``run.json`` is in the store."""

    def launch(self, task: TaskSpec, command: TaskCommand) -> Any:
        """Start an attempt; return a hashable handle at once."""

    def poll(self, timeout: float) -> Sequence[Update]:
        """Return what happened, waiting up to ``timeout`` seconds for the first news."""

    def fileno(self) -> int | None:
        """A descriptor that becomes readable when `poll` has news; None = poll regularly."""

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """Ask tasks to end, and end them by force after ``grace`` seconds. Their `Exited` follow."""

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        """Return what the attempt wrote to ``stream`` so far, from ``offset``."""

    def close(self) -> None:
        """Release everything; no process of the provider is left behind."""


class AdoptingCompute(Compute, Protocol):
    """A `Compute` whose attempts outlive their launcher when that is killed, and whose next launcher
    finds them again: so a run that is resumed does not start them twice.

    It writes a specification of each attempt into the store before it starts it, under
    `flow_core.api.task_spec_key`: a JSON document with the ``format`` and the ``task`` (`TaskSpec`),
    as from `flow_core.api.describe_task`. By these the attempts are found. Since 0.1.
    """

    def adopt(self, tasks: Sequence[TaskSpec]) -> list[Any]:
        """Return a handle for each attempt of an earlier run that still waits or runs, and None for
        each that does not; in order.

        Called at most once, after ``open`` and before the first ``launch``, with all attempts that
        may still run: it may take as long as one question to a cluster takes. The run of ``tasks``
        is another than that of ``open``; no launcher of it lives. Of what was adopted, `Update`s
        follow as of what was launched, logs lie under the prefix of the earlier attempt, and
        `Exited.manifest` is the manifest of that. `cancel` and `close` end it, too.

        Args:
            tasks: what was launched, as it was; also members of gangs, which are adopted to be
                ended.
        """


class GangCompute(Compute, Protocol):
    """A `Compute` with the capability ``gang``. Since 0.1."""

    def launch_gang(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[Any]:
        """Start the attempts of a gang together; return their handles, in order, at once.

        All of them start, or none: where one cannot, all exit with the cause ``launch``, or the
        scheduler ends the others when it hears of the first.

        Args:
            members: the members that start now, by ``task.gang.index``: all of the gang, or, in a
                fallback attempt, which runs no user code, those that have no result yet.

        Each process gets these variables, unless its command has them already:
        ``MASTER_ADDR`` and ``MASTER_PORT``: a host name or address of the main member's machine
        that all members reach, and a port that is free there; ``LOCAL_RANK`` and
        ``LOCAL_WORLD_SIZE``: its number among the members on its own machine, and how many these
        are; ``NODE_RANK``: the number of its machine among those of the gang.
        """


# --- metadata -----------------------------------------------------------------------------------


class Metadata(Protocol):
    """An index over runs, for finding them. It can be rebuilt from a store. Group ``flow.metadata``.

    Constructed as ``Metadata(root)`` like a store. Many processes write at once without losing a
    row. The one who launches a run writes its records, in batches; tasks never do.
    Suite: `flow_core.testing.MetadataSuite`.
    """

    problems: list[str]
    """What the last `rebuild` could not read."""

    @property
    def url(self) -> str:
        """The URL by which another process opens the same index."""

    def register_run(self, run: RunRecord) -> None:
        """Add a run. A run that exists already is a `FlowError`."""

    def update_run(
        self,
        flow: str,
        run: str,
        *,
        state: RunState | None = None,
        finished_at: float | None = None,
        heartbeat_at: float | None = None,
        message: str | None = None,
    ) -> None:
        """Change what is given. Illegal state transitions raise `StateError`."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Insert or replace records by (flow, run, step, task, attempt), all or none."""

    def flows(self) -> list[str]:
        """Return the names of all flows, sorted."""

    def run(self, flow: str, run: str) -> RunRecord | None:
        """Return one run, or None."""

    def runs(
        self,
        flow: str,
        *,
        states: Sequence[RunState] = (),
        tags: Sequence[str] = (),
        before: RunRecord | None = None,
        limit: int = 100,
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
    ) -> list[RunRecord]:
        """Return runs, newest first: those in one of ``states`` (empty = any), carrying all of
        ``tags`` (user or system), older than ``before``, created from ``since`` on and before
        ``until`` (seconds since the epoch), started by ``user``, and with one of the texts for each
        name in ``parameters`` (see `RunRecord.parameters`). Page with ``before=page[-1]``: pages
        stay as they are while runs are added. A history of ten thousand runs takes milliseconds."""

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run in the order in which they first started."""

    def attempts(
        self,
        flow: str,
        run: str,
        *,
        step: str | None = None,
        task: int | None = None,
        states: Sequence[Any] = (),
        all_attempts: bool = False,
        after: int = -1,
        before: int | None = None,
        newest_first: bool = False,
        brief: bool = False,
        limit: int = 1000,
    ) -> list[AttemptRecord]:
        """Return attempts ordered by (task, attempt), or downwards with ``newest_first``, of the
        tasks between ``after`` and ``before`` (both excluded): the last attempt of each task, or
        all of them. ``states`` filters what would be returned. ``limit`` counts tasks. Page with
        ``after=page[-1].task``, downwards with ``before=page[-1].task``. Where ``brief`` is given,
        records may come without their last fields, from ``started_at`` on, if that is faster."""

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Change the user's tags of a run in one transaction; return them, sorted."""

    def remove_run(self, flow: str, run: str) -> bool:
        """Forget a run with its attempts and tags, in one transaction; say whether it was known.

        What the store has of it is not touched: who removes a run for good deletes that afterwards.
        """

    def rebuild(self, store: Store) -> int:
        """Make the index anew from what lies in ``store``; return the number of runs.

        Records that cannot be read are left out and named in ``problems``.
        """

    def close(self) -> None:
        """Release the connection."""


# --- environments -------------------------------------------------------------------------------


class EnvironmentCapabilities(NamedTuple):
    """What an environment provider can do, compared with settings and plans before a run starts.

    Attributes:
        offline: with `EnvironmentWork.offline` it uses no network, and still builds what it has
            resolved, or downloaded, before; it fails at once where it cannot. A provider without
            this is not asked to build anything when the setting ``offline`` is on.
        other_platforms: it resolves for another platform than that of this process.
        exports: it has a method ``export``, which writes locks as files of other tools: see
            `ExportingEnvironment`.
        mirrors: it keeps what it has fetched in `EnvironmentWork.mirror`, as the setting
            ``mirror_packages`` says, and builds from there.
        origins: it has a method ``origins``: where packages come from by settings and variables. A
            request is resolved anew where that is something else: see `EnvironmentWithOrigins`.

    Since 0.1.
    """

    offline: bool = False
    other_platforms: bool = False
    exports: bool = False
    mirrors: bool = False
    origins: bool = False


class EnvironmentRequest(NamedTuple):
    """What an environment must be. All that a lock may depend on is in it, and nothing else but where
    packages come from: see `EnvironmentWithOrigins`.

    Attributes:
        options: what the step asks for, as the plan has it: JSON data, in the provider's words.
        requirements: requirement strings (``blake3>=1``) of flow-core itself and of plugins, sorted:
            what their part in the task needs (hook ``flow_environment_requirements``). The
            environment must have them beside what the step asks for.
        files: name → text of each file that the plan names: a ``requirements.txt`` for example.
        platform: where the tasks run: ``linux-x86_64``, ``macos-arm64``, …
        python: version of the launcher's Python, ``3.12``: the one that the environment has unless
            the options say otherwise.

    Since 0.1.
    """

    options: Mapping[str, Any]
    requirements: tuple[str, ...]
    files: Mapping[str, str]
    platform: str
    python: str


class Interpreter(NamedTuple):
    """A Python that is ready to run tasks.

    Attributes:
        path: absolute path of its executable.
        variables: environment variables that its processes need beyond the launcher's.

    Since 0.1.
    """

    path: str
    variables: Mapping[str, str] = {}


class PackageMirror(Protocol):
    """Packages that are kept in the datastore, by the SHA-256 that indexes and locks state.

    Made by flow-core, for providers: see `EnvironmentWork.mirror`. Used by many threads and
    processes at once. Since 0.1.
    """

    def fetch(self, sha256: str, path: str) -> bool:
        """Write a package to the file ``path``, whole and verified, and say True; False, and no
        file, where it is not kept.

        Args:
            sha256: 64 hex digits.
            path: replaced, if there is such a file; its folder exists.

        Raises:
            IntegrityError: what is kept does not have this hash.
            StoreError: the datastore cannot be reached.
        """

    def keep(self, sha256: str, path: str) -> None:
        """Keep the file ``path``, unless a package of this hash is kept already.

        Raises:
            IntegrityError: the file does not have this hash.
            StoreError: the datastore cannot be reached.
        """


class EnvironmentWork(Protocol):
    """What a provider gets of flow-core while it works: it asks here for all that is not its own.

    Since 0.1.
    """

    @property
    def offline(self) -> bool:
        """Whether no network may be used (setting ``offline``)."""

    @property
    def cache(self) -> str:
        """A folder for what is worth keeping, such as downloads. It exists, belongs to the provider,
        and is used by several processes at once."""

    @property
    def mirror(self) -> PackageMirror | None:
        """Where packages are kept for other machines, and for the time when an index has lost them;
        None where there is no datastore.

        A provider that mirrors `keep`s what it has fetched where the setting ``mirror_packages`` is
        on. When it builds, it asks its cache first, then the mirror, then the index; with the
        setting off it asks the mirror only where there is no network, or where the index fails.
        """

    def setting(self, name: str) -> Any:
        """Return a setting's value."""

    def tell(self, text: str, part: float | None = None) -> None:
        """Tell how it goes: one short line, and how much is done, 0 to 1, where that is known.

        Also a place where the work ends when a person does not want it any more: see `check`.
        """

    def check(self) -> None:
        """Raise `KeyboardInterrupt` when the run was ended. Call it now and then; let it pass."""

    def run(
        self,
        command: Sequence[str],
        *,
        folder: str | None = None,
        variables: Mapping[str, str] | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> str:
        """Run a program to its end; return what it wrote to its standard output.

        When the run is ended, so is the program with all its children.

        Args:
            command: the words of the command; no shell sees them.
            folder: working folder; None = that of this process.
            variables: further environment variables.
            heard: called with each line that it writes to its standard error, while it runs: what it
                tells of its progress.

        Raises:
            CommandFailed: it could not be started, or its exit status is not 0.
        """


class Environment(Protocol):
    """Makes the interpreter in which the tasks of a step run. Group ``flow.environments``.

    Made without arguments. flow-core calls `resolve` in the launcher when a run starts, and keeps
    what comes of it: the same request is not resolved twice, a resumed run has the lock of the run
    before. It calls `prepare` before the first task, once for each lock on a machine: who comes
    second waits. Both are called in threads of their own for different environments.
    Errors that a person can do something about are `FlowError`s with all four parts.
    Suite: `flow_core.testing.EnvironmentSuite`. Since 0.1.
    """

    capabilities: EnvironmentCapabilities

    def resolve(self, request: EnvironmentRequest, work: EnvironmentWork) -> Mapping[str, Any]:
        """Return a lock: JSON data from which any machine of that platform builds the same.

        The same request gives the same lock as long as the world does not change: no times, no
        paths of this machine in it. Put a number for its format into it, and keep reading old ones.

        Raises:
            FlowError: nothing fits the request.
        """

    def prepare(self, lock: Mapping[str, Any], folder: str, work: EnvironmentWork) -> Interpreter:
        """Build the environment of ``lock``; return its interpreter, which is a Python of 3.10 or
        later. It need not have flow-core: that comes along when a task starts.

        Args:
            lock: what `resolve` returned, on this or another machine.
            folder: an empty folder that stays at this path: the environment's home. What is in it
                is removed when this fails; it is never used half built.
            work: see there.

        Raises:
            FlowError: the lock is none of this provider, or something is missing.
        """


class EnvironmentWithOrigins(Environment, Protocol):
    """An `Environment` with the capability ``origins``. Since 0.1."""

    def origins(self, request: EnvironmentRequest, work: EnvironmentWork) -> Any:
        """Return where the packages of a request come from, as far as the request does not say it
        itself: JSON data, of settings and variables: indexes, channels, folders.

        The lock that a request has got holds where the answer is the same; in another project, with
        other indexes, it is resolved anew. Asked for each request when a run starts: it must be quick,
        and use no network. Passwords do not belong into it.
        """


class ExportingEnvironment(Environment, Protocol):
    """An `Environment` with the capability ``exports``. Since 0.1."""

    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        """Return a lock as files that other tools take: file name → text: ``pylock.toml``.

        Args:
            lock: what `resolve` returned, on this or another machine.

        Raises:
            FlowError: the lock is none of this provider.
        """


# --- parsers ------------------------------------------------------------------------------------


class Parser(Protocol):
    """Makes a value of the text of a file, for configurations and included files: a function will
    do. Group ``flow.parsers``; the name is what ``Config(parser=…)`` and ``IncludeFile(parser=…)``
    say. Since 0.1.
    """

    def __call__(self, text: str) -> Any:
        """Return what ``text`` means, as values of plain types.

        Raises:
            ValueError: it is none of this kind; its text says why. One with an attribute ``lineno``
                is shown with the line. Any other exception is shown with its type.
        """


# --- diagnoses ----------------------------------------------------------------------------------


class Diagnosis(NamedTuple):
    """One finding on whether flows can run here. The entry points of the group ``flow.diagnoses``
    name functions that are given a `Session` and yield such findings; they are called in a process
    of their own, and interrupted when they take longer than some seconds. Since 0.1.

    Attributes:
        subject: what it is about, in a word: ``forking``.
        status: ``ok``, ``warn`` or ``fail``: flows cannot run.
        text: what was found, one sentence.
        why: the cause, as far as it is known.
        hint: what to type or change.
    """

    subject: str
    status: str
    text: str
    why: str = ""
    hint: str = ""


# --- commands -----------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command of the command line. Group ``flow.commands``; the entry point names an instance.

    Attributes:
        summary: one line for the list of commands.
        needs_flow: whether it works on a flow file (``flow show my_flow.py``).
        build: called with the `CommandContext` when the command is used or its help is asked.
    """

    summary: str
    needs_flow: bool
    build: Callable[[CommandContext], click.Command]


class CommandContext(Protocol):
    """What a command gets from the command line around it."""

    @property
    def flow(self) -> Any:
        """The flow class, or None when no flow was given."""

    @property
    def name(self) -> str:
        """The name under which the command was called."""

    @property
    def arguments(self) -> Sequence[str]:
        """What stands behind the command, not parsed yet: for what its options depend on."""

    def session(self) -> Any:
        """Return the `flow_core.api.Session` with the top-level options applied (made once)."""

    def echo(self, text: str = "", *, error: bool = False) -> None:
        """Write a line to standard output (or standard error), colours removed in a pipe."""
