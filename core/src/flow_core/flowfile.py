"""Flow files: loading the flow class of a Python file, as if the file had been started."""

from __future__ import annotations

import importlib
import os
import re
import sys
import types
from collections.abc import Mapping
from typing import Any

from flow_core.errors import DefinitionError, FlowError, NoSuchExport, UsageError
from flow_core.flowspec import LOADED, FlowLoaded, FlowSpec, flows_in
from flow_core.package import code_folder


def load_flow(text: str, module: str = "__main__") -> type[FlowSpec]:
    """Load a flow class from ``file.py``, ``file.py:Class``, ``package.module`` or
    ``package.module:Class``.

    The file runs as the module ``__main__``, as if it had been started as a script, up to the
    place where it starts the command line or a run. If it belongs to a package, its relative
    imports work. A module is imported, from the current folder too.

    Args:
        text: see above.
        module: the name of the module that ``file.py`` is, if it was imported.

    Raises:
        UsageError: there is no such file, or no, or more than one, flow in it.
        DefinitionError: the file cannot be imported.
    """
    path, _, name = text.rpartition(":") if ".py:" in text else (text, "", "")
    if module != "__main__":
        return _pick(_imported(module, path), module, path, name)
    if not os.path.isfile(path):
        found = _named_module(text)
        if found is not None:
            return found
        raise UsageError(
            f"There is no flow file '{path}'",
            where=os.getcwd(),
            hint=_similar_files(path),
        )
    namespace = _as_main(os.path.abspath(path))
    return _pick(namespace, "__main__", path, name)


_MODULE = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)(?::(\w+))?")


def _named_module(text: str) -> type[FlowSpec] | None:
    """Return the flow of ``package.module:Class``; None when there is no such module."""
    named = _MODULE.fullmatch(text)
    if named is None:
        return None
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    module, name = named[1], named[2] or ""
    try:
        namespace = vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(error.name + ".")):
            return None
        raise _import_failed(module, error) from error
    except FlowError:
        raise
    except Exception as error:
        raise _import_failed(module, error) from error
    return _pick(namespace, module, module, name)


def _imported(module: str, path: str) -> Mapping[str, Any]:
    """Return the names of a module that another process has imported from the file ``path``."""
    try:
        return vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] or not os.path.isfile(path):
            raise
    from importlib import util

    # No path leads there: pytest, for example, may import a file without.
    spec = util.spec_from_file_location(module, path)
    assert spec is not None
    assert spec.loader is not None
    made = util.module_from_spec(spec)
    sys.modules[module] = made
    spec.loader.exec_module(made)
    return vars(made)


def _as_main(path: str) -> dict[str, Any]:
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    top = code_folder(path)
    if top != folder:
        main.__package__ = os.path.relpath(folder, top).replace(os.sep, ".")
        if top not in sys.path:
            sys.path.insert(1, top)
    with open(path, "rb") as file:
        source = file.read()
    setattr(main, LOADED, True)
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
    except FlowLoaded as loaded:
        main.__dict__.setdefault("__flow_started__", loaded.flow)
    except FlowError as error:
        if path not in (error.where or ""):
            error.where = ", ".join(filter(None, (_line_of(path, error), error.where)))
        raise
    except NoSuchExport as error:
        error.told.where = _line_of(path, error)
        raise error.told from None
    except Exception as error:
        raise _import_failed(path, error) from error
    setattr(main, LOADED, _threads())
    return main.__dict__


def _threads() -> tuple[Any, ...]:
    """Return the threads that loading has started: they start no runs, whatever a task does."""
    threading = sys.modules.get("threading")
    here = threading.current_thread() if threading else None
    return tuple(t for t in threading.enumerate() if t is not here) if threading else ()


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
