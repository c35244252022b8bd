"""Reports: what is known of each plugin. For the list only what each command line imports anyway is
imported: hook modules and commands. A report on one plugin tries its other providers, too."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

from flow_core.api import (
    EntryPoint,
    IncompatiblePlugin,
    NotFound,
    PluginError,
    PluginIndex,
    Plugins,
    Session,
    did_you_mean,
    installed,
)

OK, BROKEN, OTHER_CORE = "ok", "broken", "needs another flow-core"
CLASH, BLOCKED = "clash", "blocked"
DECORATOR_HOOKS, COMMANDS = "flow.decorator_hooks", "flow.commands"
HOOK_MODULES = ("flow.plugins", DECORATOR_HOOKS)


class Hook(NamedTuple):
    """One hook that a plugin implements.

    Attributes:
        name: the hook.
        wrapper: whether it wraps the other implementations.
        before, after: plugins that it wants to come before or after.
    """

    name: str
    wrapper: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Report(NamedTuple):
    """What is known of one plugin.

    Attributes:
        name: short name, as ``-p no:NAME`` takes it; of a ``-p MODULE``, the module.
        distribution, version, location: where it comes from; ``""`` for a module.
        entry_points: all that it provides.
        hooks: what its hook modules implement, sorted; empty when they could not be loaded.
        status: `OK`, `BROKEN`, `OTHER_CORE`, `CLASH` or `BLOCKED`.
        error: what is wrong, with the way out; None when it can be used.
    """

    name: str
    distribution: str
    version: str
    location: str
    entry_points: tuple[EntryPoint, ...]
    hooks: tuple[Hook, ...]
    status: str
    error: PluginError | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        data = self._asdict()
        data["entry_points"] = [
            {"group": e.group, "name": e.name, "value": e.value} for e in self.entry_points
        ]
        data["hooks"] = [hook._asdict() for hook in self.hooks]
        error = self.error
        data["error"] = error and {
            "what": error.what,
            "where": error.where,
            "why": error.why,
            "hint": error.hint,
        }
        return data


class Reports:
    """The reports on all plugins that are installed, blocked ones too.

    Args:
        session: tells which plugins are blocked, and loads hook modules.
        index: all that is installed; None = what is on ``sys.path``.
    """

    def __init__(self, session: Session, index: PluginIndex | None = None) -> None:
        self.session = session
        self._index = installed() if index is None else index
        session.load_hooks(session.index.names(DECORATOR_HOOKS))
        self._plugins: Plugins = session.plugins

    @property
    def stop_runs(self) -> bool:
        """Whether a run would be refused."""
        return bool(self._plugins.broken)

    @cached_property
    def all(self) -> list[Report]:
        """All reports, sorted by name."""
        by_plugin: dict[str, list[EntryPoint]] = {}
        for entry in self._index.entry_points:
            by_plugin.setdefault(entry.plugin, []).append(entry)
        reports = [self._report(name, entries) for name, entries in by_plugin.items()]
        return sorted([*reports, *self._modules()], key=lambda report: report.name)

    def find(self, name: str) -> Report:
        """Return the report on one plugin, by its short or its distribution's name.

        All its providers are imported, to see whether they can be.

        Raises:
            NotFound: there is no such plugin.
        """
        for report in self.all:
            if name in (report.name, report.distribution):
                return _tried(report)
        raise NotFound(
            f"There is no plugin '{name}'",
            hint=did_you_mean(name, [report.name for report in self.all]),
        )

    # --- one plugin -----------------------------------------------------------------------------

    def _report(self, name: str, entries: list[EntryPoint]) -> Report:
        first = entries[0]
        status, error = self._status(name, entries)
        modules = [e.name for e in entries if e.group in HOOK_MODULES]
        return Report(
            name,
            first.distribution,
            first.version,
            first.location,
            tuple(entries),
            () if status in (BLOCKED, CLASH) else tuple(self._hooks(modules)),
            status,
            error,
        )

    def _status(self, name: str, entries: list[EntryPoint]) -> tuple[str, PluginError | None]:
        if name not in self.session.index.plugins():
            return BLOCKED, None
        clash = next(filter(None, map(self._clash, entries)), None)
        if clash is not None:
            return CLASH, clash
        for entry in entries:
            error = self._broken(entry)
            if error is not None:
                other_core = isinstance(error, IncompatiblePlugin)
                return (OTHER_CORE if other_core else BROKEN), error
        return OK, None

    def _clash(self, entry: EntryPoint) -> PluginError | None:
        index = self.session.index
        if len(index.group(entry.group).get(entry.name, ())) < 2:
            return None
        try:
            index.find(entry.group, entry.name)
        except PluginError as error:
            return error
        return None

    def _broken(self, entry: EntryPoint) -> PluginError | None:
        if entry.group in HOOK_MODULES:
            return self._plugins.broken.get(entry.name)
        return failure(entry) if entry.group == COMMANDS else None

    def _hooks(self, modules: Iterable[str]) -> Iterator[Hook]:
        manager = self._plugins.manager
        for module in modules:
            plugin = manager.get_plugin(module)
            callers = (manager.get_hookcallers(plugin) if plugin is not None else None) or []
            for caller in sorted(callers, key=lambda c: c.name):
                for found in caller.get_hookimpls():
                    if found.plugin is plugin:
                        wishes = getattr(found.function, "flow_core_order", ((), ()))
                        yield Hook(caller.name, found.wrapper, *wishes)

    def _modules(self) -> Iterator[Report]:
        """Yield reports on the hook modules that were given by ``-p MODULE``."""
        known = {e.name for e in self._index.entry_points if e.group in HOOK_MODULES}
        loaded = [
            name
            for name, plugin in self._plugins.manager.list_name_plugin()
            if isinstance(plugin, types.ModuleType)
        ]
        for name in sorted({*loaded, *self._plugins.broken} - known):
            error = self._plugins.broken.get(name)
            status = OK if error is None else BROKEN
            yield Report(name, "", "", "", (), tuple(self._hooks([name])), status, error)


def failure(entry: EntryPoint) -> PluginError | None:
    """Import what an entry point names; return why that fails, or None."""
    try:
        entry.load()
    except PluginError as error:
        return error
    return None


def _tried(report: Report) -> Report:
    """Return the report with the first failure of a provider, if all seemed well without it."""
    if report.status != OK:
        return report
    error = next(filter(None, map(failure, report.entry_points)), None)
    return report if error is None else report._replace(status=BROKEN, error=error)
