"""``run``: run a flow from its start."""

from __future__ import annotations

from typing import Any

import click

from flow_core.api import Command, CommandContext, Parameter
from flow_run.options import added, chosen, execute, shared


def build(context: CommandContext) -> click.Command:
    """Make the click command, with an option for each parameter of the flow."""
    session = context.session()
    parameters, offered = session.definition.parameters, session.run_options

    def run(**options: Any) -> None:
        given = {p.name: options[_variable(p)] for p in parameters}
        execute(
            context,
            options,
            parameters={n: v for n, v in given.items() if v is not None},
            options=chosen(offered, options),
        )

    return click.Command(
        "run",
        callback=run,
        params=[*(_option(p) for p in parameters), *added(offered), *shared()],
        help="Run the flow from its start.",
    )


def _variable(parameter: Parameter) -> str:
    return "parameter_" + parameter.name.replace("-", "_")


def _option(parameter: Parameter) -> click.Option:
    return click.Option(
        [parameter.option, _variable(parameter)],
        # Text is passed on as it is: the parameter converts it, with the same errors everywhere.
        type=str,
        envvar="FLOW_RUN_" + parameter.name.replace("-", "_").upper(),
        metavar=parameter.type_name.upper(),
        help=_help(parameter),
    )


def _help(parameter: Parameter) -> str:
    notes = []
    if parameter.required:
        notes.append("required")
    elif parameter.show_default and parameter.default is not None:
        computed = callable(parameter.default)
        notes.append("default: computed" if computed else f"default: {parameter.default}")
    suffix = f"  [{'; '.join(notes)}]" if notes else ""
    return f"{parameter.help}{suffix}"


command = Command("Run a flow from its start.", True, build)
