"""``flow doctor``: whether flows can run here, and what to type where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    import click


def build(context: CommandContext) -> click.Command:
    """Make the click command."""
    import click

    def doctor(flow: str | None, show_all: bool, write: bool, wait: float, as_json: bool) -> int:
        from flow_diagnose import report

        found = report.examine(context.session(), flow, write, wait)
        for line in report.json_lines(found) if as_json else report.lines(found, show_all):
            context.echo(line)
        return int(found.status == "fail")

    return click.Command(
        "doctor",
        callback=doctor,
        params=[
            click.Option(["--flow"], metavar="FILE", help="Look with this flow loaded."),
            click.Option(
                ["--all", "show_all"], is_flag=True, help="Show settings left alone, too."
            ),
            click.Option(
                ["--write"], is_flag=True, help="Write, read and delete an object in the store."
            ),
            click.Option(
                ["--timeout", "wait"],
                type=click.FloatRange(min=0.1),
                default=4.0,  # seconds in which a store finds out why it does not answer
                show_default=True,
                metavar="SECONDS",
                help="How long store, index and others may take to answer.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Write JSON, for programs."),
        ],
        help="Tell whether flows can run here, and what to type where they cannot: interpreter, "
        "versions, plugins, the settings in force and where each comes from, store and index, disk "
        "space, forking, runs whose launcher has died. Exit status 1 when something is wrong.",
    )


command = Command("Tell whether flows can run here, and what to type if not.", False, build)
