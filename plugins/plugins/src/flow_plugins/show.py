"""``flow plugins show NAME``: all that is known of one plugin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import click

from flow_core.api import CommandContext, OptionInfo
from flow_plugins.command import json_option
from flow_plugins.inventory import BLOCKED, Inventory
from flow_plugins.reports import DECORATOR_HOOKS, Hook, Provider, Report, report_on
from flow_plugins.settings import InForce
from flow_plugins.texts import columns, error_lines, kind, status_style

_UNBLOCK = "change what leaves it out: -p, FLOW_PLUGINS or the setting 'plugins'"
_MOST_FILES = 12


def command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def show(name: str, as_json: bool) -> None:
        report = report_on(Inventory(context.session()), name)
        if as_json:
            context.echo(json.dumps(report.to_json(), indent=2))
        else:
            for line in lines(report):
                context.echo(line)

    return click.Command(
        "show",
        callback=show,
        params=[click.Argument(["name"]), json_option()],
        help="Tell all that is known of one plugin: where it is, what it needs, the options of its "
        "decorators, its hooks, its settings with their values in force, its files, and what is "
        "wrong with it.",
    )


def lines(report: Report) -> Iterator[str]:
    """Yield what is known of a plugin."""
    yield from _head(report)
    if report.item.error is not None:
        yield ""
        yield from error_lines(report.item.error)
    yield from _section("Provides", list(_provides(report)))
    yield from _section("Hooks", list(_hooks(report)))
    yield from _section("Settings", [line for s in report.settings for line in _setting(s)])
    yield from _section("Files", list(_files(report)))


def _section(title: str, content: list[str]) -> Iterator[str]:
    if content:
        yield ""
        yield click.style(title, bold=True)
        yield from (f"  {line}" if line else "" for line in content)


def _head(report: Report) -> Iterator[str]:
    item = report.item
    status = click.style(item.status, fg=status_style(item.status))
    yield f"{click.style(item.name, bold=True)} {item.version}".rstrip() + f": {status}"
    facts = {
        "about": report.distribution.summary,
        "distribution": item.distribution,
        "location": item.location,
        "needs": f"flow-core {report.requirement}" if report.requirement else "",
        "to use it": _UNBLOCK if item.status == BLOCKED else "",
    }
    for label, text in facts.items():
        if text:
            yield "  " + click.style(f"{label:<14}", dim=True) + text


# --- what it provides ---------------------------------------------------------------------------


def _provides(report: Report) -> Iterator[str]:
    names = [f"{kind(p.entry.group)} {p.entry.name}" for p in report.providers]
    column = max(map(len, names), default=0)
    for name, provider in zip(names, report.providers, strict=True):
        yield f"{name:<{column}}  {click.style(provider.entry.value, dim=True)}"
        # The first error stands above.
        if provider.error is not None and str(provider.error) != str(report.item.error):
            yield from (f"    {line}" for line in error_lines(provider.error))
        yield from (f"    {line}" if line else "" for line in _details(provider))


def _details(provider: Provider) -> Iterator[str]:
    yield from (line.strip() for line in provider.about.splitlines())
    rows = [(o.name, o.type, _default(o), o.help) for o in provider.options]
    yield from columns(rows)


def _default(option: OptionInfo) -> str:
    if option.required:
        return "required"
    return f"default {option.default!r}"


# --- hooks, settings, files ---------------------------------------------------------------------


def _hooks(report: Report) -> Iterator[str]:
    modules = sorted({e.value for e in report.item.entry_points if e.group == DECORATOR_HOOKS})
    if modules:
        names = sorted({name for hook in report.hooks for name in hook.decorators})
        used = " or ".join(f"@{name}" for name in names)
        yield f"loaded for flows with {used} only" if used else ""
    folder = report.distribution.folder
    rows = [(hook.name, _notes(hook), _short(hook.where, folder)) for hook in report.hooks]
    yield from columns(rows)


def _notes(hook: Hook) -> str:
    notes = ["wraps the others"] if hook.wrapper else []
    notes += ["only listens"] if hook.observer else []
    notes += [f"before {name}" for name in hook.before]
    notes += [f"after {name}" for name in hook.after]
    return ", ".join(notes)


def _short(where: str, folder: str) -> str:
    """Return a place as the files of the plugin are listed: ``flow_retry/plugin.py:9``."""
    return where.removeprefix(folder + os.sep) if folder else where


def _setting(found: InForce) -> Iterator[str]:
    own = found.setting
    yield f"{click.style(own.name, bold=True)}  {own.help}"
    default = "" if own.secret else f"default {own.default!r}; "
    yield f"    {found.type}; {default}{found.variable}"
    if found.error:
        yield "    " + click.style(found.error, fg="red")
    elif found.source != "default":
        yield f"    now {found.value}, from {found.source}"


def _files(report: Report) -> Iterator[str]:
    found = report.distribution
    if found.editable:
        yield f"editable, from {found.editable}"
    if found.files:
        yield f"{len(found.files)} in {found.folder}"
    yield from (f"  {name}" for name in found.files[:_MOST_FILES])
    if len(found.files) > _MOST_FILES:
        yield f"  and {len(found.files) - _MOST_FILES} more: --json"
