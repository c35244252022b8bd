"""Where the members of a gang meet: an address of this machine, and a port that is free."""

from __future__ import annotations

import random
from collections.abc import Collection

from flow_core.api import FlowError, TaskSpec

_ADDRESS = "127.0.0.1"  # all members run on this machine; nobody else shall reach them
_PORTS = range(20000, 32768)  # below those that systems give to outgoing connections
_TRIES = 200


def meeting_place(used: Collection[int]) -> dict[str, str]:
    """Return the variables by which the members of a gang find the main one.

    Args:
        used: ports that other gangs got, which they may not have begun to use.
    """
    return {"MASTER_ADDR": _ADDRESS, "MASTER_PORT": str(free_port(used)), "NODE_RANK": "0"}


def free_port(used: Collection[int]) -> int:
    """Return a port that nothing on this machine listens at now, and none of ``used``.

    Raises:
        FlowError: there is none, which does not happen unless something is wrong.
    """
    # Not from the generator that a seed of the user's fixes: two runs would choose one port.
    for port in random.SystemRandom().sample(_PORTS, _TRIES):
        if port not in used and _is_free(port):
            return port
    raise FlowError(
        "No free port was found for the main task of a gang",
        where=_ADDRESS,
        why=f"{_TRIES} ports between {_PORTS[0]} and {_PORTS[-1]} were tried, all are in use",
        hint="@parallel(port=...) with one that is free",
    )


def _is_free(port: int) -> bool:
    import socket  # the launcher needs no sockets of the internet but for this

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(("", port))  # also not by one who listens at all addresses
        except OSError:
            return False
    return True


def local_rank(task: TaskSpec) -> dict[str, str]:
    """Return what a member is on this machine, where all of its gang are."""
    assert task.gang is not None, "only gangs are started together"
    return {"LOCAL_RANK": str(task.gang.index), "LOCAL_WORLD_SIZE": str(task.gang.size)}
