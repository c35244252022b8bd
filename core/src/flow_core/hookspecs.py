"""The hooks: where many plugins may listen, or wrap. Sections follow the life of a session.

An implementation is a function of a plugin's hook module, marked with ``@hookimpl``. An entry point of
the group ``flow.plugins`` names a module that every session loads, one of ``flow.decorator_hooks`` a
module that only flows with the decorator of that name need: it costs no others anything. It may take any subset of the arguments, by name; later releases may add
arguments. *Launcher* and *task* say in which process a hook is called.

Order: plugins are called sorted by name; ``@hookimpl(before=["timeout"])`` and ``after=`` say where
that is not enough, and ``@hookimpl(wrapper=True)`` wraps all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import pluggy

if TYPE_CHECKING:
    from flow_core.definition import FlowDefinition, StepDefinition
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

hookspec = pluggy.HookspecMarker(PROJECT)
_pluggy_impl = pluggy.HookimplMarker(PROJECT)

ORDER_ATTRIBUTE = "flow_core_order"


@overload
def hookimpl(function: F, /) -> F: ...
@overload
def hookimpl(
    *,
    wrapper: bool = False,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    optionalhook: bool = False,
) -> Callable[[F], F]: ...
def hookimpl(
    function: F | None = None,
    /,
    *,
    wrapper: bool = False,
    before: Sequence[str] = (),
    after: Sequence[str] = (),
    optionalhook: bool = False,
) -> Any:
    """Mark a function of a hook module as the implementation of the hook of its name.

    Args:
        wrapper: the function is a generator that yields once; all other implementations run at the
            yield, whose result is theirs; what it returns is the result.
        before, after: names of plugins whose hooks this plugin's run before or after.
        optionalhook: do not complain when nobody declares the hook (another plugin may).

    Since 0.1.
    """

    def mark(function: F) -> F:
        setattr(function, ORDER_ATTRIBUTE, (tuple(before), tuple(after)))
        return _pluggy_impl(function, wrapper=wrapper, optionalhook=optionalhook)

    return mark(function) if function is not None else mark


last = _pluggy_impl(trylast=True)
"""Marks the kernel's own implementations: a plugin's that gives a result stands for them."""


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


@hookspec
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


@hookspec
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


@hookspec
def flow_environment_requirements(step: StepDefinition, plan: TaskPlan) -> list[str] | None:
    """Return what must be installed in the step's environment for your plugin's part in the task,
    as requirement strings. Process: launcher. Since 0.1.
    """


@hookspec
def flow_package_files(graph: Graph) -> list[tuple[str, str]] | None:
    """Return further files for the code snapshot: (path on disk, path in the snapshot).

    Process: launcher. Since 0.1.
    """


@hookspec
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


@hookspec(firstresult=True)
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
    """Change how an attempt is launched: interpreter, variables, folder.

    ``command`` may be mutated. Process: launcher. Since 0.1.
    """


@hookspec
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


@hookspec(firstresult=True)
def flow_attempt_decision(task: TaskSpec, plan: TaskPlan, manifest: Manifest) -> Any:
    """Decide what follows a failed attempt: `RetryAfter`, `Fallback` or `GiveUp`; None = no
    opinion, and the plan's retry policy counts. Process: launcher. Since 0.1.
    """


@hookspec
def flow_task_finished(task: TaskSpec, manifest: Manifest) -> None:
    """An attempt ended, well or not. Process: launcher. Since 0.1."""


@hookspec
def flow_event(event: Event) -> None:
    """Something happened: every change of state, as a frozen record of `flow_core.api`.

    Terminal, logs, metrics and tracing are listeners. Process: launcher. Since 0.1.
    """


@hookspec
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """A run ended: succeeded, failed or interrupted. Process: launcher. Since 0.1."""
