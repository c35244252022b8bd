"""One attempt of a task in this process: bind the inputs, run the body, store, commit.

Nothing here knows whether the process was forked, spawned, or runs in a container: all that an
attempt needs is its `TaskSpec` and a store.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, NoReturn

import pluggy

from flow_core.binding import FlowBinding, Inputs, ReservedNames, RunReader, bind
from flow_core.context import Current, current
from flow_core.errors import FlowError, StoreError
from flow_core.flowspec import BINDING, FlowSpec
from flow_core.graph import Node
from flow_core.index import installed
from flow_core.options import Options
from flow_core.plan import TaskPlan
from flow_core.records import (
    EXIT_FAILED,
    EXIT_NOT_COMMITTED,
    EXIT_OK,
    ArtifactRef,
    AttemptState,
    Failure,
    Manifest,
    RunDocument,
    TaskSpec,
    Transition,
    unpack_inputs,
)

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from traceback import FrameSummary

    from flow_core.coroutines import CoroutineBody
    from flow_core.definition import StepDefinition
    from flow_core.session import Session


class AttemptFailed(FlowError):
    """Stands, in a fallback attempt, for the failure of the attempt before, whose process died.

    Attributes:
        failure: what is known of it.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, why=failure.cause)
        self.failure = failure


class TaskContext:
    """What hooks in the task process get of the attempt.

    Attributes:
        spec: which attempt.
        plan: the plan of the step.
        node: the step in the graph.
        run: the run's fixed facts.
        current: the user's `current`; a plugin adds to it with ``task.current.provide``.
        session: the session of this process.
        notes: JSON data for the manifest, by name: see `note`.
        preferred: tags of serializers: see `prefer_serializers`.
    """

    def __init__(
        self,
        session: Session,
        spec: TaskSpec,
        reader: RunReader,
        step: StepDefinition,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self.session = session
        self.spec = spec
        self.plan: TaskPlan = session.plans[spec.step]
        self.node: Node = session.graph[spec.step]
        self.run: RunDocument = reader.document
        self.current: Current = current
        self.notes: dict[str, Any] = dict(spec.notes)
        self.preferred: tuple[str, ...] = ()
        self.caught: Failure | None = None
        self._hidden: list[str] = []
        self._step = step
        self._begin = begin
        self._reader = reader
        self._inputs: Inputs | None = None
        self._coroutine: CoroutineBody | None = None

    def options(self, decorator: str) -> Options | None:
        """Return the options of a decorator of this step, or None when it does not carry it."""
        return self._step.options(decorator)

    def all_options(self, decorator: str) -> list[Options]:
        """Return the options of a decorator for each time that this step carries it, in order."""
        return self._step.all_options(decorator)

    @property
    def is_last_attempt(self) -> bool:
        """Whether the plan allows no further attempt after this one, however it fails."""
        return self.spec.fallback or not self.plan.retry.allows(self.spec.attempt)

    def is_final(self, error: BaseException) -> bool:
        """Whether the plan allows no further attempt when this one fails by ``error``."""
        kind = _kind(error)
        return self.spec.fallback or not self.plan.retry.allows(self.spec.attempt, kind)

    @property
    def shares_process(self) -> bool:
        """Whether this process is the launcher's, and not one of the attempt's own: what a plugin
        changes in it (variables, signal handlers, streams) it must put back."""
        return self.session.is_launcher

    def hide(self, texts: Iterable[str]) -> None:
        """Keep texts out of what is recorded and shown of the attempt's failure: passwords.

        What the step itself writes, the plugin must keep free of them.
        """
        self._hidden = sorted({*self._hidden, *filter(None, texts)}, key=len, reverse=True)

    def masked(self, text: str) -> str:
        """Return ``text`` with ``***`` instead of what is hidden: see `hide`."""
        for hidden in self._hidden:
            text = text.replace(hidden, "***")
        return text

    def told(self, text: str) -> str:
        """Return ``text`` as people may read it later: without what is hidden, and with the files of
        a flow whose code was unpacked for this task named as in its project."""
        folder = self.session.unpacked_at
        return self.masked(text.replace(folder + os.sep, "") if folder else text)

    def describe(self, error: BaseException) -> Failure:
        """Return an exception as data, without what is hidden."""
        failure = describe_failure(error)
        if self.session.has_only_code and not failure.hint:
            failure = failure._replace(hint=_of_missing_file(error))
        return failure._replace(
            message=self.told(failure.message), traceback=self.told(failure.traceback)
        )

    def note(self, name: str, value: Any) -> None:
        """Add JSON data to the manifest under ``name``."""
        self.notes[name] = value

    def prefer_serializers(self, *tags: str) -> None:
        """Let these serializers be asked first for the artifacts of this attempt, in this order.

        They stand before those of earlier calls, and of the setting ``serializers``. Those that are
        not installed, or do not take a value, are passed over.
        """
        known = ("pickle", *self.session.index.names("flow.serializers"))
        self.preferred = (*(tag for tag in tags if tag in known), *self.preferred)

    def excuse(self, error: BaseException) -> None:
        """Let the flow go on although the body failed: the attempt ends as ``caught``.

        For a wrapper of ``flow_task_call`` that handles ``error`` instead of passing it on. What
        the step set before the failure is kept, and it goes on to its one next step.
        """
        self.caught = self.describe(error)

    def interrupt(self, error: BaseException) -> None:
        """Have the body end by ``error``, wherever it is: for a handler of signals.

        It is raised here, and so in the code that was interrupted. Only where an ``async def`` step
        waits this returns; the step is cancelled there, and ends by ``error``.
        """
        if self._coroutine is None:
            raise error
        self._coroutine.interrupt(error)

    def arguments(self) -> tuple[Any, ...]:
        """Return what the step function takes besides ``self``: ``inputs`` for a join."""
        return (self._inputs,) if self._inputs is not None else ()

    def call(self, flow: Any) -> None:
        """Run the body of the step."""
        if self._begin is not None:
            self._begin()
        if self.spec.fallback:
            lost = Failure("lost", "", "the previous attempt left no record")
            raise AttemptFailed(self.spec.previous or lost)
        if self._step.uses:
            self._call_wrapped(flow)
        else:
            self._run(self._step.function, flow)

    def _run(self, function: Callable[..., Any], flow: Any) -> Any:
        result = function(flow, *self.arguments())
        if not isinstance(result, CoroutineType):
            return result
        from flow_core.coroutines import CoroutineBody  # few steps are coroutines

        self._coroutine = CoroutineBody(result)
        return self._coroutine.run()

    def _call_wrapped(self, flow: Any) -> None:
        from flow_core.user_decorators import Body, instances, run_wrapped

        definition = self.session.definition
        body = Body(
            self.spec.step,
            flow,
            self.arguments(),
            lambda function: self._run(function, flow),
            self._step.function,
            flow.__dict__[BINDING],
        )
        run_wrapped(
            body, instances(self._step, definition.evaluate if definition.configs else None)
        )


class TaskRunner:
    """Runs attempts of one run in this process, or in children that are forked from it.

    Made ahead of the fork: what it reads and computes, the children need not do again.

    Args:
        session: the session, with a flow.
        document: the run's ``run.json``.
    """

    def __init__(self, session: Session, document: RunDocument) -> None:
        self.session = session
        self.run = (document.flow, document.run)
        self._flow = session.definition.cls
        self._reader = RunReader(session.artifacts, document)
        self._reserved = ReservedNames.of(self._flow, session.graph.nodes)

    def run_attempt(
        self,
        spec: TaskSpec,
        begin: Callable[[], object] | None = None,
        committed: Callable[[bytes], object] | None = None,
    ) -> int:
        """Run one attempt and commit its manifest.

        Args:
            spec: which attempt.
            begin: called when all is ready, what plugins do ahead too, and the body begins.
            committed: called with the manifest as it is stored, when it is.

        Returns:
            exit status: 0 = the flow goes on, 1 = the attempt failed (both committed), 75 = the
            manifest could not be written, so that the attempt did not happen.
        """
        started = time.time()
        # A process of its own was made for the attempt: then all of its CPU time counts.
        used = _usage()[0] if self.session.is_launcher else 0.0
        task = self.context(spec, begin)
        try:
            flow, binding = self.bind(task)
        except FlowError as raised:
            return _commit(task, started, used, _failed(task, raised), raised, committed)
        try:
            error = run_body(self.session, task, flow)
            manifest, shown = settle(task, flow, binding, error)
        finally:
            current.end()
        return _commit(task, started, used, manifest, shown, committed)

    def context(self, spec: TaskSpec, begin: Callable[[], object] | None = None) -> TaskContext:
        """Return what hooks get of an attempt."""
        step = self.session.definition.steps[spec.step]
        return TaskContext(self.session, spec, self._reader, step, begin)

    def bind(
        self, task: TaskContext, facts: Mapping[str, Any] | None = None
    ) -> tuple[FlowSpec, FlowBinding]:
        """Return the flow object of an attempt, bound to its inputs, and enter the task.

        Args:
            task: the attempt.
            facts: what `current` says besides, or instead of, what it says by itself.
        """
        spec = task.spec
        table: Mapping[str, ArtifactRef] = {}
        if task.node.joins:
            task._inputs = Inputs(self._flow, self._reader, spec)
        elif spec.inputs:
            table = self._reader.manifest(next(unpack_inputs(spec.inputs))).artifacts
        binding = FlowBinding(self._reader, spec, task.node, self._reserved, table)
        flow = bind(self._flow, binding)
        if task._inputs is not None:
            task._inputs._owner = flow
        current.begin({**_facts(task), **(facts or {})})
        return flow, binding


def cannot_begin(spec: TaskSpec, error: FlowError) -> int:
    """Say that an attempt cannot even read its run; return its exit status."""
    sys.stderr.write(f"The task {spec.pathspec} could not begin.\n{error}\n")
    return EXIT_NOT_COMMITTED


def _facts(task: TaskContext) -> dict[str, Any]:
    spec, run = task.spec, task.run
    return {
        "flow_name": spec.flow,
        "run_id": spec.run,
        "step_name": spec.step,
        "task_id": str(spec.task),
        "retry_count": spec.attempt,
        "iteration": spec.iteration,
        "origin_run_id": run.origin.partition("/")[2] if run.origin else None,
        "username": run.user,
        "namespace": f"user:{run.user}",
        "pathspec": spec.pathspec,
        "parameter_names": tuple(n for n in run.parameters if n not in run.configs),
        "graph": run.graph,
        "tags": frozenset(run.tags),
        "is_parallel": spec.gang is not None,
    }


def run_body(session: Session, task: TaskContext, flow: FlowSpec) -> BaseException | None:
    """Run setup, body and teardown; return the exception that ended the body, if any."""
    hook = session.plugins.hook
    error: BaseException | None = None
    process = os.getpid()
    try:
        hook.flow_task_setup(task=task, flow=flow)
        hook.flow_task_call(task=task, flow=flow)
    except BaseException as raised:  # asyncio's CancelledError is no Exception
        error = raised
    if os.getpid() != process:
        _end_child(error)
    try:
        hook.flow_task_teardown(task=task, flow=flow, error=error)
    except Exception as raised:
        message = task.masked(f"{type(raised).__name__}: {raised}")
        task.note("teardown", message)
        sys.stderr.write(f"A plugin failed after step '{task.spec.step}': {message}\n")
    return error


def _end_child(error: BaseException | None) -> NoReturn:
    """End a child that the step forked: only the process of the task says how the task ended."""
    if error is not None:
        raise error
    sys.stderr.write("A child that the step forked came to the step's end; its parent goes on.\n")
    raise SystemExit(0)


def settle(
    task: TaskContext, flow: FlowSpec, binding: FlowBinding, error: BaseException | None
) -> tuple[Manifest, BaseException | None]:
    """Store the artifacts and decide how the attempt ended; return the error to show."""
    transition: Transition | None = None
    if error is None:
        try:
            excused = task.caught and binding.transition is None
            transition = binding.default_transition() if excused else binding.finish(flow)
        except Exception as raised:  # also what the iteration over foreach items raises
            error = raised
    try:
        table, unstorable = binding.save(flow, task.preferred)
    except Exception as raised:  # also what a serializer raises
        return _failed(task, raised), raised
    if error is None and unstorable is not None:
        error = unstorable
    if error is not None:
        return _failed(task, error)._replace(artifacts=table), error
    state = AttemptState.CAUGHT if task.caught else AttemptState.SUCCEEDED
    manifest = _manifest(task)._replace(
        state=state,
        transition=transition,
        artifacts=table,
        failure=task.caught,
        trace=binding.trace(flow, table),
    )
    return manifest, None


def _manifest(task: TaskContext) -> Manifest:
    spec = task.spec
    return Manifest(
        spec.flow,
        spec.run,
        spec.step,
        spec.task,
        spec.attempt,
        AttemptState.FAILED,
        inputs=spec.inputs,
        foreach=spec.foreach,
        iteration=spec.iteration,
        notes=task.notes,
        host=os.uname().nodename if hasattr(os, "uname") else "",
        pid=os.getpid(),
    )


def _failed(task: TaskContext, error: BaseException) -> Manifest:
    return _manifest(task)._replace(failure=task.describe(error))


def _commit(
    task: TaskContext,
    started: float,
    used: float,
    manifest: Manifest,
    error: BaseException | None,
    tell: Callable[[bytes], object] | None,
) -> int:
    if error is not None:
        _show(task, error)
    cpu_seconds, peak_memory = _usage()
    manifest = manifest._replace(
        started=started,
        finished=time.time(),
        cpu_seconds=cpu_seconds - used,
        peak_memory=peak_memory,
    )
    try:
        content = manifest.encode()
        (committed,) = task.session.store.write([(manifest.key, content)], create_only=True)
    except (StoreError, TypeError, ValueError) as refused:  # a note that is no JSON is a TypeError
        sys.stderr.write(f"The result of {task.spec.pathspec} could not be stored.\n{refused}\n")
        return EXIT_NOT_COMMITTED
    if not committed:
        sys.stderr.write(
            f"The result of {task.spec.pathspec} is not used: "
            f"attempt {task.spec.attempt} was settled already.\n"
        )
        return EXIT_NOT_COMMITTED
    if tell is not None:
        tell(content)
    return EXIT_OK if manifest.ok else EXIT_FAILED


def _usage() -> tuple[float, int]:
    """Return CPU seconds and peak memory in bytes of this process and its ended children."""
    if resource is None:
        return time.process_time(), 0
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, max(own.ru_maxrss, children.ru_maxrss) * unit


# --- failures -----------------------------------------------------------------------------------


def describe_failure(error: BaseException) -> Failure:
    """Return an exception as data."""
    if isinstance(error, AttemptFailed):
        return error.failure
    kind = _kind(error)
    if isinstance(error, SystemExit):
        return kind._replace(
            message=f"the step called sys.exit({error.code!r})", traceback=trace(error)
        )
    message = error.what if isinstance(error, FlowError) else _text(error)
    if isinstance(error, StoreError) and error.why:
        message += f": {error.why}"  # that the disk is full says more than that a write failed
    return kind._replace(message=message.strip() or kind.type, traceback=trace(error))


def _of_missing_file(error: BaseException) -> str:
    """Return what to do about a file that is on the launcher's machine, and not where the code went."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    if not isinstance(name, str) or os.path.isabs(name):
        return ""
    return (
        f"only the code of the flow is there: FLOW_PACKAGE={name} lets the file travel with it; "
        "IncludeFile makes it a parameter"
    )


def _kind(error: BaseException) -> Failure:
    """Return what kind of failure an exception is, without its text."""
    if isinstance(error, AttemptFailed):
        return error.failure
    name, *bases = [_qualified(kind) for kind in type(error).__mro__ if kind is not object]
    return Failure(_cause(error), name, "", "", tuple(bases))


def _cause(error: BaseException) -> str:
    if isinstance(error, FlowError):
        return error.failure_cause
    no_memory = isinstance(error, OSError) and error.errno == errno.ENOMEM  # fork, mmap
    return "out-of-memory" if no_memory or isinstance(error, MemoryError) else "error"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # its own __str__ fails: the name of its class must do


def _qualified(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"


def trace(error: BaseException) -> str:
    """Return the traceback as text, without the frames of flow-core and its hook machinery.

    An error that flow-core or a plugin raised on purpose tells all in its parts: of the traceback
    only the lines of the step are shown, and nothing of what led to it inside.
    """
    import traceback

    exception = traceback.TracebackException.from_exception(error)
    if isinstance(error, FlowError):
        stack = exception.stack
        ours = (*_OURS, *_plugin_folders(), _LOOP)
        if not stack or stack[-1].filename.startswith(ours):
            stack[:] = [f for f in _below_call(stack) if not f.filename.startswith(ours)]
            return "".join(stack.format()) + str(error)
    pending: list[Any] = [exception]
    while pending:
        one = pending.pop()
        kept = [f for f in _below_call(one.stack) if not f.filename.startswith(_OURS)]
        one.stack[:] = kept or one.stack
        group = getattr(one, "exceptions", None) or ()
        pending.extend(e for e in (one.__cause__, one.__context__, *group) if e is not None)
    return "".join(exception.format()).rstrip()


def _below_call(stack: Sequence[FrameSummary]) -> Sequence[FrameSummary]:
    """Leave out what stands before the step function: plugins that wrap it, the event loop."""
    calls = [n for n, f in enumerate(stack) if f.filename == __file__ and f.name in _STEP_CALLS]
    below = stack[calls[-1] + 1 :] if calls else stack
    if below and below[0].filename.startswith(_OURS):  # `CoroutineBody.run`
        below = [f for f in below if not f.filename.startswith(_OURS)]
        first = next((n for n, f in enumerate(below) if not f.filename.startswith(_LOOP)), 0)
        below = below[first:]
    return below


def _plugin_folders() -> tuple[str, ...]:
    """Return where the imported packages of installed plugins lie."""
    entries = installed().entry_points
    names = {e.value.partition(":")[0].partition(".")[0] for e in entries}
    files = [getattr(sys.modules.get(name), "__file__", None) for name in names]
    # A plugin that is one module lies beside strangers: of it only the file is its own.
    return tuple(
        os.path.dirname(f) + os.sep if os.path.basename(f) == "__init__.py" else f
        for f in files
        if f is not None
    )


_OURS = tuple(
    os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, pluggy.__file__)
)


_LOOP = os.path.join(os.path.dirname(os.__file__), "asyncio", "")

_STEP_CALLS = (TaskContext._run.__name__, TaskContext._call_wrapped.__name__)


def _show(task: TaskContext, error: BaseException) -> None:
    """Write the failure to the task's stderr, for its log."""
    text = task.spec.previous.message if task.spec.fallback and task.spec.previous else trace(error)
    sys.stderr.write(f"{task.told(text)}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # Only as a program does this module start sessions, which stand above it.
    from flow_core.remote_task import run_as_program

    run_as_program()
