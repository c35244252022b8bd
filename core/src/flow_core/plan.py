"""TaskPlan: everything that the scheduler, a compute provider or a deployer needs to know of a step.

The kernel folds all decorators of a step into one plan, by letting each plugin add its part to a
`PlanDraft` (hook ``flow_plan_step``). Nobody looks another plugin up by name: a retry means the same
thing on every backend because every backend reads ``plan.retry``.
"""

# Annotations are not postponed here: a NamedTuple compiles those that are text, at every start.

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flow_core.errors import DefinitionError
from flow_core.records import Failure

LOCAL = "local"
"""Value of the setting ``environment`` by which all steps run in the launcher's own Python."""

_LONGEST = 366 * 86400.0  # seconds; a delay that grows has to end somewhere


class RetryPolicy(NamedTuple):
    """How often, and when, a failed attempt is tried again.

    Attributes:
        times: attempts after the first one; 0 = none.
        delay: seconds before the first retry.
        backoff: factor by which the delay grows with each further retry; 1 = constant.
        max_delay: seconds that the delay grows to at most; None = no limit.
        jitter: part of the delay, 0 to 1, that is left to chance.
        on: which failures are tried again: values of `Failure.cause`, and names of exception
            classes, with or without their module; empty = all.
    """

    times: int = 0
    delay: float = 0.0
    backoff: float = 1.0
    max_delay: float | None = None
    jitter: float = 0.0
    on: tuple[str, ...] = ()

    def allows(self, attempt: int, failure: Failure | None = None) -> bool:
        """Whether a failure of ``attempt`` (0 = the first) is followed by another attempt.

        Without ``failure``: whether there is one by which it would be.
        """
        return attempt < self.times and (failure is None or self.covers(failure))

    def covers(self, failure: Failure) -> bool:
        """Whether failures of this kind are tried again. An exception's base classes count too."""
        names = (failure.type, *failure.bases)
        short = (name.rpartition(".")[2] for name in names)
        return not self.on or not {failure.cause, *names, *short}.isdisjoint(self.on)

    def wait(self, attempt: int, chance: float = 0.0) -> float:
        """Return the seconds between the failure of ``attempt`` and the next one.

        ``chance``, 0 to 1, says how much of what `jitter` leaves to chance is taken off.
        """
        try:
            grown = float(self.delay * self.backoff**attempt)
        except OverflowError:
            grown = _LONGEST
        longest = _LONGEST if self.max_delay is None else self.max_delay
        return min(grown, longest) * (1 - self.jitter * chance)


class TaskPlan(NamedTuple):
    """The frozen plan of one step.

    Attributes:
        step: the step's name.
        compute: the compute provider that runs its tasks.
        environment: the environment provider that makes its interpreter; None = the launcher's own.
        environment_options: what the step asks of that provider: JSON data.
        environment_files: files that these options name, whose content counts: paths relative to the
            folder of the flow's file.
        resources: amounts by name (``cpu`` cores, ``memory`` MB, ``gpu``, ``disk`` MB, …).
        retry: the retry policy.
        timeout: seconds that one attempt may take; None = no limit. The plugin that sets it ends
            the step with an error where it can; compute providers may end a job by themselves.
        timeout_grace: seconds after ``timeout`` from which on the scheduler has the compute
            provider end the attempt by force: its failure then has the cause ``timeout``.
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
    timeout_grace: float = 5.0
    handles_failure: bool = False
    variables: Mapping[str, str] = {}
    secrets: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    gang: bool = False
    environment_options: Mapping[str, Any] = {}
    environment_files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON data, as it is stored in ``run.json``."""
        return {**self._asdict(), "retry": self.retry._asdict()}


class PlanDraft:
    """The plan of one step while plugins still add to it. `freeze` makes the `TaskPlan`."""

    def __init__(self, step: str, default_compute: str, environment: str = "") -> None:
        self.step = step
        self._default_compute = default_compute
        self._environment = environment
        self._environment_options: dict[str, Any] = {}
        self._environment_files: list[str] = []
        self._chosen: dict[str, tuple[str, str]] = {}
        self.resources: dict[str, float] = {}
        self.retry = RetryPolicy()
        self.timeout: float | None = None
        self.timeout_grace = 5.0
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

    def use_environment(
        self,
        name: str,
        *,
        by: str,
        options: Mapping[str, Any] | None = None,
        files: Iterable[str] = (),
    ) -> None:
        """Choose the environment provider, and say what the step asks of it.

        When several do so for one step, their options are put together; of two values for one
        option the later one counts.

        Args:
            name: name of the provider.
            by: who chooses, for the error when two choose different ones.
            options: JSON data, in the provider's words.
            files: files that the options name: ``requirements.txt``. Their content goes to the
                provider; paths are relative to the folder of the flow's file.
        """
        self._choose("environment", name, by)
        self._environment_options.update(options or {})
        self._environment_files.extend(files)

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
        environment, asks = self._settled_environment()
        return TaskPlan(
            step=self.step,
            compute=compute,
            environment=environment,
            environment_options=dict(self._environment_options) if asks else {},
            environment_files=tuple(sorted({*self._environment_files})) if asks else (),
            resources=dict(self.resources),
            retry=self.retry,
            timeout=self.timeout,
            timeout_grace=self.timeout_grace,
            handles_failure=self.handles_failure,
            variables=dict(self.variables),
            secrets=tuple(self.secrets),
            options=dict(self.options),
            gang=self.gang,
        )

    def _settled_environment(self) -> tuple[str | None, bool]:
        """Return the provider, and whether what was asked of it counts."""
        if self._environment == LOCAL:
            return None, False
        if "environment" in self._chosen:
            return self._chosen["environment"][0], True
        return self._environment or None, False


class RetryAfter(NamedTuple):
    """Decision on a failed attempt: launch another one after ``seconds``."""

    seconds: float = 0.0


class Fallback:
    """Decision on a failed attempt: launch one that runs no user code, so that a plugin can record
    the failure and the flow goes on."""


class GiveUp:
    """Decision on a failed attempt: the task has failed for good."""


Decision = RetryAfter | Fallback | GiveUp


def seconds_until(decision: Decision | None) -> float | None:
    """Return the seconds until the next attempt; None where there is none."""
    if isinstance(decision, RetryAfter):
        return decision.seconds
    return 0.0 if isinstance(decision, Fallback) else None
