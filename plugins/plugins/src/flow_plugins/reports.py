"""What is known of one plugin once it is imported: its hooks, and why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from flow_core.api import EntryPoint, IncompatiblePlugin, PluginError, Session
from flow_plugins.inventory import (
    BLOCKED,
    BROKEN,
    CLASH,
    HOOK_MODULES,
    OK,
    OTHER_CORE,
    Inventory,
    Item,
)


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
        item: what is known without importing it; status and error are those of the import.
        hooks: what its hook modules implement, sorted; empty when they could not be loaded.
    """

    item: Item
    hooks: tuple[Hook, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {**self.item.to_json(), "hooks": [hook._asdict() for hook in self.hooks]}


def report_on(inventory: Inventory, name: str) -> Report:
    """Import all that a plugin provides and tell of it.

    Raises:
        NotFound: there is no such plugin.
    """
    item = inventory.find(name)
    if item.status in (BLOCKED, CLASH):
        return Report(item, ())
    load_all_hooks(inventory.session)
    error = _broken(inventory.session, item)
    status = OK if error is None else BROKEN
    status = OTHER_CORE if isinstance(error, IncompatiblePlugin) else status
    hooks = tuple(_hooks(inventory.session, item))
    return Report(item._replace(status=status, error=error), hooks)


def load_all_hooks(session: Session) -> None:
    """Load the hook modules of all decorators, too, and those that would wait for a run."""
    session.load_hooks(session.index.names("flow.decorator_hooks"))
    session.plugins.complete()


def failure(entry: EntryPoint) -> PluginError | None:
    """Import what an entry point names; return why that fails, or None."""
    try:
        entry.load()
    except PluginError as error:
        return error
    return None


def _broken(session: Session, item: Item) -> PluginError | None:
    """Return the first thing that is wrong with a plugin; its hook modules come first."""
    broken = session.plugins.broken
    errors = [*map(broken.get, _module_names(item)), item.error, *map(failure, item.entry_points)]
    return next(filter(None, errors), None)


def _hooks(session: Session, item: Item) -> Iterator[Hook]:
    manager = session.plugins.manager
    for module in _module_names(item):
        plugin = manager.get_plugin(module)
        callers = (manager.get_hookcallers(plugin) if plugin is not None else None) or []
        for caller in sorted(callers, key=lambda c: c.name):
            for found in caller.get_hookimpls():
                if found.plugin is plugin:
                    wishes = getattr(found.function, "flow_core_order", ((), ()))
                    yield Hook(caller.name, found.wrapper, *wishes)


def _module_names(item: Item) -> list[str]:
    """Return the names under which the plugin's hook modules are registered."""
    if not item.distribution:
        return [item.name]
    return [e.name for e in item.entry_points if e.group in HOOK_MODULES]
