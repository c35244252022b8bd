"""Which modules are a person's own: of all that a flow imports, what no installation would bring back.

Own is what lies neither in the standard library nor in ``site-packages``: files beside the flow, a
package on the path, one that is installed with ``pip install -e``. The imports are read from the
text of the files, so that all count, also those inside of functions, and nothing is run.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flow_core.package import code_folder

LARGEST = 300
"""Files that a package outside of the flow's folder may have, to be kept as a whole; and modules that
may be reached of a larger one: with more of them it is a library that somebody develops."""
_IMPORT = (
    r"(?:^|[:;])[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n;]*)"
    r"|import[ \t]+([\w., \t]+))"
    r"|(?:\bimport_module|\b__import__)\([ \t\n]*[\"']([\w.]+)[\"']"
)


class Module(NamedTuple):
    """A module of a person's own: the name it is imported by, and its file."""

    name: str
    path: str

    @property
    def file(self) -> str:
        """The file as the name has it: ``pkg/part.py``, ``pkg/__init__.py``."""
        inside = "/__init__.py" if os.path.basename(self.path) == "__init__.py" else ".py"
        return self.name.replace(".", "/") + inside


class OwnModules:
    """Finds the files of modules as this process would import them; none is imported.

    Args:
        top: where the flow's own code begins; modules are looked for there, too.
        foreign: top-level names that are not the person's own, wherever they lie.
    """

    def __init__(self, top: str, foreign: Iterable[str] = ()) -> None:
        self._top = top
        self._foreign = frozenset(foreign) | {"flow_core"} | set(sys.builtin_module_names)
        self._roots: dict[str, tuple[str | None, tuple[str, ...] | None]] = {}

    def path(self, module: str) -> str | None:
        """Return the path of a module's file; None when it is not the person's own."""
        root, _, rest = module.partition(".")
        if root in self._foreign or root in sys.stdlib_module_names:
            return None
        if root not in self._roots:
            self._roots[root] = self._find(root)
        origin, folders = self._roots[root]
        if folders is None:
            return self._below([self._top], module)  # a flow that is looked at, but not loaded
        if rest:
            return self._below(folders, rest)
        return origin if origin and is_own(origin) else None

    def _find(self, root: str) -> tuple[str | None, tuple[str, ...] | None]:
        """Return the file of a top-level module, and its folders; None = there is none."""
        import importlib.util

        try:
            spec = importlib.util.find_spec(root)
        except (ImportError, ValueError):  # a module without a spec, such as __main__
            spec = None
        if spec is None:
            return None, None
        return spec.origin, tuple(spec.submodule_search_locations or ())

    def _below(self, folders: Iterable[str], module: str) -> str | None:
        for folder in folders:
            stem = os.path.join(folder, *module.split("."))
            for path in (f"{stem}.py", os.path.join(stem, "__init__.py")):
                if is_own(path) and os.path.isfile(path):
                    return path
        return None


def is_own(path: str) -> bool:
    """Return whether a file is a person's own, by the place where it lies."""
    parts = path.replace(os.sep, "/").split("/")
    installed = "site-packages" in parts or "dist-packages" in parts
    return not installed and not os.path.abspath(path).startswith(_standard_library())


def _standard_library() -> str:
    return os.path.dirname(os.__file__) + os.sep


def loaded_file(module: str) -> str:
    """Return the file of a module of a person's own that is loaded; else ``""``."""
    path = getattr(sys.modules.get(module), "__dict__", {}).get("__file__")
    return path if isinstance(path, str) and path.endswith(".py") and is_own(path) else ""


def in_development(modules: Iterable[str]) -> set[str]:
    """Return those of the plugins' modules that somebody works on: loaded, and their own.

    flow-core's own plugins, where it is developed itself, are not among them.

    Args:
        modules: top-level names.
    """
    import flow_core

    # core/src/flow_core/__init__.py: what lies in that tree is what we make, not what people make.
    tree = os.path.abspath(flow_core.__file__)
    for _ in range(4):
        tree = os.path.dirname(tree)
    ours = tree + os.sep if is_own(flow_core.__file__) else None
    found = {name: loaded_file(name) for name in modules if name in sys.modules}
    return {n for n, path in found.items() if path and not (ours and path.startswith(ours))}


def module_name(path: str) -> str:
    """``pkg.sub.flow`` for ``pkg/sub/flow.py``; nothing for a file that is in no folder."""
    return path.removesuffix(".py").replace("/", ".") if "/" in path else ""


def full_name(main: str) -> str:
    """Return what relative imports of a flow's file start from; ``""`` = it has none."""
    # Of `python -m flows.mine` Python knows it, where the folder has no __init__.py too.
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.origin and os.path.abspath(spec.origin) == main:
        return str(spec.name) if "." in spec.name else ""
    return module_name(os.path.relpath(main, code_folder(main)).replace(os.sep, "/"))


# --- what is imported -----------------------------------------------------------------------------


Statement = tuple[str, str, str, str]
"""An import: source, names, modules, and a name that is written out in a call."""
Read = Callable[[str], Iterable[Statement]]


def imported_names(
    starts: Iterable[Module], known: Mapping[str, str], seen: set[str], read: Read
) -> set[str]:
    """Return the names of what modules import, themselves or through known ones, and that is not known.

    Args:
        starts: the modules.
        known: the files of the flow's folder, as imports name them (``lib/part.py``) → path.
        seen: paths of files that were read; grows.
        read: gives the imports of a file, as `statements` does.
    """
    names: set[str] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        seen.add(module.path)
        for name in names_in(read(module.path), module):
            path = _known(name, known)
            if path is None:
                names.add(name)
            elif path not in seen:
                seen.add(path)
                waiting.append(Module(name, path))
    return names


def outside_modules(
    names: Iterable[str],
    modules: OwnModules,
    known: Mapping[str, str],
    seen: set[str],
    read: Read,
) -> list[Module]:
    """Return the person's own modules that are imported from elsewhere, also by each other.

    A package of which more than `LARGEST` modules are reached is left out.

    Args:
        names: what is imported, as from `imported_names`.
        modules: finds them.
        known, seen, read: as for `imported_names`.
    """
    found: dict[str, list[Module]] = {}  # by the outermost package
    asked: set[str] = set()
    waiting = sorted(names, reverse=True)
    while waiting:
        name = waiting.pop()
        root = found.setdefault(name.partition(".")[0], [])
        if name in asked or len(root) > LARGEST:
            continue
        asked.add(name)
        path = modules.path(name)
        if path is None or not path.endswith(".py") or path in seen:
            continue
        root.append(Module(name, path))
        waiting += sorted(imported_names(root[-1:], known, seen, read), reverse=True)
    return [module for root in found.values() if len(root) <= LARGEST for module in root]


def _known(module: str, known: Mapping[str, str]) -> str | None:
    stem = module.replace(".", "/")
    return known.get(f"{stem}.py") or known.get(f"{stem}/__init__.py")


def statements(path: str) -> list[Statement]:
    """Return the imports in the text of a file.

    Every run asks for them, so they are looked for in the text: parsing takes twenty times as long.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return []
    text = re.sub(r"#.*", "", text).replace("\\\n", " ")
    return re.findall(_IMPORT, text, re.MULTILINE)


def names_in(found: Iterable[Statement], module: Module) -> set[str]:
    """Return the names of all that import statements may bring: modules, and what may be one."""
    parts = module.name.split(".") if module.name else []
    if os.path.basename(module.path) == "__init__.py":
        parts.append("")
    names: set[str] = set()
    for source, attributes, modules, literal in found:
        for name in _named(source, attributes, modules, literal, parts):
            words = name.split(".")
            names.update(".".join(words[: n + 1]) for n in range(len(words)) if words[0])
    return names


def _named(
    source: str, attributes: str, modules: str, literal: str, parts: list[str]
) -> Iterator[str]:
    yield from (words[0] for one in modules.split(",") if (words := one.split()))
    if literal:
        yield literal
    if source:
        rest = source.lstrip(".")
        level = len(source) - len(rest)
        base = [*parts[: max(len(parts) - level, 0)], rest] if level else [rest]
        stem = ".".join(part for part in base if part)
        yield stem
        inner = (words[0] for one in attributes.strip("() ").split(",") if (words := one.split()))
        yield from (f"{stem}.{name}" if stem else name for name in inner)


def package_of(module: Module) -> tuple[str, str]:
    """Return the outermost package that a module is in: its name as a path, and its folder.

    ``("", "")`` for a module that is in none; folders without ``__init__.py`` are none.
    """
    folder, names = os.path.dirname(module.path), module.name.split(".")
    depth = len(names) if os.path.basename(module.path) == "__init__.py" else len(names) - 1
    outermost = ("", "")
    while depth > 0 and os.path.basename(folder) == names[depth - 1]:
        if not os.path.exists(os.path.join(folder, "__init__.py")):
            break
        outermost = ("/".join(names[:depth]), folder)
        folder, depth = os.path.dirname(folder), depth - 1
    return outermost


def distribution_files(location: str) -> dict[str, str]:
    """Return the files by which a plugin that is not installed is found: path in the snapshot → path.

    Args:
        location: the folder of its metadata.
    """
    name = os.path.basename(location)
    wanted = ("METADATA", "PKG-INFO", "entry_points.txt")
    paths: dict[str, Any] = {f"{name}/{one}": os.path.join(location, one) for one in wanted}
    return {name: path for name, path in paths.items() if os.path.isfile(path)}
