"""What can be asked of Slurm for a step: ``@slurm`` and its options."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flow_core.api import DefinitionError, Options, StepDecorator, option
from flow_slurm.times import seconds_of_time

_EXAMPLE = '@slurm(partition="main", cpus=2, memory=8000, time="1:00:00")'

_OWN = {
    "array": "a foreach is one already; throttle=10 says how many of its tasks run at once",
    "begin": None,
    "chdir": None,
    "comment": "it is how flow finds its jobs again",
    "dependency": "the flow says what depends on what",
    "export": 'environment=["NAME"] lets variables through',
    "export-file": 'environment=["NAME"] lets variables through',
    "error": "flow keeps what tasks write",
    "job-name": "it is how flow finds its jobs again",
    "no-requeue": "requeue=False is the default",
    "ntasks": "it is num_parallel= in the step before",
    "output": "flow keeps what tasks write",
    "parsable": None,
    "requeue": "requeue=True",
    "wait": None,
    "wrap": None,
}
"""Options of sbatch that flow gives itself, and what to say instead."""

_LETTERS = {"a": "array", "d": "dependency", "e": "error", "o": "output", "J": "job-name"}
_LETTERS |= {"n": "ntasks", "W": "wait", "D": "chdir", "b": "begin"}


@dataclass(frozen=True)
class SlurmOptions(Options):
    """Run each task of the step as a job of Slurm; the tasks of a foreach are one job array.

    What is not said here is as the setting ``slurm_<option>`` says, such as
    ``FLOW_SLURM_PARTITION``. Of an amount that ``@resources`` asks for too, the larger counts.
    Since 0.1.
    """

    chooses = "compute"

    partition: str | None = option(None, "Partition, or several by commas; default: the cluster's.")
    cpus: int | None = option(None, "Processors of a task.")
    memory: float | None = option(
        None, "Megabytes of memory; a task that takes more is ended. 0 = all of the node's."
    )
    time: str | int | None = option(
        None,
        "Time limit in Slurm's forms: 90 (minutes), 1:30:00, 2-12 (days-hours); default: somewhat "
        "more than @timeout, else the cluster's.",
    )
    gpus: int | str | None = option(None, "Graphics processors: 2, or with their type: a100:2.")
    account: str | None = option(None, "Account that is charged.")
    qos: str | None = option(None, "Quality of service.")
    constraint: str | None = option(None, "Features that the node must have.")
    nodes: int | None = option(
        None, "Machines that the members of a gang are spread over; 0 = as Slurm likes."
    )
    throttle: int | None = option(None, "Tasks of a foreach that run at the same time; 0 = any.")
    requeue: bool | None = option(
        None, "Whether Slurm starts a task again by itself whose node failed, or was preempted."
    )
    environment: Sequence[str] | str | None = option(
        None, "Names of environment variables of the launcher that tasks get: ['HF_TOKEN']."
    )
    setup: Sequence[str] | str | None = option(
        None, "Lines of shell that run in the job before Python: 'module load cuda'."
    )
    extra: Sequence[str] | str | None = option(
        None, "Further options of sbatch: '--reservation=night --exclusive'."
    )

    def validate(self) -> None:
        """Refuse what Slurm cannot take, before a run starts."""
        for name, least in (("cpus", 1), ("memory", 0), ("nodes", 0), ("throttle", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise DefinitionError(
                    f"Option '{name}' must be {least} or more, not {value:g}", hint=_EXAMPLE
                )
        self._check_names()
        if self.time is not None:
            self._check_time(str(self.time))
        if self.gpus is not None:
            gpus_of(self.gpus)
        check_extra(words(self.extra))

    def _check_names(self) -> None:
        for name in ("partition", "account", "qos", "constraint"):
            value = getattr(self, name)
            if value is not None and (not value or re.search(r"[\s'\"\\]", value)):
                raise DefinitionError(
                    f"Option '{name}' cannot be {value!r}",
                    why="it is empty, or holds spaces or quotes",
                    hint=_EXAMPLE,
                )
        for name in names(self.environment):
            if not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise DefinitionError(
                    f"Option 'environment' takes names of variables, not {name!r}",
                    why="values would stand in the flow; they come from the launcher",
                    hint='@slurm(environment=["HF_TOKEN"])',
                )

    def _check_time(self, text: str) -> None:
        try:
            known = seconds_of_time(text) > 0
        except ValueError as error:
            raise DefinitionError(
                f"Option 'time' cannot be {text!r}", why=str(error), hint='@slurm(time="1:30:00")'
            ) from None
        if not known:
            raise DefinitionError(
                "Option 'time' must be more than 0", hint='@slurm(time="1:30:00")'
            )

    @property
    def amounts(self) -> dict[str, float]:
        """What is asked for that ``@resources`` knows too, by its names."""
        asked: dict[str, float | None] = {
            "cpu": self.cpus,
            "memory": self.memory,
            "gpu": None if self.gpus is None else gpus_of(self.gpus)[1],
        }
        return {name: amount for name, amount in asked.items() if amount is not None}

    def to_plan(self) -> dict[str, Any]:
        """Return what is asked for beside the amounts, as JSON data."""
        asked = {
            "partition": self.partition,
            "time": None if self.time is None else str(self.time),
            "gpu_type": None if self.gpus is None else gpus_of(self.gpus)[0] or None,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "nodes": self.nodes,
            "throttle": self.throttle,
            "requeue": self.requeue,
            "environment": None if self.environment is None else names(self.environment),
            "setup": None if self.setup is None else lines(self.setup),
            "extra": None if self.extra is None else words(self.extra),
        }
        return {name: value for name, value in asked.items() if value is not None}


def words(value: Sequence[str] | str | None) -> list[str]:
    """Return options of sbatch as words: a text is split as a shell does.

    Raises:
        DefinitionError: it has a quote without an end.
    """
    if not isinstance(value, str):
        return list(value or ())
    try:
        return shlex.split(value)
    except ValueError as error:
        raise DefinitionError(
            f"Option 'extra' cannot be read: {value!r}",
            why=str(error),
            hint='@slurm(extra=["--reservation=night"])',
        ) from None


def names(value: Sequence[str] | str | None) -> list[str]:
    """Return names; a text has them by commas or spaces."""
    if isinstance(value, str):
        return [name for name in re.split(r"[,\s]+", value) if name]
    return list(value or ())


def lines(value: Sequence[str] | str | None) -> list[str]:
    """Return lines of shell."""
    return value.splitlines() if isinstance(value, str) else list(value or ())


def gpus_of(value: int | str) -> tuple[str, int]:
    """Return the type, ``""`` = any, and the number of graphics processors.

    Raises:
        DefinitionError: it is neither a number nor ``type:number``.
    """
    kind, _, number = str(value).rpartition(":")
    if not number.isdigit() or (":" in str(value) and not re.fullmatch(r"[\w.-]+", kind)):
        raise DefinitionError(
            f"Option 'gpus' cannot be {value!r}",
            why="it is a number, or a type and a number",
            hint='@slurm(gpus=1) or @slurm(gpus="a100:2")',
        )
    return kind, int(number)


def check_extra(extra: Sequence[str]) -> None:
    """Refuse options of sbatch that flow gives itself, and what is no option.

    Raises:
        DefinitionError: there is one of them.
    """
    if extra and not extra[0].startswith("-"):
        raise DefinitionError(
            f"Option 'extra' takes options of sbatch, not {extra[0]!r}",
            hint=f'@slurm(extra="--{extra[0].lstrip("-")}")',
        )
    for word in extra:
        name = word.partition("=")[0]
        name = _LETTERS.get(name[1:2], "") if not name.startswith("--") else name[2:]
        if word.startswith("-") and name in _OWN:
            raise DefinitionError(
                f"Option 'extra' cannot hold {word.partition('=')[0]}: flow gives it itself",
                hint=_OWN[name] or "remove it",
            )


slurm = StepDecorator("slurm", SlurmOptions)
