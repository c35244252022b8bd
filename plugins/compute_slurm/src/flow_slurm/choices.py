"""What a job of Slurm will be: the options of a step over the settings, as words for sbatch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flow_core.api import DefinitionError
from flow_remote.refusals import refused_setting
from flow_slurm.options import SlurmOptions
from flow_slurm.settings import DEFAULTS, PREFIX
from flow_slurm.times import time_of_seconds

_MARGIN = 30.0
"""Seconds between the time limit of a step and that of its job: flow-core comes first, with grace."""


class Choices(NamedTuple):
    """All that is to choose of a job, settled; jobs with equal ones may be one array.

    Attributes:
        partition: ``""`` = the cluster's own default, as for all texts here.
        cpus: processors of a task.
        memory: megabytes of a task; 0 = all of its node's.
        time: in Slurm's form.
        gpus: graphics processors of a task.
        gpu_type: which ones.
        account, qos, constraint: as Slurm has them.
        nodes: machines of a gang; 0 = as Slurm likes.
        throttle: tasks of an array that run at the same time; 0 = any.
        requeue: whether Slurm may start a task again by itself.
        disk: megabytes of disk of a node.
        environment: names of variables that go to the job.
        setup: lines of shell before the task.
        extra: further words for sbatch.
    """

    partition: str
    cpus: int
    memory: int
    time: str
    gpus: int
    gpu_type: str
    account: str
    qos: str
    constraint: str
    nodes: int
    throttle: int
    requeue: bool
    disk: int
    environment: tuple[str, ...]
    setup: tuple[str, ...]
    extra: tuple[str, ...]


def read_defaults(setting: Callable[[str], Any]) -> dict[str, Any]:
    """Return what the settings say of the options, in the form of a plan; amounts by their names.

    Args:
        setting: returns a setting's value.

    Raises:
        SettingsError: one has a value that the option cannot have.
    """
    values = {name: setting(PREFIX + name) for name in DEFAULTS}
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value == "":
            continue
        try:
            options = SlurmOptions(**{name: value})
        except DefinitionError as error:
            raise refused_setting(error, name, PREFIX + name) from None
        found |= {**options.to_plan(), **options.amounts}
    return found


def choose(
    defaults: Mapping[str, Any],
    asked: Mapping[str, Any],
    resources: Mapping[str, float],
    timeout: float | None,
) -> Choices:
    """Settle what a job will be.

    Args:
        defaults: from `read_defaults`.
        asked: what the step says: `TaskPlan.options` of this provider.
        resources: `TaskPlan.resources`; an amount that is not there is that of the settings.
        timeout: seconds after which flow-core ends an attempt, or None.
    """
    chosen = {**defaults, **asked, **resources}
    time = asked.get("time", "")
    if not time:  # what the step itself says goes before what all steps have
        time = time_of_seconds(timeout + _MARGIN) if timeout else defaults.get("time", "")
    return Choices(
        partition=chosen.get("partition", ""),
        cpus=math.ceil(chosen.get("cpu", 1)),
        memory=math.ceil(chosen.get("memory", 0)),
        time=time,
        gpus=int(chosen.get("gpu", 0)),
        gpu_type=chosen.get("gpu_type", ""),
        account=chosen.get("account", ""),
        qos=chosen.get("qos", ""),
        constraint=chosen.get("constraint", ""),
        nodes=chosen.get("nodes", 0),
        throttle=chosen.get("throttle", 0),
        requeue=chosen.get("requeue", False),
        disk=math.ceil(chosen.get("disk", 0)),
        environment=tuple(
            dict.fromkeys((*defaults.get("environment", ()), *asked.get("environment", ())))
        ),
        setup=tuple(chosen.get("setup", ())),
        extra=tuple(chosen.get("extra", ())),
    )


def words_for_sbatch(choices: Choices, members: int | None = None) -> list[str]:
    """Return the options of sbatch for what was chosen.

    Args:
        choices: of a step.
        members: tasks of the gang that the job is; None = it is no gang.
    """
    texts = {
        "partition": choices.partition,
        "account": choices.account,
        "qos": choices.qos,
        "constraint": choices.constraint,
        "time": choices.time,
    }
    given = [f"--{name}={value}" for name, value in texts.items() if value]
    given.append(f"--cpus-per-task={choices.cpus}")
    given += _amounts(choices, members)
    if choices.disk:
        given.append(f"--tmp={choices.disk}M")
    given.append("--requeue" if choices.requeue else "--no-requeue")
    return [*given, *choices.extra]


def _amounts(choices: Choices, members: int | None) -> list[str]:
    """Return options on memory, graphics processors and machines."""
    gpus = f"{choices.gpu_type}:{choices.gpus}".lstrip(":")
    if members is None:
        given = ["--nodes=1", "--ntasks=1", f"--mem={choices.memory}M"]
        return [*given, f"--gpus={gpus}"] if choices.gpus else given
    given = [f"--ntasks={members}"]
    if choices.nodes:
        each = math.ceil(members / choices.nodes)
        given += [f"--nodes={choices.nodes}", f"--ntasks-per-node={each}"]
    if choices.memory:  # that of a node would not do, since it may run any number of members
        given.append(f"--mem-per-cpu={math.ceil(choices.memory / choices.cpus)}M")
    else:
        given.append("--mem=0")
    return [*given, f"--gpus-per-task={gpus}"] if choices.gpus else given
