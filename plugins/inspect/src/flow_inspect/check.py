"""``check``: find what is wrong with a flow without running it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    from flow_core.api import Problem, Session


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def check(as_json: bool) -> None:
        session = context.session()
        if as_json:
            _print_json(context, session)
            return
        # All that a run checks before its first task, so that "good" means that it would start.
        session.check()
        steps = len(session.graph)
        good = click.style("good", fg="green", bold=True)
        context.echo(
            f"The graph of {session.graph.name} looks {good}: "
            f"{steps} step{'s' if steps != 1 else ''}."
        )

    return click.Command(
        "check",
        callback=check,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
        help="Check the flow without running it: its graph, its decorators and what they ask for. "
        "All problems of the graph are shown at once; the exit status is then 1.",
    )


def _print_json(context: CommandContext, session: Session) -> None:
    problems = session.problems()
    if not problems:
        session.check()
    data = {
        "flow": session.graph.name,
        "steps": len(session.graph),
        "problems": [_data(p) for p in problems],
    }
    context.echo(json.dumps(data, indent=2))
    if problems:
        click.get_current_context().exit(1)


def _data(problem: Problem) -> dict[str, Any]:
    return problem._asdict()


command = Command("Check a flow without running it.", True, build)
