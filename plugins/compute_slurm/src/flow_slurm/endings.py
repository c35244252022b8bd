"""How a job has ended, in the words of Slurm: states, reasons and logs as causes of flow-core."""

from __future__ import annotations

import re

from flow_remote.backend import Ended
from flow_slurm.scripts import SETUP_FAILED, Folder
from flow_slurm.states import JobState

NEVER = {
    "AccountNotAllowed": 'another account: @slurm(account="…")',
    "BadConstraints": 'other features: @slurm(constraint="…")',
    "DependencyNeverSatisfied": None,
    "InvalidAccount": 'an account of yours: @slurm(account="…")',
    "InvalidQOS": 'a quality of service of yours: @slurm(qos="…")',
    "PartitionConfig": "see what nodes have, and ask for less: sinfo -o '%P %D %c %m %G'",
    "PartitionNodeLimit": "fewer machines, or another partition: @slurm(partition=…)",
    "PartitionTimeLimit": "less time, or another partition: @slurm(time=…, partition=…)",
    "QOSNotAllowed": 'another quality of service: @slurm(qos="…")',
}
"""Why a job waits that will never begin as it is → what to type."""

_CAUSES = {
    "OUT_OF_MEMORY": "out-of-memory",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "NODE_FAIL": "lost",
    "BOOT_FAIL": "launch",
    "LAUNCH_FAILED": "launch",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}

_LAUNCH_REASONS = ("JobLaunchFailure", "BadConstraints", "RaisedSignal:53(Real-time_signal_19)")

_MEMORY = re.compile(
    r"exceeded (job |step )?memory limit|oom[-_ ]kill|out of memory handler", re.IGNORECASE
)
_OF_SLURM = re.compile(
    r"^(slurmstepd|slurmd|srun|slurm_script)[\w.-]*: (error: )?(.*)$", re.MULTILINE
)


def waiting_text(state: JobState) -> str:
    """Return why a job waits, in Slurm's words."""
    if state.state != "PENDING":
        return state.state
    again = f"started again (restart {state.restarts}), " if state.restarts else ""
    told = state.description
    if told and state.reason and not told.startswith(state.reason):
        told = f"{state.reason}: {told}"
    return again + (told or state.reason)


def ended(job: str, state: JobState, folder: Folder, index: int, member: int, by_us: bool) -> Ended:
    """Return how a task has ended.

    Args:
        job: id of its job.
        state: what Slurm says of it.
        folder: of the submission.
        index: of the task in it.
        member: of the gang, or 0.
        by_us: whether the launcher has cancelled it.
    """
    status = folder.status(index)
    if state.state == "COMPLETED" or (status == 0 and not by_us):
        return Ended(job, member, code=0)
    log = folder.log(index)
    cause = "cancelled" if by_us else _cause(state, status, log)
    code, signal = _code_and_signal(state, status)
    return Ended(
        job,
        member,
        code=code,
        signal=signal,
        cause=cause,
        message=_message(job, state, cause, log, by_us),
        hint=_hint(cause, state),
        log=log,
    )


def forgotten(job: str, folder: Folder, index: int, member: int) -> Ended:
    """Return how a task has ended of which Slurm itself knows nothing any more."""
    status = folder.status(index)
    if isinstance(status, int):
        code, signal = _code_and_signal(JobState(job, "", status=status << 8), status)
        return Ended(job, member, code=code, signal=signal, log=folder.log(index) if status else "")
    return Ended(
        job,
        member,
        cause="lost",
        message=f"Slurm has forgotten job {job}, and it has not written how it ended",
        hint="see what is known of it: sacct -j " + job.partition("_")[0],
        log=folder.log(index),
    )


def _cause(state: JobState, status: int | str | None, log: str) -> str:
    if status == SETUP_FAILED:
        return "launch"
    if state.state in _CAUSES:
        return _CAUSES[state.state]
    if isinstance(status, int) and status and status != 137:
        return ""  # the task has ended by itself
    if _MEMORY.search(log):
        return "out-of-memory"
    if state.reason in _LAUNCH_REASONS and status is None:
        return "launch"
    return ""


def _code_and_signal(state: JobState, status: int | str | None) -> tuple[int | None, int | None]:
    if isinstance(status, int):  # of this very task, also where it is one of a gang
        state = state._replace(status=status << 8)
    elif not state.status:
        return None, None
    return state.code, state.signal


def _message(job: str, state: JobState, cause: str, log: str, by_us: bool) -> str:
    """Return a sentence; ``""`` where code and signal say all."""
    if not cause:
        return ""
    if cause == "launch" and state.state == "FAILED" and state.reason == "NonZeroExitCode":
        return f"the lines of setup failed in Slurm job {job}"
    where = f" on {state.nodes}" if state.nodes and state.nodes != "None assigned" else ""
    reason = f" ({state.reason})" if state.reason and state.reason != state.state else ""
    if cause == "out-of-memory" and state.state == "FAILED":
        reason = ""  # Slurm has found out itself, and tells that as "JobLaunchFailure"
    said = _said(log) if not by_us else ""
    text = f"Slurm job {job}{where}: {state.state}{reason}"
    if cause == "cancelled" and not by_us:
        text += ", by somebody else"
    return f"{text}: {said}" if said else text


def _said(log: str) -> str:
    """Return the line that says most, of those that Slurm itself has put into the log."""
    lines = [found[3].strip("* ") for found in _OF_SLURM.finditer(log)]
    telling = [line for line in lines if _MEMORY.search(line)] or lines[-1:]
    return telling[0] if telling else ""


def _hint(cause: str, state: JobState) -> str:
    return {
        "out-of-memory": "give it more memory: @slurm(memory=…)",
        "timeout": 'give it more time: @slurm(time="…")',
        "preempted": 'try it again: @retry(on=["preempted"]), or let Slurm do it: @slurm(requeue=True)',
        "lost": 'try it again: @retry(on=["lost"])',
    }.get(cause, "")
