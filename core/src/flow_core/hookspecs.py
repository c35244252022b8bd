"""The hooks: where many plugins may listen, or wrap. Sections follow the life of a session.

An implementation is a function of a plugin's hook module, marked with ``@hookimpl``. An entry point of
the group ``flow.plugins`` names a module that every session loads, one of ``flow.decorator_hooks`` a
module that only flows with the decorator of that name need: it costs no others anything. It may take
any subset of the arguments, by name; later releases may add arguments. *Launcher* and *task* say in
which process a hook is called.

Order: plugins are called sorted by name; ``@hookimpl(before=["timeout"])`` and ``after=`` say where
that is not enough, and ``@hookimpl(wrapper=True)`` wraps all others. ``flow plugins hooks`` shows it.

Failures: an implementation that raises, that takes longer than its budget, or that returns something
else than declared is reported with plugin, hook, step, line and time. In hooks that only tell
(*observers*) it is put aside, and the run goes on; in all others it ends the command or the attempt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

import pluggy

if TYPE_CHECKING:
    from flow_core.definition import FlowDefinition, StepDefinition
    from flow_core.deprecation import Deprecation
    from flow_core.graph import Graph, Problem
    from flow_core.interfaces import TaskCommand
    from flow_core.plan import PlanDraft, TaskPlan
    from flow_core.records import Event, Manifest, RunRecord, RunResult, TaskSpec
    from flow_core.reuse import ReuseDraft
    from flow_core.run import RunDraft, RunOption, RunRequest
    from flow_core.session import Session
    from flow_core.settings import Settings
    from flow_core.task import TaskContext

PROJECT = "flow_core"
F = TypeVar("F", bound=Callable[..., Any])

_pluggy_spec = pluggy.HookspecMarker(PROJECT)
_pluggy_impl = pluggy.HookimplMarker(PROJECT)

ORDER_ATTRIBUTE = "flow_core_order"
BUDGET_ATTRIBUTE = "flow_core_budget"
MARKS_ATTRIBUTE = "flow_core_marks"

USUAL = -1.0
"""The budget of an implementation that asks for none of its own: that of the settings."""


class Returns(NamedTuple):
    """What the implementations of a hook may return besides None.

    Attributes:
        kinds: classes, each as ``module:name``.
        many: whether it is a list of such objects.
    """

    kinds: tuple[str, ...]
    many: bool = False

    def __str__(self) -> str:
        names = " or ".join(kind.partition(":")[2] for kind in self.kinds)
        return f"a list of {names}, or None" if self.many else f"{names} or None"

    def wrong(self, value: object) -> tuple[object, ...]:
        """Return the part of ``value`` that is not as it should be, in a tuple; () when all is."""
        if value is None:
            return ()
        if not self.many:
            return () if self._fits(value) else (value,)
        if not isinstance(value, (list, tuple)):
            return (value,)
        return tuple(item for item in value if not self._fits(item))[:1]

    def _fits(self, value: object) -> bool:
        # A class that is not imported yet is not that of the value.
        for kind in self.kinds:
            module, _, name = kind.partition(":")
            known = getattr(sys.modules.get(module), name, None)
            if isinstance(known, type) and isinstance(value, known):
                return True
        return False


class Marks(NamedTuple):
    """What the declaration of a hook says besides its arguments; see `hookspec`."""

    observer: bool = False
    returns: Returns | None = None
    deprecated: Deprecation | None = None


@overload
def hookspec(function: F, /) -> F: ...
@overload
def hookspec(
    *,
    firstresult: bool = False,
    historic: bool = False,
    observer: bool = False,
    returns: Returns | None = None,
    deprecated: Deprecation | None = None,
) -> Callable[[F], F]: ...
def hookspec(
    function: F | None = None,
    /,
    *,
    firstresult: bool = False,
    historic: bool = False,
    observer: bool = False,
    returns: Returns | None = None,
    deprecated: Deprecation | None = None,
) -> Any:
    """Mark a function as the declaration of a hook.

    Args:
        firstresult: the first implementation that returns something else than None ends the call.
        historic: plugins that are registered later are called, too, with what was said before.
        observer: the hook only tells. An implementation that fails, or takes longer than its budget,
            is put aside: it is not called again, the others are, the run goes on, and what happened
            is told at its end. Without this, a failure ends what was going on.
        returns: what implementations may return; anything else is reported as a failure of theirs.
        deprecated: the former name of the hook, or of its arguments, under which implementations are
            called as well; or that the hook goes away. See `flow_core.api.deprecated`.

    Since 0.1.
    """

    def mark(function: F) -> F:
        setattr(function, MARKS_ATTRIBUTE, Marks(observer, returns, deprecated))
        return _pluggy_spec(function, firstresult=firstresult, historic=historic)

    return mark(function) if function is not None else mark


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(
    *,
    wrapper: bool = False,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    optionalhook: bool = False,
    budget: float | None = USUAL,
) -> Callable[[F], F]: ...
def hookimpl(
    function: F | None = None,
    /,
    *,
    wrapper: bool = False,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    optionalhook: bool = False,
    budget: float | None = USUAL,
) -> Any:
    """Mark a function of a hook module as the implementation of the hook of its name.

    Args:
        wrapper: the function is a generator that yields once; all other implementations run at the
            yield, whose result is theirs; what it returns is the result.
        before, after: names of plugins; this implementation runs before or after theirs of this hook.
        optionalhook: do not complain when nobody declares the hook (another plugin may).
        budget: seconds that it may take in the launcher; None = any time; default: the setting
            ``hook_budget``.

    Since 0.1.
    """

    def mark(function: F) -> F:
        setattr(function, ORDER_ATTRIBUTE, (tuple(before), tuple(after)))
        setattr(function, BUDGET_ATTRIBUTE, budget)
        return _pluggy_impl(function, wrapper=wrapper, optionalhook=optionalhook)

    return mark(function) if function is not None else mark


last = _pluggy_impl(trylast=True)
"""Marks the kernel's own implementations: a plugin's that gives a result stands for them."""


_DECISIONS = tuple(f"flow_core.plan:{name}" for name in ("RetryAfter", "Fallback", "GiveUp"))

# --- Registration -------------------------------------------------------------------------------


@hookspec(historic=True)
def flow_add_hooks(plugins: pluggy.PluginManager) -> None:
    """Declare hooks of your own: ``plugins.add_hookspecs(my_hookspecs)``.

    Process: any. Historic: plugins that are registered later are called too. Since 0.1.
    """


@hookspec(historic=True)
def flow_settings(settings: Settings) -> None:
    """Declare typed settings under your plugin's prefix: ``settings.declare(...)``.

    Process: any. Historic. Since 0.1.
    """


# --- Session ------------------------------------------------------------------------------------


@hookspec
def flow_session_started(session: Session) -> None:
    """A command that runs or reads flows begins. Process: launcher. Since 0.1."""


@hookspec(observer=True)
def flow_session_finished(session: Session) -> None:
    """The command ended, also after an error. Process: launcher. Since 0.1."""


# --- Definition, graph, plan --------------------------------------------------------------------


@hookspec
def flow_definition(definition: FlowDefinition) -> None:
    """Change the flow's definition, once, before its graph freezes: attach or remove decorators.

    ``definition`` may be mutated: ``retry = definition.decorator("retry")``, then
    ``definition.steps["load"].attach(retry, retry.make(times=2), "my-plugin")``. Process: launcher, and each task process that was not forked from
    it; so the result must depend on nothing but the definition and the settings. Since 0.1.
    """


@hookspec(returns=Returns(("flow_core.graph:Problem",), many=True))
def flow_check(graph: Graph) -> list[Problem] | None:
    """Return problems of the graph. All problems of all plugins are shown together.

    Process: launcher. Since 0.1.
    """


@hookspec
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Add to the plan of one step what your decorator's options ask for.

    ``draft`` may be mutated: ``draft.require(cpu=2)`` merges by the maximum; a second choice of
    compute is an error naming both. ``step.options("name")`` gives the options of a decorator, or
    None. Process: as `flow_definition`. Since 0.1.
    """


@hookspec(returns=Returns(("builtins:str",), many=True))
def flow_environment_requirements(step: StepDefinition, plan: TaskPlan) -> list[str] | None:
    """Return what must be installed in the step's environment for your plugin's part in the task,
    as requirement strings. Process: launcher. Since 0.1.
    """


@hookspec(returns=Returns(("builtins:tuple",), many=True))
def flow_package_files(graph: Graph) -> list[tuple[str, str]] | None:
    """Return further files for the code snapshot: (path on disk, path in the snapshot).

    The second is relative to where the flow's code begins: the folder of its file, or the one that its
    package is in. It goes before a file of the person that has the same path. What looks like a
    secret is refused here, too. Process: launcher. Since 0.1.
    """


@hookspec(returns=Returns(("flow_core.run:RunOption",), many=True))
def flow_run_options(definition: FlowDefinition) -> list[RunOption] | None:
    """Return options that the commands which run or deploy this flow offer for it, for example
    because it carries a decorator of yours.

    Their values are in ``request.options``, see `flow_run_draft`. Process: launcher. Since 0.1.
    """


# --- Run ----------------------------------------------------------------------------------------


@hookspec
def flow_run_draft(session: Session, request: RunRequest, draft: RunDraft) -> None:
    """A run is about to start, or the flow to be deployed: say what belongs to it, or refuse.

    ``draft`` may be mutated: system tags, notes, the scope, values of parameters. An error raised
    here is shown, and there is no run. Process: launcher. Since 0.1.
    """


@hookspec
def flow_run_started(session: Session, run: RunRecord, graph: Graph) -> None:
    """A run has its id and is recorded. Process: launcher. Since 0.1."""


@hookspec(returns=Returns(("flow_core.records:TaskSpec",), many=True))
def flow_unfinished_attempts(session: Session, run: RunRecord) -> list[TaskSpec] | None:
    """Return attempts of earlier runs that may still run, though nobody waits for them any more.

    Called once, after `flow_run_started`. Their compute providers are asked which of them do
    (`AdoptingCompute`). Those can stand for tasks of this run: see
    `ReuseDraft.adopt`; the others, and all that are not wanted, are ended. Of two at the same place
    the first counts. Return none of a run whose launcher lives. See
    `flow_core.api.unfinished_attempts`. Process: launcher. Since 0.1.
    """


@hookspec(firstresult=True, returns=Returns(("flow_core.records:Manifest",)))
def flow_reuse_task(task: TaskSpec, inputs_reused: bool, draft: ReuseDraft) -> Manifest | None:
    """Return the manifest of an earlier attempt whose result stands for ``task``, or None.

    Called for each task before it would be launched; the first answer that is not None counts.
    ``inputs_reused`` is True when everything that the task can read was reused itself, as it was (or
    it is the first task). Say why with ``draft.because(...)``, whatever the answer; a plugin whose
    manifest differs from the earlier one sets ``draft.exact`` to False (see `rebase`).
    Process: launcher. Since 0.1.
    """


@hookspec
def flow_task_command(task: TaskSpec, plan: TaskPlan, command: TaskCommand) -> None:
    """Change how an attempt is launched: interpreter, variables, folder, amounts of resources.

    ``command`` may be mutated. Process: launcher. Since 0.1.
    """


@hookspec(observer=True)
def flow_task_launched(task: TaskSpec, handle: Any) -> None:
    """An attempt was handed to its compute provider. Process: launcher. Since 0.1."""


# --- Task ---------------------------------------------------------------------------------------


@hookspec
def flow_task_setup(task: TaskContext, flow: Any) -> None:
    """Prepare the task's process: inputs are bound to ``flow``, the user's code has not run.

    An exception fails the attempt like one of the step's own. Process: task. Since 0.1.
    """


@hookspec(firstresult=True)
def flow_task_call(task: TaskContext, flow: Any) -> Any:
    """Run the body of the step. The kernel's own implementation calls the step function; wrappers
    around it handle its exception (catch), bound its time (timeout), or watch it.

    In a fallback attempt (``task.spec.fallback``) no body runs: the kernel raises the failure of
    the previous attempt here, for wrappers to handle. Process: task. Since 0.1.
    """


@hookspec
def flow_task_teardown(task: TaskContext, flow: Any, error: BaseException | None) -> None:
    """The body ended, well (``error`` is None) or not; artifacts are not stored yet.

    An error raised here is reported on the task's stderr and in the manifest's notes; it does not
    fail the task. Process: task. Since 0.1.
    """


# --- After an attempt ---------------------------------------------------------------------------


@hookspec(firstresult=True, returns=Returns(_DECISIONS))
def flow_attempt_decision(task: TaskSpec, plan: TaskPlan, manifest: Manifest) -> Any:
    """Decide what follows a failed attempt: `RetryAfter`, `Fallback` or `GiveUp`; None = no
    opinion, and the plan's retry policy counts. Process: launcher. Since 0.1.
    """


@hookspec(observer=True)
def flow_task_finished(task: TaskSpec, manifest: Manifest) -> None:
    """An attempt ended, well or not. Process: launcher. Since 0.1."""


@hookspec(observer=True)
def flow_event(event: Event) -> None:
    """Something happened: every change of state, as a frozen record of `flow_core.api`.

    Terminal, logs, metrics and tracing are listeners. Process: launcher. Since 0.1.
    """


@hookspec(observer=True)
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """A run ended: succeeded, failed or interrupted. Process: launcher. Since 0.1."""
