"""Slurm: a real cluster on this machine, of several nodes."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.sharing import absent, owner, shared

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

NODES, CPUS, MEMORY, GPUS = 3, 4, 4000, 2
"""What the cluster claims to have, on however small a machine: jobs of tests want little."""


def shared_cluster() -> Sandbox:
    """Return the cluster of this run of pytest."""
    need_slurm()
    from flow_slurm.sandbox import Sandbox

    return Sandbox.opened(**shared("slurm", _start))


def need_slurm() -> None:
    """Skip the test where Slurm, or the plugin, is not installed."""
    if importlib.util.find_spec("flow_slurm") is None:
        absent("no Slurm here: pip install flow-slurm")
    from flow_slurm.sandbox import INSTALL, missing_programs

    missing = missing_programs()
    if missing:
        absent(f"no Slurm here ({', '.join(missing)}): {INSTALL}")


def _start(folder: Path) -> dict[str, Any]:
    from flow_slurm.sandbox import Nodes, Sandbox

    shutil.rmtree(folder, ignore_errors=True)
    cluster = Sandbox(str(folder), Nodes(NODES, CPUS, MEMORY, GPUS), owner=owner())
    cluster.start()
    os.remove(folder / "keep")  # it goes with this run
    return {"folder": str(folder)}
