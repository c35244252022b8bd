"""``current``: what a step may ask about the task it runs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flow_core.errors import did_you_mean

_NEUTRAL: dict[str, Any] = {
    "flow_name": None,
    "run_id": None,
    "step_name": None,
    "task_id": None,
    "retry_count": 0,
    "iteration": 0,
    "origin_run_id": None,
    "username": None,
    "namespace": None,
    "pathspec": None,
    "parameter_names": (),
    "graph": None,
    "tags": frozenset(),
    "is_parallel": False,
}


class Current:
    """Facts about the running task, as attributes; outside a task they are None or empty.

    Attributes:
        is_running_flow: True inside a task.
        flow_name, run_id, step_name, task_id: names and ids, text.
        retry_count: number of this attempt, from 0.
        iteration: how often the step has chosen itself before, from 0.
        origin_run_id: the run that this one resumes, or None.
        username, namespace: who started the run; the default namespace of readers.
        pathspec: ``Flow/run/step/task``.
        parameter_names: names of the flow's parameters.
        graph: the flow's graph as JSON data.
        tags: the user's tags with which the run started.
        is_parallel: whether this task is a member of a gang (``num_parallel``).

    Plugins add attributes with `provide`, and tell type checkers of them in the group
    ``flow.current``. A name that nobody provides is an `AttributeError`.
    Since 0.1.
    """

    if TYPE_CHECKING:
        # "| Any" where steps, which are what asks, never see the None of the outside.
        flow_name: str | Any
        run_id: str | Any
        step_name: str | Any
        task_id: str | Any
        retry_count: int
        iteration: int
        origin_run_id: str | None
        username: str | Any
        namespace: str | None
        pathspec: str | Any
        parameter_names: tuple[str, ...]
        graph: dict[str, Any] | Any
        tags: frozenset[str]
        is_parallel: bool

    def __init__(self) -> None:
        self._facts: dict[str, Any] = {}
        self._makers: dict[str, Callable[[], Any]] = {}
        self._outer: list[tuple[dict[str, Any], dict[str, Callable[[], Any]]]] = []

    @property
    def is_running_flow(self) -> bool:
        """Whether this process is in a task."""
        return bool(self._facts)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a fact, or ``default`` when there is none of this name."""
        return getattr(self, name, default)

    def __reduce__(self) -> str:
        return "current"  # there is one in each process, also for a flow that was sent by value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and hasattr(self, name)

    if not TYPE_CHECKING:  # what there is, is said above, and by plugins in their stubs

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            if name in self._facts:
                return self._facts[name]
            if name in self._makers:
                self._facts[name] = self._makers[name]()
                return self._facts[name]
            if name in _NEUTRAL:
                return _NEUTRAL[name]
            hint = did_you_mean(name, {*_NEUTRAL, *self._facts, *self._makers})
            raise AttributeError(
                f"current has no '{name}': no plugin in this task provides it ({hint})"
            )

    def provide(self, name: str, make: Callable[[], Any]) -> Callable[[], Any] | None:
        """Add the attribute ``name``; ``make`` is called when it is first read. For plugins.

        Returns:
            what made it until now, for a plugin that adds to what another one provides; or None.
        """
        earlier = self._makers.get(name)
        self._makers[name] = make
        return earlier

    def begin(self, facts: dict[str, Any]) -> None:
        """Enter a task, maybe of a flow that a task in this process runs. For the kernel."""
        self._outer.append((self._facts, self._makers))
        self._facts = dict(facts)
        self._makers = {}

    def end(self) -> None:
        """Leave the task. For the kernel."""
        self._facts, self._makers = self._outer.pop() if self._outer else ({}, {})


if TYPE_CHECKING:

    class _WithMore(Current):
        """What type checkers know without the stubs of plugins: that there may be more."""

        def __getattr__(self, name: str) -> Any: ...

    current: _WithMore
else:
    current = Current()
"""The one `Current` of this process."""
