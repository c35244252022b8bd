"""What plugins offer as names of `flow_core`: ``from flow_core import retry``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from flow_core.errors import (
    FlowError,
    NoSuchExport,
    PluginError,
    did_you_mean,
    near_misses,
    show_uncaught,
)
from flow_core.index import PluginIndex, hook_modules, installed

_GROUPS = ("flow.decorators", "flow.exports")


def load_export(name: str) -> Any:
    """Import what a plugin offers as ``flow_core.<name>``: a decorator or an export.

    Raises:
        ImportError: no plugin offers it; says what to install.
        PluginError: it cannot be loaded, or two plugins provide it.
    """
    try:
        return _load(name)
    except (FlowError, NoSuchExport):
        show_uncaught()  # the file of the flow is not our code: nobody catches this
        raise


def _load(name: str) -> Any:
    index = installed()
    if not _offers(index, name):
        index = _with_named_modules(index)
    for group in _GROUPS:
        found = index.group(group).get(name, ())
        if len(found) > 1:
            index = index.choose(_picks(name))
        if found:
            return index.load(group, name)
    from flow_core import _OWN

    known = [*_OWN, *index.export_names()]
    what, close = f"flow_core has no '{name}'", did_you_mean(name, known)
    if near_misses(name, known):  # installing something would not help
        raise NoSuchExport(PluginError(what, hint=close), name)
    raise NoSuchExport(
        PluginError(
            f"{what}, and no installed plugin offers it",
            hint=f"pip install flow-{name.replace('_', '-').lower()}\n"
            'or name the module of yours that offers it: [tool.flow] plugins = ["…"]',
        ),
        name,
    )


def _picks(name: str) -> list[str]:
    """Return the texts ``DISTRIBUTION/NAME`` by which the settings and the command line pick ``name``.

    A flow's file may be read before the options of the command line are.
    """
    from flow_core.settings import Settings

    words = zip(sys.argv, [*sys.argv[1:], ""], strict=True)
    given = [after if word == "-p" else word[2:] for word, after in words if word.startswith("-p")]
    texts = [text.strip() for text in [*Settings()["plugins"].split(","), *given]]
    return [text for text in texts if text.partition("/")[2] == name]


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
