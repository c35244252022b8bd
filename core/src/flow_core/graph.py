"""The graph of a flow: an immutable value, read from source, with every edge, file and line.

The graph is what the steps' source *says*: the last statement of each step is ``self.next(...)``. It
is known before anything runs, so that problems are found, and pictures drawn, without running.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping
from types import FunctionType, MappingProxyType, NoneType
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

SWITCH_FORM = "self.next({'x': self.a, 'y': self.b}, condition='kind')"
NEXT_FORMS = (
    "self.next(self.a)   self.next(self.a, self.b)   self.next(self.a, foreach='items')   "
    "self.next(self.a, num_parallel=4)   " + SWITCH_FORM
)

_GENERATOR = 0x20 | 0x200
"""`inspect.CO_GENERATOR` and `inspect.CO_ASYNC_GENERATOR`, without the import of `inspect`."""


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
        targets: the steps that follow; of a ``switch`` one of them, which may be the step itself.
        foreach: the artifact that is split over, for ``foreach``.
        allow_empty: whether that may have no items; the join then runs with no inputs.
        condition: the artifact whose value chooses the target, for ``switch``.
        cases: (source text of a value, the step that it leads to), for ``switch``.
        num_parallel: the size of the gang as it is written, for ``parallel``: ``4``, ``self.workers``.
        next_line: line of its ``self.next``; None if it has none.
        parents: steps that lead here, sorted by name.
        decorators: names of the decorators, in order of attachment.
        problems: what is wrong with the step by itself.
        node_info: the author's own facts about the step, JSON data: ``@step(node_info={…})``.
    """

    name: str
    file: str
    line: int
    doc: str
    joins: bool
    kind: str | None
    targets: tuple[str, ...] = ()
    foreach: str | None = None
    allow_empty: bool = False
    condition: str | None = None
    cases: tuple[tuple[str, str], ...] = ()
    num_parallel: str | None = None
    next_line: int | None = None
    parents: tuple[str, ...] = ()
    decorators: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    node_info: Mapping[str, Any] = {}

    @property
    def repeats(self) -> bool:
        """Whether the step may choose itself as the next one: each time it is a new task."""
        return self.name in self.targets


class Graph:
    """The steps of a flow and the ways between them.

    Attributes:
        name: name of the flow.
        file: the flow's file.
        line: line of its class statement.
        doc: its docstring, cleaned.
        nodes: step name → `Node`, in order of definition.
        start, end: names of the first and the last step.
        problems: what is wrong with the flow as a whole, beside what lint finds.
    """

    def __init__(
        self,
        name: str,
        file: str,
        line: int,
        doc: str,
        nodes: Mapping[str, Node],
        start: str = "start",
        end: str = "end",
        problems: tuple[Problem, ...] = (),
    ) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.doc = doc
        self.nodes: Mapping[str, Node] = MappingProxyType(_with_parents(nodes))
        self.start = start
        self.end = end
        self.problems = problems

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
            ready = [n for n in waiting if all(p in placed or p == n.name for p in n.parents)]
            for node in ready or waiting[:1]:
                placed[node.name] = node
            waiting = [n for n in waiting if n.name not in placed]
        return list(placed.values())

    def join_of(self, step: str) -> str:
        """Return the join that closes what ``step`` splits. Of a graph without problems."""
        depth, node = 0, self.nodes[step]
        while True:
            if node.kind not in (LINEAR, SWITCH):
                depth += 1
            # Every way leads to the same join, so any will do.
            node = self.nodes[next(t for t in node.targets if t != node.name)]
            if node.joins:
                depth -= 1
                if depth == 0:
                    return node.name

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data: name, file, doc, and the steps with all that a `Node` knows."""
        steps = {}
        for node in self.nodes.values():
            data = node._asdict()
            del data["problems"]
            data["node_info"] = dict(node.node_info)
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
    start, end, problems = _ends(nodes, steps)
    return Graph(name, file, line, clean_doc(cls.__doc__), nodes, start, end, problems)


def _ends(
    nodes: Mapping[str, Node], steps: Mapping[str, FunctionType]
) -> tuple[str, str, tuple[Problem, ...]]:
    """Return the first and the last step, and what is unclear about them."""
    marks = {name: getattr(f, "__flow_step__", None) for name, f in steps.items()}
    names: dict[str, str] = {}
    problems: list[Problem] = []
    for end in ("start", "end"):
        marked = [n for n, f in marks.items() if getattr(f, end, False)]
        names[end] = marked[0] if marked else end
        rivals = [*marked[1:], *([end] if end in nodes and end not in marked else [])]
        problems.extend(_rival(nodes[rival], marked[0], end) for rival in rivals if marked)
    only = next(iter(nodes.values())) if len(nodes) == 1 else None
    if only is not None and only.kind == END:
        return only.name, only.name, ()
    return names["start"], names["end"], tuple(problems)


def _rival(node: Node, marked: str, end: str) -> Problem:
    which = "first" if end == "start" else "last"
    if node.name == end:
        what = f"Step '{end}' is not the {which} one, since '{marked}' is marked with {end}=True"
        hint = f"rename '{end}', or remove {end}=True from '{marked}'"
    else:
        what = f"Steps '{marked}' and '{node.name}' are both marked with {end}=True"
        hint = f"a flow has one {which} step: remove one of the marks"
    return Problem(what, hint, node.file, node.line, node.name)


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
        node_info=getattr(getattr(function, "__flow_step__", None), "node_info", {}),
    )
    if tree is None:
        return _wrong(node, "its source cannot be read", "save the file and start again")
    if code.co_flags & _GENERATOR:
        return _wrong(node, "it has a 'yield', so its body would never run", "return nothing")
    if not 1 <= code.co_argcount <= 2:
        hint = f"def {step}(self): or, for a join, def {step}(self, inputs):"
        return _wrong(node, f"it takes {code.co_argcount} arguments", hint)
    return _read_transition(node, tree)


def _read_transition(node: Node, tree: ast.FunctionDef | ast.AsyncFunctionDef) -> Node:
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
    if "condition" in keywords or any(isinstance(a, ast.Dict) for a in call.args):
        return _read_switch(node, call, keywords)
    targets = tuple(filter(None, map(_step_name, call.args)))
    if len(targets) != len(call.args) or not targets:
        return _wrong(node, "its self.next(...) is not understood", NEXT_FORMS, call.lineno)
    node = node._replace(targets=targets)
    if "num_parallel" in keywords:
        return _read_gang(node, keywords, call.lineno)
    if set(keywords) - {"foreach", "allow_empty"}:
        unknown = ", ".join(sorted(str(k) for k in set(keywords) - {"foreach", "allow_empty"}))
        return _wrong(node, f"self.next(...) has no argument '{unknown}'", NEXT_FORMS, call.lineno)
    if keywords:
        return _read_foreach(node, keywords, call.lineno)
    return node._replace(kind=SPLIT if len(targets) > 1 else LINEAR)


def _read_foreach(node: Node, keywords: Mapping[str | None, ast.expr], line: int) -> Node:
    value, empty = keywords.get("foreach"), keywords.get("allow_empty")
    if value is None:
        hint = "self.next(self.work, foreach='items', allow_empty=True)"
        return _wrong(node, "allow_empty= goes with foreach= only", hint, line)
    if len(node.targets) != 1:
        hint = "self.next(self.work, foreach='items')"
        return _wrong(node, "a foreach goes to exactly one step", hint, line)
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        hint = "self.items = …; self.next(self.work, foreach='items')"
        return _wrong(node, "foreach= takes the name of an artifact, as text", hint, line)
    if empty is not None and not (
        isinstance(empty, ast.Constant) and isinstance(empty.value, bool)
    ):
        hint = "self.next(self.work, foreach='items', allow_empty=True)"
        return _wrong(node, "allow_empty= is True or False, written out", hint, line)
    allowed = isinstance(empty, ast.Constant) and empty.value is True
    return node._replace(kind=FOREACH, foreach=value.value, allow_empty=allowed)


def _read_switch(node: Node, call: ast.Call, keywords: Mapping[str | None, ast.expr]) -> Node:
    def wrong(what: str, hint: str = SWITCH_FORM, line: int = call.lineno) -> Node:
        return _wrong(node, what, hint, line)

    dicts = [a for a in call.args if isinstance(a, ast.Dict)]
    others = sorted(str(k) for k in keywords if k != "condition")
    condition = keywords.get("condition")
    if others:
        return wrong(f"a switch takes no other argument than condition=, but has '{others[0]}'")
    if len(call.args) != 1 or not dicts:
        return wrong("condition= goes with one dict, written out: value → step")
    if condition is None:
        return wrong("a switch needs condition=, the name of the artifact that chooses")
    if not (isinstance(condition, ast.Constant) and isinstance(condition.value, str)):
        return wrong("condition= takes the name of an artifact, as text")
    cases: dict[str, str] = {}
    for key, value in zip(dicts[0].keys, dicts[0].values, strict=True):
        case, target = _case(key), _step_name(value)
        if case is None:
            what = ast.unparse(key) if key is not None else f"**{ast.unparse(value)}"
            hint = "a text, number, True, False, None, or self.config.key"
            return wrong(f"the case {what} of its switch is not written out", hint, value.lineno)
        if target is None:
            return wrong(f"the case {case} of its switch leads to no step", line=value.lineno)
        if case in cases:
            return wrong(f"its switch has the case {case} twice", "remove one", value.lineno)
        cases[case] = target
    targets = tuple(dict.fromkeys(cases.values()))
    if len(targets) < 2:
        hint = f"self.next(self.{targets[0]})" if targets else SWITCH_FORM
        return wrong("a switch needs two steps to choose from", hint)
    return node._replace(
        kind=SWITCH, targets=targets, condition=condition.value, cases=tuple(cases.items())
    )


def _case(key: ast.expr | None) -> str | None:
    """Return the text of a value in a switch; None when it may be anything."""
    if key is None:
        return None
    inner = key
    while isinstance(inner, ast.Attribute) or (
        isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant)
    ):
        inner = inner.value
    if inner is not key and isinstance(inner, ast.Name) and inner.id == "self":
        return ast.unparse(key)
    try:
        value = ast.literal_eval(key)
    except ValueError:
        return None
    return repr(value) if isinstance(value, (str, int, float, NoneType)) else None


def _read_gang(node: Node, keywords: Mapping[str | None, ast.expr], line: int) -> Node:
    hint = f"self.next(self.{node.targets[0]}, num_parallel=4)"
    others = sorted(str(k) for k in set(keywords) - {"num_parallel"})
    if others:
        both = f"uses num_parallel= together with {others[0]}="
        if others == ["foreach"]:
            hint = "go on with foreach=, and from each of its tasks with num_parallel="
        return _wrong(node, f"it {both}", hint, line)
    if len(node.targets) != 1:
        return _wrong(node, "num_parallel= goes to exactly one step", hint, line)
    value = keywords["num_parallel"]
    try:
        size = ast.literal_eval(value)
    except ValueError:  # it is computed when the step runs, and checked then
        return node._replace(kind=PARALLEL, num_parallel=ast.unparse(value))
    if isinstance(size, str):
        return node._replace(kind=PARALLEL, num_parallel=f"self.{size}")
    if not isinstance(size, int) or isinstance(size, bool):
        what = "num_parallel= takes a whole number, or the name of an artifact, as text"
        return _wrong(node, what, hint, line)
    if size < 1:
        return _wrong(node, f"num_parallel={size}, but a gang has at least one task", hint, line)
    return node._replace(kind=PARALLEL, num_parallel=str(size))


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
