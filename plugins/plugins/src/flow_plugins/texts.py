"""Texts that the list and the details of one plugin share."""

from __future__ import annotations

from collections.abc import Iterator

import click

from flow_core.api import PluginError
from flow_plugins.inventory import BLOCKED, INSTALLED, OK

_IRREGULAR = {"flow.decorator_hooks": "hooks of", "flow.metadata": "metadata"}


def kind(group: str) -> str:
    """Return what an entry of a group is: ``flow.stores`` → ``store``."""
    return _IRREGULAR.get(group) or group.removeprefix("flow.").removesuffix("s")


def plural(kind: str) -> str:
    """Return the word for more than one of a kind."""
    return kind if kind in _IRREGULAR.values() else kind + "s"


def status_style(status: str) -> str:
    """Return the colour of a status."""
    return {OK: "green", INSTALLED: "green", BLOCKED: "yellow"}.get(status, "red")


def error_lines(error: PluginError) -> Iterator[str]:
    """Yield an error in its four parts."""
    yield click.style(error.what, fg="red")
    for label, text in error.parts():
        first, *rest = text.splitlines()
        yield "  " + click.style(f"{label + ':':<7}", dim=True) + first
        yield from (" " * 9 + line for line in rest)
