"""``env shell``: a shell, or a command, in the environment of a step."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import NotFound, TaskCommand, UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session
    from flow_envs.targets import Target

_HELP = """Open a shell in the environment of a step, or run a COMMAND in it: with its python first on the
PATH, and the variables that tasks of the step have. flow_core can be imported, as in a task.

TARGET is a step of today's flow, FLOW/RUN/STEP, or a lock of this machine. What is not there is built first.
The exit status is that of the shell, or of the COMMAND."""


def shell_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def shell(words: tuple[str, ...]) -> None:
        from flow_envs.targets import opened

        with opened(context, words) as (session, names):
            if not names:
                raise _nothing_named(session)
            target = _target(session, names)
            if sys.stdout.isatty():  # elsewhere the output is that of the command alone
                session.start()  # so that somebody tells how it goes
            name, variables = _prepare(session, target)
            session.close_index()
            status = _run(context, name, target, variables, _command(names[1:]))
        if status:
            click.get_current_context().exit(status)

    return click.Command(
        "shell",
        callback=shell,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] TARGET [[--] COMMAND...]"),
        ],
        help=_HELP,
        context_settings={"allow_interspersed_args": False},  # options of the COMMAND are its own
    )


def _nothing_named(session: Session) -> UsageError:
    from flow_envs.targets import steps_with_environments

    steps = [] if session.flow is None else steps_with_environments(session)
    return UsageError(
        "Which environment?",
        why="a step of a flow's file, or of a run, is named",
        hint=f"name a step behind it: {', '.join(steps)}"
        if steps
        else "flow env shell my_flow.py train, or MyFlow/3/train",
    )


def _command(words: Sequence[str]) -> Sequence[str]:
    """Return the words of the command: what stands behind TARGET, or behind ``--``."""
    return words[1:] if words[:1] == ["--"] else words


def _target(session: Session, names: Sequence[str]) -> Target:
    from flow_envs.targets import target

    return target(session, names[0])


# --- what it is like in a task ------------------------------------------------------------------


def _prepare(session: Session, target: Target) -> tuple[str, dict[str, str]]:
    """Build the environment, as far as it is not there; return its name and the variables."""
    from flow_envs.making import make

    (made,) = make(session, [target])
    command = TaskCommand()
    command.variables.update(_of_plan(session, target))
    session.environments.apply(target.name, command)
    variables = {**os.environ, **command.variables}
    if command.runtime is not None:
        # A task sees this folder without a variable; a shell has no other way to pass it on.
        paths = command.runtime, variables.get("PYTHONPATH", "")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return made.ready.name, variables


def _of_plan(session: Session, target: Target) -> Mapping[str, str]:
    """Return the variables that decorators of the step set, ``@environment`` for example."""
    if target.is_today:
        return session.plans[target.step].variables
    if target.document is not None:
        found: Mapping[str, str] = target.document.plans[target.step].get("variables", {})
        return found
    return {}


# --- running ------------------------------------------------------------------------------------


def _run(
    context: CommandContext,
    name: str,
    target: Target,
    variables: dict[str, str],
    command: Sequence[str],
) -> int:
    """Run a command, or a shell with the terminal as its own; return its exit status.

    This process stays, so that nobody removes the environment meanwhile.
    """
    if command:
        return _wait(_found(command, variables, name), variables)
    with _shell(target, variables) as words:
        if sys.stdin.isatty():
            of = f" of {target.name}" if target.step else ""
            context.echo(f"Environment {name}{of}; 'exit' leaves it.")
        return _wait(words, variables)


def _found(command: Sequence[str], variables: Mapping[str, str], name: str) -> list[str]:
    program = shutil.which(command[0], path=variables.get("PATH"))
    if program is None:
        programs = os.path.join(variables.get("PATH", "").partition(os.pathsep)[0])
        known = os.listdir(programs) if os.path.isdir(programs) else []
        raise NotFound(
            f"There is no program '{command[0]}' in the environment {name}",
            where=programs,
            hint=did_you_mean(command[0], known) if known else None,
        )
    return [program, *command[1:]]


def _wait(words: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a program to its end; what ends this process ends it, too."""
    sys.stdout.flush()
    process = subprocess.Popen(words, env=variables)
    earlier: dict[int, Any] = {
        # Ctrl-C is for the program, which has it from the terminal.
        signal.SIGINT: signal.signal(signal.SIGINT, signal.SIG_IGN),
    }

    def pass_on(number: int, _: object) -> None:
        process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        earlier[number] = signal.signal(number, pass_on)
    try:
        status = process.wait()
    finally:
        for changed, handler in earlier.items():
            signal.signal(changed, handler)
    return status if status >= 0 else 128 - status


@contextmanager
def _shell(target: Target, variables: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the words that start the person's shell, with our variables whatever its files say."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    if os.path.basename(shell) != "bash" or not sys.stdin.isatty():
        yield [shell]
        return
    with tempfile.NamedTemporaryFile("w", prefix="flow-env-", suffix=".bashrc") as file:
        file.write("[ -f ~/.bashrc ] && . ~/.bashrc\n")
        for name in sorted(variables):
            if variables[name] != os.environ.get(name):
                file.write(f"export {name}={shlex.quote(variables[name])}\n")
        label = shlex.quote(f"({target.step or target.name}) ")
        file.write(f'PS1={label}"$PS1"\n')
        file.flush()
        yield [shell, "--rcfile", file.name, "-i"]
