"""``run``: run a flow from its start."""

from __future__ import annotations

from typing import Any

import click

from flow_core.api import Command, CommandContext
from flow_run.options import added, chosen, execute, given_parameters, shared, take_shared


def build(context: CommandContext) -> click.Command:
    """Make the click command, with an option for each parameter of the flow."""
    session = context.session()
    parameters, offered = session.definition.parameters, session.run_options

    def run(**options: Any) -> None:
        execute(
            take_shared(context, options),
            options,
            parameters=given_parameters(parameters, options),
            options=chosen(offered, options),
        )

    return click.Command(
        "run",
        callback=run,
        params=[*(p.click_option() for p in parameters), *added(offered), *shared()],
        help="Run the flow from its start.",
    )


command = Command("Run a flow from its start.", True, build)
