"""Plugins that are one module: named by ``-p`` or the setting ``plugins``, without a distribution.

Such a module may hold hooks, and offer providers by name in a variable:

    __flow__ = {
        "flow.decorators": {"audited": "audited"},
        "flow.commands": {"costs": "costs_command"},
    }

The groups are those of entry points. A value is the name of something in the module, or
``module:name`` of something elsewhere. The variable is a literal: it is read in the source, so that
what a module offers is known without importing it, as for installed plugins.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from flow_core.errors import PluginError
from flow_core.folders import project_folder

ATTRIBUTE = "__flow__"
_PREFIX = "flow."
_VALUE = re.compile(r"(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*:)?[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_EXAMPLE = '__flow__ = {"flow.decorators": {"audited": "audited"}}'


def offered(name: str, groups: Iterable[str]) -> tuple[str, list[tuple[str, str, str]]]:
    """Return what the module of this name offers, without importing it.

    Args:
        name: its import name. It is looked for as for an import; then in the current folder, and
            in that of the nearest ``pyproject.toml``, which are then added to where modules are
            found.
        groups: groups that are known, for errors.

    Returns:
        its file, and (group, name, ``module:attribute``) of each provider.

    Raises:
        PluginError: there is no such module, or what it says is wrong.
    """
    module = sys.modules.get(name)
    if module is not None and not _is_half_imported(module):
        # It may have no source, or another by now.
        file, said = getattr(module, "__file__", None) or "", getattr(module, ATTRIBUTE, None)
    else:
        file, source = _source(name)
        said = _said(name, file, source) if ATTRIBUTE in source else None
    return file, [] if said is None else list(_points(name, file, said, groups))


def _is_half_imported(module: Any) -> bool:
    """Whether another thread is about to import it: it does not hold yet what it will."""
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def imported() -> list[str]:
    """Return the names of the modules in this process that offer anything, sorted."""
    found = ((name, getattr(module, "__dict__", {})) for name, module in [*sys.modules.items()])
    return sorted(name for name, content in found if ATTRIBUTE in content and name != "__main__")


# --- finding it -----------------------------------------------------------------------------------


def _source(name: str) -> tuple[str, str]:
    """Return file and source of a module; both empty for one that is not written in Python."""
    try:
        spec = _spec(name)
        read = getattr(spec.loader, "get_source", None)
        return spec.origin or "", (read(name) if read is not None else None) or ""
    except (Exception, SystemExit) as error:  # a package that it is in may raise anything
        raise PluginError(
            f"The plugin module '{name}' cannot be loaded",
            why=f"{type(error).__name__}: {error}",
            hint=f"repair it, or leave it out: -p no:{name}",
        ) from error


def _spec(name: str) -> Any:
    top = name.partition(".")[0]
    if top not in sys.modules and importlib.util.find_spec(top) is None:
        # The path of the command 'flow' holds neither the folder of the project nor that of the
        # person; nothing that is found without them may change.
        sys.path.extend(folder for folder in _places(top) if folder not in sys.path)
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)
    return spec


def _places(top: str) -> Iterator[str]:
    """Yield the current folder, or that of its project, if the module ``top`` lies there."""
    here = os.getcwd()
    for folder in dict.fromkeys((here, project_folder(here))):
        path = os.path.join(folder, top)
        if os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__init__.py")):
            yield folder
            return


# --- reading it -----------------------------------------------------------------------------------


def _said(name: str, file: str, source: str) -> Any:
    """Return the value of the variable in the source; None where it is not set."""
    import ast  # only for modules that offer something

    try:
        statements = ast.parse(source, file).body
    except SyntaxError as error:
        raise _wrong(name, f"{file}:{error.lineno}", str(error.msg)) from None
    for statement in statements:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        if any(isinstance(t, ast.Name) and t.id == ATTRIBUTE for t in targets):
            try:
                return ast.literal_eval(value)
            except ValueError:
                why = "it is read without running the module, so it must be written out"
                raise _wrong(name, f"{file}:{statement.lineno}", why) from None
    return None


def _points(
    name: str, file: str, said: Any, groups: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of what a module says; errors are `PluginError`."""
    if not isinstance(said, dict):
        raise _wrong(name, file, f"it is a {type(said).__name__}, not a dict of groups")
    for group, names in said.items():
        _check_group(name, file, group, groups)
        if not isinstance(names, dict):
            raise _wrong(name, file, f"'{group}' is a {type(names).__name__}, not a dict of names")
        for what, value in names.items():
            if not isinstance(what, str) or not what.strip():
                raise _wrong(name, file, f"{what!r} in '{group}' is no name")
            if not isinstance(value, str) or not _VALUE.fullmatch(value):
                why = f"'{what}' in '{group}' is {value!r}, not the name of something in the module"
                raise _wrong(name, file, why)
            yield group, what, value if ":" in value else f"{name}:{value}"


def _check_group(name: str, file: str, group: Any, groups: Iterable[str]) -> None:
    if not isinstance(group, str) or not group.startswith(_PREFIX):
        raise _wrong(name, file, f"{group!r} is no group: those begin with '{_PREFIX}'")
    for known in groups:  # the others are plugins' own, and may resemble these
        if known != group and known.rstrip("s") == group.rstrip("s"):
            raise _wrong(name, file, f"there is no group '{group}'", f"did you mean '{known}'?")


def _wrong(name: str, where: str, why: str, hint: str = "") -> PluginError:
    return PluginError(
        f"What the plugin module '{name}' says in {ATTRIBUTE} cannot be used",
        where=where or None,
        why=why,
        hint=hint or f"{_EXAMPLE}, or leave the module out: -p no:{name}",
    )
