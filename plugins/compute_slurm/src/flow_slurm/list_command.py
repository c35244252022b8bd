"""``flow slurm list`` and ``flow slurm kill``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from flow_core.api import CommandContext, FlowError, UsageError
from flow_slurm.client import Client, SlurmError
from flow_slurm.jobs import FlowJob, check_runs, find_jobs, the_jobs


def list_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def show(
        run: str | None, step: str | None, user: str | None, ended: bool, as_json: bool
    ) -> None:
        known = find_jobs(Client())
        if run is not None:
            check_runs(context.session(), known, [run], step)
        jobs = [
            job
            for job in known
            if (ended or not job.state.has_ended)
            and (run is None or job.is_of({run.strip("/")}))
            and step in (None, job.step)
            and user in (None, job.state.user)
        ]
        if as_json:
            context.echo(json.dumps([_data(job) for job in jobs], indent=2))
            return
        for line in _lines(jobs):
            context.echo(line)
        if not jobs:
            context.echo("no jobs of flows" + ("" if ended else "; with those that ended: --ended"))

    return click.Command(
        "list",
        short_help="List the jobs of flows that wait or run.",
        callback=show,
        params=[
            click.Argument(["run"], required=False),
            _STEP,
            click.Option(["--user"], metavar="NAME", help="Those that somebody has started."),
            click.Option(["--ended"], is_flag=True, help="Those that have ended, too."),
            _JSON,
        ],
        help="List the jobs of flows that wait or run in Slurm: those whose files you can read. "
        "RUN is FLOW/RUN, FLOW or FLOW/RUN/STEP.",
    )


def kill_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def kill(words: tuple[str, ...], step: str | None, as_json: bool) -> None:
        if not words:
            raise UsageError(
                "Which jobs?",
                where="slurm kill",
                hint="flow slurm kill 12_3, or flow slurm kill MoviesFlow/12",
            )
        client = Client()
        there = find_jobs(client)
        known = [job for job in there if not job.state.has_ended]
        ids = [word for word in words if word[:1].isdigit()]
        jobs = the_jobs(known, ids)
        paths = {word.strip("/") for word in words if word not in ids}
        check_runs(context.session(), there, sorted(paths), step)
        jobs += [job for job in known if job not in jobs and job.is_of(paths)]
        jobs = [job for job in jobs if step in (None, job.step)]
        try:
            client.cancel([job.state.id for job in jobs])
        except SlurmError as error:
            raise FlowError(
                "Slurm does not end the jobs", why=str(error), hint="try again: scancel JOB"
            ) from None
        if as_json:
            context.echo(json.dumps([_data(job) for job in jobs], indent=2))
            return
        for job in jobs:
            context.echo(f"{job.state.id}  {job.name}  is ended")
        if not jobs:
            context.echo("no jobs of flows wait or run there")

    return click.Command(
        "kill",
        short_help="End jobs of flows.",
        callback=kill,
        params=[
            click.Argument(["words"], nargs=-1, metavar="JOB | FLOW[/RUN]..."),
            _STEP,
            _JSON,
        ],
        help="End jobs of flows: a JOB as list shows it, a whole array by its number, or all of a "
        "run or a flow. A launcher that waits for them hears of it, and tries them again where "
        "@retry says so.",
    )


def _lines(jobs: Sequence[FlowJob]) -> list[str]:
    if not jobs:
        return []
    rows = [("JOB", "STATE", "RUN", "NAME", "NODE OR REASON")]
    rows += [(job.state.id, job.state.state, job.folder.run, job.name, job.why) for job in jobs]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _data(job: FlowJob) -> dict[str, Any]:
    return {
        "job": job.state.id,
        "state": job.state.state,
        "run": job.folder.run,
        "step": job.step,
        "name": job.name,
        "nodes": job.state.nodes,
        "why": job.why if job.state.waits else "",
        "members": job.folder.members,
        "user": job.state.user,
        "folder": job.folder.path,
    }


_STEP = click.Option(["--step"], metavar="NAME", help="Those of a step.")
_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")
