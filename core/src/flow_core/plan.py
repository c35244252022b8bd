"""TaskPlan: everything that the scheduler, a compute provider or a deployer needs to know of a step.

The kernel folds all decorators of a step into one plan, by letting each plugin add its part to a
`PlanDraft` (hook ``flow_plan_step``). Nobody looks another plugin up by name: a retry means the same
thing on every backend because every backend reads ``plan.retry``.
"""

# Annotations are not postponed here: a NamedTuple compiles those that are text, at every start.

from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_core.errors import DefinitionError


class RetryPolicy(NamedTuple):
    """How often, and when, a failed attempt is tried again.

    Attributes:
        times: attempts after the first one; 0 = none.
        delay: seconds before the first retry.
        backoff: factor by which the delay grows with each further retry; 1 = constant.
    """

    times: int = 0
    delay: float = 0.0
    backoff: float = 1.0

    def allows(self, attempt: int) -> bool:
        """Whether a failure of ``attempt`` (0 = the first) is followed by another attempt."""
        return attempt < self.times

    def wait(self, attempt: int) -> float:
        """Return the seconds between the failure of ``attempt`` and the next one."""
        return float(self.delay * self.backoff**attempt)


class TaskPlan(NamedTuple):
    """The frozen plan of one step.

    Attributes:
        step: the step's name.
        compute: the compute provider that runs its tasks.
        environment: the environment provider that makes its interpreter; None = the launcher's own.
        resources: amounts by name (``cpu`` cores, ``memory`` MB, ``gpu``, ``disk`` MB, …).
        retry: the retry policy.
        timeout: seconds that one attempt may take; None = no limit. For compute providers and
            deployers that can end a job, and for the plugin that sets it: the kernel does not act.
        handles_failure: a plugin wants to record the final failure in a *fallback* attempt, which
            runs no user code, when it could not do so in the last attempt: its process died, or
            it failed outside of the step's body, for example on an artifact that cannot be stored.
        variables: environment variables of the task process.
        secrets: sources of secrets, by text; never their values. For the plugin that sets them
            and for deployers: the kernel does not act on them.
        options: plain data of compute providers and deployers, by plugin.
        gang: its tasks are the members of a gang (``num_parallel``), which start together. How
            many there are, the step before it says when it ends.

    Since 0.1.
    """

    step: str
    compute: str
    environment: str | None = None
    resources: Mapping[str, float] = {}
    retry: RetryPolicy = RetryPolicy()
    timeout: float | None = None
    handles_failure: bool = False
    variables: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    gang: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON data, as it is stored in ``run.json``."""
        return {**self._asdict(), "retry": self.retry._asdict()}


class PlanDraft:
    """The plan of one step while plugins still add to it. `freeze` makes the `TaskPlan`."""

    def __init__(self, step: str, default_compute: str) -> None:
        self.step = step
        self._default_compute = default_compute
        self._chosen: dict[str, tuple[str, str]] = {}
        self.resources: dict[str, float] = {}
        self.retry = RetryPolicy()
        self.timeout: float | None = None
        self.handles_failure = False
        self.variables: dict[str, str] = {}
        self.secrets: list[str] = []
        self.options: dict[str, Any] = {}
        self.gang = False

    def require(self, **amounts: float) -> None:
        """Ask for resources; of several demands for one name the largest counts."""
        for name, amount in amounts.items():
            self.resources[name] = max(amount, self.resources.get(name, amount))

    def use_compute(self, name: str, *, by: str) -> None:
        """Choose the compute provider; ``by`` is who chooses, for the error when two do."""
        self._choose("compute", name, by)

    def use_environment(self, name: str, *, by: str) -> None:
        """Choose the environment provider; ``by`` is who chooses, for the error when two do."""
        self._choose("environment", name, by)

    def _choose(self, kind: str, name: str, by: str) -> None:
        earlier = self._chosen.get(kind)
        if earlier and earlier[0] != name:
            raise DefinitionError(
                f"Step '{self.step}' has two {kind} providers: "
                f"'{earlier[0]}' (from {earlier[1]}) and '{name}' (from {by})",
                hint=f"remove one of {earlier[1]} and {by}",
            )
        self._chosen[kind] = (name, by)

    def freeze(self) -> TaskPlan:
        """Return the immutable plan."""
        compute, _ = self._chosen.get("compute", (self._default_compute, ""))
        environment = self._chosen["environment"][0] if "environment" in self._chosen else None
        return TaskPlan(
            step=self.step,
            compute=compute,
            environment=environment,
            resources=dict(self.resources),
            retry=self.retry,
            timeout=self.timeout,
            handles_failure=self.handles_failure,
            variables=dict(self.variables),
            secrets=tuple(self.secrets),
            options=dict(self.options),
            gang=self.gang,
        )


class RetryAfter(NamedTuple):
    """Decision on a failed attempt: launch another one after ``seconds``."""

    seconds: float = 0.0


class Fallback:
    """Decision on a failed attempt: launch one that runs no user code, so that a plugin can record
    the failure and the flow goes on."""


class GiveUp:
    """Decision on a failed attempt: the task has failed for good."""


Decision = RetryAfter | Fallback | GiveUp
