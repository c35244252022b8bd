"""The commands whose output scripts read, and the names of those that are not offered."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from flow_core.api import Command, CommandContext, LintError, UsageError
from flow_metaflow import VERSION
from flow_metaflow.exceptions import CommandException

_NOT_OFFERED = {
    "card": "old flows cannot leave cards yet (flow-cards makes them for flows of flow-core)",
    "kubernetes": "it is a command of flow-kubernetes: flow kubernetes",
    "batch": "nothing runs steps on AWS Batch",
    "argo-workflows": "nothing deploys flows to Argo Workflows yet (flow-argo)",
    "step-functions": "nothing deploys flows to AWS Step Functions",
    "airflow": "nothing deploys flows to Airflow",
    "spot-metadata": "nothing watches for the end of spot instances",
    "package": "the code of a run is shown by flow-core's command 'code'",
    "init": "flow-core starts its tasks in another way",
    "step": "flow-core starts its tasks in another way",
    "spin-step": "flow-core starts its tasks in another way",
}
_RUN_HERE = "python -m flow_metaflow {flow} run"
_INSTEAD = {
    "card": "python -m flow_metaflow {flow} dump RUN/STEP, for the artifacts that cards show",
    "package": "python -m flow_metaflow {flow} code --help",
    "spin-step": "python -m flow_metaflow {flow} spin STEP",
    "spot-metadata": "leave it out",
}
"""What to type instead; `_RUN_HERE` of all others."""


def own_commands() -> dict[str, Command]:
    """Return the commands that stand before those of flow-core's plugins."""
    return {
        "check": Command("Check that the flow is valid (default).", True, _check),
        "show": Command("Show structure of the flow.", True, _show),
        "dump": Command("Get data artifacts of a task or all tasks in a step.", True, _dump),
        "logs": Command("Show what tasks wrote.", True, _logs),
        "output-raw": Command("Output the graph as data.", True, _output_raw),
        "version": Command("Print the version.", True, _version),
        **{
            name: Command(f"Not offered: {why}.", True, _refusal(name))
            for name, why in _NOT_OFFERED.items()
        },
    }


def _refusal(name: str) -> Callable[[CommandContext], click.Command]:
    def build(context: CommandContext) -> click.Command:
        raise UsageError(
            f"The command '{name}' is not offered by flow-metaflow",
            where=sys.argv[0],
            why=_NOT_OFFERED[name],
            hint=_INSTEAD.get(name, _RUN_HERE).format(flow=sys.argv[0]),
        )

    return build


def _version(context: CommandContext) -> click.Command:
    return click.Command("version", callback=lambda: click.echo(VERSION))


# --- the flow -----------------------------------------------------------------------------------


def _check(context: CommandContext) -> click.Command:
    def check(**_: Any) -> None:
        session = context.session()
        click.echo("Validating your flow...", err=True)
        problems = session.problems()
        if problems:
            raise LintError(session.definition.name, problems)
        click.echo("    The graph looks good!", err=True)

    return click.Command(
        "check", callback=check, params=[click.Option(["--warnings/--no-warnings"])]
    )


def _show(context: CommandContext) -> click.Command:
    def show() -> None:
        definition = context.session().definition
        if context.flow.__doc__:
            click.echo(f"\n{_dedent(context.flow.__doc__)}\n", err=True)
        for node in context.session().graph:
            for attached in definition.steps[node.name].attached:
                click.echo(f"@{attached.name}")
            doc = definition.steps[node.name].function.__doc__
            click.echo(f"Step {node.name}\n    {_dedent(doc or '?')}")
            if node.targets:
                click.echo(f"    => {', '.join(node.targets)}")

    return click.Command("show", callback=show)


def _dedent(text: str) -> str:
    import inspect

    return inspect.cleandoc(text)


def _output_raw(context: CommandContext) -> click.Command:
    def output_raw(as_json: bool) -> None:
        session = context.session()
        graph = {node.name: _raw(session, node) for node in session.graph}
        if as_json:
            click.echo("Internal representation of the flow in JSON format:", err=True)
            click.echo(json.dumps({"graph": graph}, indent=4))
            return
        click.echo("Internal representation of the flow:", err=True)
        for name, facts in graph.items():
            click.echo(f"{name}: {json.dumps(facts)}")

    return click.Command(
        "output-raw",
        callback=output_raw,
        params=[click.Option(["--json/--no-json", "as_json"], default=False)],
    )


_TYPES = {"foreach": "split-foreach", "parallel": "split-parallel", "switch": "split-switch"}


def _raw(session: Any, node: Any) -> dict[str, Any]:
    step = session.definition.steps[node.name]
    kind = "join" if node.joins else _TYPES.get(node.kind, node.kind)
    facts = {
        "name": node.name,
        "type": kind,
        "line": node.line,
        "source_file": node.file,
        "doc": _dedent(step.function.__doc__ or ""),
        "decorators": [{"name": a.name} for a in step.attached],
        "next": list(node.targets),
    }
    if node.foreach:
        facts["foreach_artifact"] = node.foreach
    if node.condition:
        facts["condition"] = node.condition
    return facts


# --- what runs have left ------------------------------------------------------------------------


def _dump(context: CommandContext) -> click.Command:
    def dump(
        input_path: str, private: bool, max_value_size: int, include: str | None, file: str | None
    ) -> None:
        names = {name.strip() for name in include.split(",")} if include else None
        written: dict[str, dict[str, Any]] = {}
        for task in _tasks(context, input_path):
            _, run, step, number = task.pathspec.split("/")
            place = f"run_id={run} step={step} task_id={number}"
            click.echo(f"Dumping output of {place}", err=True)
            found = dict(_artifacts(task, private, names))
            if file:
                written[f"{run}/{step}/{number}"] = {n: a.data for n, a in found.items()}
                continue
            for name, artifact in found.items():
                click.echo(_artifact_line(name, artifact, max_value_size))
        if file:
            with open(file, "wb") as target:
                pickle.dump(written, target)
            click.echo(f"Artifacts written to {file}", err=True)

    return click.Command(
        "dump",
        callback=dump,
        params=[
            click.Argument(["input_path"]),
            click.Option(["--private/--no-private"], default=False),
            click.Option(["--max-value-size"], type=int, default=1000),
            click.Option(["--include"]),
            click.Option(["--file"]),
        ],
    )


def _artifacts(task: Any, private: bool, names: set[str] | None) -> Iterator[tuple[str, Any]]:
    for name in sorted(dir(task._inner.data)):
        if (private or not name.startswith("_")) and (names is None or name in names):
            yield name, task[name]


def _artifact_line(name: str, artifact: Any, limit: int) -> str:
    value = artifact.data if artifact.size <= limit else None
    shown = str(value) if artifact.size <= limit else "< artifact too large >"
    kind = artifact.type.removeprefix("builtins.")
    return f"{name} [size: {artifact.size} type: <class '{kind}'>] = {shown}"


def _logs(context: CommandContext) -> click.Command:
    def show(
        input_path: str, streams: tuple[str, ...], attempt: int | None, timestamps: bool
    ) -> None:
        if timestamps:
            options = [f"--{stream}" for stream in streams]
            options += ["--attempt", str(attempt)] if attempt is not None else []
            ours([input_path, "--timestamps", *options])
            return
        for task in _tasks(context, input_path, attempt):
            _, run, step, number = task.pathspec.split("/")
            place = f"run_id={run} step={step} task_id={number}"
            click.echo(f"Dumping logs of {place}", err=True)
            for stream in ("stdout", "stderr"):
                if not streams or stream in streams or "both" in streams:
                    click.echo(stream, err=True)
                    click.echo(getattr(task, stream), nl=False)

    def ours(arguments: list[str]) -> None:
        """Let flow-core's own command do it, whose output is its own too."""
        command = context.session().index.load("flow.commands", "logs").build(context)
        with command.make_context(f"{context.name} logs", arguments) as inner:
            command.invoke(inner)

    group = click.Group("logs")
    group.add_command(
        click.Command(
            "show",
            callback=show,
            params=[
                click.Argument(["input_path"]),
                *(
                    click.Option([f"--{s}", "streams"], flag_value=s, multiple=True)
                    for s in ("stdout", "stderr", "both")
                ),
                click.Option(["--attempt"], type=int),
                click.Option(["--timestamps/--no-timestamps"], default=False),
            ],
        )
    )
    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    anything = {"ignore_unknown_options": True, "help_option_names": []}
    group.add_command(
        click.Command(
            "scrub",
            callback=lambda words: ours(["scrub", *words]),
            params=[words],
            context_settings=anything,
        )
    )
    return group


def _tasks(context: CommandContext, path: str, attempt: int | None = None) -> Iterator[Any]:
    """Yield the tasks of ``run/step`` or ``run/step/task``, in the order of their numbers."""
    from flow_metaflow import client

    client.namespace(None)  # what is named is shown, whoever ran it
    flow = context.session().definition.name
    parts = path.split("/")
    if len(parts) not in (2, 3):
        error = UsageError(
            f"'{path}' is not the place of a step or a task",
            where=f"flow {flow}",
            why="it has the form RUN/STEP or RUN/STEP/TASK",
            hint=f"{path.strip('/')}/start" if len(parts) == 1 else "RUN/STEP",
        )
        raise CommandException.of(error)
    if len(parts) == 3:
        yield client.Task(f"{flow}/{path}", attempt)
        return
    for task in sorted(client.Step(f"{flow}/{path}"), key=lambda task: int(task.id)):
        yield client.Task(task.pathspec, attempt) if attempt is not None else task
