"""What plugins offer as names of `flow_core`: ``from flow_core import retry``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow_core.errors import did_you_mean, near_misses
from flow_core.index import PluginIndex, hook_modules, installed

_GROUPS = ("flow.decorators", "flow.exports")


def load_export(name: str) -> Any:
    """Import what a plugin offers as ``flow_core.<name>``: a decorator or an export.

    Raises:
        ImportError: no plugin offers it; says what to install.
    """
    index = installed()
    if not _offers(index, name):
        index = _with_named_modules(index)
    for group in _GROUPS:
        if name in index.group(group):
            return index.load(group, name)
    from flow_core import _OWN

    known = [*_OWN, *index.export_names()]
    close = did_you_mean(name, known)
    if near_misses(name, known):  # installing something would not help
        raise ImportError(f"flow_core has no '{name}': {close}", name=f"flow_core.{name}")
    raise ImportError(
        f"flow_core has no '{name}', and no installed plugin offers it.\n"
        f"  try:   pip install flow-{name.replace('_', '-').lower()}   ({close})\n"
        '         or name the module of yours that offers it: [tool.flow] plugins = ["…"]',
        name=f"flow_core.{name}",
    )


def own_names() -> Mapping[str, str]:
    """Return the names that `flow_core` offers by itself, each with the module that defines it.

    For tools that describe what can be imported, such as stubs. Since 0.1.
    """
    from flow_core import _OWN

    return _OWN


def export_names() -> list[str]:
    """Return all that `load_export` knows, sorted."""
    return _with_named_modules(installed()).export_names()


def _offers(index: PluginIndex, name: str) -> bool:
    return any(name in index.group(group) for group in _GROUPS)


def _with_named_modules(index: PluginIndex) -> PluginIndex:
    """Add the modules that the settings name, and those that are imported: so are, in a task's
    process, those that its launcher was given by ``-p``."""
    from flow_core.module_plugins import imported
    from flow_core.settings import Settings

    named = hook_modules(text.strip() for text in Settings()["plugins"].split(","))
    return index.with_modules(dict.fromkeys([*named, *imported()]))
