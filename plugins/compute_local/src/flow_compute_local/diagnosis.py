"""Whether tasks can be forked here, for ``flow doctor``."""

from __future__ import annotations

from collections.abc import Iterator

from flow_compute_local.forking import unsafe_reasons
from flow_core.api import Diagnosis, Session


def diagnose(session: Session) -> Iterator[Diagnosis]:
    """Yield whether this process, with what the session has loaded, could fork tasks.

    Group ``flow.diagnoses``.
    """
    if session.settings["fork"] == "never":
        source = session.settings.lookup("fork")[1]
        yield Diagnosis(
            "forking", "warn", "tasks are spawned and start slower", f"fork = never, from {source}"
        )
    elif reasons := unsafe_reasons():
        yield Diagnosis(
            "forking",
            "warn",
            "tasks cannot be forked here and start slower",
            "\n".join(reasons),
            "import what starts threads inside the steps; FLOW_FORK=never says that it is known",
        )
    else:
        yield Diagnosis("forking", "ok", "tasks can be forked")
