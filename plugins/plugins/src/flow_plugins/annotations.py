"""How types and defaults are written in a stub."""

from __future__ import annotations

import enum
import math
import sys
import types
import typing
from collections.abc import Collection
from typing import Any

from flow_core.api import OptionInfo


class Source:
    """Writes the types that one stub needs, and gathers what it must import for them.

    Names of plugins come in as modules with names that begin with ``_``, so that nothing which the
    stub offers can hide them.

    Args:
        offered: the names that the stub offers: they mean nothing else in it.
    """

    def __init__(self, offered: Collection[str] = ()) -> None:
        self._offered = offered
        self._names: dict[str, set[str]] = {}
        self._modules: set[str] = set()

    def name(self, module: str, name: str) -> str:
        """Import a name of the standard library or the kernel; return what it is called here."""
        hidden = name in self._offered
        self._names.setdefault(module, set()).add(f"{name} as _{name}" if hidden else name)
        return f"_{name}" if hidden else name

    def attribute(self, module: str, path: str) -> str:
        """Return what stands for something of a plugin's module."""
        self._modules.add(module)
        return f"{_alias(module)}.{path}"

    def imports(self) -> list[str]:
        """Return the import statements, sorted."""
        lines = [f"from {m} import {', '.join(sorted(n))}" for m, n in sorted(self._names.items())]
        found = [f"import {m} as {_alias(m)}{ignored(m)}" for m in sorted(self._modules)]
        return [*lines, *found]

    def type(self, annotation: Any) -> str:
        """Return the text of a type; ``Any`` for what has no name that could be imported."""
        if annotation is None or annotation is type(None):
            return "None"
        if annotation is Any:
            return self.name("typing", "Any")
        if annotation is ...:
            return "..."
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return " | ".join(dict.fromkeys(map(self.type, arguments)))
        if origin is typing.Literal:
            return f"{self.name('typing', 'Literal')}[{', '.join(map(self._literal, arguments))}]"
        if origin is typing.Annotated:
            return self.type(arguments[0])
        if isinstance(annotation, list):  # the arguments of a Callable
            return f"[{', '.join(map(self.type, annotation))}]"
        if origin is None:
            return self._plain(annotation)
        inner = ", ".join(map(self.type, arguments))
        return f"{self._plain(origin)}[{inner}]" if inner else self._plain(origin)

    def _literal(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return self.attribute(
                type(value).__module__, f"{type(value).__qualname__}.{value.name}"
            )
        return repr(value)

    def _plain(self, annotation: Any) -> str:
        module = str(getattr(annotation, "__module__", ""))
        path = str(getattr(annotation, "__qualname__", getattr(annotation, "__name__", "")))
        if module == "builtins":
            return self.attribute(module, path) if path in self._offered else path
        if module in ("typing", "collections.abc") and path:
            return self.name(module, path)
        if not _is_there(module, path, annotation):
            return self.name("typing", "Any")
        return self.attribute(module, path)

    def option(self, info: OptionInfo, annotation: Any) -> str:
        """Return one option as a parameter of a signature."""
        head = f"{info.name}: {self.type(annotation)}"
        return head if info.required else f"{head} = {default(info.default)}"


def default(value: Any) -> str:
    """Return the text of a default; ``...`` for all but plain values."""
    if isinstance(value, tuple) and type(value) is tuple:
        parts = [default(part) for part in value]
        closing = ",)" if len(parts) == 1 else ")"
        return "..." if "..." in parts else f"({', '.join(parts)}{closing}"
    if value is None or type(value) in (bool, int, str, bytes):
        return repr(value)
    if type(value) is float and math.isfinite(value):
        return repr(value)
    return "..."


def ignored(module: str) -> str:
    """Return the comment that keeps mypy quiet about a module which does not say that it is typed."""
    return "" if _is_typed(module) else "  # type: ignore[import-untyped,unused-ignore]"


def _is_typed(module: str) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return True
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec(top)
    folders = spec.submodule_search_locations if spec is not None else None
    return any((Path(folder) / "py.typed").exists() for folder in folders or ())


def _is_there(module: str, path: str, value: Any) -> bool:
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found is value and found is not None


def _alias(module: str) -> str:
    return "_" + module.replace(".", "_")
