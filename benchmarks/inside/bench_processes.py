"""Compute providers for the row ``remote``: jobs are processes of this machine.

``processes``: they see the files of the launcher, as on Slurm. ``bare-processes``: its store only, and the
Python of the machine, which has no flow-core, as in a container.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from process_cluster import ProcessBackend, ProcessCompute

from flow_remote.backend import Job

__flow__ = {"flow.computes": {"processes": "Processes", "bare-processes": "BareProcesses"}}


class TimedBackend(ProcessBackend):
    """Tells each job when it was started."""

    def _start(self, job: Job) -> str:
        started = {"BENCH_JOB_STARTED": str(time.time())}
        return super()._start(
            job._replace(variables=tuple({**one, **started} for one in job.variables))
        )


class Processes(ProcessCompute):
    """See the module."""

    name = "processes"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        super().__init__(TimedBackend(Path(self._folder.name)))


class BareProcesses(Processes):
    """See the module."""

    name = "bare-processes"
    shares_files = False
