"""What a bare fork, exit and wait cost in a process that has loaded what a fork server has."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from flow_core.api import Session
from flow_core.flowfile import load_flow

COUNT = 300


def cpu_seconds() -> float:
    """Return the CPU time of this process and its ended children."""
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def load(path: str) -> Session:
    """Load what a run loads before it forks."""
    session = Session(load_flow(path))
    session.start()
    session.check()
    return session


def main() -> None:
    """Print a line of JSON."""
    session = load(sys.argv[1])
    gc.freeze()
    cpu, wall = cpu_seconds(), time.perf_counter()
    for _ in range(COUNT):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu_ms": cpu / COUNT * 1e3, "wall_ms": wall / COUNT * 1e3}))
    del session


if __name__ == "__main__":
    main()
