"""flow-resources: say what a step needs of the machine (``@resources``)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, describe_options, option


@dataclass(frozen=True)
class ResourceOptions(Options):
    """Say what each task of the step needs of the machine that runs it.

    Compute providers that place tasks honour it; for tasks on this machine it is only written down.
    Of this and what the decorator of a compute provider asks for, the larger amount counts. What is
    not said is left to the provider. Since 0.1.
    """

    cpu: float | None = option(None, "Processors; parts of one are allowed.")
    gpu: int | None = option(None, "Graphics processors.")
    memory: float | None = option(None, "Megabytes of memory.")
    disk: float | None = option(None, "Megabytes of disk.")
    shared_memory: float | None = option(None, "Megabytes of shared memory (/dev/shm).")

    @property
    def amounts(self) -> dict[str, float]:
        """What is asked for, by name."""
        names = [o.name for o in describe_options(type(self))]
        asked = {name: getattr(self, name) for name in names}
        return {name: amount for name, amount in asked.items() if amount is not None}

    def validate(self) -> None:
        """Refuse amounts that no machine can have, and to ask for nothing."""
        for name, amount in self.amounts.items():
            if not (0 < amount < math.inf or (name == "gpu" and amount == 0)):
                raise DefinitionError(
                    f"Option '{name}' must be more than 0, not {amount:g}",
                    hint="@resources(cpu=2, memory=8000)",
                )
        if not self.amounts:
            raise DefinitionError(
                "@resources asks for nothing", hint="@resources(cpu=2, memory=8000)"
            )


resources = StepDecorator("resources", ResourceOptions)
