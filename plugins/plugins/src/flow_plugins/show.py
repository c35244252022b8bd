"""``flow plugins show NAME``: all that is known of one plugin."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import click

from flow_core.api import (
    CommandContext,
    EntryPoint,
    OptionInfo,
    PluginError,
    Session,
    describe_options,
)
from flow_plugins.command import json_option
from flow_plugins.inventory import BLOCKED, BROKEN, HOOK_MODULES, OK, Inventory
from flow_plugins.reports import Hook, Report, failure, report_on
from flow_plugins.texts import error_lines, kind, status_style

_UNBLOCK = "change what leaves it out: -p, FLOW_PLUGINS or the setting 'plugins'"


def command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def show(name: str, as_json: bool) -> None:
        inventory = Inventory(context.session())
        report = report_on(inventory, name)
        if as_json:
            context.echo(json.dumps(report.to_json(), indent=2))
        else:
            for line in lines(inventory.session, report):
                context.echo(line)

    return click.Command(
        "show",
        callback=show,
        params=[click.Argument(["name"]), json_option()],
        help="Tell all that is known of one plugin: where it is, what it needs, the options of its "
        "decorators, its hooks and settings, and what is wrong with it.",
    )


def lines(session: Session, report: Report) -> Iterator[str]:
    """Yield what is known of a plugin."""
    yield from _head(report)
    if report.item.error is not None:
        yield ""
        yield from error_lines(report.item.error)
    yield from _provides(report)
    yield from _section("Hooks", [_hook(hook) for hook in report.hooks])
    yield from _section("Settings", list(_settings(session, report)))


def _section(title: str, content: list[str]) -> Iterator[str]:
    if content:
        yield ""
        yield click.style(title, bold=True)
        yield from (f"  {line}" if line else "" for line in content)


def _head(report: Report) -> Iterator[str]:
    status = click.style(report.item.status, fg=status_style(report.item.status))
    yield (
        f"{click.style(report.item.name, bold=True)} {report.item.version}".rstrip() + f": {status}"
    )
    summary, requirement = _metadata(report.item.location)
    facts = {
        "about": summary,
        "distribution": report.item.distribution,
        "location": report.item.location,
        "needs": requirement,
        "to use it": _UNBLOCK if report.item.status == BLOCKED else "",
    }
    for label, text in facts.items():
        if text:
            yield "  " + click.style(f"{label:<14}", dim=True) + text


def _metadata(location: str) -> tuple[str, str]:
    """Return the distribution's summary, and what it requires of flow-core."""
    from email.parser import HeaderParser

    for file in ("METADATA", "PKG-INFO"):  # a wheel has the one, an egg-info the other
        try:
            with open(os.path.join(location, file), encoding="utf-8") as text:
                headers = HeaderParser().parse(text)
        except OSError:
            continue
        needs = headers.get_all("Requires-Dist", [])
        core = [n for n in needs if re.match(r"flow[-_.]core\b", n, re.IGNORECASE)]
        return str(headers.get("Summary", "")), "".join(core[:1])
    return "", ""


# --- what it provides ---------------------------------------------------------------------------


def _provides(report: Report) -> Iterator[str]:
    names = [f"{kind(e.group)} {e.name}" for e in report.item.entry_points]
    column = max(map(len, names), default=0)
    content = []
    for name, entry in zip(names, report.item.entry_points, strict=True):
        content.append(f"{name:<{column}}  {click.style(entry.value, dim=True)}")
        if report.item.status in (OK, BROKEN) and entry.group not in HOOK_MODULES:
            content.extend(f"    {line}" if line else "" for line in _provider(report, entry))
    yield from _section("Provides", content)


def _provider(report: Report, entry: EntryPoint) -> Iterator[str]:
    error = failure(entry)
    if error is not None:
        if str(error) != str(report.item.error):  # which stands above
            yield from error_lines(error)
    elif entry.group == "flow.decorators":
        yield from _decorator(entry)


def _decorator(entry: EntryPoint) -> Iterator[str]:
    try:
        decorator = entry.load()
        options = describe_options(decorator.options)
    except PluginError as error:
        yield from error_lines(error)
        return
    about = (decorator.__doc__ or "").strip().partition("\n\n")[0]
    yield from about.splitlines()
    rows = [(option.name, option.type, _default(option), option.help) for option in options]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        yield "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()


def _default(option: OptionInfo) -> str:
    if option.required:
        return "required"
    return f"default {option.default!r}"


# --- hooks and settings -------------------------------------------------------------------------


def _hook(hook: Hook) -> str:
    notes = ["wraps the others"] if hook.wrapper else []
    notes += [f"before {name}" for name in hook.before]
    notes += [f"after {name}" for name in hook.after]
    return hook.name + (f"  ({', '.join(notes)})" if notes else "")


def _settings(session: Session, report: Report) -> Iterator[str]:
    """Yield the settings under the plugin's prefix: that is whose they are, by convention."""
    prefix = report.item.name.replace("-", "_") + "_"
    found = [s for s in session.settings.declared() if s.name.startswith(prefix)]
    column = max((len(s.name) for s in found), default=0)
    for setting in found:
        choices = " or ".join(setting.choices) or setting.type.__name__
        yield f"{setting.name:<{column}}  {setting.help}"
        yield (
            " " * column + f"  {choices}; default {setting.default!r}; FLOW_{setting.name.upper()}"
        )
