"""``reindex``: make the index of runs anew from the store, when it was lost or lags behind."""

from __future__ import annotations

import json

import click

from flow_core.api import Command, CommandContext, harmless


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def reindex(as_json: bool) -> None:
        session = context.session()
        metadata = session.metadata
        runs = metadata.rebuild(session.store)
        problems = list(metadata.problems)
        if as_json:
            context.echo(json.dumps({"runs": runs, "problems": problems}, indent=2))
            return
        found = f"{runs:,} run{'s' if runs != 1 else ''}"
        context.echo(f"The index was made anew: {found} found in the store.")
        for problem in problems:
            note = click.style("left out: ", fg="yellow") + harmless(problem)
            context.echo(note, error=True)

    return click.Command(
        "reindex",
        callback=reindex,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
        help="Make the index of runs anew from the store, which holds the truth: after the index "
        "was lost or deleted. Records that cannot be read are left out and named.",
    )


command = Command("Make the index of runs anew from the store.", False, build)
