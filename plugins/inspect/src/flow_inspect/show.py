"""``show``: what a flow is: its documentation, its parameters, its steps and the ways between them."""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import Command, CommandContext, describe_options

if TYPE_CHECKING:
    from flow_core.api import Attached, Decorated, Graph, Node, Parameter, Session, StepDefinition


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def show(as_json: bool) -> None:
        session = context.session()
        if as_json:
            context.echo(json.dumps(_data(session), indent=2))
            return
        for line in _text(session):
            context.echo(line)

    return click.Command(
        "show",
        callback=show,
        params=[click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
        help="Show the flow: its documentation, parameters, and steps with what follows each.",
    )


def _text(session: Session) -> Iterator[str]:
    graph, definition = session.graph, session.definition
    place = f"{os.path.relpath(graph.file)}:{graph.line}"
    yield f"{click.style(graph.name, bold=True)}  {click.style(place, dim=True)}"
    yield from _indented(graph.doc, "  ")
    yield from _decorators(definition, "  ")
    if session.configs:
        yield ""
        yield click.style("Configurations", bold=True)
        for name, value in session.configs.items():
            yield f"  {click.style(name, fg='cyan')}  {click.style(_short(value), dim=True)}"
    if definition.parameters:
        yield ""
        yield click.style("Parameters", bold=True)
        yield from _parameters(definition.parameters)
    yield ""
    yield click.style("Steps", bold=True)
    for number, node in enumerate(graph.order()):
        if number:
            yield ""
        yield from _step(graph, node, definition.steps[node.name])
    problems = session.problems()
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        yield ""
        yield click.style(f"The graph has {count}: the command 'check' tells.", fg="red")


def _short(value: Any) -> str:
    text = repr(value.to_dict() if hasattr(value, "to_dict") else value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _parameters(parameters: tuple[Parameter, ...]) -> Iterator[str]:
    width = max(len(f"{p.option} {p.type_name}") for p in parameters)
    for parameter in parameters:
        name = f"{parameter.option} {parameter.type_name}".ljust(width)
        head, *rest = parameter.help.splitlines() or [""]
        texts = [text for text in (head, _note(parameter)) if text]
        yield f"  {click.style(name, fg='cyan')}  {' '.join(texts)}".rstrip()
        yield from (f"  {'':{width}}  {line}" for line in rest)


def _note(parameter: Parameter) -> str:
    if parameter.required:
        return click.style("(required)", dim=True)
    if not parameter.default_text:
        return ""
    default = "computed" if callable(parameter.default) else repr(_default(parameter))
    return click.style(f"(default: {default})", dim=True)


def _step(graph: Graph, node: Node, step: StepDefinition) -> Iterator[str]:
    joins = f"  joins {_listed(node.parents)}" if node.joins else ""
    yield f"  {click.style(node.name, fg='green', bold=True)}{click.style(joins, dim=True)}"
    yield from _indented(node.doc, "    ")
    yield from _decorators(step, "    ")
    if node.node_info:
        yield f"    {click.style(json.dumps(dict(node.node_info)), dim=True)}"
    if node.targets or node.name != graph.end:
        for way in _cases(node) if node.kind == "switch" else [_way(node)]:
            yield f"    {click.style(way, fg='blue')}"


def _decorators(owner: Decorated, margin: str) -> Iterator[str]:
    own = [(_own(use), use.source) for use in owner.uses]
    for text, source in [*own, *((_decorator(one), one.source) for one in owner.attached)]:
        origin = "" if source == "code" else f"  (from {source})"
        yield f"{margin}{click.style(text, fg='yellow')}{origin}"


def _own(use: Any) -> str:
    """``@timed(unit='s')``: a decorator or mutator of the person's own."""
    given = [*map(_shown, use.args), *(f"{n}={_shown(v)}" for n, v in use.kwargs.items())]
    return f"@{use.name}" + (f"({', '.join(given)})" if given else "")


def _decorator(attached: Attached) -> str:
    """``@retry(times=5)``: the options that are not the defaults."""
    given = []
    for option in describe_options(type(attached.options)):
        value = getattr(attached.options, option.name)
        if value != option.default:
            given.append(f"{option.name}={_shown(value)}")
    return f"@{attached.name}" + (f"({', '.join(given)})" if given else "")


def _shown(value: Any) -> str:
    """As it is written in the source, functions by their names."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_shown, value))}]"
    return getattr(value, "__name__", None) or repr(value)


def _way(node: Node) -> str:
    if not node.targets:
        return "→ ?"
    if node.kind == "foreach":
        empty = ", which may be empty" if node.allow_empty else ""
        return f"→ {node.targets[0]}, once for each of self.{node.foreach}{empty}"
    if node.kind == "parallel":
        return f"→ {_listed(node.targets)}, as a gang of {node.num_parallel} tasks"
    if node.kind == "split":
        return f"→ {_listed(node.targets)}, at the same time"
    return f"→ {_listed(node.targets)}"


def _cases(node: Node) -> Iterator[str]:
    for target in node.targets:
        cases = [case for case, step in node.cases if step == target]
        again = " again" if target == node.name else ""
        yield f"→ {target}{again}, if self.{node.condition} is {' or '.join(cases)}"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + "".join(names[-1:])


def _indented(text: str, margin: str) -> Iterator[str]:
    yield from ((margin + line).rstrip() for line in text.splitlines())


def _data(session: Session) -> dict[str, Any]:
    data: dict[str, Any] = session.graph.to_json()
    data["decorators"] = _attached(session.definition)
    for name, step in session.definition.steps.items():
        data["steps"][name]["decorators"] = _attached(step)
    data["configs"] = {name: _jsonable(value) for name, value in session.configs.items()}
    data["parameters"] = [_parameter(p) for p in session.definition.parameters]
    return data


def _attached(owner: Decorated) -> list[dict[str, Any]]:
    own = [
        {
            "name": use.name,
            "arguments": list(map(_jsonable, use.args)),
            "options": {name: _jsonable(value) for name, value in use.kwargs.items()},
            "source": use.source,
        }
        for use in owner.uses
    ]
    attached = owner.attached
    return own + [{"name": a.name, "options": _options(a), "source": a.source} for a in attached]


def _options(attached: Attached) -> dict[str, Any]:
    names = [option.name for option in describe_options(type(attached.options))]
    return {name: _jsonable(getattr(attached.options, name)) for name in names}


def _default(parameter: Parameter) -> Any:
    """The default as it is typed."""
    default = parameter.default
    return default.value if isinstance(default, enum.Enum) else default


def _parameter(parameter: Parameter) -> dict[str, Any]:
    computed = callable(parameter.default)
    return {
        "name": parameter.name,
        "type": parameter.type_name,
        "default": None if computed else _jsonable(_default(parameter)),
        "computed": computed,
        "required": parameter.required,
        "help": parameter.help,
    }


def _jsonable(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)
    return value


command = Command("Show a flow: documentation, parameters, steps.", True, build)
