"""What a kubelet asks of that which runs containers: real processes, simulated ones, podman."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from servers.kubernetes.logs import Log


class Mount(NamedTuple):
    """A place in a container's file system.

    Attributes:
        source: what is there, on this machine.
        target: absolute path in the container.
        read_only: whether it can only be read.
    """

    source: Path
    target: str
    read_only: bool = False


class Work(NamedTuple):
    """A container that is to start.

    Attributes:
        id: of this run of it.
        mark: names the run: ``namespace/pod/uid/id``.
        image: name.
        command: words; empty = as the image says.
        arguments: further words.
        environment: variables.
        folder: working directory; ``""`` = as the image says.
        mounts: what is mounted.
        memory: bytes that it may use; None = no limit.
        log: where its output goes.
        message: file that it may write its last words to.
        hostname: of the pod.
        hosts: file with the names of other pods, to see instead of ``/etc/hosts``; None = none.
        user: ``1000:1000`` as its security context says; ``""`` = as the image says.
        read_only: whether it cannot write but in its volumes.
    """

    id: str
    mark: str
    image: str
    command: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: dict[str, str]
    folder: str
    mounts: tuple[Mount, ...]
    memory: int | None
    log: Log
    message: Path
    hostname: str
    hosts: Path | None
    user: str
    read_only: bool


class Exit(NamedTuple):
    """How a container has ended.

    Attributes:
        code: as its status tells it: 128 + signal for one that a signal ended.
        out_of_memory: whether it had used more memory than it may.
        not_started: why it did not even start; ``""`` = it did.
    """

    code: int
    out_of_memory: bool = False
    not_started: str = ""


class StartError(Exception):
    """A container could not start, in the words of a container runtime."""


class Container(Protocol):
    """A container that runs."""

    async def wait(self) -> Exit:
        """Return when it has ended, with all its processes."""

    def signal(self, number: int) -> None:
        """Send a signal to its first process."""

    def kill(self, *, out_of_memory: bool = False) -> None:
        """End all its processes."""


class Runtime(Protocol):
    """Starts containers."""

    async def has(self, image: str) -> bool:
        """Say whether there is an image of this name."""

    async def start(self, work: Work) -> Container:
        """Start a container.

        Raises:
            StartError: it cannot.
        """
