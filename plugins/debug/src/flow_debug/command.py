"""The command ``debug``: a task of the past again, under the debugger."""

from __future__ import annotations

import os
import signal
import sys
from shlex import quote
from typing import TYPE_CHECKING

import click

from flow_core.api import Command, CommandContext, NotFound, UsageError, command_line

if TYPE_CHECKING:
    from flow_core.api import Manifest, RunDocument, Session


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def debug(
        pathspec: str, today: bool, start: bool, folder: str | None, script: str | None
    ) -> None:
        if today and folder is not None:
            raise UsageError("--today and --dir exclude each other", hint="leave one of them out")
        status = _debug(context, pathspec, today, start, folder, script)
        if status:
            click.get_current_context().exit(status)

    return click.Command(
        "debug",
        callback=debug,
        params=[
            click.Argument(["pathspec"]),
            click.Option(["--start"], is_flag=True, help="Stop at the first line of the step."),
            click.Option(
                ["--today"], is_flag=True, help="Use today's code instead of that of the run."
            ),
            click.Option(
                ["--dir", "folder"],
                type=click.Path(file_okay=False),
                metavar="FOLDER",
                help="Write the code there; code that is there already, changed or not, is used "
                "(default: a new temporary folder).",
            ),
            click.Option(
                ["--script"],
                type=click.Path(exists=True, dir_okay=False),
                metavar="FILE",
                help="Read the debugger's commands from FILE.",
            ),
        ],
        help="Run a task again under pdb: with the code that the run has kept, in a folder of its "
        "own, on the task's true inputs; it stops where the step fails. Nothing is recorded. "
        "PATHSPEC is Flow/run[/step[/task]]: of many tasks one that failed. In a flow file the flow "
        "may be left out.",
    )


def _debug(
    context: CommandContext,
    pathspec: str,
    today: bool,
    start: bool,
    folder: str | None,
    script: str | None,
) -> int:
    from flow_core.api import again, code_folder, find_attempt
    from flow_debug.launcher import launch

    session: Session = context.session()
    name = context.flow.__name__ if context.flow is not None else None
    earlier = find_attempt(session.metadata, session.store, pathspec, name).manifest
    spec = again(earlier)  # first: whether it can run by itself
    document = session.run_document(earlier.flow, earlier.run)
    file = _today(context, document) if today else _kept(session, document, earlier, folder)
    _announce(context, earlier, file, today, document)
    folder = code_folder(file)
    python = session.environments.of_run(document, earlier.step)
    status = launch(session, file, spec, start, script, python)
    if status < 0:
        status = _killed(context, earlier, -status)
    _farewell(context, earlier, file if today else folder, today)
    return status


def _killed(context: CommandContext, earlier: Manifest, number: int) -> int:
    """Say that the process of the debugger was killed; return the command's exit status."""
    context.echo(
        f"Step '{earlier.step}' ended the process, by {signal.Signals(number).name}, before it raised "
        "anything to stop at.\n  go through it from its first line: --start"
    )
    return 1


def _today(context: CommandContext, document: RunDocument) -> str:
    """Return the flow's file as it is now: the one that was given, else that of the run."""
    module = sys.modules.get(context.flow.__module__) if context.flow is not None else None
    file = getattr(module, "__file__", None) or str(document.graph["file"])
    if not os.path.isfile(file):
        raise NotFound(
            f"The file of the flow {document.flow} is not there",
            where=file,
            hint=f"python my_flow.py debug --today {document.run}",
        )
    return os.path.abspath(file)


def _kept(session: Session, document: RunDocument, earlier: Manifest, folder: str | None) -> str:
    """Write the code of the run to a folder; return the flow's file in it."""
    import tempfile

    from flow_core.api import read_code, write_code

    if document.code is None:
        raise NotFound(
            f"Run {document.flow}/{document.run} has kept no code",
            why="its flow was in no file: a cell of a notebook, for example",
            hint="save the flow to a file: python my_flow.py debug --today …",
        )
    what = f"the code of run {document.flow}/{document.run}"
    if folder is None:
        place = f"flow-debug-{earlier.flow}-{earlier.run}-{earlier.step}-{earlier.task}-"
        folder = tempfile.mkdtemp(prefix=place)
    file = os.path.join(os.path.abspath(folder), document.info["script"])
    if not os.path.isfile(file):
        write_code(read_code(session.artifacts.get_bytes(document.code, what), what), folder)
    return file


def _announce(
    context: CommandContext, earlier: Manifest, file: str, today: bool, document: RunDocument
) -> None:
    state = earlier.state.value
    if earlier.failure is not None:
        state += f" with {earlier.failure.summary.splitlines()[0]}"
    context.echo(f"{click.style(earlier.pathspec, bold=True)}, attempt {earlier.attempt}: {state}")
    whose = "today's" if today else "that of the run"
    context.echo(f"  code:   {file} ({whose})")
    if earlier.step in document.environments:
        context.echo(f"  environment: {document.environment_name(earlier.step)}")
    context.echo("  inputs: those of the task; nothing is recorded")
    context.echo()


def _farewell(context: CommandContext, earlier: Manifest, place: str, today: bool) -> None:
    session = context.session()

    def line(options: str) -> str:
        return command_line(session, "debug", f"{options} {earlier.pathspec}")

    context.echo()
    if today:
        context.echo(f"  change {place} and go on: {line('--today')}")
        return
    context.echo(f"  the code is in {place}")
    context.echo(f"  change it there and go on: {line(f'--dir {quote(place)}')}")
    context.echo(f"  with today's code:         {line('--today')}")


command = Command("Run a past task again under the debugger.", False, build)
