"""``flow slurm logs`` and ``flow slurm script``: what a job has written, and what it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from flow_core.api import CommandContext, Session, UsageError
from flow_remote.flows import named_step, open_flow
from flow_slurm.choices import choose, read_defaults, words_for_sbatch
from flow_slurm.client import Client
from flow_slurm.jobs import FlowJob, find_jobs, the_jobs
from flow_slurm.scripts import trial_script
from flow_slurm.settings import declare

_ALL = 1 << 24  # bytes of a log, at most


def logs_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def logs(id: str, as_json: bool) -> None:
        jobs = the_jobs(find_jobs(Client()), [id])
        texts = [(job, index, job.folder.log(index, _ALL)) for job in jobs for index in _tasks(job)]
        if as_json:
            data = [
                {"job": job.state.id, "name": job.name, "task": index, "log": text}
                for job, index, text in texts
            ]
            context.echo(json.dumps(data, indent=2))
            return
        for job, index, text in texts:
            if len(texts) > 1:
                member = f", member {index}" if job.folder.members is not None else ""
                context.echo(f"== {job.state.id} {job.name}{member}")
            context.echo(
                text.rstrip("\n") or f"{job.state.id} has written nothing here", error=not text
            )
        context.echo(f"what tasks themselves write: flow logs {jobs[0].folder.run}", error=True)

    return click.Command(
        "logs",
        short_help="Show what a job wrote before its task began.",
        callback=logs,
        params=[
            click.Argument(["id"], metavar="JOB"),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="Show what a job wrote before its task began, and what Slurm says of it: for jobs that "
        "do not begin. Its run must not be over.",
    )


def script_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def script(words: tuple[str, ...]) -> None:
        if len(words) == 1 and context.flow is None and not words[0].endswith(".py"):
            (job, *_) = the_jobs(find_jobs(Client()), words)
            context.echo(_read(job.folder.script))
            for index in _tasks(job):
                context.echo(
                    f"# {job.folder.script_of(index)}\n{_read(job.folder.script_of(index))}"
                )
            return
        with open_flow(context, words) as (session, names):
            context.echo(script_of(session, _step(session, names)))

    return click.Command(
        "script",
        short_help="Print the batch script of a job, or of a step.",
        callback=script,
        params=[click.Argument(["words"], nargs=-1, metavar="JOB | [FILE] STEP")],
        help="Print the batch script of a JOB; or one for a STEP of today's flow, without asking a "
        "cluster. That has all that a job of the step has, but only looks whether a task could run: "
        "so the cluster itself says what is wrong: flow slurm script my_flow.py train | sbatch",
    )


def script_of(session: Session, step: str) -> str:
    """Return a batch script that asks for what a step asks for.

    Args:
        session: of the flow.
        step: its name.
    """
    plan = session.plans[step]
    declare(session.settings)  # also where only this command was asked for, not the plugin's hooks
    choices = choose(
        read_defaults(session.settings.__getitem__),
        plan.options.get("slurm", {}),
        plan.resources,
        plan.timeout,
    )
    options = [*words_for_sbatch(choices, 2 if plan.gang else None), f"--job-name=trial-{step}"]
    return trial_script(options, choices.setup, sys.executable).rstrip("\n")


def _tasks(job: FlowJob) -> Sequence[int]:
    return [job.task] if job.folder.members is None else range(job.folder.members)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().rstrip("\n")


def _step(session: Session, words: Sequence[str]) -> str:
    missing = UsageError(
        "Which step?" if session.flow is not None else "Of which job, or of which flow?",
        where="slurm script",
        hint="flow slurm script 12_3, or flow slurm script my_flow.py train",
    )
    return named_step(session, words, missing)
