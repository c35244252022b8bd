"""flow-container: runs steps in containers of podman or Docker on this machine (``@container``)."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flow_core.api import DefinitionError, Options, StepDecorator, describe_options, option

AMOUNTS = ("cpu", "memory", "gpu", "shared_memory")
"""The options that are amounts: `flow_core.api.TaskPlan.resources` under the same names."""


@dataclass(frozen=True)
class ContainerOptions(Options):
    """Run the tasks of the step in containers on this machine, by podman or Docker.

    What is not given here is taken from the settings of the same names, ``container_image`` and so
    on. Of an amount that @resources gives too, the larger one counts. Since 0.1.
    """

    chooses = "compute"

    image: str | None = option(
        None, "The image, which needs a shell and a Python; default: python in this one's version."
    )
    memory: float | None = option(None, "Megabytes of memory; more ends the task.")
    cpu: float | None = option(None, "Processors; parts of one are allowed.")
    gpu: int | None = option(None, "Graphics processors, of NVIDIA.")
    shared_memory: float | None = option(None, "Megabytes of shared memory (/dev/shm).")
    volumes: str | Sequence[str] = option(
        (), "Folders to mount, by commas: '/data', '/data:/inside' or '/data:/inside:ro'."
    )
    network: str = option(
        "", "Network: 'host', 'none', or the name of one; default: that of the runtime."
    )
    user: str = option(
        "",
        "'1000:1000', or 'image' for the one of the image; default: one whose files are yours.",
    )
    pull: Literal["missing", "always", "never"] | None = option(
        None, "When to ask the registry for the image: 'missing', 'always' or 'never'."
    )
    runtime: Literal["podman", "docker"] | None = option(
        None, "Which program runs it; default: podman where it is installed, else docker."
    )
    variables: str | Sequence[str] = option(
        (), "Names of environment variables that tasks get from this machine: 'AWS_*,HF_TOKEN'."
    )
    options: str | Sequence[str] = option(
        (), "Further words for 'podman run' or 'docker run': '--cap-drop=all --read-only'."
    )

    @property
    def amounts(self) -> dict[str, float]:
        """The amounts that are asked for, by name."""
        asked = {name: getattr(self, name) for name in AMOUNTS}
        return {name: amount for name, amount in asked.items() if amount is not None}

    def to_plan(self) -> dict[str, Any]:
        """Return what is given, without the amounts, as JSON data."""
        given = {o.name: getattr(self, o.name) for o in describe_options(type(self))}
        given["volumes"] = listed(self.volumes)
        given["variables"] = listed(self.variables)
        given["options"] = words_of(self.options)
        return {n: v for n, v in given.items() if v not in (None, "", []) and n not in AMOUNTS}

    def validate(self) -> None:
        """Refuse what no container can have."""
        for name, amount in self.amounts.items():
            if not (0 < amount < math.inf or (name == "gpu" and amount == 0)):
                raise DefinitionError(
                    f"Option '{name}' must be more than 0, not {amount:g}",
                    hint="@container(cpu=2, memory=8000)",
                )
        for volume in listed(self.volumes):
            if not all(volume.split(":")) or volume.count(":") > 2:
                raise DefinitionError(
                    f"Option 'volumes' cannot be '{volume}'",
                    why="a volume is FOLDER, FOLDER:INSIDE or FOLDER:INSIDE:ro",
                    hint="@container(volumes=['/data:/data:ro'])",
                )
        for name in listed(self.variables):
            if "=" in name:
                raise DefinitionError(
                    f"Option 'variables' holds names only, not '{name.partition('=')[0]}=…'",
                    why="values would be seen in what is recorded of the run",
                    hint="set it by @environment; or name it, and set it where you start the run",
                )
        words_of(self.options)
        if self.image is not None and not self.image.strip():
            raise DefinitionError("Option 'image' is empty", hint="@container(image='python:3.12')")


def listed(value: str | Sequence[str]) -> list[str]:
    """Return the parts of a text with commas; a list as it is."""
    parts = value.split(",") if isinstance(value, str) else value
    return [part.strip() for part in parts if part.strip()]


def words_of(value: str | Sequence[str]) -> list[str]:
    """Return the words of a text as a shell reads them; a list as it is.

    Raises:
        DefinitionError: it has a quote without an end.
    """
    try:
        return shlex.split(value) if isinstance(value, str) else list(value)
    except ValueError as error:
        raise DefinitionError(
            f"Option 'options' cannot be read: {value!r}",
            why=str(error),
            hint="@container(options='--cap-drop=all --read-only')",
        ) from None


container = StepDecorator("container", ContainerOptions)
