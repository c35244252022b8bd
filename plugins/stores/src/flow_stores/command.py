"""``flow store``: move runs from store to store, and see whether a store works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    import click


def build(context: CommandContext) -> click.Command:
    """Make the click command."""
    import click

    from flow_stores.check_command import check_command
    from flow_stores.migrate_command import migrate_command

    return click.Group(
        "store",
        commands={"check": check_command(context), "migrate": migrate_command(context)},
        help="Move runs from store to store, and see whether a store works.",
        no_args_is_help=True,
    )


command = Command("Move runs from store to store, and see whether a store works.", False, build)
