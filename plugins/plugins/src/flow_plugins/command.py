"""``flow plugins``: what is installed, and the table of its subcommands."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from flow_core.api import Command, CommandContext, UsageError, did_you_mean, installed, near_misses

if TYPE_CHECKING:
    from typing import NoReturn

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "check": ("For authors: check plugins, all or some.", "flow_plugins.check:command"),
    "hooks": ("List the hooks: who implements them, in which order.", "flow_plugins.hooks:command"),
    "new": ("Write a plugin to begin with.", "flow_plugins.new:command"),
    "show": ("Tell all about one plugin.", "flow_plugins.show:command"),
    "stubs": ("Write stubs of flow_core for type checkers.", "flow_plugins.stubs:build"),
}
"""Subcommand → one line for the list, and ``module:function``, imported when it is used: the
function takes the `CommandContext` and returns the click command."""


class Subcommands(click.Group):
    """A click group over `SUBCOMMANDS`; without any of them it lists the plugins."""

    def __init__(self, context: CommandContext) -> None:
        super().__init__(
            "plugins",
            callback=lambda as_json: _list(context, as_json),
            params=[json_option()],
            help="List the installed plugins, with what they provide. Nothing is imported for it: "
            "whether they can be used, 'check' tells.",
            invoke_without_command=True,
            subcommand_metavar="[COMMAND [ARGS]…]",
        )
        self._context = context

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all subcommands."""
        return sorted(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and make a subcommand."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, function = SUBCOMMANDS[cmd_name][1].partition(":")
        make: Callable[[CommandContext], click.Command] = getattr(
            importlib.import_module(module), function
        )
        return make(self._context)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUBCOMMANDS[name][0]) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; say what to type where the name of a plugin stands in its place."""
        if args[0] not in SUBCOMMANDS and not args[0].startswith("-"):
            _unknown(ctx, args[0])
        return super().resolve_command(ctx, args)


def json_option() -> click.Option:
    """Return ``--json``, which each subcommand has."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Write JSON, for programs.")


def _unknown(ctx: click.Context, word: str) -> NoReturn:
    place = ctx.command_path
    index = installed()
    plugins = {*index.plugins(), *(entry.distribution for entry in index.entry_points)}
    meant = [word] if word in plugins else near_misses(word, plugins, 1)
    likely = near_misses(word, SUBCOMMANDS, 1) + [f"show {name}" for name in meant]
    if word in plugins:
        hint = f"{place} show {word}"
    elif likely:
        hint = "did you mean " + " or ".join(f"'{place} {text}'" for text in likely) + "?"
    else:
        hint = did_you_mean(word, SUBCOMMANDS)
    raise UsageError(f"There is no command '{word}'", where=place, hint=hint)


def _list(context: CommandContext, as_json: bool) -> None:
    # click calls this before each subcommand, too.
    if click.get_current_context().invoked_subcommand is not None:
        return
    from flow_plugins import listing
    from flow_plugins.inventory import Inventory

    inventory = Inventory(context.session())
    if as_json:
        context.echo(listing.json_text(inventory))
    else:
        for line in listing.lines(inventory):
            context.echo(line)


command = Command("List the installed plugins, or tell all about one.", False, Subcommands)
