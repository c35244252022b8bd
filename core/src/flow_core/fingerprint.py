"""Fingerprints of code: which of a person's code a step can reach, and a hash of each part of it.

The sources are read, never run, so that the code of an earlier run is compared from its snapshot. A
*part* is a function, a class, or the statements that set a variable of a module. The parts of a step
are its function and, from there on, all that the names in it lead to in the person's own files,
through imports and base classes. What is not known exactly is included: a step then runs once too
often rather than once too seldom. In doubt are

* attributes of objects: a class that has a member of that name counts, and one with operators;
* modules that are passed around whole, and ``getattr`` with a name that is computed;
* what modules do when they are imported, beside defining things.

Formatting, comments, docstrings and the names of local variables do not count.
"""

from __future__ import annotations

import ast
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from blake3 import blake3

from flow_core.own_modules import OwnModules, full_name, module_name
from flow_core.package import code_folder

if TYPE_CHECKING:
    from flow_core.records import RunDocument
    from flow_core.session import Session

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_IGNORED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_SEES_NAMES = frozenset({"locals", "vars", "eval", "exec", "dir", "globals"})
_BY_NAME = frozenset({"getattr", "hasattr", "setattr", "attrgetter", "methodcaller"})
_PLAIN_METHODS = frozenset(
    {"__init__", "__repr__", "__str__", "__new__", "__post_init__", "__module__", "__doc__"}
    | {"__slots__", "__annotations__", "__reduce__", "__getstate__", "__setstate__"}
)
_DEEPEST, _MOST = 50, 200_000


class Part(NamedTuple):
    """One piece of code that counts.

    Attributes:
        name: ``normalise``, ``Model``, ``SCALE``; ``(module)`` for what a module does when imported.
        file: path within the code snapshot, or on disk for files outside of it.
        line: where it begins.
        hash: of its normal form.
    """

    name: str
    file: str
    line: int
    hash: str


class Fingerprint(NamedTuple):
    """All code that a step can reach.

    Attributes:
        parts: the parts, by ``file:name``.
        step: the keys of those that are the step function itself.
        packages: top-level names of modules that are not the person's own.
        variables: (module, name) of the module variables among the parts.
        files: paths of the files that were read.
    """

    parts: Mapping[str, Part]
    step: frozenset[str]
    packages: frozenset[str]
    variables: frozenset[tuple[str, str]]
    files: frozenset[str]

    @property
    def digest(self) -> str:
        """One hash of all parts."""
        lines = sorted(f"{key} {part.hash}" for key, part in self.parts.items())
        return blake3("\n".join(lines).encode()).hexdigest()[:32]


# --- where sources come from --------------------------------------------------------------------


class Snapshot:
    """The sources of a code snapshot.

    Args:
        archive: the tar archive.
        main: name of the flow's file in it.
        folder: path in it of the folder where the flow's code begins.

    Attributes:
        module: full name of the flow's module, when that is in a package; else ``""``.
    """

    def __init__(self, archive: bytes, main: str, folder: str = "") -> None:
        start = f"{folder}/" if folder else ""
        self.main = main.removeprefix(start)
        self.module = module_name(self.main)
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = [m for m in tar.getmembers() if m.isfile() and m.name.endswith(".py")]
            found = ((m.name, tar.extractfile(m)) for m in members)
            files = {name: file.read() for name, file in found if file is not None}
        cut = len(start)
        self._files = {n[cut:]: content for n, content in files.items() if n.startswith(start)}

    def find(self, module: str) -> tuple[str, bytes] | None:
        """Return path and content of a module's file; None when it is not the person's own."""
        if not module:
            return (self.main, self._files[self.main]) if self.main in self._files else None
        names = module.split(".")
        # In a folder without __init__.py, the flow names its neighbours with that in front, but the
        # archive begins below it.
        for start in range(len(names)):
            stem = "/".join(names[start:])
            for path in (f"{stem}.py", f"{stem}/__init__.py"):
                if path in self._files:
                    return path, self._files[path]
        return None


class Files:
    """The sources on disk, as this process would import them.

    Files below the flow's folder are named from there, others after their module, so that names are
    the same on all machines.

    Args:
        main: path of the flow's file.
        foreign: top-level names that are not the person's own, wherever they lie.

    Attributes:
        opened: name of each file that was read → its path.
        module: full name of the flow's module, when that is in a package; else ``""``.
    """

    def __init__(self, main: str, foreign: Iterable[str] = ()) -> None:
        self.main = os.path.abspath(main)
        self.opened: dict[str, str] = {}
        self.module = full_name(self.main)
        self._modules = OwnModules(code_folder(self.main), foreign)

    def find(self, module: str) -> tuple[str, bytes] | None:
        """Return path and content of a module's file; None when it is not the person's own."""
        path = self.path(module) if module else self.main
        if path is None or not path.endswith(".py"):
            return None
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError:
            return None
        name = self._name(os.path.abspath(path), module)
        self.opened[name] = path
        return name, content

    def _name(self, path: str, module: str) -> str:
        folder = os.path.dirname(self.main) + os.sep
        if path.startswith(folder):
            return path[len(folder) :].replace(os.sep, "/")
        ending = "/__init__.py" if os.path.basename(path) == "__init__.py" else ".py"
        return module.replace(".", "/") + ending

    def path(self, module: str) -> str | None:
        """Return the path of a module's file; None when it is not the person's own."""
        return self._modules.path(module)


# --- modules ------------------------------------------------------------------------------------


class _Module:
    """What the top level of one file defines."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        self.name = name
        self.path = path
        self.package = path.endswith("__init__.py")
        self.bindings: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}
        self.stars: list[str] = []
        self.effects: list[ast.stmt] = []
        try:
            self.tree = ast.parse(content)
        except (SyntaxError, ValueError):  # it cannot be imported either
            self.tree = ast.parse("")
        self._gather(self.tree.body, None)

    def _gather(self, body: Iterable[ast.stmt], around: ast.stmt | None) -> None:
        for number, node in enumerate(body):
            whole = around or node
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
                self._bind(node.name, whole)
            elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                self._assign(node, whole)
            elif _is_main_guard(node):
                continue
            elif isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)):
                for name in _bound([node]):
                    self._bind(name, whole)
                for inner in _bodies(node):
                    self._gather(inner, whole)
            elif not (number == 0 and around is None and _is_text(node)):
                self._effect(whole)

    def _bind(self, name: str, node: ast.stmt) -> None:
        known = self.bindings.setdefault(name, [])
        if node not in known:
            known.append(node)

    def _effect(self, node: ast.stmt) -> None:
        if node not in self.effects and not isinstance(node, ast.Pass):
            self.effects.append(node)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, whole: ast.stmt) -> None:
        names = _bound([node])
        for name in names:
            self._bind(name, whole)
        if not names:
            self._effect(whole)  # it changes something that has been defined elsewhere

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for local, module, attribute in imported(node, self.name, self.package):
            if local == "*":
                self.stars.append(module)
            else:
                self.imports[local] = (module, attribute)


def imported(
    node: ast.Import | ast.ImportFrom, module: str, package: bool
) -> Iterator[tuple[str, str, str | None]]:
    """Yield what an import binds: local name, module, and the name in it (None = the module)."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            root = alias.name.partition(".")[0]
            yield (alias.asname, alias.name, None) if alias.asname else (root, root, None)
            if not alias.asname and alias.name != root:
                yield f" {alias.name}", alias.name, None  # it is loaded, though it has no own name
        return
    source = node.module or ""
    if node.level:
        parts = module.split(".") if module else []
        keep = len(parts) - node.level + package
        source = ".".join([*parts[: max(keep, 0)], *([node.module] if node.module else [])])
    for alias in node.names:
        yield alias.asname or alias.name, source, alias.name


def _is_main_guard(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _bodies(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "finalbody"):
        yield getattr(node, field, None) or []
    for handler in getattr(node, "handlers", ()):
        yield handler.body


# --- normal form --------------------------------------------------------------------------------


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that statements bind in their own scope."""
    found: set[str] = set()
    elsewhere: set[str] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            found.add(node.name)
            outside = [*node.decorator_list]
            waiting.extend(outside)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, _COMPREHENSIONS):
            inner = (n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))
            found.update(n.target.id for n in inner)
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((a.asname or a.name.partition(".")[0]) for a in node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
        waiting.extend(ast.iter_child_nodes(node))
    return found - elsewhere


class _Scope:
    def __init__(self, outer: _Scope | None, bound: set[str], kept: set[str], is_class: bool):
        self.outer = outer
        self.bound = bound
        self.kept = kept  # bound too, but its name is seen from outside
        self.is_class = is_class
        self.names: dict[str, str] = {}


class NormalForm:
    """The normal form of one piece of code, and what it refers to.

    Args:
        node: a statement.
        skip: decorators of it that do not count.

    Attributes:
        text: equal for code that does the same, as far as formatting and local names go.
        chains: names from outside with the attributes that are taken from them.
        attributes: all attributes of anything.
        imports: import statements inside of functions.
        computed: whether an attribute is taken whose name is computed.
    """

    def __init__(self, node: ast.AST, skip: Callable[[ast.expr], bool] | None = None) -> None:
        self.chains: set[tuple[str, ...]] = set()
        self.attributes: set[str] = set()
        self.imports: list[ast.Import | ast.ImportFrom] = []
        self.computed = False
        self._skip = skip
        self._count = 0
        self._parts: list[str] = []
        names = (n.id for n in ast.walk(node) if isinstance(n, ast.Name))
        self._keeps_names = not _SEES_NAMES.isdisjoint(names)
        self._top = node
        self._visit(node, None)
        self.text = " ".join(self._parts)

    def _visit(self, node: Any, scope: _Scope | None) -> None:
        if isinstance(node, list):
            self._parts.append("[")
            for one in node:
                self._visit(one, scope)
            self._parts.append("]")
        elif not isinstance(node, ast.AST):
            self._parts.append(f"{type(node).__name__}:{node!r}")
        else:
            self._parts.append(type(node).__name__)
            visit = getattr(self, "_visit_" + type(node).__name__, self._visit_fields)
            visit(node, scope)
            self._parts.append(";")

    def _visit_fields(self, node: ast.AST, scope: _Scope | None) -> None:
        for field, value in ast.iter_fields(node):
            if field not in _IGNORED:
                self._visit(value, scope)

    # --- names ----------------------------------------------------------------------------------

    def _name(self, name: str, scope: _Scope | None) -> str | None:
        """Return what a local name is written as; None when it comes from outside."""
        inside = scope
        while scope is not None:
            if scope.is_class and scope is not inside:
                scope = scope.outer  # functions of a class do not see its names
                continue
            if name in scope.kept or (name in scope.bound and self._keeps_names):
                return name
            if name in scope.bound:
                if name not in scope.names:
                    scope.names[name] = f"${self._count}"
                    self._count += 1
                return scope.names[name]
            scope = scope.outer
        return None

    def _visit_Name(self, node: ast.Name, scope: _Scope | None) -> None:
        local = self._name(node.id, scope)
        if local is None:
            self.chains.add((node.id,))
        self._parts.append(local or node.id)

    def _visit_Attribute(self, node: ast.Attribute, scope: _Scope | None) -> None:
        chain: list[str] = []
        at: ast.expr = node
        while isinstance(at, ast.Attribute):
            chain.append(at.attr)
            self.attributes.add(at.attr)
            at = at.value
        if isinstance(at, ast.Name) and self._name(at.id, scope) is None:
            self.chains.add((at.id, *reversed(chain)))
            self._parts.append(".".join((at.id, *reversed(chain))))
        else:
            self._visit(at, scope)
            self._parts.extend(reversed(chain))

    def _visit_Call(self, node: ast.Call, scope: _Scope | None) -> None:
        called = getattr(node.func, "id", None) or getattr(node.func, "attr", None)
        if called in _BY_NAME:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            names = {t for text in texts if isinstance(text, str) for t in text.split(".")}
            self.attributes |= names
            self.computed = self.computed or not names
        self._visit_fields(node, scope)

    def _visit_Global(self, node: ast.Global, scope: _Scope | None) -> None:
        self.chains.update((name,) for name in node.names)

    def _visit_Nonlocal(self, node: ast.Nonlocal, scope: _Scope | None) -> None:
        pass  # the names are found where they are bound

    def _visit_Import(self, node: ast.Import, scope: _Scope | None) -> None:
        self._visit_import(node, scope)

    def _visit_ImportFrom(self, node: ast.ImportFrom, scope: _Scope | None) -> None:
        self._visit_import(node, scope)

    def _visit_import(self, node: ast.Import | ast.ImportFrom, scope: _Scope | None) -> None:
        self.imports.append(node)
        self._parts.append(f"{getattr(node, 'level', 0)} {getattr(node, 'module', None)}")
        for alias in node.names:
            local = alias.asname or alias.name.partition(".")[0]
            self._parts.append(f"{alias.name} {self._name(local, scope) or local}")

    def _visit_ExceptHandler(self, node: ast.ExceptHandler, scope: _Scope | None) -> None:
        self._visit(node.type, scope)
        self._parts.append(str(node.name and (self._name(node.name, scope) or node.name)))
        self._visit(node.body, scope)

    def _visit_MatchAs(self, node: ast.MatchAs, scope: _Scope | None) -> None:
        self._visit(node.pattern, scope)
        self._parts.append(str(node.name and (self._name(node.name, scope) or node.name)))

    def _visit_MatchStar(self, node: ast.MatchStar, scope: _Scope | None) -> None:
        self._parts.append(str(node.name and (self._name(node.name, scope) or node.name)))

    def _visit_MatchMapping(self, node: ast.MatchMapping, scope: _Scope | None) -> None:
        self._visit(node.keys, scope)
        self._visit(node.patterns, scope)
        self._parts.append(str(node.rest and (self._name(node.rest, scope) or node.rest)))

    # --- scopes ---------------------------------------------------------------------------------

    def _visit_FunctionDef(self, node: ast.FunctionDef, scope: _Scope | None) -> None:
        self._visit_function(node, scope)

    def _visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef, scope: _Scope | None) -> None:
        self._visit_function(node, scope)

    def _visit_function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope | None
    ) -> None:
        self._parts.append(self._name(node.name, scope) or node.name)
        self._visit(self._decorators(node), scope)
        self._visit_arguments_outside(node.args, scope)
        self._visit(node.returns, scope)
        self._visit_inside(node.args, _without_docstring(node.body), scope)

    def _decorators(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ) -> list[ast.expr]:
        skip = self._skip if node is self._top else None
        return [d for d in node.decorator_list if skip is None or not skip(d)]

    def _visit_Lambda(self, node: ast.Lambda, scope: _Scope | None) -> None:
        self._visit_arguments_outside(node.args, scope)
        self._visit_inside(node.args, [node.body], scope)

    def _visit_arguments_outside(self, args: ast.arguments, scope: _Scope | None) -> None:
        for group in (args.posonlyargs, args.args, args.kwonlyargs):
            self._parts.append("|")
            for arg in group:
                self._parts.append(arg.arg)
                self._visit(arg.annotation, scope)
        self._parts.append(f"*{args.vararg and args.vararg.arg} **{args.kwarg and args.kwarg.arg}")
        self._visit(args.defaults, scope)
        self._visit(args.kw_defaults, scope)

    def _visit_inside(self, args: ast.arguments, body: list[Any], scope: _Scope | None) -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        kept = {arg.arg for arg in every if arg is not None}
        self._visit(body, _Scope(scope, _bound(body) - kept, kept, False))

    def _visit_ClassDef(self, node: ast.ClassDef, scope: _Scope | None) -> None:
        self._parts.append(self._name(node.name, scope) or node.name)
        self._visit(self._decorators(node), scope)
        self._visit(node.bases, scope)
        self._visit(node.keywords, scope)
        body = _without_docstring(node.body)
        self._visit(body, _Scope(scope, set(), _bound(body), True))

    def _visit_comprehension_expr(self, node: Any, scope: _Scope | None) -> None:
        first, *others = node.generators
        self._visit(first.iter, scope)
        inner = _Scope(scope, _bound([g.target for g in node.generators]), set(), False)
        self._visit(first.target, inner)
        self._visit(first.ifs, inner)
        self._parts.append(str(first.is_async))
        self._visit(others, inner)
        for field in ("key", "value", "elt"):
            if hasattr(node, field):
                self._visit(getattr(node, field), inner)

    _visit_ListComp = _visit_SetComp = _visit_DictComp = _visit_comprehension_expr
    _visit_GeneratorExp = _visit_comprehension_expr


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    return body[1:] if body and _is_text(body[0]) else body


# --- what a step reaches ------------------------------------------------------------------------


class CodeReader:
    """Makes fingerprints of the steps of one flow.

    Args:
        sources: `Snapshot` or `Files`.
        flow: name of the flow class.
        steps: names of all steps.
        parameters: attributes that are parameters: their values count, not how they are declared.
        module: name of the flow's own module, where the sources do not know it.

    Attributes:
        main_name: name of the flow's own module; ``""`` for one that is in no package.

    Since 0.1.
    """

    def __init__(
        self,
        sources: Snapshot | Files,
        flow: str,
        steps: Iterable[str],
        parameters: Iterable[str] = (),
        module: str = "",
    ) -> None:
        self._sources = sources
        self._flow = flow
        self._steps = frozenset(steps)
        self._parameters = frozenset(parameters)
        self._modules: dict[str, _Module | None] = {}
        self._forms: dict[tuple[int, bool], NormalForm] = {}
        self.main_name = module if module not in ("", "__main__") else sources.module

    def fingerprint(self, step: str) -> Fingerprint:
        """Return the fingerprint of a step."""
        return _Walk(self, step).result()

    # --- modules --------------------------------------------------------------------------------

    @cached_property
    def main(self) -> _Module | None:
        """The module of the flow itself."""
        return self.module("")

    def module(self, name: str) -> _Module | None:
        """Return a module of the person's own; None for others."""
        if name == self.main_name:
            name = ""
        if name not in self._modules:
            found = self._sources.find(name)
            path, content = found or ("", b"")
            same = next((m for m in self._modules.values() if m and m.path == path), None)
            new = same or _Module(name or self.main_name, path, content)
            self._modules[name] = new if found else None
        return self._modules[name]

    def form(self, node: ast.AST, module: _Module, of_step: bool = False) -> NormalForm:
        """Return the normal form of a statement, made once."""
        key = (id(node), of_step)
        if key not in self._forms:
            skip = (lambda d: not self.is_own(d, module)) if of_step else None
            self._forms[key] = NormalForm(node, skip)
        return self._forms[key]

    def is_own(self, decorator: ast.expr, module: _Module) -> bool:
        """Whether a decorator is the person's own code."""
        at = decorator.func if isinstance(decorator, ast.Call) else decorator
        while isinstance(at, ast.Attribute):
            at = at.value
        name = getattr(at, "id", "")
        if name in module.imports:
            return self.module(module.imports[name][0]) is not None
        return name in module.bindings or bool(module.stars)

    # --- the flow class -------------------------------------------------------------------------

    @cached_property
    def flow_classes(self) -> list[tuple[_Module, ast.ClassDef]]:
        """The flow class and its bases in the person's own files."""
        found: list[tuple[_Module, ast.ClassDef]] = []
        waiting = self._classes(self.main, (self._flow,))
        while waiting:
            module, node = waiting.pop(0)
            if node not in [n for _, n in found]:
                found.append((module, node))
                for base in node.bases:
                    waiting.extend(self._classes(module, _chain(base)))
        return found

    def _classes(
        self, module: _Module | None, chain: tuple[str, ...]
    ) -> list[tuple[_Module, ast.ClassDef]]:
        if module is None or not chain:
            return []
        walk = _Walk(self, "")
        walk.refer(module, chain)
        return [
            (m, node)
            for m, name in walk.reached
            for statement in m.bindings.get(name, ())
            for node in ast.walk(statement)
            if isinstance(node, ast.ClassDef) and node.name == name
        ]

    def members(self, name: str) -> list[tuple[_Module, ast.ClassDef, ast.stmt]]:
        """Return what the flow class and its bases define under a name."""
        return [
            (module, cls, node)
            for module, cls in self.flow_classes
            for node in cls.body
            if (getattr(node, "name", None) == name or name in _bound([node]))
        ]

    @cached_property
    def member_names(self) -> frozenset[str]:
        """The names of the flow's members that are neither steps nor parameters."""
        names = {n for _, cls in self.flow_classes for node in cls.body for n in _bound([node])}
        return frozenset(names - self._steps - self._parameters)


def _chain(node: ast.expr) -> tuple[str, ...]:
    """``a.b.C`` as a tuple; empty for other expressions. ``Base[int]`` is ``Base``."""
    names: list[str] = []
    at = node.value if isinstance(node, ast.Subscript) else node
    while isinstance(at, ast.Attribute):
        names.append(at.attr)
        at = at.value
    return (at.id, *reversed(names)) if isinstance(at, ast.Name) else ()


class _Walk:
    """Follows the names from one step on."""

    def __init__(self, reader: CodeReader, step: str) -> None:
        self._reader = reader
        self._step = step
        self.reached: list[tuple[_Module, str]] = []
        self._parts: dict[str, Part] = {}
        self._of_step: set[str] = set()
        self._packages: set[str] = set()
        self._variables: set[tuple[str, str]] = set()
        self._loaded: list[_Module] = []
        self._attributes: set[str] = set()
        self._whole: set[str] = set()
        self._computed = False
        self._followed: set[tuple[str, tuple[str, ...]]] = set()

    def result(self) -> Fingerprint:
        main = self._reader.main
        if main is not None:
            self._load(main)
            self._add_step()
            before = (-1, -1)
            while before != (len(self._parts), len(self.reached)):
                before = (len(self._parts), len(self.reached))
                self._add_reached()
                self._add_members()
                self._add_classes()
        return Fingerprint(
            self._parts,
            frozenset(self._of_step),
            frozenset(self._packages),
            frozenset(self._variables),
            frozenset(m.path for m in self._loaded),
        )

    def _add_step(self) -> None:
        for module, cls, node in self._reader.members(self._step):
            key = self._add(module, f"{cls.name}.{self._step}", [node], of_step=True)
            self._of_step.add(key)
        for module, cls in self._reader.flow_classes:
            for decorator in cls.decorator_list:
                if self._reader.is_own(decorator, module):
                    self._add(module, f"@{cls.name}:{decorator.lineno}", [decorator])

    def _add_reached(self) -> None:
        done = 0
        while done < len(self.reached):
            module, name = self.reached[done]
            done += 1
            self._load(module)
            nodes = module.bindings[name]
            if not any(isinstance(n, (*_FUNCTIONS, ast.ClassDef)) for n in nodes):
                self._variables.add((module.name, name))
            self._add(module, name, nodes)

    def _add_members(self) -> None:
        """Add what the flow class defines and the code may ask for."""
        names = self._reader.member_names
        if not self._computed:
            names = names & self._attributes
        for name in names:
            for module, cls, node in self._reader.members(name):
                self._load(module)
                self._add(module, f"{cls.name}.{name}", [node])

    def _add_classes(self) -> None:
        """Add the classes whose objects the code may use, and what modules do when imported."""
        flows = [node for _, node in self._reader.flow_classes]
        for module in list(self._loaded):
            if module.effects:
                self._add(module, "(module)", module.effects)
            for name, nodes in module.bindings.items():
                others = (n for n in nodes if n not in flows and not _is_flow(n))
                if any(self._counts_unnamed(node, module) for node in others):
                    self._reach(module, name)

    def _counts_unnamed(self, node: ast.stmt, module: _Module) -> bool:
        """Whether a definition may be used without its name being there."""
        decorators = getattr(node, "decorator_list", ())
        if any(self._reader.is_own(d, module) for d in decorators):
            return True  # its decorator may have put it anywhere
        return isinstance(node, ast.ClassDef) and self._may_be_used(node)

    def _may_be_used(self, node: ast.ClassDef) -> bool:
        members = {n for one in node.body for n in _bound([one])}
        operators = {n for n in members if n.startswith("__") and n.endswith("__")}
        if operators - _PLAIN_METHODS or node.keywords:
            return True
        return not members.isdisjoint(self._attributes)

    def _load(self, module: _Module) -> None:
        """A module is imported, and so are all that it imports at its top level."""
        if module in self._loaded:
            return
        self._loaded.append(module)
        for name, _ in [*module.imports.values(), *((star, None) for star in module.stars)]:
            self._load_name(name)
        for source, attribute in module.imports.values():
            if attribute is not None:
                inner = self._reader.module(f"{source}.{attribute}" if source else attribute)
                if inner is not None and self._reader.module(source) is not inner:
                    self._load(inner)

    def _load_name(self, name: str) -> None:
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            module = self._reader.module(".".join(parts[:length])) if name else None
            if module is not None:
                self._load(module)

    def _add(self, module: _Module, name: str, nodes: list[Any], of_step: bool = False) -> str:
        key = f"{module.path}:{name}"
        if key in self._parts:
            return key
        forms = [self._reader.form(node, module, of_step) for node in nodes]
        text = "\n".join(form.text for form in forms)
        line = min(node.lineno for node in nodes)
        self._parts[key] = Part(name, module.path, line, blake3(text.encode()).hexdigest()[:32])
        for form in forms:
            self._attributes |= form.attributes
            self._computed = self._computed or form.computed
            for chain in sorted(form.chains):
                self.refer(module, chain)
            for node in form.imports:
                self._import(module, node)
        return key

    def _import(self, module: _Module, node: ast.Import | ast.ImportFrom) -> None:
        """An import inside of a function: what it brings may be used in any way."""
        for _, source, attribute in imported(node, module.name, module.package):
            self._load_name(source)
            if attribute is None or attribute == "*":
                self._use_module(source)
            else:
                self._refer_in(source, (attribute,))

    # --- names ----------------------------------------------------------------------------------

    def refer(self, module: _Module, chain: tuple[str, ...]) -> None:
        """Follow a name, and attributes taken from it, from a module on."""
        key = (module.path, chain)
        if key in self._followed:
            return
        self._followed.add(key)
        name, rest = chain[0], chain[1:]
        if name in module.bindings:
            self._reach(module, name)
        if name in module.imports:
            source, attribute = module.imports[name]
            if attribute is None:
                self._refer_in(source, rest)
            else:
                self._refer_in(source, (attribute, *rest))
        if name not in module.bindings and name not in module.imports:
            for source in module.stars:
                self._refer_in(source, chain)

    def _refer_in(self, source: str, chain: tuple[str, ...]) -> None:
        """Follow names that are taken from a module, which may be a package."""
        module = self._reader.module(source)
        inner = f"{source}.{chain[0]}" if source and chain else (chain[0] if chain else "")
        if module is None and source:
            if chain and self._reader.module(inner) is not None:  # a namespace package
                self._refer_in(inner, chain[1:])
            else:
                self._packages.add(source.partition(".")[0])
            return
        if not chain:
            self._use_module(source)
            return
        if module is not None and (
            chain[0] in module.bindings or chain[0] in module.imports or module.stars
        ):
            self._load(module)
            self.refer(module, chain)
            if chain[0] in module.bindings or chain[0] in module.imports:
                return
        if chain[0] and self._reader.module(inner) is not None and inner:
            self._refer_in(inner, chain[1:])
        elif module is not None and "__getattr__" in module.bindings:
            self._use_module(source)

    def _use_module(self, source: str) -> None:
        """A module is used whole."""
        module = self._reader.module(source)
        if module is None:
            if source:
                self._packages.add(source.partition(".")[0])
            return
        if module.path in self._whole:
            return
        self._whole.add(module.path)
        self._load(module)
        for name in module.bindings:
            self._reach(module, name)
        for name in module.imports:
            self.refer(module, (name,))

    def _reach(self, module: _Module, name: str) -> None:
        if (module, name) not in self.reached:
            self.reached.append((module, name))


def _is_flow(node: ast.stmt) -> bool:
    """Whether a class is a flow: another one than that of the step, whose members are not asked for."""
    bases = [_chain(base) for base in getattr(node, "bases", ())]
    return any(chain and chain[-1].endswith("FlowSpec") for chain in bases)


# --- values -------------------------------------------------------------------------------------


def plain_value(value: Any) -> str | None:
    """Return plain data as text, the same for equal values; None for everything else."""
    budget = [_MOST]
    try:
        return _plain(value, _DEEPEST, budget)
    except ValueError:
        return None


def _plain(value: Any, depth: int, budget: list[int]) -> str:
    budget[0] -= 1
    if depth < 0 or budget[0] < 0:
        raise ValueError("too much of it")
    kind = type(value)
    if kind in (str, bytes, int, float, bool, complex, type(None)):
        return repr(value)
    if kind in (list, tuple):
        inner = ",".join(_plain(v, depth - 1, budget) for v in value)
    elif kind in (set, frozenset):
        inner = ",".join(sorted(_plain(v, depth - 1, budget) for v in value))
    elif kind is dict:
        pairs = ((_plain(k, depth - 1, budget), v) for k, v in value.items())
        inner = ",".join(f"{k}:{_plain(v, depth - 1, budget)}" for k, v in pairs)
    else:
        raise ValueError("no plain data")
    return f"{kind.__name__}({inner})"


# --- comparing runs -----------------------------------------------------------------------------


def code_changes(old: Fingerprint, new: Fingerprint) -> list[dict[str, Any]]:
    """Return, as JSON data, what differs between two fingerprints of a step.

    Each has the ``name`` of the part, ``file``, ``line``, ``change`` (``changed``, ``added`` or
    ``removed``) and ``is_step``: whether it is the step function itself.

    Since 0.1.
    """
    found = []
    for key in sorted({*old.parts, *new.parts}):
        before, after = old.parts.get(key), new.parts.get(key)
        if before and after and before.hash == after.hash:
            continue
        part = after or before
        assert part is not None
        change = "changed" if before and after else "added" if after else "removed"
        found.append(
            {
                "name": part.name,
                "file": part.file,
                "line": part.line,
                "change": change,
                "is_step": key in new.step or key in old.step,
            }
        )
    found.sort(key=lambda c: (not c["is_step"], c["change"] != "changed"))
    return found


def changed_code(
    session: Session, old: RunDocument, new: RunDocument
) -> dict[str, list[dict[str, Any]] | None]:
    """Return for each step of a run what of its code differs from an earlier run.

    Args:
        session: reads the code snapshots of both.
        old, new: the runs.

    Returns:
        step → `code_changes`; None for a step that the earlier run did not have, and for all when
        one of the runs has no snapshot.

    Since 0.1.
    """
    attributes = [p.attribute for p in session.definition.parameters]
    readers = [_reader(session, document, attributes) for document in (old, new)]
    if readers[0] is None or readers[1] is None:
        return {}
    found: dict[str, list[dict[str, Any]] | None] = {}
    for name in new.graph["steps"]:
        if name in old.graph["steps"]:
            prints = [reader.fingerprint(name) for reader in readers if reader is not None]
            found[name] = code_changes(*prints)
    return found


def _reader(
    session: Session, document: RunDocument, parameters: Iterable[str]
) -> CodeReader | None:
    if document.code is None:
        return None
    archive = session.artifacts.get_bytes(document.code, "the code snapshot")
    info = document.info
    sources = Snapshot(archive, str(info.get("script", "")), str(info.get("code_folder", "")))
    named = {*parameters, *document.parameters}
    return CodeReader(sources, document.flow, document.graph["steps"], named)
