"""The command ``slurm`` and its parts."""

from __future__ import annotations

import click

from flow_core.api import Command, CommandContext
from flow_slurm.sandbox_command import sandbox_command


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    return click.Group(
        "slurm",
        commands=[sandbox_command(context)],
        help="Look at jobs of Slurm, end them, and start a Slurm of one's own on this machine.",
        no_args_is_help=True,
    )


command = Command("Jobs of Slurm: list, kill, logs; a local cluster to try it out.", False, build)
