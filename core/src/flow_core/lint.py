"""Lint: what is wrong with a graph, all of it at once, each with the line and what to change."""

from __future__ import annotations

from collections.abc import Iterator

from flow_core.errors import did_you_mean
from flow_core.graph import END, FOREACH, LINEAR, PARALLEL, SWITCH, Graph, Node, Problem

Split = tuple[str, str]  # (the step that splits, the target that begins this branch)


def lint(graph: Graph) -> list[Problem]:
    """Return all problems of ``graph``, in the order of the source."""
    problems = [
        *graph.problems,
        *_ends(graph),
        *(p for node in graph for p in node.problems),
        *(p for node in graph for p in _node(graph, node)),
        *_cycles(graph),
    ]
    # Where a step's way on is not known, what follows it only seems to be unreachable.
    if graph.start in graph and all(_way_known(graph, node) for node in graph):
        problems.extend(_unreachable(graph))
    if not problems:
        problems = _balance(graph)
    return sorted(problems, key=lambda p: (p.file or "", p.line or 0))


def _ends(graph: Graph) -> Iterator[Problem]:
    for name, what in ((graph.start, "first"), (graph.end, "last")):
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
    before = [p for p in node.parents if p != node.name]
    if node.name == graph.start and (node.joins or before):
        what = "takes inputs" if node.joins else f"is reached from '{before[0]}'"
        yield problem(f"is the first step but {what}", f"def {node.name}(self):", node.line)
    if node.name == graph.end and node.kind not in (END, None):
        yield problem("is the last step but calls self.next", "remove self.next from it")
    if node.name != graph.end and node.kind == END:
        yield problem(
            "does not say what follows", "end it with self.next(self.some_step)", node.line
        )
    if len(set(node.targets)) < len(node.targets):
        yield problem("goes to one step twice", "name each step once")
    if node.joins and node.repeats:
        yield problem(
            "is a join that may choose itself, but the inputs are there once only",
            "let the join go on to a step that repeats",
        )
    if node.kind == PARALLEL and node.targets[0] in graph:
        yield from _gang(graph, node, graph[node.targets[0]])
    # Where a step chooses, ways may meet without a join: see `_balance`.
    decided = any(n.kind == SWITCH for n in graph)
    if not node.joins and len(node.parents) > 1 and not decided:
        yield _must_join(node)
    if node.kind == FOREACH and node.targets and _joins(graph, node.targets[0]):
        yield problem(
            f"splits with foreach straight into the join '{node.targets[0]}'",
            "put a step between them",
        )


def _must_join(node: Node) -> Problem:
    return Problem(
        f"Step '{node.name}' is reached from {_list(node.parents)}, so it must join them",
        f"def {node.name}(self, inputs):",
        node.file,
        node.line,
        node.name,
    )


def _gang(graph: Graph, node: Node, member: Node) -> Iterator[Problem]:
    """The tasks of a gang begin together and end together: a join follows directly."""
    if member.joins:
        yield Problem(
            f"Step '{node.name}' goes with num_parallel= straight into the join '{member.name}'",
            "put a step between them",
            node.file,
            node.next_line,
            node.name,
        )
    elif member.kind is not None and not (
        member.kind == LINEAR and _joins(graph, member.targets[0])
    ):
        yield Problem(
            f"Step '{member.name}' is entered with num_parallel=, so a join must follow it",
            "self.next(self.join), with def join(self, inputs):",
            member.file,
            member.next_line or member.line,
            member.name,
        )


def _way_known(graph: Graph, node: Node) -> bool:
    known = node.name == graph.end or node.kind not in (END, None)
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
            elif target == name and graph[name].kind == SWITCH:
                continue
            elif target in trail:
                yield _ring(graph, [*trail[trail.index(target) :], target])
            elif target in graph and target not in done:
                stack.append((target, iter(graph[target].targets)))


def _ring(graph: Graph, ring: list[str]) -> Problem:
    last = graph[ring[-2]]
    hint = "a flow goes forward only: remove one of these self.next"
    if len(ring) == 2:
        hint = (
            f"to repeat it, let it choose: self.next({{'again': self.{ring[0]}, …}}, condition=…)"
        )
    elif any(graph[name].kind == SWITCH for name in ring):
        hint = "only one step can repeat, by choosing itself: do the work of the ring in one step"
    return Problem(
        f"Steps go round in a ring: {' → '.join(ring)}", hint, last.file, last.next_line, last.name
    )


def _unreachable(graph: Graph) -> Iterator[Problem]:
    reached = {graph.start}
    waiting = [graph.start]
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
    """Follow every way from the start, keeping the open splits; joins must close them in order.

    Ways with the same open splits never run together: a switch has chosen one of them. They may
    meet in any step, which then gets one input.
    """
    problems: list[Problem] = []
    inside: dict[str, tuple[Split, ...]] = {}  # step → the splits that are open in it
    closed: dict[str, str] = {}  # a step that splits → its join
    for node in graph.order():
        parents = [p for p in node.parents if p != node.name]
        arriving = {p: _leave(graph[p], node.name, inside) for p in parents if p in inside}
        if len(arriving) < len(parents):
            continue  # a step before this one has a problem already
        splits: tuple[Split, ...] | Problem = next(iter(arriving.values()), ())
        if node.joins:
            splits = _close(graph, node, arriving, closed)
        elif len(set(arriving.values())) > 1:
            splits = _must_join(node)
        if isinstance(splits, Problem):
            problems.append(splits)
            continue
        inside[node.name] = splits
        if node.kind == END and splits:
            problems.append(_never_joined(node, splits))
    return problems


def _leave(parent: Node, target: str, inside: dict[str, tuple[Split, ...]]) -> tuple[Split, ...]:
    """Return the splits that are open on the way from ``parent`` to ``target``."""
    own = () if parent.kind in (LINEAR, SWITCH) else ((parent.name, target),)
    return (*inside[parent.name], *own)


def _close(
    graph: Graph, node: Node, arriving: dict[str, tuple[Split, ...]], closed: dict[str, str]
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
    if len({splits[:-1] for splits in arriving.values()}) > 1:
        return problem(
            f"joins branches of different splits ({_list(origins)})",
            "join the branches of the inner split first",
        )
    # Several splits with nothing but the same around them: a switch chose one of them.
    for split in origins:
        begun = {splits[-1][1] for splits in arriving.values() if splits[-1][0] == split}
        missing = [t for t in graph[split].targets if t not in begun]
        if missing:
            return problem(
                f"does not join all branches of '{split}': {_list(missing)} does not lead there",
                f"let every branch of '{split}' end in self.next(self.{node.name})",
            )
        if closed.setdefault(split, node.name) != node.name:
            return problem(
                f"joins the branches of '{split}', but '{closed[split]}' does so as well: "
                "some may come here and some there",
                "let the ways of the switch meet in a step before the join",
            )
    return next(iter(arriving.values()))[:-1]


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
