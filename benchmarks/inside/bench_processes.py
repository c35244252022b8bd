"""Compute providers for the row ``remote``: jobs are processes of this machine.

``processes``: they see the files of the launcher, as on Slurm. ``bare-processes``: its store only, and the
Python of the machine, which has no flow-core, as in a container. ``fresh-processes``: the same, and each
job finds the machine as the first one does, as in a new container.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from process_cluster import ProcessBackend, ProcessCompute

from flow_remote.backend import Job

__flow__ = {
    "flow.computes": {
        "processes": "Processes",
        "bare-processes": "BareProcesses",
        "fresh-processes": "FreshProcesses",
    }
}


class TimedBackend(ProcessBackend):
    """Tells each job when it was started.

    Args:
        folder: for logs.
        fresh: whether each job keeps what it fetched of flow-core in a folder of its own.
    """

    def __init__(self, folder: Path, fresh: bool) -> None:
        super().__init__(folder)
        self._fresh = fresh

    def _start(self, job: Job) -> str:
        more = {"BENCH_JOB_STARTED": str(time.time())}
        if self._fresh:
            more["FLOW_CACHE"] = str(self.folder / f"cache-{job.name}")
        variables = tuple({**one, **more} for one in job.variables)
        return super()._start(job._replace(variables=variables))


class Processes(ProcessCompute):
    """See the module."""

    name = "processes"
    fresh = False

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        super().__init__(TimedBackend(Path(self._folder.name), self.fresh))


class BareProcesses(Processes):
    """See the module."""

    name = "bare-processes"
    shares_files = False


class FreshProcesses(BareProcesses):
    """See the module."""

    name = "fresh-processes"
    fresh = True
