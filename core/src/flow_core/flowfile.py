"""Flow files: loading the flow class of a Python file, as if the file had been started."""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Mapping
from typing import Any

from flow_core.errors import DefinitionError, FlowError, UsageError
from flow_core.flowspec import LOADED, FlowLoaded, FlowSpec, flows_in


def load_flow(text: str, module: str = "__main__") -> type[FlowSpec]:
    """Load a flow class from ``file.py`` or ``file.py:Class``.

    The file runs as the module ``__main__``, as if it had been started as a script, up to the
    place where it starts the command line. (With another ``module``, that module is imported.)

    Raises:
        UsageError: there is no such file, or no, or more than one, flow in it.
        DefinitionError: the file cannot be imported.
    """
    path, _, name = text.rpartition(":") if ".py:" in text else (text, "", "")
    if module != "__main__":
        return _pick(vars(importlib.import_module(module)), module, path, name)
    if not os.path.isfile(path):
        raise UsageError(
            f"There is no flow file '{path}'",
            where=os.getcwd(),
            hint=_similar_files(path),
        )
    namespace = _as_main(os.path.abspath(path))
    return _pick(namespace, "__main__", path, name)


def _as_main(path: str) -> dict[str, Any]:
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    folder = os.path.dirname(path)
    root, package = _package_of(folder)
    if package:
        main.__package__ = package  # so that `from .helper import f` works, as after python -m
    for place in (root, folder):
        if place not in sys.path:
            sys.path.insert(0, place)
    with open(path, "rb") as file:
        source = file.read()
    setattr(main, LOADED, True)
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
    except FlowLoaded as loaded:
        main.__dict__.setdefault("__flow_started__", loaded.flow)
    except FlowError as error:
        error.where = error.where or _line_of(path, error)
        raise
    except Exception as error:
        raise _import_failed(path, error) from error
    return main.__dict__


def _package_of(folder: str) -> tuple[str, str]:
    """Return the folder from which the package is imported that ``folder`` is, and its name."""
    names: list[str] = []
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.basename(folder):
        names.insert(0, os.path.basename(folder))
        folder = os.path.dirname(folder)
    return folder, ".".join(names)


def _line_of(path: str, error: Exception) -> str:
    import traceback

    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}" if error.filename and error.lineno else path
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def _import_failed(path: str, error: Exception) -> DefinitionError:
    return DefinitionError(
        "The flow file cannot be loaded",
        where=_line_of(path, error),
        why=f"{type(error).__name__}: {error}",
    )


def _pick(namespace: Mapping[str, Any], module: str, path: str, name: str) -> type[FlowSpec]:
    flows = {cls.__name__: cls for cls in flows_in(namespace, module)}
    if name:
        if name not in flows:
            raise UsageError(
                f"There is no flow '{name}' in {path}",
                hint="it has: " + ", ".join(flows) if flows else "it defines no flow",
            )
        return flows[name]
    started = namespace.get("__flow_started__")
    if isinstance(started, type):
        return started
    # A flow from which others of the file derive is their base.
    bases = {base for cls in flows.values() for base in cls.__mro__[1:]}
    last = [cls for cls in flows.values() if cls not in bases]
    if len(last) == 1:
        return last[0]
    if not flows:
        raise UsageError(
            f"There is no flow in {path}",
            why="it defines no class that derives from FlowSpec",
            hint="class MyFlow(FlowSpec): …",
        )
    raise UsageError(
        f"There is more than one flow in {path}: {', '.join(flows)}",
        hint=f"choose one: {path}:{last[0].__name__}",
    )


def name_for(flow: type[FlowSpec], file: str) -> str:
    """Return what a person types for a flow: ``file``, and ``file:Flow`` where it is not the only one."""
    namespace = vars(sys.modules.get(flow.__module__, sys))
    try:
        meant = _pick(namespace, flow.__module__, file, "").__name__
    except UsageError:
        meant = ""
    return file if meant == flow.__name__ else f"{file}:{flow.__name__}"


def _similar_files(path: str) -> str:
    from flow_core.errors import did_you_mean

    folder = os.path.dirname(path) or "."
    names = [n for n in os.listdir(folder) if n.endswith(".py")] if os.path.isdir(folder) else []
    return did_you_mean(os.path.basename(path), names) or "flow COMMAND my_flow.py"
