"""``flow plugins check``: for authors. Imports plugins and says what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import click

from flow_core.api import CommandContext, Session
from flow_plugins.checking.cost import cost_findings
from flow_plugins.checking.findings import FAIL, OK, WARN, Finding, of_error, worst
from flow_plugins.checking.hooks import hook_findings
from flow_plugins.checking.package import core_findings, package_findings
from flow_plugins.checking.provides import provider_findings
from flow_plugins.checking.settings import setting_findings
from flow_plugins.command import json_option
from flow_plugins.files import read_distribution
from flow_plugins.inventory import BLOCKED, BROKEN, OTHER_CORE, Inventory, Item
from flow_plugins.reports import load_all_hooks
from flow_plugins.texts import provides

_COLOURS = {OK: "green", WARN: "yellow", FAIL: "red"}


class Checked(NamedTuple):
    """All findings on one plugin."""

    item: Item
    findings: tuple[Finding, ...]

    @property
    def status(self) -> str:
        """The worst that was found."""
        return worst(self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "name": self.item.name,
            "distribution": self.item.distribution,
            "version": self.item.version,
            "status": self.status,
            "findings": [finding._asdict() for finding in self.findings],
        }


def command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def check(names: tuple[str, ...], strict: bool, as_json: bool) -> int:
        inventory = Inventory(context.session())
        chosen = [inventory.find(name) for name in names] if names else _all(inventory)
        checked = check_plugins(inventory.session, chosen)
        if as_json:
            context.echo(json.dumps([plugin.to_json() for plugin in checked], indent=2))
        else:
            for line in lines(checked, bool(names)):
                context.echo(line)
        status = worst(finding for plugin in checked for finding in plugin.findings)
        return int(status == FAIL or (strict and status == WARN))

    return click.Command(
        "check",
        callback=check,
        params=[
            click.Argument(["names"], nargs=-1, metavar="[NAME]…"),
            click.Option(["--strict"], is_flag=True, help="Exit with 1 for warnings, too."),
            json_option(),
        ],
        help="Check plugins, all or those named: import them, compare hooks with their declarations "
        "and providers with their contracts, write options as text and read them back, measure the "
        "import, look at the range of flow-core, README and types. Exit status 1 when something "
        "is wrong.",
    )


def _all(inventory: Inventory) -> list[Item]:
    return [item for item in inventory.all if item.status != BLOCKED]


def check_plugins(session: Session, items: Sequence[Item]) -> list[Checked]:
    """Check plugins; those that flow-core refuses for what they need are not imported."""
    load_all_hooks(session)
    costs = cost_findings([item for item in items if not _refused(item)])
    return [Checked(item, tuple(_check(session, item, costs.get(item.name, [])))) for item in items]


def _refused(item: Item) -> bool:
    """Whether it needs another flow-core, or what it needs cannot be read."""
    return item.status == OTHER_CORE or (item.status == BROKEN and bool(item.distribution))


def _check(session: Session, item: Item, costs: Sequence[Finding]) -> Iterator[Finding]:
    if item.distribution:
        yield from core_findings(item)
    if _refused(item):
        return
    if item.error is not None and item.distribution:
        yield of_error("provides", item.error)  # two provide the same name
    yield from hook_findings(session, item)
    yield from provider_findings(session, item)
    yield from setting_findings(session, item)
    yield from costs
    if item.distribution:
        yield from package_findings(item, read_distribution(item.location, item.modules))


# --- for people ---------------------------------------------------------------------------------


def lines(checked: Sequence[Checked], all_of_it: bool) -> Iterator[str]:
    """Yield a line for each plugin, and what is wrong with it; with ``all_of_it`` each finding."""
    column = max((len(plugin.item.name) for plugin in checked), default=0)
    for plugin in checked:
        name = plugin.item.name.ljust(column)
        about = provides(plugin.item)
        yield f"{_status(plugin.status)}  {click.style(name, bold=True)}  {about}".rstrip()
        for finding in plugin.findings:
            if all_of_it or finding.status != OK:
                yield from _finding(finding)
    counts = {s: sum(p.status == s for p in checked) for s in (OK, WARN, FAIL)}
    told = [
        f"{count} {click.style(status, fg=_COLOURS[status])}"
        for status, count in counts.items()
        if count
    ]
    yield ""
    yield f"{len(checked)} plugin{'s' * (len(checked) != 1)}: {', '.join(told) or 'none'}"


def _status(status: str) -> str:
    return click.style(status.ljust(4), fg=_COLOURS[status])


def _finding(finding: Finding) -> Iterator[str]:
    yield f"      {_status(finding.status)}  {finding.check:<8}  {finding.text}"
    for label, text in (("where", finding.where), ("why", finding.why), ("try", finding.hint)):
        for number, line in enumerate(text.splitlines() if finding.status != OK else ()):
            head = click.style(f"{label + ':':<7}", dim=True) if not number else " " * 7
            yield f"                      {head}{line}"
