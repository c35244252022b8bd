"""What a trivial local task costs, compared with a bare fork and exit of the same process.

    python benchmarks/fork_cost.py [TASKS]

The tasks do nothing and write nothing, so what is counted is the compute provider alone: its part
in the launcher, the server, and the process of each task, in CPU time (user and system).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Any

with contextlib.suppress(ImportError):
    import numpy  # noqa: F401 - as in a usual flow: memory to copy, and threads

from flow_compute_local.provider import LocalCompute
from flow_core.api import Exited, TaskCommand, TaskSpec

PARALLEL = 2


class EmptyRuntime:
    """A session whose attempts do nothing."""

    flow_name = "Nothing"
    interactive = False
    document: dict[str, Any] = {}  # noqa: RUF012

    def adopt_run(self, document: bytes) -> None:
        """There is no run."""

    def run_attempt(self, task: TaskSpec) -> int:
        return 0

    def setting(self, name: str) -> Any:
        return None


class Folder:
    """As much of a store as logs need."""

    def __init__(self, root: str) -> None:
        self.root = root

    def local_path(self, key: str) -> str:
        return os.path.join(self.root, key)


def bare(count: int) -> None:
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def provided(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        compute = LocalCompute()
        compute.prepare(EmptyRuntime())  # type: ignore[arg-type]
        compute.open(None, Folder(folder))  # type: ignore[arg-type]
        waiting = iter(range(count))
        for _ in launches(compute, waiting, PARALLEL):
            pass
        for _ in range(count):
            next_exit(compute, waiting)
        compute.close()


def launches(compute: LocalCompute, waiting: Iterator[int], limit: int) -> Iterator[int]:
    for _, number in zip(range(limit), waiting, strict=False):
        yield compute.launch(TaskSpec("Nothing", "1", "start", number), TaskCommand())


PENDING: list[Exited] = []


def next_exit(compute: LocalCompute, waiting: Iterator[int]) -> None:
    while not PENDING:
        PENDING.extend(u for u in compute.poll(1.0) if isinstance(u, Exited))
    PENDING.pop()
    for _ in launches(compute, waiting, 1):
        pass


def measure(run: Callable[[int], None], count: int) -> tuple[float, float]:
    cpu, wall = cpu_seconds(), time.perf_counter()
    run(count)
    return cpu_seconds() - cpu, time.perf_counter() - wall


def cpu_seconds() -> float:
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    idle_cpu, idle_wall = measure(provided, PARALLEL)
    bare_cpu, bare_wall = (value / count * 1e3 for value in measure(bare, count))
    cpu, wall = measure(provided, count)
    cpu, wall = (cpu - idle_cpu) / count * 1e3, (wall - idle_wall) / count * 1e3
    print(f"bare fork and exit   {bare_cpu:6.2f} ms CPU  {bare_wall:6.2f} ms wall")
    print(f"task, {PARALLEL} at a time    {cpu:6.2f} ms CPU  {wall:6.2f} ms wall")
    print(f"over bare            {cpu - bare_cpu:6.2f} ms CPU, ratio {cpu / bare_cpu:.1f}")
    print(f"server and its start {idle_cpu * 1e3:6.2f} ms CPU  {idle_wall * 1e3:6.2f} ms wall")


if __name__ == "__main__":
    main()
