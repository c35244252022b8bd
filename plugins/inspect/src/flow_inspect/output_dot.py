"""``output-dot``: the graph of a flow as Graphviz source."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    from flow_core.api import Graph, Node


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def output_dot(as_json: bool) -> None:
        graph = context.session().graph
        if as_json:
            context.echo(json.dumps(graph.to_json(), indent=2))
            return
        for line in _dot(graph):
            context.echo(line)

    return click.Command(
        "output-dot",
        callback=output_dot,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print the graph as JSON.")],
        help="Print the graph as Graphviz source. To see it: … output-dot | dot -Tsvg > flow.svg",
    )


def _dot(graph: Graph) -> Iterator[str]:
    yield f"digraph {_quoted(graph.name)} {{"
    yield "  rankdir=LR;"
    yield '  node [shape=box, style=rounded, fontname="Helvetica"];'
    yield '  edge [fontname="Helvetica", fontsize=10];'
    for node in graph:
        yield f"  {_quoted(node.name)} [{_shape(graph, node)}];"
    for node in graph:
        for target in node.targets:
            yield f"  {_quoted(node.name)} -> {_quoted(target)}{_edge(node, target)};"
    yield "}"


def _shape(graph: Graph, node: Node) -> str:
    label = f"label={_quoted(node.name)}"
    if node.joins:
        return f"{label}, shape=invtrapezium"
    if node.kind == "foreach":
        return f"{label}, shape=trapezium, peripheries=2"
    if node.kind == "parallel":
        return f"{label}, shape=trapezium, peripheries=3"
    if node.kind == "split":
        return f"{label}, shape=trapezium"
    if node.kind == "switch":
        return f"{label}, shape=diamond"
    if node.name in (graph.start, graph.end):
        return f"{label}, shape=ellipse"
    return label


def _edge(node: Node, target: str) -> str:
    if node.kind == "switch":
        cases = " or ".join(case for case, step in node.cases if step == target)
        return f" [label={_quoted(f'{node.condition} is {cases}')}, style=dashed]"
    if node.kind == "foreach":
        label = _quoted(f"for each of {node.foreach}")
        return f' [label={label}, color="black:invis:black"]'
    if node.kind == "parallel":
        label = _quoted(f"gang of {node.num_parallel}")
        return f' [label={label}, color="black:black:black"]'
    return ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


command = Command("Print the graph of a flow as Graphviz source.", True, build)
