"""The names of a new plugin: what follows from the one that a person gives, and which are free."""

from __future__ import annotations

import importlib.util
import keyword
import re
from typing import NamedTuple

from flow_core.api import EntryPoint, UsageError, installed

_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PREFIX = "flow-"


class Names(NamedTuple):
    """The names of a plugin.

    Attributes:
        name: as ``-p no:NAME`` takes it, and that of stores, commands, …: ``gpu-pool``.
        module: as a Python name, that of a decorator and of a single file: ``gpu_pool``.
        package: what is imported: ``flow_gpu_pool``.
    """

    name: str
    module: str
    package: str

    @property
    def distribution(self) -> str:
        """What is installed: ``flow-gpu-pool``."""
        return _PREFIX + self.name

    @property
    def stem(self) -> str:
        """What names of classes begin with: ``GpuPool``."""
        return "".join(part[:1].upper() + part[1:] for part in self.module.split("_"))


def names_of(text: str, package: str | None = None) -> Names:
    """Return the names of a plugin that a person calls ``text``, with or without ``flow-``.

    Raises:
        UsageError: a distribution, a package or a decorator cannot have this name.
    """
    if not _DISTRIBUTION.fullmatch(text):
        cleaned = re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
        raise UsageError(
            f"'{text}' cannot be the name of a plugin",
            why="the name of a distribution consists of letters and digits, with -, _ or . between",
            hint=f"flow plugins new {cleaned or 'gpu-pool'}",
        )
    name = re.sub(r"[-_.]+", "-", text).lower().removeprefix(_PREFIX)
    module = name.replace("-", "_")
    _check_identifier(
        module, f"'{text}' cannot be the name of a plugin", f"flow plugins new my-{name}"
    )
    if package is not None:
        what = f"'{package}' cannot be the name of a package"
        _check_identifier(package, what, f"--package flow_{module}")
    return Names(name, module, package or f"flow_{module}")


def _check_identifier(name: str, what: str, better: str) -> None:
    if name.isidentifier() and name.isascii() and not keyword.iskeyword(name):
        return
    why = f"'{name}' is to be imported, so it begins with a letter, and is no word of Python's own"
    raise UsageError(what, why=why, hint=better)


def check_free(
    names: Names, group: str, provided: str, *, single_file: bool, decorator: bool
) -> None:
    """Raise `UsageError` where an installed plugin, or another module, has the names already.

    Args:
        names: the names.
        group: entry-point group of the kind.
        provided: the name in that group.
        single_file: whether the plugin is one module, named `Names.module`.
        decorator: whether flows can import it from flow_core.
    """
    for entry in installed().entry_points:
        if entry.distribution == names.distribution:
            raise _taken(names, f"The plugin '{names.name}' is there already", entry)
        if (entry.group, entry.name) == (group, provided):
            raise _taken(names, f"The name '{provided}' is taken", entry)
    if decorator:
        _check_export(names)
    module = names.module if single_file else names.package
    found = importlib.util.find_spec(module)
    if found is not None:
        raise UsageError(
            f"There is a module '{module}' already",
            where=found.origin or "built into Python",
            why="one of the two would hide the other",
            hint=f"flow plugins new my-{names.name}"
            + ("" if single_file else f", or --package another_{names.module}"),
        )


def _check_export(names: Names) -> None:
    import flow_core

    if names.module in dir(flow_core):
        raise UsageError(
            f"The name '{names.module}' is taken",
            where=f"flow_core.{names.module}",
            why="flows import decorators from flow_core, which has something of this name",
            hint=f"flow plugins new my-{names.name}",
        )


def _taken(names: Names, what: str, entry: EntryPoint) -> UsageError:
    return UsageError(
        what,
        where=entry.location,
        why=f"{entry.origin} provides '{entry.name}' in the group {entry.group}",
        hint=f"flow plugins new my-{names.name}, or look at it: flow plugins show {entry.plugin}",
    )
