"""Whether Slurm answers here, for ``flow doctor``."""

from __future__ import annotations

from collections.abc import Iterator

from flow_core.api import Diagnosis, FlowError, Session
from flow_slurm.client import Client, SlurmError, unreachable
from flow_slurm.programs import find_program


def diagnose(session: Session) -> Iterator[Diagnosis]:
    """Yield whether the controller of Slurm answers; nothing on machines without Slurm.

    Group ``flow.diagnoses``.
    """
    if find_program("sbatch") is None:
        return
    try:
        yield Diagnosis("slurm", "ok", _found(Client()))
    except FlowError as error:
        # Flows can run without: only their steps with @slurm cannot.
        why = ": ".join(filter(None, (error.where, error.why)))
        yield Diagnosis("slurm", "warn", error.what, why, error.hint or "")


def _found(client: Client) -> str:
    """Return what there is of Slurm.

    Raises:
        FlowError: there is a cluster, and it does not answer.
    """
    try:
        return f"Slurm takes jobs: {client.ping()}"
    except SlurmError as error:
        if "configuration source" in str(error):  # as where it is installed for the sandbox
            return "this machine belongs to no cluster of Slurm; to try one: flow slurm sandbox"
        raise unreachable(error) from None
