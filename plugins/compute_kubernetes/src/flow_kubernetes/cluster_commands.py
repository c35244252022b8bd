"""``kubernetes list``, ``kill`` and ``logs``: jobs in a cluster, whoever has started them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import NotFound, UsageError, duration, harmless

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session
    from flow_kubernetes.jobs_in_cluster import Choice, Found, Jobs

_LIST_HELP = """List the jobs of runs that wait or run in the cluster: yours, unless others are asked for.

RUN is FLOW/RUN or FLOW; its jobs are listed whoever has started them."""
_KILL_HELP = """End jobs that wait or run in the cluster: those of a RUN, FLOW/RUN, or what the options say.

Their launcher, if it still lives, hears of it as cancelled tasks. For jobs whose launcher is gone, for good."""
_LOGS_HELP = """Show what the pod of a TASK wrote, FLOW/RUN/STEP/TASK: also one that could not write its logs to
the datastore. Of several attempts, the last one. A JOB is named as flow kubernetes list shows it."""


def list_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def list_jobs(
        run: str | None,
        step: str | None,
        user: str | None,
        everybody: bool,
        ended: bool,
        as_json: bool,
        **place: Any,
    ) -> None:
        with _jobs(context, **place) as (jobs, session):
            mine = session.settings.user() if run is None and not everybody else ""
            all_found = jobs.find(_choice(run, step, user or mine))
            if run is not None and not all_found:
                _check(session, jobs, run, step)
            found = [job for job in all_found if ended or not job.is_over]
        if as_json:
            context.echo(json.dumps([one._asdict() for one in found], indent=2))
            return
        if not found:
            whose = "" if run or everybody or user else " of yours"
            context.echo(f"no jobs{whose} in namespace {jobs.namespace}")
        for line in _table(found):
            context.echo(line)

    return click.Command(
        "list",
        short_help="List the jobs of runs that wait or run in the cluster.",
        callback=list_jobs,
        params=[
            click.Argument(["run"], required=False),
            _STEP,
            _USER,
            click.Option(["--all", "everybody"], is_flag=True, help="The jobs of everybody."),
            click.Option(["--ended"], is_flag=True, help="Those that have ended, too."),
            _NAMESPACE,
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_LIST_HELP,
    )


def kill_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def kill(
        run: str | None, step: str | None, user: str | None, grace: int, as_json: bool, **place: Any
    ) -> None:
        if run is None and user is None:
            raise UsageError(
                "Which jobs?",
                why="neither a run nor a user is named",
                hint="flow kubernetes kill MyFlow/12, or --user NAME; flow kubernetes list shows them",
            )
        with _jobs(context, **place) as (jobs, session):
            all_found = jobs.find(_choice(run, step, user or ""))
            if run is not None and not all_found:
                _check(session, jobs, run, step)
            found = [job for job in all_found if not job.is_over]
            jobs.end(found, grace)
        if as_json:
            context.echo(json.dumps([one._asdict() for one in found], indent=2))
            return
        for job in found:
            context.echo(f"ended {job.pathspec}, job {job.namespace}/{job.name}")
        if not found:
            context.echo(f"no such job waits or runs in namespace {jobs.namespace}")

    return click.Command(
        "kill",
        short_help="End jobs that wait or run in the cluster.",
        callback=kill,
        params=[
            click.Argument(["run"], required=False),
            _STEP,
            _USER,
            click.Option(
                ["--grace"],
                type=click.IntRange(1),
                default=10,
                show_default=True,
                help="Seconds that tasks get.",
            ),
            _NAMESPACE,
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=_KILL_HELP,
    )


def logs_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def logs(task: str, tail: int | None, follow: bool, **place: Any) -> None:
        with _jobs(context, **place) as (jobs, session):
            for pod in _pods(session, jobs, task):
                for piece in jobs.log(pod, tail, follow):
                    text = piece.decode(errors="replace")
                    sys.stdout.write(harmless(text, colours=sys.stdout.isatty()))
                    sys.stdout.flush()

    return click.Command(
        "logs",
        short_help="Show what the pod of a task wrote.",
        callback=logs,
        params=[
            click.Argument(["task"], metavar="TASK|JOB"),
            click.Option(["--tail"], type=click.IntRange(0), metavar="N", help="The last N lines."),
            click.Option(["--follow"], is_flag=True, help="Go on until it ends."),
            _NAMESPACE,
        ],
        help=_LOGS_HELP,
    )


_STEP = click.Option(["--step"], metavar="NAME", help="Those of a step.")
_USER = click.Option(["--user"], metavar="NAME", help="Those that somebody has started.")
_NAMESPACE = click.Option(
    ["--namespace"], metavar="NAME", help="Default: the setting, or that of the context."
)


@contextmanager
def _jobs(context: CommandContext, namespace: str | None) -> Iterator[tuple[Jobs, Session]]:
    from flow_kubernetes.jobs_in_cluster import Jobs
    from flow_kubernetes.settings import declare

    session: Session = context.session()
    declare(session.settings)
    jobs = Jobs(session.settings.__getitem__, namespace)
    try:
        yield jobs, session
    finally:
        jobs.close()


def _choice(run: str | None, step: str | None, user: str) -> Choice:
    from flow_kubernetes.jobs_in_cluster import Choice

    parts = (run or "").strip("/").split("/")
    if len(parts) > 4 or (run and not all(parts)):
        raise UsageError(
            f"'{run}' names no run", why="a run is FLOW/RUN", hint="flow kubernetes list MyFlow/12"
        )
    flow, run_, of_run, task = [*parts, "", "", ""][:4]
    return Choice(flow, run_, step or of_run, task, user)


def _check(session: Session, jobs: Jobs, run: str, step: str | None) -> None:
    """Raise `NotFound` for a run, or a flow, that has no job since there is none of this name."""
    from flow_kubernetes.jobs_in_cluster import Choice
    from flow_remote.runs import check_run

    named = run.strip("/")
    if step and named.count("/") == 1:
        named = f"{named}/{step}"
    check_run(
        session,
        named,
        lambda: {f"{job.flow}/{job.run}" for job in jobs.find(Choice())},
        f"namespace {jobs.namespace}",
    )


def _pods(session: Session, jobs: Jobs, task: str) -> Sequence[str]:
    """Return the pods of a task's last attempt, or of a job.

    Raises:
        NotFound: there are none.
    """
    from flow_kubernetes.jobs_in_cluster import Choice

    name = task.rpartition("/")[2]
    if task.count("/") == 3:
        found = jobs.find(_choice(task, None, "")) or _gang_of(jobs, task)
        found = sorted(found, key=lambda job: int(job.attempt))
    else:
        found = [job for job in jobs.find(Choice()) if job.name == name]
    if not found and task.count("/") == 3:
        _check(session, jobs, task, None)
    if not found or not found[-1].pods:
        raise NotFound(
            f"'{task}' has no pod in the cluster",
            where=f"namespace {jobs.namespace}",
            why="it is deleted, has not come yet, or never was there",
            hint="flow kubernetes list --all --ended; flow logs reads what a task has left in the datastore",
        )
    return found[-1].pods


def _gang_of(jobs: Jobs, task: str) -> list[Found]:
    """Return the jobs of the gang that a task is a member of, each with the pod of that member.

    A gang is one job, by the name of its first task; the numbers of the others follow.
    """
    step, _, number = task.rpartition("/")
    if not number.isdigit():
        return []
    found = []
    for job in jobs.find(_choice(step, None, "")):
        member = int(number) - int(job.task)
        if 0 <= member < len(job.pods):
            found.append(job._replace(pods=(job.pods[member],)))
    return found


def _table(found: Sequence[Found]) -> Iterator[str]:
    if not found:
        return
    now = time.time()
    rows = [("TASK", "ATTEMPT", "STATE", "AGE", "NODE", "JOB")]
    rows += [
        (
            one.pathspec,
            one.attempt,
            one.state,
            duration(max(0.0, now - one.created)),
            one.node or "-",
            f"{one.namespace}/{one.name}",
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield _line(rows[0], widths)
    for row, one in zip(rows[1:], found, strict=True):
        yield _line(row, widths)
        if one.why:
            yield f"  {one.why}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, row, widths)).rstrip()
