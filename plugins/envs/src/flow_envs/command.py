"""The command ``env`` and its parts: list, show, lock, build, shell, clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    import click

_HELP = """Look at, lock, build and remove the environments of steps.

A STEP is one of today's flow: python my_flow.py env …, or flow env … my_flow.py STEP. Of a run it is
FLOW/RUN/STEP, in a flow file also RUN/STEP. Without a flow, a LOCK names what lies on this machine: the
first digits of its hash, as flow env list shows them."""


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    import click

    from flow_envs.build_command import build_command
    from flow_envs.clean_command import clean_command
    from flow_envs.list_command import list_command
    from flow_envs.lock_command import lock_command
    from flow_envs.shell_command import shell_command
    from flow_envs.show_command import show_command

    parts = {
        "list": list_command,
        "show": show_command,
        "lock": lock_command,
        "build": build_command,
        "shell": shell_command,
        "clean": clean_command,
    }
    return click.Group(
        "env",
        commands={name: make(context) for name, make in parts.items()},
        help=_HELP,
        no_args_is_help=True,
    )


command = Command("Look at, lock, build and remove the environments of steps.", False, build)
