"""TaskPlan: everything that the scheduler, a compute provider or a deployer needs to know of a step.

The kernel folds all decorators of a step into one plan, by letting each plugin add its part to a
`PlanDraft` (hook ``flow_plan_step``). Nobody looks another plugin up by name: a retry means the same
thing on every backend because every backend reads ``plan.retry``.
"""

# Annotations are not postponed here: a NamedTuple compiles those that are text, at every start.

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flow_core.errors import DefinitionError
from flow_core.records import Failure

LOCAL = "local"
"""Name that stands for the launcher's own Python: as the setting ``environment`` all steps run in it,
by `PlanDraft.use_environment` one step does. Since 0.1."""

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
        memory_factor: factor by which the amount of memory grows with each attempt that had too
            little (cause ``out-of-memory``); 1 = it stays as it is.
        max_memory: MB that it grows to at most; None = no limit.
    """

    times: int = 0
    delay: float = 0.0
    backoff: float = 1.0
    max_delay: float | None = None
    jitter: float = 0.0
    on: tuple[str, ...] = ()
    memory_factor: float = 1.0
    max_memory: float | None = None

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

    def memory(self, amount: float, too_little: int) -> float:
        """Return the memory that an attempt asks for, in MB.

        Args:
            amount: what the step asks for.
            too_little: how many earlier attempts of the task ran out of memory.
        """
        most = math.inf if self.max_memory is None else max(self.max_memory, amount)
        try:
            return min(float(amount * self.memory_factor**too_little), most)
        except OverflowError:
            return most


class TaskPlan(NamedTuple):
    """The frozen plan of one step.

    Attributes:
        step: the step's name.
        compute: the compute provider that runs its tasks.
        environment: the environment provider that makes its interpreter; None = the launcher's own.
        environment_options: what the step asks of that provider: JSON data.
        environment_files: files that these options name, whose content counts: paths relative to the
            folder of the flow's file.
        resources: amounts by name (``cpu`` cores, ``memory`` MB, ``gpu``, ``disk`` MB, …); those of
            a later attempt may be others: see `TaskCommand.resources`.
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


class _Demand:
    """What one step asks of one environment provider."""

    def __init__(self, by: str) -> None:
        self.by = by
        self.options: dict[str, Any] = {}
        self.files: list[str] = []
        self.over: set[str] = set()


class PlanDraft:
    """The plan of one step while plugins still add to it. `freeze` makes the `TaskPlan`."""

    def __init__(self, step: str, default_compute: str, environment: str = "") -> None:
        self.step = step
        self._default_compute = default_compute
        self._environment = environment
        self._demands: dict[str, _Demand] = {}
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
        over: Iterable[str] = (),
    ) -> None:
        """Choose the environment provider, and say what the step asks of it.

        When several do so for one provider, their options are put together; of two values for one
        option the later one counts. Two providers for one step are an error (`freeze` raises it),
        unless one of them is ``over`` the other.

        Args:
            name: name of the provider; ``"local"`` (`flow_core.api.LOCAL`) = the launcher's own
                Python, though the setting ``environment`` names a provider. What somebody else asks
                of a provider for the same step goes before that.
            by: who chooses, for the error when two choose different ones.
            options: JSON data, in the provider's words.
            files: files that the options name: ``requirements.txt``. Their content goes to the
                provider; paths are relative to the folder of the flow's file.
            over: names of other providers whose demands this one fulfils too. It is chosen in their
                stead, whoever is asked first, and finds what was asked of each of them among its
                options, under the name of that provider; their files are added to its own.
        """
        demand = self._demands.setdefault(name, _Demand(by))
        demand.options.update(options or {})
        demand.files.extend(files)
        demand.over.update(over)

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
        """Return the immutable plan.

        Raises:
            DefinitionError: two environment providers were chosen, neither of which is over the
                other.
        """
        compute, _ = self._chosen.get("compute", (self._default_compute, ""))
        environment, options, files = self._settled_environment()
        return TaskPlan(
            step=self.step,
            compute=compute,
            environment=environment,
            environment_options=options,
            environment_files=tuple(sorted({*files})),
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

    def _settled_environment(self) -> tuple[str | None, dict[str, Any], list[str]]:
        """Return the provider, what is asked of it, and files."""
        asked = {name: demand for name, demand in self._demands.items() if name != LOCAL}
        if self._environment == LOCAL or (LOCAL in self._demands and not asked):
            return None, {}, []
        if not asked:
            return self._environment or None, {}, []
        name = self._first(asked)
        others = {n: dict(demand.options) for n, demand in asked.items() if n != name}
        files = [file for demand in asked.values() for file in demand.files]
        return name, {**asked[name].options, **others}, files

    def _first(self, asked: Mapping[str, _Demand]) -> str:
        """Return the provider that fulfils the demands of all."""
        able = [n for n, demand in asked.items() if asked.keys() <= {n, *demand.over}]
        if len(able) != 1:
            one, two, *_ = sorted(asked)
            by, other = asked[one].by, asked[two].by
            raise DefinitionError(
                f"Step '{self.step}' has two environment providers: "
                f"'{one}' (from {by}) and '{two}' (from {other})",
                hint=f"remove one of {by} and {other}",
            )
        return able[0]


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
