"""Lint: what is wrong with a graph, all of it at once, each with the line and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from flow_core.errors import did_you_mean
from flow_core.graph import END, FOREACH, LINEAR, PARALLEL, SWITCH, Graph, Node, Problem

Split = tuple[str, str]  # (the step that splits, the target that begins this branch)


def lint(graph: Graph) -> list[Problem]:
    """Return all problems of ``graph``, in the order of the source."""
    problems = [
        *_ends(graph),
        *(p for node in graph for p in node.problems),
        *(p for node in graph for p in _node(graph, node)),
        *_cycles(graph),
    ]
    # Where a step's way on is not known, what follows it only seems to be unreachable.
    if "start" in graph and all(_way_known(graph, node) for node in graph):
        problems.extend(_unreachable(graph))
    if not problems:
        problems = _balance(graph)
    return sorted(problems, key=lambda p: (p.file or "", p.line or 0))


def _ends(graph: Graph) -> Iterator[Problem]:
    for name, what in (("start", "first"), ("end", "last")):
        if name not in graph:
            hint = did_you_mean(name, graph.nodes) if graph.nodes else ""
            yield Problem(
                f"Flow '{graph.name}' has no step '{name}'",
                hint if hint.startswith("did") else f"add the {what} step: @step def {name}(self):",
                graph.file,
                graph.line,
            )


def _node(graph: Graph, node: Node) -> Iterator[Problem]:
    """Problems that show in one step and its direct neighbours."""

    def problem(what: str, hint: str, line: int | None = None) -> Problem:
        where = line or node.next_line or node.line
        return Problem(f"Step '{node.name}' {what}", hint, node.file, where, node.name)

    for target in node.targets:
        if target not in graph:
            hint = did_you_mean(target, graph.nodes)
            yield problem(
                f"goes to '{target}', which is no step", f"put @step above def {target}, or: {hint}"
            )
    if node.name == "start" and (node.joins or node.parents):
        what = "takes inputs" if node.joins else f"is reached from '{node.parents[0]}'"
        yield problem(f"is the first step but {what}", "def start(self):", node.line)
    if node.name == "end" and node.kind not in (END, None):
        yield problem("is the last step but calls self.next", "remove self.next from it")
    if node.name != "end" and node.kind == END:
        yield problem(
            "does not say what follows", "end it with self.next(self.some_step)", node.line
        )
    if len(set(node.targets)) < len(node.targets):
        yield problem("goes to one step twice", "name each step once")
    if node.kind == SWITCH:
        yield problem(
            "uses condition=, which flow-core does not support yet", "split, or decide in the step"
        )
    if node.kind == PARALLEL:
        yield problem(
            "uses num_parallel=, which flow-core does not support yet", "use foreach= instead"
        )
    decided = any(n.kind in (SWITCH, PARALLEL) for n in graph)  # then ways meet without a join
    if not node.joins and len(node.parents) > 1 and not decided:
        yield problem(
            f"is reached from {_list(node.parents)}, so it must join them",
            f"def {node.name}(self, inputs):",
            node.line,
        )
    if node.kind == FOREACH and node.targets and _joins(graph, node.targets[0]):
        yield problem(
            f"splits with foreach straight into the join '{node.targets[0]}'",
            "put a step between them",
        )


def _way_known(graph: Graph, node: Node) -> bool:
    known = node.name == "end" or node.kind not in (END, SWITCH, PARALLEL, None)
    return known and all(target in graph for target in node.targets)


def _joins(graph: Graph, step: str) -> bool:
    return step in graph and graph[step].joins


def _cycles(graph: Graph) -> Iterator[Problem]:
    done: set[str] = set()
    for first in graph.nodes:
        trail: list[str] = []
        stack = [(first, iter(graph[first].targets))] if first not in done else []
        while stack:
            name, targets = stack[-1]
            if not trail or trail[-1] != name:
                trail.append(name)
            target = next(targets, None)
            if target is None:
                done.add(name)
                stack.pop()
                trail.pop()
            elif target in trail:
                ring = [*trail[trail.index(target) :], target]
                yield Problem(
                    f"Steps go round in a ring: {' → '.join(ring)}",
                    "a flow goes forward only: remove one of these self.next",
                    graph[name].file,
                    graph[name].next_line,
                    name,
                )
            elif target in graph and target not in done:
                stack.append((target, iter(graph[target].targets)))


def _unreachable(graph: Graph) -> Iterator[Problem]:
    reached = {"start"}
    waiting = ["start"]
    while waiting:
        for target in graph[waiting.pop()].targets:
            if target not in reached:
                reached.add(target)
                waiting.append(target)
    for node in graph:
        if node.name not in reached:
            yield Problem(
                f"Step '{node.name}' is never reached",
                f"go there with self.next(self.{node.name}), or remove it",
                node.file,
                node.line,
                node.name,
            )


def _balance(graph: Graph) -> list[Problem]:
    """Follow every way from the start, keeping the open splits; joins must close them in order."""
    problems: list[Problem] = []
    inside: dict[str, tuple[Split, ...]] = {}  # step → the splits that are open in it
    for node in graph.order():
        arriving = {p: _leave(graph[p], node.name, inside) for p in node.parents if p in inside}
        if len(arriving) < len(node.parents):
            continue  # a step before this one has a problem already
        splits: tuple[Split, ...] | Problem = next(iter(arriving.values()), ())
        if node.joins:
            splits = _close(graph, node, arriving)
        if isinstance(splits, Problem):
            problems.append(splits)
            continue
        inside[node.name] = splits
        if node.kind == END and splits:
            problems.append(_never_joined(node, splits))
    return problems


def _leave(parent: Node, target: str, inside: dict[str, tuple[Split, ...]]) -> tuple[Split, ...]:
    """Return the splits that are open on the way from ``parent`` to ``target``."""
    own = () if parent.kind == LINEAR else ((parent.name, target),)
    return (*inside[parent.name], *own)


def _close(
    graph: Graph, node: Node, arriving: dict[str, tuple[Split, ...]]
) -> tuple[Split, ...] | Problem:
    def problem(what: str, hint: str) -> Problem:
        return Problem(f"Join '{node.name}' {what}", hint, node.file, node.line, node.name)

    loose = [p for p, splits in arriving.items() if not splits]
    if loose:
        return problem(
            f"is reached from {_list(loose)} outside of any split",
            f"def {node.name}(self): if there is nothing to join",
        )
    origins = sorted({splits[-1][0] for splits in arriving.values()})
    outer = {splits[:-1] for splits in arriving.values()}
    if len(outer) > 1 or len(origins) > 1:
        return problem(
            f"joins branches of different splits ({_list(origins)})",
            "join the branches of the inner split first",
        )
    split = graph[origins[0]]
    begun = {splits[-1][1] for splits in arriving.values()}
    missing = [t for t in split.targets if t not in begun]
    if missing:
        return problem(
            f"does not join all branches of '{split.name}': {_list(missing)} does not lead there",
            f"let every branch of '{split.name}' end in self.next(self.{node.name})",
        )
    return outer.pop()


def _never_joined(node: Node, splits: tuple[Split, ...]) -> Problem:
    return Problem(
        f"Step '{node.name}' is reached before the split of '{splits[-1][0]}' was joined",
        "add a join step before it: def join(self, inputs):",
        node.file,
        node.line,
        node.name,
    )


def _list(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(f"'{n}'" for n in names)
