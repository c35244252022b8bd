"""Options that `run` and `resume` share, and how both end."""

from __future__ import annotations

from typing import Any

import click

from flow_core.api import CommandContext, RunRequest


def shared() -> list[click.Parameter]:
    """Return the options of both commands."""
    return [
        click.Option(
            ["--with", "decorators"],
            multiple=True,
            metavar="NAME[:OPTION=VALUE,…]",
            help="Add a decorator to every step that lacks it; may be repeated.",
        ),
        click.Option(["--tag", "tags"], multiple=True, help="Tag the run; may be repeated."),
        click.Option(
            ["--max-workers"],
            type=click.IntRange(min=1),
            metavar="N",
            help="Tasks that run at the same time (default: one for each processor).",
        ),
        click.Option(
            ["--max-log-size"],
            type=click.FloatRange(min=0),
            metavar="MB",
            help="Megabytes kept of each output stream of a task (default: 10).",
        ),
        click.Option(
            ["--run-id-file"],
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="Write the run id to FILE as soon as it is known.",
        ),
    ]


def execute(context: CommandContext, options: dict[str, Any], **request: Any) -> None:
    """Run the flow as the shared options and ``request`` (fields of `RunRequest`) say."""
    session = context.session()
    session.add_decorators(options["decorators"])
    if options["max_log_size"] is not None:
        session.settings.override("max_log_size", options["max_log_size"], "--max-log-size")
    session.execute(
        RunRequest(
            tags=options["tags"],
            max_workers=options["max_workers"],
            run_id_file=options["run_id_file"],
            **request,
        )
    )
