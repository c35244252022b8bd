"""Every command that reads has ``--json``, and what it prints then is JSON of a known shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest

from flow_core import FlowSpec, step
from flow_core.api import Settings, installed
from flow_core.cli import Context
from flow_core.testing import FlowTester

WRITES = {
    "run",
    "resume",
    "debug",
    "card server",  # serves until it is ended
    "card view",  # opens a browser
    "env shell",  # whatever the command in it prints
    "code show",  # the bytes of a file
    "plugins stubs",  # writes a file of Python
    "kubernetes logs",  # what a pod has written
    "slurm sandbox",  # whatever the command in it prints
    "slurm script",  # a script
}
"""What does, or prints, something else than to tell what there is."""

READS: dict[str, tuple[list[str], type, str]] = {
    "card get": (["card", "get", "F/1/start"], dict, "hash html pathspec type"),
    "card list": (["card", "list", "F/1"], list, "attempt hash id origin pathspec type"),
    "card run": (["card", "run", "F/1"], dict, "hash key path pathspec type"),
    "check": (["check", "flow.py"], dict, "flow problems steps"),
    "code checkout": (["code", "checkout", "F/1", "--to", "out"], dict, "files folder run"),
    "code diff": (["code", "diff", "F/1", "F/2"], dict, "files new old"),
    "code list": (["code", "list", "F/1"], dict, "files run"),
    "diff": (
        ["diff", "F/1", "F/2"],
        dict,
        "artifacts code constants new old parameters steps",
    ),
    "dump": (["dump", "F/1"], list, "artifacts attempt pathspec state"),
    "logs": (["logs", "F/1"], list, "attempt origin pathspec state stderr stdout"),
    "doctor": (["doctor"], dict, "status lines settings"),
    "env clean": (["env", "clean", "--dry-run"], dict, "bytes environments removed"),
    "env list": (["env", "list"], dict, "bytes caches environments folder"),
    "gc": (["gc", "--keep-last", "9", "--dry-run"], dict, ""),
    "output-dot": (["output-dot", "flow.py"], dict, "steps"),
    "plugins": (["plugins"], list, "name"),
    "plugins check": (["plugins", "check", "run"], list, "name status findings"),
    "plugins hooks": (["plugins", "hooks"], list, "name implementations process"),
    "plugins show": (["plugins", "show", "run"], dict, "name status hooks"),
    "reindex": (["reindex"], dict, "problems runs"),
    "reproduce": (["reproduce", "F/1", "--against", "F/1"], dict, "equal new old steps"),
    "runs": (["runs"], list, "created_at parameters run state tags user"),
    "tasks": (["tasks", "F/1"], list, "attempt started_at state task"),
    "show": (["show", "flow.py"], dict, "decorators parameters steps"),
    "spin": (["spin", "flow.py", "start"], dict, "artifacts earlier failure pathspec state"),
    "status": (["status"], dict, "flows index store user version"),
    "store check": (["store", "check"], dict, "findings store"),
    "store migrate": (["store", "migrate", "local", "local://to", "--dry-run"], dict, "copied"),
    "tag list": (["tag", "list", "--all"], list, "run tags"),
    "version": (["version"], dict, "flow_core plugins python"),
}
"""Command → how it is called, the type of its JSON, and keys that it (or its first row) has."""

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)

        @step
        def start(self):
            print("hello")
            self.x = self.alpha
            self.next(self.end)

        @step
        def end(self):
            pass
    """


class AnyFlow(FlowSpec):
    """For commands that need a flow to tell their options."""

    @step
    def start(self):
        """Begin."""
        self.next(self.end)

    @step
    def end(self):
        """End."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    lab = FlowTester(tmp_path_factory.mktemp("json"))
    commands = [e for e in installed().entry_points if e.group == "flow.commands"]
    lab.more_plugins = sorted({entry.plugin for entry in commands})
    lab.write(FLOW)
    for alpha in ("1", "2"):
        lab.flow("--with", "card", "run", "flow.py", "--alpha", alpha).check()
    return lab


@pytest.mark.parametrize("command", sorted(READS))
def test_it_prints_json(lab: FlowTester, command: str) -> None:
    arguments, kind, keys = READS[command]
    data = json.loads(lab.flow(*arguments, "--json").check().stdout)
    assert type(data) is kind
    row: Any = data[0] if kind is list else data
    assert set(keys.split()) <= set(row)


def _commands() -> dict[str, click.Command]:
    """Return the commands of all plugins, those of groups by both names."""
    found: dict[str, click.Command] = {}
    for name in installed().names("flow.commands"):
        provider = installed().load("flow.commands", name)
        context = Context(AnyFlow if provider.needs_flow else None, installed(), Settings({}))
        context.name = name
        command = provider.build(context)
        if isinstance(command, click.Group):
            found |= dict(_parts(name, command))
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[name] = command
    return found


def _parts(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for part in group.list_commands(context):
        command = group.get_command(context, part)
        assert command is not None
        yield f"{name} {part}", command


def test_each_command_that_reads_can_print_json() -> None:
    """A new command belongs into one of the tables above."""
    without = {
        name
        for name, command in _commands().items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without <= WRITES
