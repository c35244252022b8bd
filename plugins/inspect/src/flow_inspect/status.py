"""``status`` and ``version``: what is installed here, and where flows leave their data."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from flow_core import __version__
from flow_core.api import Command, CommandContext, command_line, index_lacks, state_folder

if TYPE_CHECKING:
    from flow_core.api import RunRecord, Session


def build(context: CommandContext) -> click.Command:
    """Make the click command ``status``."""

    def status(as_json: bool) -> None:
        data = _data(context.session())
        if as_json:
            context.echo(json.dumps(data, indent=2))
        else:
            _print(context, data)

    return click.Command(
        "status",
        callback=status,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
        help="Show where the results of runs lie here, who chose that, and the flows that have runs "
        "there.",
    )


def _data(session: Session) -> dict[str, Any]:
    settings = session.settings
    flows = session.metadata.flows()
    latest = [record for flow in flows for record in session.metadata.runs(flow, limit=1)]
    return {
        "version": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "folder": os.getcwd(),
        "store": {"url": session.store.url, "from": settings.lookup("datastore")[1]},
        "index": {"url": session.metadata.url, "from": settings.lookup("metadata")[1]},
        "user": settings.user(),
        "state_folder": state_folder(),
        "incomplete": bool(not flows and index_lacks(session.metadata, session.store, "")),
        "flows": [_flow(record) for record in latest],
    }


def _flow(record: RunRecord) -> dict[str, Any]:
    return {
        "flow": record.flow,
        "latest": record.pathspec,
        "state": record.state.value,
        "started_at": record.created_at,
        "user": record.user,
    }


def _print(context: CommandContext, data: dict[str, Any]) -> None:
    context.echo(f"flow-core {data['version']}, Python {data['python']}")
    for name in ("store", "index"):
        place = data[name]
        chosen = "" if place["from"] == "default" else f"  (from {place['from']})"
        context.echo(f"  {name}  {place['url']}{chosen}")
    context.echo(f"  user   {data['user']}")
    context.echo()
    if data["incomplete"]:
        context.echo("The index knows no run, but the store has some: " + _reindex(context))
    elif not data["flows"]:
        context.echo("Nothing has been run here yet: python my_flow.py run")
    width = max((len(row["latest"]) for row in data["flows"]), default=0)
    for row in data["flows"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started_at"]))
        latest = click.style(f"{row['latest']:{width}}", bold=True)
        context.echo(f"{latest}  {when}  {row['state']}  by {row['user']}")


def _reindex(context: CommandContext) -> str:
    return command_line(context.session(), "reindex")


def build_version(context: CommandContext) -> click.Command:
    """Make the click command ``version``."""

    def version(as_json: bool) -> None:
        if not as_json:
            context.echo(f"flow-core {__version__}")
            return
        entries = context.session().index.entry_points
        plugins = {entry.distribution: entry.version for entry in entries}
        python = ".".join(map(str, sys.version_info[:3]))
        data = {
            "flow_core": __version__,
            "python": python,
            "plugins": dict(sorted(plugins.items())),
        }
        context.echo(json.dumps(data, indent=2))

    return click.Command(
        "version",
        callback=version,
        params=[
            click.Option(
                ["--json", "as_json"], is_flag=True, help="Print JSON, with those of all plugins."
            )
        ],
        help="Print the version of flow-core.",
    )


command = Command("Show where runs are kept here, and the flows that have some.", False, build)
version = Command("Print the version.", False, build_version)
