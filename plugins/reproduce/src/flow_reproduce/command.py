"""The command ``reproduce``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import Command, CommandContext, FlowError, UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_core.api import Session
    from flow_reproduce.compare import StepComparison
    from flow_reproduce.runs import FoundRun


_KEPT = 30 * 86400.0
"""Seconds that the code of a run which failed is kept, so that it can be resumed."""


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def reproduce(
        run: str,
        against: str | None,
        folder: str | None,
        steps: tuple[str, ...],
        max_workers: int | None,
        as_json: bool,
    ) -> None:
        from flow_reproduce.report import as_data, as_text, ends_well
        from flow_reproduce.runs import check_state, find_run, remarks

        session = context.session()
        old = find_run(context, run)
        _check_steps(old, steps)
        check_state(session, old)
        told: list[str] = []
        if against is not None:
            _only_runs(folder, max_workers)
            new = find_run(context, against)
            check_state(session, new)
        else:
            told = [*remarks(session, old)]
            new = _again(context, old, told, folder, max_workers, as_json)
        found = _compare(session, old, new, steps)
        if as_json:
            context.echo(json.dumps(as_data(session, old, new, told, found), indent=2))
        else:
            for line in as_text(session, old, new, found):
                context.echo(line)
        if not ends_well(found):
            click.get_current_context().exit(1)

    return click.Command(
        "reproduce",
        callback=reproduce,
        params=[
            click.Argument(["run"]),
            click.Option(
                ["--against"],
                metavar="RUN",
                help="Run nothing: compare with this run, in the same way.",
            ),
            click.Option(
                ["--folder"],
                type=click.Path(file_okay=False),
                metavar="FOLDER",
                help="Where the code is written, and stays (default: a folder that is removed when the "
                "run has succeeded).",
            ),
            click.Option(
                ["--step", "steps"],
                multiple=True,
                metavar="STEP",
                help="Compare only this step; may be repeated.",
            ),
            click.Option(
                ["--max-workers"],
                type=click.IntRange(min=1),
                metavar="N",
                help="Tasks that run at the same time (default: one for each processor; "
                "elsewhere what the compute provider takes).",
            ),
            click.Option(
                ["--json", "as_json"],
                is_flag=True,
                help="Print JSON; what the run shows goes to standard error.",
            ),
        ],
        help="Run RUN once more: with the code and the parameters that it had, in environments built "
        "from the locks that it had, without any cache. Then compare the artifacts of both, task by "
        "task, by their hashes. RUN is Flow/run, in a flow file also run. Exit status: 0 when all "
        "artifacts have equal bytes, 1 when not.",
    )


def _check_steps(run: FoundRun, steps: tuple[str, ...]) -> None:
    known = run.document.graph["steps"]
    for step in steps:
        if step not in known:
            raise UsageError(
                f"Run {run.pathspec} has no step '{step}'",
                where="--step",
                hint=did_you_mean(step, known),
            )


def _only_runs(folder: str | None, max_workers: int | None) -> None:
    for option, given in (("--folder", folder), ("--max-workers", max_workers)):
        if given is not None:
            raise UsageError(
                f"{option} has no effect with --against",
                where=option,
                why="two runs that there are, are compared; nothing is run",
                hint=f"leave out {option}, or --against",
            )


def _again(
    context: CommandContext,
    old: FoundRun,
    told: list[str],
    folder: str | None,
    max_workers: int | None,
    as_json: bool,
) -> FoundRun:
    """Say what may stand in the way, run the run again, and return the new one."""
    from flow_core.api import harmless, write_code
    from flow_reproduce.again import launch
    from flow_reproduce.runs import code_of, read_run

    session = context.session()
    files, done = code_of(session, old), None
    for remark in told:
        note = click.style("note: ", fg="yellow", bold=True)
        context.echo(note + harmless(f"{old.pathspec}: {remark}"), error=True)
    place = os.path.abspath(folder) if folder is not None else _new_folder(session, old)
    try:
        write_code(files, place)
        done = launch(session, old, place, max_workers, loud=not as_json)
    finally:
        if folder is None and (done is None or done.run is None or done.status == 0):
            shutil.rmtree(place, ignore_errors=True)  # else a resume of the new run needs it
    if done.run is None and done.status > 0:
        click.get_current_context().exit(1)  # the error has been shown
    if done.run is None:
        raise FlowError(
            f"Run {old.pathspec} could not be started again",
            where=session.store.url,
            why=f"its process was ended by signal {-done.status}",
            hint=f"look at its code: flow code checkout {old.pathspec}",
        )
    return read_run(session, old.document.flow, done.run)


def _new_folder(session: Session, run: FoundRun) -> str:
    base = os.path.join(session.settings.cache_folder(), "reproduce")
    os.makedirs(base, exist_ok=True)
    _forget(base)
    return tempfile.mkdtemp(prefix="{}-{}-".format(*run.place), dir=base)


def _forget(base: str) -> None:
    """Remove the folders of runs that failed, or were killed, a while ago."""
    limit = time.time() - _KEPT
    with os.scandir(base) as entries:
        old = [
            entry.path for entry in entries if entry.stat(follow_symlinks=False).st_mtime < limit
        ]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)  # another process may do the same


def _compare(
    session: Session, old: FoundRun, new: FoundRun, steps: tuple[str, ...]
) -> list[StepComparison]:
    from flow_reproduce.compare import compare, differences_of
    from flow_reproduce.values import judge

    found: list[Any] = compare(session, old.place, new.place, steps)
    judge(session, old.document, new.document, differences_of(found))
    return found


command = Command("Run a run once more, and compare the artifacts bit by bit.", False, build)
