"""What is known of one plugin once it is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flow_core.api import (
    Command,
    Decorator,
    EntryPoint,
    IncompatiblePlugin,
    OptionInfo,
    PluginError,
    Session,
    core_requirement,
    describe_options,
)
from flow_plugins.files import Distribution, read_distribution
from flow_plugins.inventory import (
    BLOCKED,
    BROKEN,
    CLASH,
    HOOK_MODULES,
    OK,
    OTHER_CORE,
    Inventory,
    Item,
    error_data,
)
from flow_plugins.settings import InForce, declared_by, in_force

DECORATOR_HOOKS = "flow.decorator_hooks"


class Hook(NamedTuple):
    """One hook that a plugin implements.

    Attributes:
        name: the hook.
        wrapper: whether it wraps the other implementations.
        before, after: plugins that it wants to come before or after.
        observer: whether the hook only tells.
        budget: seconds that it may take in the launcher; None = any time.
        where: file and line.
        decorators: it is loaded only for flows with one of these; () = always.
    """

    name: str
    wrapper: bool
    before: tuple[str, ...]
    after: tuple[str, ...]
    observer: bool
    budget: float | None
    where: str
    decorators: tuple[str, ...]


class Provider(NamedTuple):
    """One thing that a plugin provides.

    Attributes:
        entry: its entry point.
        about: the first paragraph of what its author says of it.
        options: of a decorator, what is known of its options.
        error: why it cannot be used, or None.
    """

    entry: EntryPoint
    about: str = ""
    options: tuple[OptionInfo, ...] = ()
    error: PluginError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        data: dict[str, Any] = {
            "group": self.entry.group,
            "name": self.entry.name,
            "value": self.entry.value,
            "about": self.about,
            "error": error_data(self.error),
        }
        if self.entry.group == "flow.decorators":
            data["options"] = [
                {**option._asdict(), "default": _plain(option), "required": option.required}
                for option in self.options
            ]
        return data


class Report(NamedTuple):
    """What is known of one plugin.

    Attributes:
        item: what is known without importing it; status and error are those of the import.
        distribution: its metadata and files.
        requirement: the range of flow-core that it needs, ``""`` when it does not say.
        providers: what it provides, besides hooks.
        hooks: what its hook modules implement, sorted; empty when they could not be loaded.
        settings: what its hook modules declare.
    """

    item: Item
    distribution: Distribution
    requirement: str
    providers: tuple[Provider, ...] = ()
    hooks: tuple[Hook, ...] = ()
    settings: tuple[InForce, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        found = self.distribution
        return {
            **self.item.to_json(),
            "about": found.summary,
            "requires_core": self.requirement,
            "editable": found.editable or None,
            "folder": found.folder,
            "files": list(found.files),
            "provides": [provider.to_json() for provider in self.providers],
            "hooks": [hook._asdict() for hook in self.hooks],
            "settings": [setting.to_json() for setting in self.settings],
        }


def report_on(inventory: Inventory, name: str) -> Report:
    """Import all that a plugin provides and tell of it.

    Raises:
        NotFound: there is no such plugin.
    """
    item = inventory.find(name)
    requirement = core_requirement(item.entry_points[0]) if item.entry_points else ""
    report = Report(item, read_distribution(item.location, item.modules), requirement)
    if item.status in (BLOCKED, CLASH):
        return report._replace(providers=tuple(map(Provider, _providers_of(item))))
    session = inventory.session
    load_all_hooks(session)
    providers = tuple(map(_provider, _providers_of(item)))
    error = _broken(session, item, providers)
    status = OK if error is None else BROKEN
    status = OTHER_CORE if isinstance(error, IncompatiblePlugin) else status
    return report._replace(
        item=item._replace(status=status, error=error),
        providers=providers,
        hooks=tuple(_hooks(session, item)),
        settings=tuple(in_force(session.settings, declared_by(loaded_modules(session, item)))),
    )


def load_all_hooks(session: Session) -> None:
    """Load the hook modules of all decorators, too."""
    session.load_hooks(session.index.names(DECORATOR_HOOKS))


def loaded_modules(session: Session, item: Item) -> list[Any]:
    """Return the hook modules of a plugin that could be loaded."""
    manager = session.plugins.manager
    found = map(manager.get_plugin, item.hook_modules)
    return list({id(module): module for module in found if module is not None}.values())


def _providers_of(item: Item) -> Iterator[EntryPoint]:
    return (e for e in item.entry_points if e.group not in HOOK_MODULES)


def _provider(entry: EntryPoint) -> Provider:
    try:
        loaded = entry.load()
        options = describe_options(loaded.options) if isinstance(loaded, Decorator) else ()
    except PluginError as error:
        return Provider(entry, error=error)
    return Provider(entry, _about(loaded), options)


def _about(loaded: Any) -> str:
    if isinstance(loaded, Command):
        return loaded.summary
    text = getattr(loaded, "__doc__", None) or ""
    kind = type(loaded).__doc__ or ""
    # An instance has the text of its class, which says what such instances are.
    return "" if text == kind else text.strip().partition("\n\n")[0]


def _broken(session: Session, item: Item, providers: Iterable[Provider]) -> PluginError | None:
    """Return the first thing that is wrong with a plugin; its hook modules come first."""
    modules = map(session.plugins.broken.get, item.hook_modules)
    return next(filter(None, [*modules, item.error, *(p.error for p in providers)]), None)


def _hooks(session: Session, item: Item) -> Iterator[Hook]:
    manager = session.plugins.manager
    observers = {info.name for info in manager.hooks() if info.observer}
    for module in loaded_modules(session, item):
        for caller in sorted(manager.get_hookcallers(module) or (), key=lambda c: c.name):
            for place, found in _implementations(session, caller.name, module):
                before, after = getattr(found.function, "flow_core_order", ((), ()))
                yield Hook(
                    caller.name,
                    place.wrapper,
                    before,
                    after,
                    caller.name in observers,
                    place.budget,
                    place.where,
                    decorators_of(session, place.plugin),
                )


def _implementations(session: Session, hook: str, module: Any) -> Iterator[tuple[Any, Any]]:
    manager = session.plugins.manager
    found = {impl.plugin_name: impl for impl in getattr(manager.hook, hook).get_hookimpls()}
    for place in manager.places(hook):
        if found[place.plugin].plugin is module:
            yield place, found[place.plugin]


def decorators_of(session: Session, name: str) -> tuple[str, ...]:
    """Return the decorators for which alone a hook module is loaded; () = it always is."""
    index = session.index
    if name in index.group("flow.plugins") or name not in index.group(DECORATOR_HOOKS):
        return ()
    entries = index.group(DECORATOR_HOOKS)
    value = entries[name][0].value
    return tuple(sorted(n for n, found in entries.items() if found[0].value == value))


def _plain(option: OptionInfo) -> Any:
    """Return a default as JSON data; what JSON lacks as text."""
    default = () if option.required else option.default
    if default is None or isinstance(default, (bool, int, float, str)):
        return default
    if isinstance(default, (list, tuple, dict)):
        return None if option.required else default
    return repr(default)
