"""Gangs as one indexed Job: the pod with index ``n`` is the ``n``-th of the tasks that start."""

from __future__ import annotations

import shlex
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_remote.backend import Job

_FIRST_PORT = 20000
_PORTS = 10000  # below those that systems give to clients

# $1 = seconds, then what each member does. The name of the main one is known when its pod has an
# address, and no more when that has ended: who has waited in vain goes on, and may not need it.
_SCRIPT = """\
wait_for=$1; shift; shift "$JOB_COMPLETION_INDEX"; mine=$1
finds() {
  if command -v getent >/dev/null 2>&1; then getent hosts "$MASTER_ADDR" >/dev/null
  elif command -v nslookup >/dev/null 2>&1; then nslookup "$MASTER_ADDR" >/dev/null 2>&1
  else python3 -c 'import socket, sys; socket.gethostbyname(sys.argv[1])' "$MASTER_ADDR" 2>/dev/null
  fi
}
waited=0
until [ "$JOB_COMPLETION_INDEX" = 0 ] || finds; do
  if [ "$waited" -ge "$wait_for" ]; then
    echo "the main member of the gang, $MASTER_ADDR, has no address after $wait_for s" >&2; break
  fi
  sleep 1; waited=$((waited + 1))
done
eval "$mine"
"""


def place(name: str, port: int) -> dict[str, str]:
    """Return the variables that say where the main member is.

    Args:
        name: of the gang's Job and of its service in the cluster.
        port: of the main member; 0 = any. Each pod has all ports for itself, unless it shares those of
            its node, where other gangs may be: so each has another.
    """
    port = port or _FIRST_PORT + zlib.crc32(name.encode()) % _PORTS
    return {"MASTER_ADDR": f"{name}-0.{name}", "MASTER_PORT": str(port)}


def command(job: Job, timeout: float) -> list[str]:
    """Return the words that all members execute; each finds its own among them by its index.

    Args:
        job: the gang.
        timeout: seconds for the others to find the main member by its name.
    """
    members = [_member(job, number) for number in range(len(job.tasks))]
    return ["/bin/sh", "-c", _SCRIPT, "flow-gang", str(int(timeout)), *members]


def _member(job: Job, number: int) -> str:
    """Return what one member does, for ``eval``: set its variables, and become its command."""
    own = {
        "NODE_RANK": str(number),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        **job.variables[number],
    }
    common = common_variables(job)
    lines = [
        f"export {variable}={shlex.quote(value)}"
        for variable, value in own.items()
        if common.get(variable) != value
    ]
    return "\n".join([*lines, f"exec {shlex.join(job.commands[number])}"])


def common_variables(job: Job) -> dict[str, str]:
    """Return the variables that all tasks of a job have alike."""
    first, *others = job.variables
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
