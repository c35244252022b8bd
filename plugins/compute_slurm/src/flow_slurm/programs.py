"""Slurm's programs: where they are, how they are run, and what their trouble means."""

from __future__ import annotations

import os
import shutil

from flow_core.api import FlowError

_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/slurm/bin", "/opt/slurm/sbin", "/usr/local/bin")
"""Where Slurm's programs often lie without being on a person's path."""


def find_program(name: str) -> str | None:
    """Return the path of a program of Slurm; None where there is none."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))


def need_program(name: str) -> str:
    """Return the path of a program of Slurm.

    Raises:
        FlowError: it is not here, or would look for a configuration that is not.
    """
    configuration = os.environ.get("SLURM_CONF")
    if configuration and not os.path.exists(configuration):  # it would try again for a minute
        raise FlowError(
            "The configuration of Slurm is not there",
            where=f"SLURM_CONF={configuration}",
            why="a sandbox has ended, or the path is wrong",
            hint="unset SLURM_CONF, or start one anew: flow slurm sandbox",
        )
    found = find_program(name)
    if found is None:
        raise FlowError(
            f"Slurm is not on this machine: there is no '{name}'",
            where=f"PATH={os.environ.get('PATH', '')}",
            hint="run this on a login node of the cluster; to try it out on a machine with Debian or "
            "Ubuntu: apt-get install slurm-wlm munge slurm-wlm-basic-plugins, "
            "then flow slurm sandbox",
        )
    return found
