"""Flow classes by value: how a flow that no other process can import gets there all the same.

A flow of a notebook cell, of a prompt, of a function, or of a script that runs already, is sent as
it stands: its class, and what its steps use of their module (cloudpickle), and the source of its
steps, from which the graph is read. The cells or the script are not run again.
"""

from __future__ import annotations

import base64
import linecache
import os
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from flow_core.errors import DefinitionError
from flow_core.flowspec import FlowSpec
from flow_core.pickling import (
    SENT,
    dump_by_value,
    find_unpicklable,
    keep_payload,
    payload_of,
    picklable,
)
from flow_core.text import type_name


def pack_flow(flow: type[FlowSpec]) -> dict[str, Any]:
    """Return JSON data from which `unpack_flow` makes the class in another process.

    Raises:
        DefinitionError: something that the steps use cannot be sent.
    """
    try:
        payload = dump_by_value(flow)
        used = {n: encoded(payload_of(v)) for n, v in _shared(flow).items()}
    except Exception as error:  # whatever a class of the user's raises when it is pickled
        raise _unsendable(flow, error) from error
    return {
        "class": encoded(payload),
        "used": used,
        "file": getattr(sys.modules.get("__main__"), "__file__", None),
        "sources": {f: s for f, s in sources(flow).items() if not os.path.isfile(f)},
    }


def unpack_flow(document: Mapping[str, Any]) -> type[FlowSpec]:
    """Undo `pack_flow`: this process gets a ``__main__`` with what the flow uses of its own."""
    for file, source in document["sources"].items():
        lines = source.splitlines(keepends=True)
        linecache.cache[file] = (len(source), None, lines, file)  # None: never looked up on disk
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    if document["file"]:
        main.__file__ = document["file"]
    setattr(main, SENT, True)
    sys.modules["__main__"] = main
    flow: type[FlowSpec] = pickle.loads(base64.b64decode(document["class"]))
    for function in _functions(flow):
        if function.__module__ == "__main__":
            main.__dict__.update(
                {n: v for n, v in function.__globals__.items() if not n.startswith("__")}
            )
    for name, stored in document["used"].items():
        value = main.__dict__.get(name)
        if value is not None:
            keep_payload(
                value, base64.b64decode(stored)
            )  # artifacts then are as ours, byte by byte
    if "<locals>" not in flow.__qualname__ and flow.__module__ == "__main__":
        setattr(main, flow.__name__, flow)
    return flow


def encoded(payload: bytes) -> str:
    """Return bytes as text for JSON."""
    return base64.b64encode(payload).decode()


def _shared(flow: type[FlowSpec]) -> dict[str, Any]:
    """Return the classes and functions of ``__main__`` that steps use, which may be artifacts."""
    return {
        name: value
        for function in _functions(flow)
        for name, value in ((n, function.__globals__[n]) for n in _names(function))
        if isinstance(value, (type, FunctionType)) and value.__module__ == "__main__"
    }


def sources(flow: type[FlowSpec]) -> dict[str, str]:
    """Return the source of all that the steps of ``flow`` consist of, by name of the file.

    The names are those of the code: paths, or what a notebook calls its cells. What helper
    functions use comes before what uses it, so that the cells may stand one below the other.
    """
    found: dict[str, str] = {}
    for function in _functions(flow):
        for used in [*_used(function, set()), function]:
            file = used.__code__.co_filename
            text = "".join(linecache.getlines(file))
            if text:
                found.setdefault(file, text)
    return found


def can_be_imported(flow: type[FlowSpec]) -> bool:
    """Whether another process finds the class by its module's name."""
    module = sys.modules.get(flow.__module__)
    return flow.__module__ != "__main__" and getattr(module, flow.__qualname__, None) is flow


def _functions(flow: type[FlowSpec]) -> Iterator[FunctionType]:
    for cls in reversed(flow.__mro__):
        if issubclass(cls, FlowSpec) and cls is not FlowSpec:
            yield from (v for v in vars(cls).values() if isinstance(v, FunctionType))


def _used(function: FunctionType, seen: set[int]) -> Iterator[FunctionType]:
    """Yield the functions of the same module that ``function`` calls, directly or not."""
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        parts = vars(value).values() if isinstance(value, type) else [value]
        for part in parts:
            if not isinstance(part, FunctionType) or id(part) in seen:
                continue
            seen.add(id(part))
            if part.__module__ == function.__module__:
                yield from _used(part, seen)
                yield part


def _unsendable(flow: type[FlowSpec], error: Exception) -> DefinitionError:
    used = {n: f.__globals__[n] for f in _functions(flow) for n in _names(f)}
    refused = [find_unpicklable(n, v) for n, v in used.items() if not picklable(v)]
    path, culprit = refused[0] if refused else ("", None)
    return DefinitionError(
        f"Flow '{flow.__name__}' cannot be sent to the processes of its tasks",
        where=f"{path}, a {type_name(culprit)} that its steps use" if refused else None,
        why=f"{type(error).__name__}: {error}",
        hint="make it inside of the step that uses it, put the flow into a file of its own, or run "
        'it in this process: compute="in-process"',
    )


def _names(function: FunctionType) -> list[str]:
    return [n for n in function.__code__.co_names if n in function.__globals__]
