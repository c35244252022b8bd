"""``flow plugins``: what is installed, what each plugin contributes, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    import click


def build(context: CommandContext) -> click.Command:
    """Make the click command."""
    import click

    def plugins(name: str | None, as_json: bool) -> None:
        from flow_plugins import details, listing
        from flow_plugins.reports import Reports

        reports = Reports(context.session())
        if as_json:
            context.echo(listing.json_text(reports, name))
        else:
            for line in listing.lines(reports) if name is None else details.lines(reports, name):
                context.echo(line)

    return click.Command(
        "plugins",
        callback=plugins,
        params=[
            click.Argument(["name"], required=False),
            click.Option(["--json", "as_json"], is_flag=True, help="Write JSON, for programs."),
        ],
        help="List the installed plugins: what they provide, which hooks they implement, and what "
        "is wrong with those that cannot be used. With NAME, tell all that is known of one.",
    )


command = Command("List the installed plugins, or tell all about one.", False, build)
