"""The command ``slurm`` and its parts: list, kill, logs, script, sandbox."""

from __future__ import annotations

import click

from flow_core.api import Command, CommandContext
from flow_slurm.list_command import kill_command, list_command
from flow_slurm.sandbox_command import sandbox_command
from flow_slurm.show_command import logs_command, script_command

_PARTS = (list_command, kill_command, logs_command, script_command, sandbox_command)


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    return click.Group(
        "slurm",
        commands=[make(context) for make in _PARTS],
        help="Look at jobs of flows in Slurm, end them, and start a Slurm of one's own on this "
        "machine.",
        no_args_is_help=True,
    )


command = Command("Jobs of Slurm: list, kill, logs; a local cluster to try it out.", False, build)
