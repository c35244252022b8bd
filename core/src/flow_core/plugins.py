"""The plugin manager: loads the hook modules of installed plugins.

Each plugin is loaded by itself: a broken one is remembered with its cause and stops nothing but runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Container, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from flow_core import hookspecs
from flow_core.errors import PluginError, UnknownName, did_you_mean, near_misses
from flow_core.hook_calls import HookManager, WrongArguments, hookable, in_a_ring
from flow_core.hook_order import Ring, arrange
from flow_core.index import PluginIndex

if TYPE_CHECKING:
    from flow_core.hook_trace import Trace
    from flow_core.settings import Settings

GROUP = "flow.plugins"
"""Hook modules that every session loads."""

DECORATOR_GROUP = "flow.decorator_hooks"
"""Hook modules that only a flow with the decorator of that name needs."""


class KernelHooks:
    """The kernel's own implementation of hooks."""

    @hookspecs.last
    def flow_task_call(self, task: Any, flow: Any) -> None:
        """Run the step function."""
        task.call(flow)


class Plugins:
    """Loaded hook modules and the hooks they implement.

    Args:
        index: what is installed (without what the person blocked).
        modules: further hook modules by import name (``-p my_plugin``), or objects.
        settings: where plugins declare theirs.
        decorators: decorators that are used, whose own hook modules are loaded too.

    Attributes:
        hook: calls hooks: ``plugins.hook.flow_event(event=…)``.
        broken: plugin → why it could not be loaded.
    """

    def __init__(
        self,
        index: PluginIndex,
        modules: Iterable[Any] = (),
        settings: Settings | None = None,
        decorators: Iterable[str] = (),
    ) -> None:
        self.manager = _manager(settings)
        self._index, self._settings = index, settings
        self._modules = tuple(modules)
        self._decorators = frozenset(decorators)
        self.manager.installed = {
            name: entries[0].plugin
            for group in (DECORATOR_GROUP, GROUP)
            for name, entries in index.group(group).items()
        }
        self.manager.add_hookspecs(hookspecs)
        self.broken: dict[str, PluginError] = {}
        loaded = self._load_installed(index)
        for module in self._modules:
            loaded[_free_name(module, loaded)] = self._load_module(module)
        # Called before anybody is there: pluggy then calls each plugin as it is registered, and
        # an error is the plugin's own.
        self.manager.hook.flow_add_hooks.call_historic(kwargs={"plugins": self.manager})
        if settings is not None:
            self.manager.hook.flow_settings.call_historic(kwargs={"settings": settings})
        self._register({name: p for name, p in loaded.items() if p is not None})
        self._check_names()

    @property
    def hook(self) -> Any:
        """The hook caller."""
        return self.manager.hook

    def implemented(self, hook: str) -> bool:
        """Whether any plugin implements ``hook``; hot loops skip hooks that nobody hears."""
        caller = getattr(self.manager.hook, hook)
        return bool(caller.get_hookimpls())

    def require_sound(self) -> None:
        """Raise the error of the first broken plugin: a run starts with all of them or not at all."""
        for error in self.broken.values():
            raise error

    def with_decorators(self, decorators: Iterable[str]) -> Plugins:
        """Return the plugins with the hook modules of further decorators; itself when it has them.

        All are registered anew, since who comes first depends on who is there. What somebody
        registered by hand goes along.
        """
        wanted = self._decorators.union(decorators)
        if _needed(self._index, wanted) == _needed(self._index, self._decorators):
            return self
        more = Plugins(self._index, self._modules, self._settings, wanted)
        more.manager.aside = self.manager.aside
        for name, plugin in reversed(self.manager.list_name_plugin()):
            if plugin is not None and not more.manager.has_plugin(name):
                more.manager.register(plugin, name)
        return more

    # --- loading --------------------------------------------------------------------------------

    def _load_installed(self, index: PluginIndex) -> dict[str, Any]:
        loaded: dict[str, Any] = {}
        wanted = [(GROUP, name) for name in index.names(GROUP)]
        wanted += [(DECORATOR_GROUP, name) for name in _needed(index, self._decorators)]
        for group, name in wanted:
            try:
                loaded[name] = index.load(group, name)
            except PluginError as error:
                self.broken[name] = error
        return loaded

    def _load_module(self, module: Any) -> Any:
        if not isinstance(module, str):
            return module
        try:
            loaded = importlib.import_module(module)
        except (Exception, SystemExit) as error:
            # A name that does not exist was mistyped; what the module itself lacks is its fault.
            mistyped = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(
                f"{error.name}."
            )
            self.broken[module] = (UnknownName if mistyped else PluginError)(
                f"The plugin module '{module}' cannot be loaded",
                why=f"{type(error).__name__}: {error}",
                hint=f"repair it, or leave it out: -p no:{module}",
            )
            return None
        if module in self._index.unread:
            self.broken[module] = self._index.unread[module]
        return loaded

    def _register(self, loaded: dict[str, Any]) -> None:
        for name in sorted(loaded):
            try:
                self.manager.register(loaded[name], name)
            except Exception as error:
                # pluggy has registered part of it: undo that, or half a plugin would act.
                self._take_out(name)
                bad_hook = isinstance(error, pluggy.PluginValidationError)
                make = _bad_hook if bad_hook else _bad_registration
                self.broken[name] = make(name, loaded[name], error)
        self._take_rings_out()

    def _take_out(self, name: str) -> None:
        if self.manager.get_plugin(name) is not None:
            self.manager.unregister(name=name)

    def _take_rings_out(self) -> None:
        """Take out plugins that cannot be put in order; all others work."""
        while found := next(self._rings(), None):
            hook, ring = found
            for name in ring.names:
                self.broken[name] = in_a_ring(hook, ring)
                self._take_out(name)

    def _rings(self) -> Iterator[tuple[str, Ring]]:
        callers = vars(self.manager.hook)
        for hook in sorted(name for name in callers if not name.startswith("_")):
            try:
                arrange(callers[hook].get_hookimpls())
            except Ring as ring:
                yield hook, ring

    def _check_names(self) -> None:
        """Report hooks that do not exist, and functions that look like hooks but are not marked."""
        callers = vars(self.manager.hook)
        # pluggy makes a caller for a misspelt hook, too; only declared ones have a specification.
        known = [n for n, c in callers.items() if not n.startswith("_") and c.has_spec()]
        for name, plugin in self.manager.list_name_plugin():
            for attribute, value in _contents(plugin).items():
                if not hookable(value):
                    continue
                marked = getattr(value, f"{hookspecs.PROJECT}_impl", None)
                hook = self.manager.present_name(attribute)
                declared = getattr(getattr(self.manager.hook, hook, None), "spec", None)
                if marked and not declared and not marked["optionalhook"]:
                    self.broken[name] = _unknown_hook(name, attribute, value, known)
                elif isinstance(value, FunctionType) and declared and not marked:
                    self.broken[name] = _unmarked(name, attribute, value)


def _manager(settings: Settings | None) -> HookManager:
    if settings is None:
        return HookManager()
    return HookManager(
        settings["hook_budget"] or None, _trace() if settings["trace_hooks"] else None
    )


def _trace() -> Trace:
    from flow_core.hook_trace import Trace

    return Trace()


def _needed(index: PluginIndex, decorators: Iterable[str]) -> list[str]:
    """Return the names under which the hook modules of these decorators are loaded.

    Decorators that share a module have one name for it, whichever of them is used: the first.
    """
    entries = index.group(DECORATOR_GROUP)
    first: dict[str, str] = {}
    for name, found in entries.items():
        first.setdefault(found[0].value, name)
    return sorted({first[entries[name][0].value] for name in decorators if name in entries})


def _free_name(module: Any, taken: Container[str]) -> str:
    """Return the name of a hook module, or of an object's class with a number if need be."""
    if isinstance(module, str):
        return module
    name = wanted = getattr(module, "__name__", type(module).__name__)
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return str(name)


def _contents(plugin: Any) -> dict[str, Any]:
    """Return what a hook module, or an object with hooks, holds."""
    kinds = type(plugin).__mro__ if not isinstance(plugin, ModuleType) else ()
    found: dict[str, Any] = {}
    for kind in reversed(kinds):
        found.update(vars(kind))
    return {**found, **getattr(plugin, "__dict__", {})}


def _bad_registration(name: str, plugin: Any, error: Exception) -> PluginError:
    return PluginError(
        f"The plugin '{name}' fails when it is registered",
        where=getattr(plugin, "__file__", None),
        why=f"{type(error).__name__}: {error}",
        hint=f"repair it, or leave it out: -p no:{name}",
    )


def _bad_hook(name: str, plugin: Any, error: Exception) -> PluginError:
    where = getattr(plugin, "__file__", None)
    better = "correct the arguments (flow_core.hookspecs)."
    if isinstance(error, WrongArguments):
        where = _place(error.function) or where
        near = [one for taken in error.unknown for one in near_misses(taken, error.given, 1)]
        if near:
            better = f"did you mean {' and '.join(map(repr, near))}?"
    return PluginError(
        f"The plugin '{name}' has a hook that does not fit its specification",
        where=where,
        why=str(error).strip(),
        hint=f"{better} Or leave the plugin out: -p no:{name}",
    )


def _unknown_hook(name: str, hook: str, value: Any, known: Iterable[str]) -> PluginError:
    return PluginError(
        f"The plugin '{name}' implements a hook that does not exist: {hook}",
        where=_place(value),
        hint=f"{did_you_mean(hook, known)} Or leave the plugin out: -p no:{name}",
    )


def _unmarked(name: str, hook: str, value: Any) -> PluginError:
    return PluginError(
        f"The plugin '{name}' has a function {hook} that is not marked as a hook",
        where=_place(value),
        hint=f"put @hookimpl above it (from flow_core.api import hookimpl), or -p no:{name}",
    )


def _place(value: Any) -> str | None:
    code = getattr(value, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else None
