"""Gangs: the tasks of one ``num_parallel``. They start together, and one's failure is that of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_core.errors import PluginError, UsageError
from flow_core.graph import PARALLEL, Graph, Node, Problem
from flow_core.plan import Decision, Fallback, TaskPlan
from flow_core.records import AttemptState, Failure, GangMember, Manifest

if TYPE_CHECKING:
    from flow_core.scheduler import _Task
    from flow_core.session import Session


class Ended(NamedTuple):
    """How a member ended, and what its compute provider told of that."""

    task: _Task
    manifest: Manifest
    notes: tuple[str, ...]


class Gang:
    """One attempt of a gang.

    Attributes:
        tasks: the members that start, in order.
        size: how many members the gang has; more than ``tasks`` when some are done already.
        ended: index → how the member ended.
        decision: what follows; None as long as no member has failed.
        failure: the first failure, which is that of the gang.
    """

    __slots__ = ("_control", "decision", "ended", "failure", "size", "tasks")

    def __init__(self, tasks: list[_Task], size: int, control: int) -> None:
        self.tasks = tasks
        self.size = size
        self.ended: dict[int, Ended] = {}
        self.decision: Decision | None = None
        self.failure: tuple[_Task, Failure] | None = None
        self._control = control
        for task in tasks:
            task.gang = self

    @property
    def step(self) -> str:
        """The step of its members."""
        return self.tasks[0].step

    @property
    def workers(self) -> int:
        """How many workers it needs at once."""
        return len(self.tasks)

    @property
    def is_over(self) -> bool:
        """Whether all members have ended."""
        return len(self.ended) == self.size

    def place(self, task: _Task) -> GangMember:
        """Return the place of ``task``."""
        return GangMember(self.size, task.index, self._control)

    def next_attempt(self) -> Gang | None:
        """Return the gang as it starts again: all of it, or, for a fallback, which only records
        the failure, those members that have no result. None when each has one."""
        assert self.failure is not None, "a gang starts again after a failure"
        fallback = isinstance(self.decision, Fallback)
        kept = {n: e for n, e in self.ended.items() if fallback and e.manifest.ok}
        again = [
            self.ended[n].task.again(self.failure[1], fallback)
            for n in sorted(self.ended)
            if n not in kept
        ]
        gang = Gang(again, self.size, self._control)
        gang.ended = kept
        return gang if again else None

    def ended_by_the_others(self) -> Failure | None:
        """Return why a member was ended that had not failed itself; None if no other one had, since
        the whole run ends, for example."""
        if self.failure is None:
            return None
        task, failure = self.failure
        if self.ended[task.index].manifest.state is AttemptState.CANCELLED:
            return None
        message = f"its gang was ended, since member {task.index} failed: {failure.summary}"
        return Failure("cancelled", "", message)


def is_whole(found: Sequence[Manifest | None], size: int) -> bool:
    """Whether earlier results are those of one whole gang: of one run, and of one attempt, save
    where a failure was handled. Else two that never met would stand side by side."""
    results = [m for m in found if m is not None]
    if len(results) < len(found):
        return False
    sizes = {m.foreach[-1].count for m in results if m.foreach}
    runs = {(m.flow, m.run) for m in results}
    attempts = {m.attempt for m in results if m.state is not AttemptState.CAUGHT}
    return sizes == {size} and len(runs) == 1 and len(attempts) <= 1


def missing_gangs(session: Session) -> list[Problem]:
    """Return a problem for each ``num_parallel=`` whose target no plugin made a gang."""
    return [
        _no_gang(node, session.graph[node.targets[0]])
        for node in session.graph
        if node.kind == PARALLEL and not session.plans[node.targets[0]].gang
    ]


def check_gangs(session: Session) -> None:
    """Raise `PluginError` when the compute provider of a gang cannot start one."""
    for node in session.graph:
        if node.kind == PARALLEL:
            plan = session.plans[node.targets[0]]
            if not session.compute(plan.compute).capabilities.gang:
                raise _cannot_start(session.graph, plan)


def check_sizes(graph: Graph, limit: int) -> None:
    """Raise `UsageError` when a gang, whose size the source says, is bigger than ``limit``."""
    for node in graph:
        size = node.num_parallel or ""
        if size.isdigit() and int(size) > limit:
            raise too_few_workers(node, int(size), limit, f"--max-workers {size}")


def _no_gang(node: Node, target: Node) -> Problem:
    return Problem(
        f"Step '{target.name}' is entered with num_parallel= from '{node.name}', "
        "but has no @parallel",
        f"put @parallel above the @step of {target.name}",
        target.file,
        target.line,
        target.name,
    )


def _cannot_start(graph: Graph, plan: TaskPlan) -> PluginError:
    node = graph[plan.step]
    return PluginError(
        f"compute '{plan.compute}' cannot start the tasks of step '{plan.step}' together",
        where=f"{node.file}:{node.line}",
        why="it has not the capability 'gang', which num_parallel= needs",
        hint="--compute local, or another provider that can: flow plugins",
    )


def too_few_workers(node: Node, size: int, limit: int, hint: str) -> UsageError:
    """Return the error for a gang that can never start."""
    written = f"num_parallel={node.num_parallel}"
    known = written if str(size) == node.num_parallel else f"{written} is {size}"
    return UsageError(
        f"Step '{node.targets[0]}' needs {size} workers at once, but there are at most {limit}",
        where=f"{node.file}:{node.next_line}",
        why=f"{known}: the tasks of a gang start together",
        hint=hint,
    )


def notice(step: str, size: int, limit: int, compute: str = "") -> str:
    """Say that a gang is bigger than the number of workers that nobody has chosen.

    Args:
        step: name of the step.
        size: number of its members.
        limit: number of the workers.
        compute: the provider that named this number; ``""`` = it is that of processors here.
    """
    why = f"compute '{compute}' takes" if compute else "this machine has processors for"
    return (
        f"The {size} tasks of step '{step}' start together, though {why} {limit} at a time "
        "(--max-workers sets a limit)."
    )
