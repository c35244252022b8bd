"""`SlurmCompute`: tasks as jobs of Slurm, as a compute provider."""

from __future__ import annotations

import os

from flow_core.api import ComputeCapabilities, RunRecord, Runtime, Store
from flow_remote.provider import RemoteCompute
from flow_slurm.backend import SlurmBackend
from flow_slurm.programs import need_program

_WORKERS = 1000
"""Tasks that are submitted at a time where nobody has chosen a number: Slurm has a queue."""


class SlurmCompute(RemoteCompute):
    """Runs attempts as jobs of Slurm. Options: `flow_slurm.options.SlurmOptions`.

    The nodes see the files of this machine, as is usual: a local store is enough, and tasks run with
    the launcher's interpreter in its folder. Raises, when it is prepared, a `FlowError` where there
    is no Slurm.

    Since 0.1.
    """

    name = "slurm"
    shares_files = True
    capabilities = ComputeCapabilities(
        resources=True, gang=True, tells_begin=True, interpreters=True, workers=_WORKERS
    )

    def make_backend(self) -> SlurmBackend:
        """Return the part that knows Slurm."""
        return SlurmBackend()

    def prepare(self, runtime: Runtime) -> None:
        """Refuse to begin where no job can be submitted."""
        need_program("sbatch")
        super().prepare(runtime)

    def open(self, run: RunRecord, store: Store) -> None:
        """Begin to serve a run; the files of jobs lie in the folder of its store, if it has one."""
        backend = self.backend
        assert isinstance(backend, SlurmBackend)
        scheme, _, place = store.url.partition("://")
        if scheme == "local" and os.path.isabs(place):
            backend.use_folder(f"{place}/slurm")
        super().open(run, store)
