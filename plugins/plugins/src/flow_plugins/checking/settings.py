"""Checks of the settings that a plugin declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flow_core.api import Session, Setting
from flow_plugins.checking.findings import FAIL, OK, WARN, Finding
from flow_plugins.inventory import Item
from flow_plugins.reports import loaded_modules
from flow_plugins.settings import declared_by, in_force


def setting_findings(session: Session, item: Item) -> Iterator[Finding]:
    """Check names, texts, and the values in force."""
    declared = declared_by(loaded_modules(session, item))
    findings = [finding for setting in declared for finding in _declaration(item, setting)]
    findings += [
        Finding("settings", FAIL, found.error, found.source)
        for found in in_force(session.settings, declared)
        if found.error
    ]
    yield from findings
    if declared and not findings:
        yield Finding("settings", OK, ", ".join(setting.name for setting in declared))


def _declaration(item: Item, setting: Setting) -> Iterator[Finding]:
    names = {name.replace("-", "_") for name in (item.name, *item.hook_modules)}
    known = names | _libraries(item)
    if setting.name not in known and not setting.name.startswith(tuple(f"{n}_" for n in known)):
        yield Finding(
            "settings",
            WARN,
            f"The setting '{setting.name}' does not begin with the plugin's name",
            why="two plugins could declare the same, and the one that comes later would count",
            hint=f"{min(names)}_{setting.name}",
        )
    if not setting.help.strip():
        yield Finding(
            "settings",
            WARN,
            f"The setting '{setting.name}' has no help",
            hint="one sentence, with the unit of a number",
        )


def _libraries(item: Item) -> set[str]:
    """Return the names of plugins that this one builds on, by its requirements: it may declare their
    settings too, which count for what it lets them do."""
    if not item.distribution:
        return set()
    from importlib_metadata import PackageNotFoundError, requires

    try:
        wanted = requires(item.distribution) or []
    except PackageNotFoundError:
        return set()
    found = (re.match(r"flow[-_.]([A-Za-z0-9._-]+)", text, re.IGNORECASE) for text in wanted)
    return {re.sub(r"[-_.]+", "_", match[1]).lower() for match in found if match} - {"core"}
