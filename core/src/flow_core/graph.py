"""The graph of a flow: an immutable value, read from source, with every edge, file and line.

The graph is what the steps' source *says*: the last statement of each step is ``self.next(...)``. It
is known before anything runs, so that problems are found, and pictures drawn, without running.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping
from types import FunctionType, MappingProxyType
from typing import Any, NamedTuple

from flow_core.errors import FlowError

LINEAR, SPLIT, FOREACH, SWITCH, PARALLEL, END = (
    "linear",
    "split",
    "foreach",
    "switch",
    "parallel",
    "end",
)

NEXT_FORMS = "self.next(self.a)   self.next(self.a, self.b)   self.next(self.a, foreach='items')"


class Problem(NamedTuple):
    """One thing that is wrong with a flow's graph, and what to change."""

    message: str
    hint: str
    file: str | None = None
    line: int | None = None
    step: str | None = None

    @classmethod
    def from_error(cls, error: FlowError) -> Problem:
        """Return an error of the definition as a problem among others."""
        what = f"{error.what}: {error.why}" if error.why else error.what
        file, colon, line = (error.where or "").rpartition(":")
        if colon and line.isdigit():
            return cls(what, error.hint or "", file, int(line))
        return cls(f"{what} ({error.where})" if error.where else what, error.hint or "")

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else ""
        return f"{place}{self.message}\n     try: {self.hint}"


class Node(NamedTuple):
    """One step of the graph.

    Attributes:
        name: the step's name.
        file, line: where the step is defined (the line of ``def``).
        doc: its docstring, cleaned; ``''`` if none.
        joins: whether it takes ``inputs``.
        kind: how it goes on: ``linear``, ``split``, ``foreach``, ``switch``, ``parallel``, ``end``;
            None when its source does not say (then ``problems`` does).
        targets: the steps that follow.
        foreach: the artifact that is split over, for ``foreach``.
        next_line: line of its ``self.next``; None if it has none.
        parents: steps that lead here, sorted by name.
        decorators: names of the decorators, in order of attachment.
        problems: what is wrong with the step by itself.
    """

    name: str
    file: str
    line: int
    doc: str
    joins: bool
    kind: str | None
    targets: tuple[str, ...] = ()
    foreach: str | None = None
    next_line: int | None = None
    parents: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class Graph:
    """The steps of a flow and the ways between them.

    Attributes:
        name: name of the flow.
        file: the flow's file.
        line: line of its class statement.
        doc: its docstring, cleaned.
        nodes: step name → `Node`, in order of definition.
    """

    def __init__(
        self, name: str, file: str, line: int, doc: str, nodes: Mapping[str, Node]
    ) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.doc = doc
        self.nodes: Mapping[str, Node] = MappingProxyType(_with_parents(nodes))
        self.start = "start"
        self.end = "end"

    def __getitem__(self, step: str) -> Node:
        return self.nodes[step]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __contains__(self, step: object) -> bool:
        return step in self.nodes

    def __len__(self) -> int:
        return len(self.nodes)

    def order(self) -> list[Node]:
        """Return the nodes so that each comes after its parents, as far as there are no cycles."""
        placed: dict[str, Node] = {}
        waiting = list(self.nodes.values())
        while waiting:
            ready = [n for n in waiting if all(p in placed for p in n.parents)]
            for node in ready or waiting[:1]:
                placed[node.name] = node
            waiting = [n for n in waiting if n.name not in placed]
        return list(placed.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data: name, file, doc, and the steps with all that a `Node` knows."""
        steps = {}
        for node in self.nodes.values():
            data = node._asdict()
            del data["problems"]
            steps[node.name] = data
        return {
            "name": self.name,
            "file": self.file,
            "line": self.line,
            "doc": self.doc,
            "start": self.start,
            "end": self.end,
            "steps": steps,
        }


def read_graph(
    name: str,
    cls: type,
    steps: Mapping[str, FunctionType],
    decorators: Mapping[str, tuple[str, ...]],
) -> Graph:
    """Read the graph of the flow class ``cls`` from the source of its step functions."""
    sources = _Sources()
    nodes = {
        step: _read_node(step, function, sources, decorators.get(step, ()))
        for step, function in steps.items()
    }
    file, line = _class_place(cls, sources)
    return Graph(name, file, line, clean_doc(cls.__doc__), nodes)


class _Sources:
    """Parsed files: file → {first line of a function: its syntax tree}; classes by name."""

    def __init__(self) -> None:
        self._functions: dict[str, dict[int, ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        self._classes: dict[str, dict[str, int]] = {}

    def function(self, file: str, line: int) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
        self._parse(file)
        return self._functions[file].get(line)

    def class_line(self, file: str, name: str) -> int:
        self._parse(file)
        return self._classes[file].get(name, 1)

    def _parse(self, file: str) -> None:
        if file in self._functions:
            return
        functions = self._functions[file] = {}
        classes = self._classes[file] = {}
        try:
            linecache.checkcache(file)  # a notebook or test may have written the file again
            tree = ast.parse("".join(linecache.getlines(file)))
        except SyntaxError:
            return  # edited since it was imported: the steps are reported as unreadable
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for line in [d.lineno for d in node.decorator_list] + [node.lineno]:
                    functions[line] = node
            elif isinstance(node, ast.ClassDef):
                classes[node.name] = node.lineno


def _class_place(cls: type, sources: _Sources) -> tuple[str, int]:
    import sys

    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file is None:  # a notebook cell: the functions know where they come from
        functions = [v for v in vars(cls).values() if isinstance(v, FunctionType)]
        file = functions[0].__code__.co_filename if functions else "<unknown>"
    return file, sources.class_line(file, cls.__name__)


def _read_node(
    step: str, function: FunctionType, sources: _Sources, decorators: tuple[str, ...]
) -> Node:
    while hasattr(function, "__wrapped__"):  # a decorator of the user's own stands on it
        function = function.__wrapped__
    code = function.__code__
    tree = sources.function(code.co_filename, code.co_firstlineno)
    node = Node(
        step,
        code.co_filename,
        tree.lineno if tree else code.co_firstlineno,
        clean_doc(function.__doc__),
        joins=code.co_argcount == 2,
        kind=None,
        decorators=decorators,
    )
    if tree is None:
        return _wrong(node, "its source cannot be read", "save the file and start again")
    if isinstance(tree, ast.AsyncFunctionDef):
        return _wrong(node, "it is 'async def', which is not supported yet", "use 'def'")
    if not 1 <= code.co_argcount <= 2:
        hint = f"def {step}(self): or, for a join, def {step}(self, inputs):"
        return _wrong(node, f"it takes {code.co_argcount} arguments", hint)
    return _read_transition(node, tree)


def _read_transition(node: Node, tree: ast.FunctionDef) -> Node:
    calls = [call for call in ast.walk(tree) if _is_next(call)]
    last = tree.body[-1]
    final = last.value if isinstance(last, ast.Expr) and _is_next(last.value) else None
    misplaced = [c for c in calls if c is not final]
    if misplaced:
        found = misplaced[0]
        assert isinstance(found, ast.Call)
        return _wrong(
            node._replace(next_line=found.lineno),
            "self.next(...) is not the last statement, or stands there twice",
            "call it once, unconditionally, as the last statement of the step",
            found.lineno,
        )
    if final is None:
        return node._replace(kind=END)
    assert isinstance(final, ast.Call)
    return _read_next(node._replace(next_line=final.lineno), final)


def _is_next(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "next"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "self"
    )


def _read_next(node: Node, call: ast.Call) -> Node:
    keywords = {k.arg: k.value for k in call.keywords}
    if "condition" in keywords:
        cases = call.args[0] if call.args else None
        values = cases.values if isinstance(cases, ast.Dict) else []
        targets = tuple(filter(None, (_step_name(v) for v in values)))
        return node._replace(kind=SWITCH, targets=targets)
    targets = tuple(filter(None, map(_step_name, call.args)))
    if len(targets) != len(call.args) or not targets:
        return _wrong(node, "its self.next(...) is not understood", NEXT_FORMS, call.lineno)
    node = node._replace(targets=targets)
    if "num_parallel" in keywords:
        return node._replace(kind=PARALLEL)
    if set(keywords) - {"foreach"}:
        unknown = ", ".join(sorted(str(k) for k in set(keywords) - {"foreach"}))
        return _wrong(node, f"self.next(...) has no argument '{unknown}'", NEXT_FORMS, call.lineno)
    if "foreach" in keywords:
        return _read_foreach(node, keywords["foreach"], call.lineno)
    return node._replace(kind=SPLIT if len(targets) > 1 else LINEAR)


def _read_foreach(node: Node, value: ast.expr, line: int) -> Node:
    if len(node.targets) != 1:
        hint = "self.next(self.work, foreach='items')"
        return _wrong(node, "a foreach goes to exactly one step", hint, line)
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        hint = "self.items = …; self.next(self.work, foreach='items')"
        return _wrong(node, "foreach= takes the name of an artifact, as text", hint, line)
    return node._replace(kind=FOREACH, foreach=value.value)


def _step_name(node: ast.expr) -> str | None:
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    ):
        return node.attr
    return None


def _wrong(node: Node, what: str, hint: str, line: int | None = None) -> Node:
    problem = Problem(f"Step '{node.name}': {what}", hint, node.file, line or node.line, node.name)
    return node._replace(kind=None, problems=(problem,))


def _with_parents(nodes: Mapping[str, Node]) -> dict[str, Node]:
    parents: dict[str, set[str]] = {name: set() for name in nodes}
    for node in nodes.values():
        for target in node.targets:
            if target in parents:
                parents[target].add(node.name)
    return {name: n._replace(parents=tuple(sorted(parents[name]))) for name, n in nodes.items()}


def clean_doc(doc: str | None) -> str:
    """Return a docstring without its indentation."""
    lines = (doc or "").expandtabs().splitlines()
    rest = [line for line in lines[1:] if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in rest), default=0)
    return "\n".join([line.strip() for line in lines[:1]] + [s[margin:] for s in lines[1:]]).strip()
