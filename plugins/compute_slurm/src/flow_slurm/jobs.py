"""The jobs of flows that a cluster knows, whoever has started them: for commands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from flow_core.api import NotFound, Session, UsageError
from flow_remote.runs import check_run
from flow_slurm.client import Client, SlurmError, unreachable
from flow_slurm.endings import waiting_text
from flow_slurm.scripts import Folder, read_folder
from flow_slurm.states import JobState


class FlowJob(NamedTuple):
    """One job of a flow.

    Attributes:
        state: what Slurm tells of it.
        folder: its files.
        task: which of them it is; of a gang, 0.
    """

    state: JobState
    folder: Folder
    task: int

    @property
    def name(self) -> str:
        """The name of its task, or of its gang."""
        return self.folder.names[self.task]

    @property
    def step(self) -> str:
        """The step of its task, or of its gang."""
        return self.folder.steps[self.task]

    def is_of(self, paths: Collection[str]) -> bool:
        """Whether it belongs to one of some flows, runs, ``MoviesFlow/12``, or steps of runs."""
        run = self.folder.run
        return not {run.partition("/")[0], run, f"{run}/{self.step}"}.isdisjoint(paths)

    @property
    def why(self) -> str:
        """Where it runs, or why it does not."""
        return waiting_text(self.state) if self.state.waits else self.state.nodes


def find_jobs(client: Client) -> list[FlowJob]:
    """Return the jobs of flows whose files this person can read; also such that ended a while ago.

    Args:
        client: speaks to the cluster.

    Raises:
        FlowError: Slurm does not answer.
    """
    try:
        states = client.jobs()
    except SlurmError as error:
        raise unreachable(error) from None
    folders = {path: read_folder(path) for path in {state.command for state in states}}
    found = []
    for state in states:
        folder = folders[state.command]
        index = None if folder is None else folder.index_of(state.id)
        if folder is None or index is None:
            continue
        found.append(FlowJob(state, folder, index))
    return sorted(found, key=lambda job: _order(job.state.id))


def the_jobs(jobs: Sequence[FlowJob], ids: Sequence[str]) -> list[FlowJob]:
    """Return those of some ids; ``12`` stands for all elements of the array, too.

    Raises:
        NotFound: there is no such job.
    """
    found: list[FlowJob] = []
    for id in ids:
        some = [job for job in jobs if id in (job.state.id, job.state.id.partition("_")[0])]
        if not some:
            raise NotFound(
                f"Slurm knows no job {id} of a flow",
                why="it has ended a while ago, was never there, or its files are somebody else's",
                hint="see which there are: flow slurm list",
            )
        found += [job for job in some if job not in found]
    return found


def check_runs(
    session: Session, jobs: Sequence[FlowJob], paths: Sequence[str], step: str | None
) -> None:
    """Return where flows, runs or steps of these names are there, though they may have no job.

    Args:
        session: of the command.
        jobs: all that Slurm knows, also those that have ended.
        paths: ``Flow``, ``Flow/run`` or ``Flow/run/step``.
        step: the step that is asked for beside them; None = any.

    Raises:
        UsageError: a name is none of a flow, run or step.
        NotFound: there is none of one of these names.
    """
    for path in paths:
        named = path.strip("/")
        if named.count("/") > 2 or not all(named.split("/")):
            raise UsageError(
                f"'{path}' names no run, and no job",
                why="a run is FLOW/RUN, a step of it FLOW/RUN/STEP, a job is a number",
                hint="see which there are: flow slurm list",
            )
        if step and named.count("/") == 1:
            named = f"{named}/{step}"
        if not any(job.is_of({named}) for job in jobs):
            check_run(session, named, lambda: {job.folder.run for job in jobs}, "the jobs of Slurm")


def _order(id: str) -> tuple[int, int]:
    array, _, index = id.partition("_")
    return int(array), int(index or 0)
