"""What sbatch says when it does not take a job, and what to type then."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress

from flow_core.api import near_misses
from flow_remote.backend import Refused
from flow_slurm.choices import Choices
from flow_slurm.client import Client, Partition, SlurmAway, SlurmError

_LATER = re.compile(r"MaxSubmitJob|MaxJobs|GrpSubmitJobs|GrpJobs|too many jobs", re.IGNORECASE)
"""Limits on how many jobs there may be, which others that end make room for."""


def too_many(error: SlurmError) -> bool:
    """Whether fewer jobs might have been taken."""
    return bool(_LATER.search(str(error)))


def refused(error: SlurmError, choices: Choices, client: Client) -> Refused:
    """Return the answer for jobs that were not taken.

    Args:
        error: what sbatch said.
        choices: what it was asked.
        client: asked what the cluster has.
    """
    said = str(error)
    if isinstance(error, SlurmAway) or too_many(error):
        return Refused(f"sbatch: {said}", transient=True)
    partitions: Sequence[Partition] = ()
    with suppress(SlurmError):
        partitions = client.partitions()
    return Refused(f"sbatch: {said}", _hint(said.lower(), choices, partitions))


def _hint(said: str, choices: Choices, partitions: Sequence[Partition]) -> str:
    names = [each.name for each in partitions]
    wanted = choices.partition.split(",")
    if "invalid partition" in said or "partition name" in said:
        wrong = next((name for name in wanted if name not in names), wanted[0])
        near = near_misses(wrong, names) or names
        return f"partitions here: {', '.join(near)}" if near else ""
    used = [p for p in partitions if p.name in wanted or (not choices.partition and p.default)]
    if "account" in said and "invalid" in said:
        return (
            "see which accounts are yours: sacctmgr show associations user=$USER format=account,qos"
        )
    if "qos" in said and "invalid" in said:
        return "see what is yours: sacctmgr show associations user=$USER format=account,qos"
    if "time" in said and "limit" in said:
        limits = ", ".join(f"{p.name}: {p.time}" for p in partitions)
        return f"longest time of the partitions: {limits}" if limits else ""
    if "feature" in said:
        features = sorted({f for p in used for f in p.features})
        return f"features of nodes here: {', '.join(features) or 'none'}"
    if "gres" in said or "generic resource" in said:
        gres = sorted({g for p in used for g in p.gres})
        return f"nodes here have: {', '.join(gres) or 'no graphics processors'}"
    if used and ("configuration is not available" in said or "can not be satisfied" in said):
        largest = ", ".join(f"{p.name}: {_size(p.cpus, p.memory, p.gres)}" for p in used)
        gpus = [f"gpu:{choices.gpu_type}:{choices.gpus}".replace("::", ":")] if choices.gpus else []
        asked = _size(choices.cpus, choices.memory, gpus)
        return f"largest node of each partition: {largest}; asked for: {asked}"
    return ""


def _size(cpus: int, memory: int, gres: Collection[str]) -> str:
    return ", ".join((f"{cpus} processors", f"{memory} MB", *sorted(gres)))
