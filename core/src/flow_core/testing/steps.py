"""One step of a flow in this process, on artifacts that a test gives: `flow_step`."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FunctionType, TracebackType
from typing import Any, TextIO

from flow_core.errors import FlowError, UsageError, did_you_mean
from flow_core.flowspec import FlowSpec
from flow_core.interfaces import Store
from flow_core.plan import RetryPolicy
from flow_core.records import (
    Failure,
    Manifest,
    TaskSpec,
    Transition,
)
from flow_core.session import Session
from flow_core.settings import Settings
from flow_core.task import TaskContext, TaskRunner, run_body, settle
from flow_core.testing.fakes import MemoryMetadata, MemoryStore
from flow_core.testing.in_process import gang_variables, surroundings
from flow_core.testing.step_inputs import NOT_GIVEN, Place, StepBench

_KERNEL = "KernelHooks"


class StepOutcome:
    """What a step did: see `flow_step`.

    ``outcome["loss"]`` is an artifact as the next step would read it.

    Attributes:
        flow, step: names.
        next: the steps that follow; empty after the last one.
        items: of a foreach, what it goes over; else None.
        count: of a foreach, the number of items; of ``num_parallel``, the size of the gang; else
            None.
        case: of a switch, the case that was chosen; as it stands in the source where that is no
            literal, as ``Way.BACK``. Else None.
        stdout, stderr: what the step wrote by way of Python.
        failure: what a decorator has caught, with ``hooks``; else None.
        manifest: the whole record of the attempt.
        store: where the artifacts lie, in memory.

    Since 0.1.
    """

    def __init__(
        self,
        session: Session,
        manifest: Manifest,
        changed: Collection[str],
        streams: tuple[str, str],
    ) -> None:
        self._artifacts = session.artifacts
        self._changed = changed
        self.store: Store = session.store
        self.manifest = manifest
        self.stdout, self.stderr = streams

    @property
    def flow(self) -> str:
        """Name of the flow."""
        return self.manifest.flow

    @property
    def step(self) -> str:
        """Name of the step."""
        return self.manifest.step

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return self.manifest.pathspec

    @property
    def next(self) -> tuple[str, ...]:
        """The steps that follow."""
        return self._transition.targets

    @property
    def case(self) -> Any:
        """The case of a switch."""
        text = self._transition.case
        try:
            return None if text is None else ast.literal_eval(text)
        except ValueError:
            return text

    @property
    def count(self) -> int | None:  # type: ignore[override,unused-ignore]
        """The number of tasks that a foreach, or a gang, has."""
        return self._transition.count

    @property
    def items(self) -> list[Any] | None:
        """What a foreach goes over."""
        found, count = self._transition.items, self._transition.count
        if found is None or count is None:
            return None
        name = f"item of '{self._transition.artifact}'"
        return [self._artifacts.load_item(found, n, count, name) for n in range(count)]

    @property
    def failure(self) -> Failure | None:
        """What was caught."""
        return self.manifest.failure

    @property
    def artifacts(self) -> dict[str, Any]:
        """All that the next step can read, by name."""
        return {name: self[name] for name in self.manifest.artifacts}

    @property
    def changed(self) -> dict[str, Any]:
        """What the step itself set or changed, by name; in a join also what it merged."""
        return {name: self[name] for name in self.manifest.artifacts if name in self._changed}

    @property
    def changed_names(self) -> frozenset[str]:
        """The names of `changed`, for which nothing is loaded."""
        return frozenset(self._changed)

    def __getitem__(self, name: str) -> Any:
        table = self.manifest.artifacts
        if name not in table:
            raise KeyError(
                f"step '{self.step}' leaves no artifact '{name}' "
                f"({did_you_mean(name, table) or 'it has: ' + (', '.join(table) or 'none')})"
            )
        return self._artifacts.load(table[name], f"artifact '{name}' of {self.pathspec}")

    def __contains__(self, name: object) -> bool:
        return name in self.manifest.artifacts

    def __repr__(self) -> str:
        way = f" → {', '.join(self.next)}" if self.next else ""
        names = ", ".join(sorted(self._changed)) or "nothing"
        return f"<{self.flow}.{self.step}{way}: sets {names}>"

    @property
    def _transition(self) -> Transition:
        return self.manifest.transition or Transition()


def flow_step(
    step: Callable[..., Any],
    *,
    inputs: Any = None,
    parameters: Mapping[str, Any] | None = None,
    input: Any = NOT_GIVEN,
    index: int = 0,
    foreach: Sequence[tuple[int, int, Any]] | None = None,
    current: Mapping[str, Any] | None = None,
    configs: Mapping[str, Any] | None = None,
    hooks: bool | Sequence[str] = False,
    flow: type[FlowSpec] | None = None,
) -> StepOutcome:
    """Run one step of a flow in this process, and return what it did.

        outcome = flow_step(TrainFlow.fit, inputs={"rows": [1, 2, 3]}, parameters={"rate": 0.5})
        assert outcome["loss"] < 0.1
        assert outcome.next == ("evaluate",)

    It goes the way of a real task: artifacts are stored and loaded, assignments and the transition
    are checked. Nothing is kept but in memory; variables and the working folder are put back. An
    exception of the step is raised as it is, so that ``pytest.raises`` and ``--pdb`` see it.

    The step's own function runs, with decorators and mutators of the flow's author around it, and
    with the environment variables of its plan (``@environment``). What plugins do in a task is
    left out unless ``hooks`` says otherwise: a ``@catch`` would hide the failure, secrets would be
    fetched. What a launcher does (``@retry``, ``@resources``) has no part in one attempt.

    Args:
        step: the step: ``MyFlow.train``.
        inputs: artifacts that it finds, by name; for a join one such dict for each branch: a list,
            or a dict by the last step of each branch. An earlier `StepOutcome` stands for its
            artifacts.
        parameters: values of the flow's parameters by name; others have their defaults.
        input: in a foreach, the item (``self.input``). Without it, the ``index``-th of the
            artifact that the foreach goes over, if that is in ``inputs``.
        index: the number of the item (``self.index``); of a gang, that of the member.
        foreach: the surrounding foreaches where there are several, outermost first, as
            ``self.foreach_stack()`` returns them: ``(index, number of items, item)``. It takes
            the place of ``input`` and ``index``.
        current: what `current` says, by name, beside or instead of its own facts:
            ``{"run_id": "7", "card": FakeCard()}``.
        configs: values of the flow's configurations by name.
        hooks: whether plugins act in the task, as in a run; or the names of those that do:
            ``["secrets"]``.
        flow: the flow class, where several have the step from a common base class.

    Raises:
        UsageError: it is no step; there is no such artifact, branch or plugin; an input is missing.
        LintError: something is wrong with the flow's graph.
        ParameterError: a parameter is missing, or its value is none of its type.
        FlowError: the step did what no step may: it went on as its source does not say, or set
            something that cannot be stored.
        Exception: what the step raised.

    Since 0.1.
    """
    __tracebackhide__ = True
    place, facts = Place(input, index, foreach), dict(current or {})
    try:
        cls = flow or _flow_of(step)
        name = _name_of(step, cls)
        with ExitStack() as stack:
            session = stack.enter_context(_session(cls, configs or {}))
            bench = StepBench(session, name, parameters or {})
            spec = bench.specification(inputs, place)
            _try_once(session)
            act = _chosen_hooks(session, hooks)
            stack.enter_context(surroundings(_variables(session, spec)))
            outcome, error = _run(session, bench, spec, act, facts)
    except FlowError as wrong:
        raise wrong.with_traceback(None)  # noqa: B904 - its parts tell all
    if error is not None:
        _explain(error, hooks)
        raise error.with_traceback(_below_kernel(error))
    return outcome


def _explain(error: BaseException, hooks: bool | Sequence[str]) -> None:
    """Say how a test gives that for whose want the step failed."""
    if not isinstance(error, AttributeError):
        return
    text = str(error)
    if artifact := _MISSING.fullmatch(text):
        error.args = (f"{text} The test gives none: inputs={{{artifact[1]!r}: …}}",)
    elif hooks is not True and (fact := _UNKNOWN.match(text)):
        given = f"current={{{fact[1]!r}: …}} gives a stand-in"
        error.args = (f"{text}; flow_step leaves plugins out: hooks=True lets them act, {given}",)


_UNKNOWN = re.compile(r"current has no '(\w+)': no plugin in this task provides it")
_MISSING = re.compile(r"Flow '\w+' has no artifact '(\w+)' here\.")  # nothing like it is there


# --- which step -----------------------------------------------------------------------------


def _flow_of(step: Any) -> type[FlowSpec]:
    """Return the flow class whose step it is."""
    if not isinstance(step, FunctionType) or not hasattr(step, "__flow_step__"):
        raise _no_step(step)
    having = [c for c in _flows(FlowSpec) if getattr(c, step.__name__, None) is step]
    whole = [c for c in having if not c.__subclasses__()] or having
    own = [c for c in having if vars(c).get(step.__name__) is step]
    if not having:
        raise _no_step(step)
    if len(whole) > 1 and not (own and _is_whole(own[0])):
        names = sorted(c.__name__ for c in whole)
        raise UsageError(
            f"The step '{step.__name__}' belongs to several flows: {', '.join(names)}",
            where=f"flow_step({step.__qualname__})",
            hint=f"say which: flow_step({names[0]}.{step.__name__}, flow={names[0]})",
        )
    return own[0] if own and _is_whole(own[0]) else whole[0]


def _flows(base: type[FlowSpec]) -> Iterator[type[FlowSpec]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _flows(cls)


def _is_whole(cls: type[FlowSpec]) -> bool:
    """Whether a class has steps to begin and to end with, and is no base class of flows."""
    marks = [getattr(getattr(cls, name), "__flow_step__", None) for name in dir(cls)]
    found = [mark for mark in marks if mark is not None]
    starts = hasattr(cls, "start") or any(mark.start for mark in found)
    return starts and (hasattr(cls, "end") or any(mark.end for mark in found))


def _name_of(step: Any, cls: type[FlowSpec]) -> str:
    name = getattr(step, "__name__", "")
    if getattr(cls, name, None) is not step or not hasattr(step, "__flow_step__"):
        raise _no_step(step, cls)
    return str(name)


def _no_step(step: Any, cls: type[FlowSpec] | None = None) -> UsageError:
    shown = getattr(step, "__qualname__", None) or repr(step)
    return UsageError(
        f"{shown} is no step of {'the flow ' + cls.__name__ if cls else 'a flow'}",
        where="flow_step",
        hint="flow_step(MyFlow.train, …), where 'train' is marked with @step",
    )


def _session(cls: type[FlowSpec], configs: Mapping[str, Any]) -> Session:
    settings = Settings()
    for kind in ("datastore", "metadata"):
        settings.override(kind, "memory", "flow_step")
    session = Session(
        cls,
        settings=settings,
        providers={("store", "memory"): MemoryStore(), ("metadata", "memory"): MemoryMetadata()},
        config_values=list(configs.items()),
    )
    session.share_process()
    return session


def _try_once(session: Session) -> None:
    """There is one attempt, and none behind it: what waits for the last one acts in it."""
    for name, plan in session.plans.items():
        session.plans[name] = plan._replace(retry=RetryPolicy())


def _chosen_hooks(session: Session, hooks: bool | Sequence[str]) -> bool:
    """Take plugins out that are not to act; return whether any is."""
    if hooks is False:
        return False
    session.start()
    if hooks is not True:
        names = [hooks] if isinstance(hooks, str) else list(hooks)
        manager = session.plugins.manager
        known = [name for name, _ in manager.list_name_plugin() if name != _KERNEL]
        for name in names:
            if name not in known:
                raise UsageError(
                    f"There is no plugin '{name}' whose hooks this flow uses",
                    where=f"flow_step(hooks={names!r})",
                    hint=did_you_mean(name, known) or f"there are: {', '.join(known)}",
                )
        for name in known:
            if name not in names:
                manager.unregister(name=name)
    return True


# --- running it ---------------------------------------------------------------------------


def _run(
    session: Session, bench: StepBench, spec: TaskSpec, hooks: bool, facts: Mapping[str, Any]
) -> tuple[StepOutcome, BaseException | None]:
    """Run the attempt; return what it did, and the exception that ended it."""
    runner = TaskRunner(session, bench.document)
    task = runner.context(spec)
    with _heard() as heard:
        flow, binding = runner.bind(task, facts)
        try:
            error = run_body(session, task, flow) if hooks else _body(task, flow)
            manifest, error = settle(task, flow, binding, error)
        finally:
            task.current.end()
    changed = binding.changed(flow, manifest.artifacts)
    streams = (heard[0].text, heard[1].text)
    return StepOutcome(session, manifest, changed, streams), error


def _variables(session: Session, spec: TaskSpec) -> dict[str, str]:
    """Return the environment variables of a task."""
    gang = spec.gang
    others = gang_variables(gang.index, gang.size) if gang is not None else {}
    return {**others, **session.plans[spec.step].variables}


def _body(task: TaskContext, flow: FlowSpec) -> BaseException | None:
    try:
        task.call(flow)
    except BaseException as raised:
        return raised
    return None


# --- the process ----------------------------------------------------------------------------


class _Heard(io.TextIOBase):
    """Passes on what is written to a stream, and keeps it."""

    def __init__(self, behind: TextIO) -> None:
        self._behind = behind
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    def write(self, text: str) -> int:
        self._parts.append(text)
        return self._behind.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self._behind.flush()

    def isatty(self) -> bool:
        return self._behind.isatty()

    def fileno(self) -> int:
        return self._behind.fileno()


@contextmanager
def _heard() -> Iterator[tuple[_Heard, _Heard]]:
    earlier = sys.stdout, sys.stderr
    heard = _Heard(earlier[0]), _Heard(earlier[1])
    sys.stdout, sys.stderr = heard
    try:
        yield heard
    finally:
        if (sys.stdout, sys.stderr) == heard:
            sys.stdout, sys.stderr = earlier


_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def _below_kernel(error: BaseException) -> TracebackType | None:
    """Return the frames from the step's own on; of an error of ours that comes later, none."""
    frames = error.__traceback__
    calls = (TaskContext._run.__code__, TaskContext._call_wrapped.__code__)
    below: TracebackType | None = None
    found = frames
    while found is not None:
        if found.tb_frame.f_code in calls:
            below = found.tb_next
        found = found.tb_next
    while below is not None and below.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        below = below.tb_next
    return below if below is not None or isinstance(error, FlowError) else frames
