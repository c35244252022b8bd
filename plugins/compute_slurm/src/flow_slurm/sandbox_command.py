"""``flow slurm sandbox``: a Slurm of one's own on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import click

from flow_core.api import CommandContext, FlowError
from flow_slurm.sandbox import Nodes, Sandbox


def sandbox_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def sandbox(
        command: tuple[str, ...],
        folder: str | None,
        nodes: int,
        cpus: int | None,
        memory: int | None,
        gpus: int,
    ) -> None:
        asked = Nodes.of_this_machine(nodes)
        asked = asked._replace(cpus=cpus or asked.cpus, memory=memory or asked.memory, gpus=gpus)
        status = _run(context, Sandbox(folder, asked), command)
        if status:
            click.get_current_context().exit(status)

    number = click.IntRange(min=1)
    return click.Command(
        "sandbox",
        short_help="Start a real Slurm on this machine, without root.",
        callback=sandbox,
        params=[
            click.Argument(["command"], nargs=-1, type=click.UNPROCESSED),
            click.Option(["--folder"], help="For its files, which are kept; default: a new one."),
            click.Option(["--nodes"], default=1, show_default=True, type=number, help="Nodes."),
            click.Option(["--cpus"], type=number, help="Processors that each node claims."),
            click.Option(["--memory"], type=number, help="Megabytes that each node claims."),
            click.Option(
                ["--gpus"],
                default=0,
                type=click.IntRange(min=0),
                help="Graphics processors that each node claims; none of them is real.",
            ),
        ],
        context_settings={"allow_interspersed_args": False},
        help="Start a real Slurm on this machine, in a folder of its own, without root. With COMMAND "
        "it runs that and ends: flow slurm sandbox -- flow run my_flow.py --with slurm. "
        "Without, it tells how to reach it, and ends with Ctrl-C.",
    )


def _run(context: CommandContext, cluster: Sandbox, command: Sequence[str]) -> int:
    """Start the cluster, run the command or wait for Ctrl-C, and end the cluster."""
    with cluster:
        if command:
            return _run_inside(cluster, command)
        _wait(lambda: _tell(context, cluster))
        return 0


def _tell(context: CommandContext, cluster: Sandbox) -> None:
    number = cluster.nodes.number
    context.echo(f"A Slurm with {number} node{'s' * (number != 1)} is ready; in another shell:")
    context.echo(f"  export SLURM_CONF={cluster.configuration}")
    context.echo("  flow run my_flow.py --with slurm")
    context.echo("Ctrl-C ends it, with all its jobs.")


def _run_inside(cluster: Sandbox, command: Sequence[str]) -> int:
    """Run a command; return its status when it has ended, however it was asked to."""
    began: list[subprocess.Popen[bytes]] = []
    early: list[int] = []  # signals that came while it was being started

    def pass_on(number: int, _: object = None) -> None:
        if began:
            began[0].send_signal(number)
        else:
            early.append(number)

    # Ctrl-C is for the command, which has it from the terminal and ends its jobs; then the cluster ends.
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: pass_on, signal.SIGHUP: pass_on}
    before = {number: signal.signal(number, each) for number, each in handlers.items()}
    try:
        began.append(subprocess.Popen(list(command), env={**os.environ, **cluster.variables}))
        for number in early:
            pass_on(number)
        return _status(began[0].wait())
    except OSError as error:
        raise FlowError(
            f"'{command[0]}' could not be started", why=error.strerror, hint="check its name"
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _status(code: int) -> int:
    """Return the status that a shell tells: signals count from 128 on."""
    return code if code >= 0 else 128 - code


def _wait(tell: Callable[[], None]) -> None:
    """Tell that the cluster is there; return when somebody wants it no more."""
    heard: list[int] = []
    stop = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, lambda number, _: heard.append(number)) for each in stop]
    tell()
    while not heard:
        time.sleep(0.2)
    for each, handler in zip(stop, before, strict=True):
        signal.signal(each, handler)
