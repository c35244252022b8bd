"""`ContainerCompute`: tasks in containers on this machine, as a compute provider."""

from __future__ import annotations

import os
import shutil
import time

from flow_container.backend import ContainerBackend
from flow_container.commands import check_settings
from flow_container.engine import find_engine
from flow_core.api import (
    ComputeCapabilities,
    RunRecord,
    Runtime,
    Settings,
    Store,
    this_platform,
)
from flow_remote.provider import RemoteCompute

_MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}  # as others name them → as Linux does
_KEPT = 30 * 86400.0
"""Seconds that a runtime is kept after it was unpacked; then it is unpacked anew."""


def platform_of_containers(launcher: str) -> str:
    """Return what containers run on: Linux, with the processor of the launcher's machine.

    Args:
        launcher: the platform of the launcher: ``macos-arm64``.
    """
    machine = launcher.partition("-")[2]
    return f"linux-{_MACHINES.get(machine, machine)}"


class ContainerCompute(RemoteCompute):
    """Runs attempts in containers of podman or Docker. Options: `flow_container.ContainerOptions`.

    Raises, when it is prepared, a `FlowError` where there is no podman or docker that works.

    Since 0.1.
    """

    name = "container"
    # A local store is enough: containers have its folder at the same path.
    capabilities = ComputeCapabilities(
        resources=True,
        gang=True,
        image=True,
        tells_begin=True,
        environments=True,
        platform=platform_of_containers(this_platform()),
    )

    def make_backend(self) -> ContainerBackend:
        """Return the part that knows podman and Docker."""
        return ContainerBackend(cache=_runtimes())

    def prepare(self, runtime: Runtime) -> None:
        """Refuse to begin where no container can run, or with settings that none can have."""
        check_settings(runtime.setting)
        find_engine(str(runtime.setting("container_runtime") or ""))
        super().prepare(runtime)

    def open(self, run: RunRecord, store: Store) -> None:
        """Begin to serve a run whose containers all have the folder of its store."""
        backend = self.backend
        assert isinstance(backend, ContainerBackend)
        backend.use_store(store.url, _folders(store))
        super().open(run, store)


def _runtimes() -> str:
    """Return the folder of this machine that keeps runtimes for containers, without old ones."""
    folder = os.path.join(Settings().cache_folder(), "containers")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with os.scandir(os.path.join(folder, "runtime")) as found:
            old = [one.path for one in found if one.stat().st_mtime < time.time() - _KEPT]
    except FileNotFoundError:
        return folder  # nothing was ever kept
    except OSError:
        return ""  # a home that cannot be written: each container unpacks its own
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return folder


def _folders(store: Store) -> list[str]:
    """Return the folders of this machine that tasks need; none where the store is elsewhere."""
    scheme, _, place = store.url.partition("://")
    return [place] if scheme in ("local", "file") and os.path.isabs(place) else []
