"""Options that `run` and `resume` share, and how both end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from flow_core.api import (
    CommandContext,
    Parameter,
    RunOption,
    RunRequest,
    Session,
    log_size_option,
    run_id_file_option,
    take_log_size,
)

_PREFIX = "added_"


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
            help="Tasks that run at the same time (default: one for each processor; elsewhere "
            "what the compute provider takes).",
        ),
        log_size_option(),
        run_id_file_option(),
    ]


def added(offered: Sequence[RunOption]) -> list[click.Parameter]:
    """Return the options that plugins add for this flow, for example for its decorators."""
    return [
        click.Option(
            ["--" + option.name.replace("_", "-"), _PREFIX + option.name],
            is_flag=option.flag,
            multiple=option.multiple,
            envvar="FLOW_RUN_" + option.name.upper(),
            metavar=None if option.flag else option.metavar,
            help=option.help,
        )
        for option in offered
    ]


def chosen(offered: Sequence[RunOption], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that were given to `added` options, by their names."""
    given = {option.name: options[_PREFIX + option.name] for option in offered}
    return {name: value for name, value in given.items() if value not in (None, (), False)}


def changed_parameter(parameter: Parameter) -> click.Option:
    """Return the option by which a parameter gets another value than a run that is resumed had.

    Only what is typed counts: neither the environment nor the default changes anything.
    """
    option = parameter.click_option("resume")
    option.envvar = None
    option.help = f"{parameter.help}  [default: as in that run]".strip()
    return option


def given_parameters(parameters: Sequence[Parameter], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the options that were given, by the name of the parameter."""
    given = {p.name: options[p.variable] for p in parameters}
    return {name: value for name, value in given.items() if value not in (None, ())}


def take_shared(context: CommandContext, given: Mapping[str, Any]) -> Session:
    """Return the session, as the shared options want it."""
    session: Session = context.session()
    session.add_decorators(given["decorators"])
    take_log_size(session, given["max_log_size"])
    return session


def execute(session: Session, given: Mapping[str, Any], **request: Any) -> None:
    """Run the flow as the shared options, which it has taken, and ``request`` (fields of
    `RunRequest`) say."""
    session.execute(
        RunRequest(
            tags=given["tags"],
            max_workers=given["max_workers"],
            run_id_file=given["run_id_file"],
            **request,
        )
    )
