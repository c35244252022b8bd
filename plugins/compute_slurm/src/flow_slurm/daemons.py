"""The processes of a sandbox: found by what their environment says, and ended whatever happens.

Run as a program, ``python daemons.py FOLDER PID MARK``, it waits for the end of a process and then ends
the sandbox: also one whose owner was killed leaves nothing behind. It imports the standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

MARK = "FLOW_SLURM_SANDBOX"
"""Variable in the environment of all daemons of a sandbox, and of what they start themselves."""

_LOOK = 0.2  # seconds between looks at the owner


def start_daemon(command: Sequence[str], log: str, mark: str, variables: Mapping[str, str]) -> None:
    """Start a daemon that is nobody's child, so that nobody need wait for it.

    Args:
        command: its words.
        log: file for what it writes.
        mark: of the sandbox.
        variables: further variables of its environment.
    """
    with open(log, "ab") as file:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **variables, MARK: mark},
            start_new_session=True,  # Ctrl-C is for who started the sandbox
            check=True,
        )


def end_processes(mark: str, node: str | None = None) -> None:
    """Kill the daemons of a sandbox, and all that jobs have started there.

    Args:
        mark: of the sandbox, which is the name of its cluster as well.
        node: only those of one node; None = all.
    """
    for _ in range(100):  # what is killed may have started another one meanwhile
        found = set(_processes(mark, node))
        if not found:
            return
        # Stopped first: else a daemon could still tell that a job of its node was killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
        time.sleep(0.02)


def running(mark: str) -> bool:
    """Whether anything of a sandbox runs."""
    return any(True for _ in _processes(mark, None))


def _processes(mark: str, node: str | None) -> Iterator[int]:
    """Yield the processes of a sandbox: its daemons by their mark, those of jobs by their cluster."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read()
        except OSError:  # ended meanwhile, or somebody else's
            continue
        if _belongs(set(words), command, mark, node):
            yield int(name)


def _belongs(words: set[bytes], command: bytes, mark: str, node: str | None) -> bool:
    of_job = f"SLURM_CLUSTER_NAME={mark}".encode() in words
    if f"{MARK}={mark}".encode() not in words and not of_job:
        return False
    if node is None:
        return True
    if of_job:
        return f"SLURMD_NODENAME={node}".encode() in words
    # `slurmd -N node2`, and its `slurmstepd: [7.batch]`, which has inherited the variable.
    return f"SLURMD_NODENAME={node}".encode() in words and b"slurm" in command


def _watch(folder: str, owner: int, mark: str) -> None:
    """Wait for the end of the owner; then end the sandbox and remove its folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while lives(owner):
        time.sleep(_LOOK)
    end_processes(mark)
    if not os.path.exists(os.path.join(folder, "keep")):
        shutil.rmtree(folder, ignore_errors=True)


def lives(process: int) -> bool:
    """Whether a process runs: one that has ended, and nobody has asked for yet, does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    _watch(sys.argv[1], int(sys.argv[2]), sys.argv[3])
