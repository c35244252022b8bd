"""Whether containers can run here, for ``flow doctor``."""

from __future__ import annotations

from collections.abc import Iterator

from flow_container.commands import default_image
from flow_container.engine import find_engine
from flow_core.api import Diagnosis, FlowError, Session


def diagnose(session: Session) -> Iterator[Diagnosis]:
    """Yield which runtime runs steps in containers, and whether it has their image.

    Group ``flow.diagnoses``.
    """
    session.load_hooks(())  # from now on it knows the settings of plugins
    try:
        engine = find_engine(str(session.settings["container_runtime"]))
    except FlowError as error:
        # Flows can run without: only their steps with @container cannot.
        yield Diagnosis("containers", "warn", error.what, error.why or "", error.hint or "")
        return
    image = str(session.settings["container_image"]) or default_image()
    if engine.call("image", "inspect", "--format", "{{.Id}}", image).ok:
        yield Diagnosis("containers", "ok", f"{engine.name} runs them, and has the image {image}")
    else:
        yield Diagnosis(
            "containers",
            "ok",
            f"{engine.name} runs them; the image {image} is fetched by the first run",
        )
