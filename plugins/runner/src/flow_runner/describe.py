"""The command ``options``: all commands of a flow and their options, as data."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from flow_core.api import Command, CommandContext, FlowError

_GROUP = "flow.commands"
_PREFIXES = ("parameter_", "added_")


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def options(as_json: bool) -> None:
        found = describe(context)
        if as_json:
            context.echo(json.dumps(found))  # one line: whatever the file prints, it is found
            return
        for name, command in found["commands"].items():
            context.echo(name)
            for option in command.get("options", ()):
                context.echo(f"  {', '.join(option['flags']):28} {option['help']}".rstrip())

    return click.Command(
        "options",
        callback=options,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
        help="List all commands of a flow and their options, for programs that call them.",
    )


def describe(context: CommandContext) -> dict[str, Any]:
    """Return all that a program must know to call a command of the flow.

    The keys: ``flow`` its name; ``store`` and ``metadata`` the URLs of the places that the options
    before the command choose; ``top_level`` those options; ``commands`` name → ``summary``,
    ``arguments``, ``options``, or ``error`` for one that cannot be used.
    """
    session = context.session()
    root = click.get_current_context().find_root().command
    commands = {}
    for name in session.index.names(_GROUP):
        commands[name] = _command(context, session.index.load(_GROUP, name))
    return {
        "flow": session.definition.name,
        "store": session.store.url,
        "metadata": session.metadata.url,
        "top_level": _options(root.params),
        "commands": commands,
    }


def _command(context: CommandContext, provider: Any) -> dict[str, Any]:
    try:
        command: click.Command = provider.build(context)
    except FlowError as error:
        return {"summary": provider.summary, "error": str(error)}
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    return {
        "summary": provider.summary,
        "needs_flow": provider.needs_flow,
        "arguments": [{"name": a.name, "many": a.nargs == -1} for a in arguments],
        "options": _options(command.params),
    }


def _options(params: Iterable[click.Parameter]) -> list[dict[str, Any]]:
    return [
        {
            "names": sorted(_names(option)),
            "flags": list(option.opts),
            "off": option.secondary_opts[0] if option.secondary_opts else None,
            "is_flag": option.is_flag,
            "multiple": option.multiple,
            "pairs": option.nargs == 2,
            "help": option.help or "",
        }
        for option in params
        if isinstance(option, click.Option) and "--version" not in option.opts
    ]


def _names(option: click.Option) -> set[str]:
    """Return what the option may be called in Python: by its flag, and by its name in click."""
    own = option.name or ""
    for prefix in _PREFIXES:
        own = own.removeprefix(prefix)
    flags = {o.lstrip("-").replace("-", "_") for o in option.opts if o.startswith("--")}
    return {own, *flags} - {"as_json"}


command = Command("List all commands of a flow and their options, for programs.", True, build)
