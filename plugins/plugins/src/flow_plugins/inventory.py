"""What is installed, as far as that is known without importing any of it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

from flow_core.api import (
    EntryPoint,
    IncompatiblePlugin,
    NotFound,
    PluginError,
    PluginIndex,
    Session,
    did_you_mean,
    installed,
)

INSTALLED, OK, BROKEN = "installed", "ok", "broken"
OTHER_CORE, CLASH, BLOCKED = "needs another flow-core", "clash", "blocked"
HOOK_MODULES = ("flow.plugins", "flow.decorator_hooks")


class Item(NamedTuple):
    """What is known of one plugin.

    Attributes:
        name: short name, as ``-p no:NAME`` takes it; of a ``-p MODULE``, the module.
        distribution, version, location: where it comes from; of a module only the file, and only
            if it offers anything.
        entry_points: all that it provides.
        status: `INSTALLED` (nothing more is known before it is imported), `OK`, `BROKEN`,
            `OTHER_CORE`, `CLASH` or `BLOCKED`.
        error: what is wrong, with the way out; None when nothing is known to be.
    """

    name: str
    distribution: str
    version: str
    location: str
    entry_points: tuple[EntryPoint, ...]
    status: str
    error: PluginError | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            **self._asdict(),
            "entry_points": [
                {"group": e.group, "name": e.name, "value": e.value} for e in self.entry_points
            ],
            "error": error_data(self.error),
        }


def error_data(error: PluginError | None) -> dict[str, str | None] | None:
    """Return the four parts of an error as JSON data."""
    if error is None:
        return None
    return {part: getattr(error, part) for part in ("what", "where", "why", "hint")}


class Inventory:
    """All plugins that are installed, blocked ones too, and the modules that ``-p`` names.

    Args:
        session: tells which plugins are left out, and which modules were named.
        index: all that is installed; None = what is on ``sys.path``.
    """

    def __init__(self, session: Session, index: PluginIndex | None = None) -> None:
        self.session = session
        self.index = installed() if index is None else index

    @cached_property
    def all(self) -> list[Item]:
        """All of them, sorted by name."""
        by_plugin: dict[str, list[EntryPoint]] = {}
        for entry in self.index.entry_points:
            by_plugin.setdefault(entry.plugin, []).append(entry)
        items = [self._item(name, entries) for name, entries in by_plugin.items()]
        modules = map(self._module, self.session.named_modules)
        return sorted([*items, *modules], key=lambda item: item.name)

    def find(self, name: str) -> Item:
        """Return one plugin, by its short or its distribution's name.

        Raises:
            NotFound: there is no such plugin.
        """
        for item in self.all:
            if name in (item.name, item.distribution):
                return item
        raise NotFound(
            f"There is no plugin '{name}'",
            hint=did_you_mean(name, [item.name for item in self.all]),
        )

    def _item(self, name: str, entries: list[EntryPoint]) -> Item:
        first = entries[0]
        status, error = self._status(name, entries)
        return Item(
            name, first.distribution, first.version, first.location, tuple(entries), status, error
        )

    def _module(self, name: str) -> Item:
        """Describe a module that ``-p`` or the settings name, with what its source says it offers."""
        index = self.session.index
        entries = [e for e in index.entry_points if e.distribution == name and not e.packaged]
        clash = next(filter(None, map(self._clash, entries)), None)
        error = index.unread.get(name, clash)
        status = CLASH if clash else BROKEN if error else INSTALLED
        location = entries[0].location if entries else ""
        return Item(name, "", "", location, tuple(entries), status, error)

    def _status(self, name: str, entries: list[EntryPoint]) -> tuple[str, PluginError | None]:
        if name not in self.session.index.plugins():
            return BLOCKED, None
        clash = next(filter(None, map(self._clash, entries)), None)
        if clash is not None:
            return CLASH, clash
        try:
            entries[0].check_core()
        except IncompatiblePlugin as error:
            return OTHER_CORE, error
        return INSTALLED, None

    def _clash(self, entry: EntryPoint) -> PluginError | None:
        index = self.session.index
        if len(index.group(entry.group).get(entry.name, ())) < 2:
            return None
        try:
            index.find(entry.group, entry.name)
        except PluginError as error:
            return error
        return None
