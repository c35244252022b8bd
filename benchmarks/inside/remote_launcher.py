"""Runs a foreach on a cluster that is simulated: the launcher is real, and all of `flow_remote`.

    python remote_launcher.py FLOW COUNT RUNNING

COUNT tasks run, RUNNING of them at a time. The cluster answers at once, and a process apart plays its
tasks (`simulated_tasks`): what is measured is this process alone. Prints a line of JSON: CPU seconds
of this process for the run, and its own memory in bytes while all RUNNING tasks ran.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flow_core.api import ComputeCapabilities, RunRecord, RunRequest, Runtime, Session
from flow_core.flowfile import load_flow
from flow_remote.backend import Ended, Job, News, Refused, Running
from flow_remote.provider import RemoteCompute

SETTLED = 3.0  # seconds after which a launcher with nothing to do is measured


class Simulated:
    """A cluster that holds its jobs until ``running`` of them run, and lets them end then.

    Args:
        count: tasks of the foreach.
        running: how many of them run at a time.
    """

    def __init__(self, count: int, running: int) -> None:
        self._count = count
        self._running = running
        self._held: list[str] | None = []
        self._ids: dict[str, str] = {}
        self._news: deque[News] = deque()
        self.memory = 0

    def open(self, run: RunRecord, runtime: Runtime, wake: Any) -> None:
        """Start the process of the tasks."""
        self._wake = wake
        script = Path(__file__).with_name("simulated_tasks.py")
        words = [sys.executable, str(script), runtime.store.url, str(self._count)]
        self._tasks = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._watch, daemon=True).start()

    def submit(self, jobs: Sequence[Job]) -> list[str | Refused]:
        """Let them run at once."""
        keys = []
        for job in jobs:
            key = json.loads(job.variables[0]["FLOW_TASK"])["key"]
            self._ids[key] = job.name
            keys.append(key)
            self._news.append(Running(job.name, "node-1"))
        foreach = [key for key in keys if "/body/" in key]
        if self._held is None or not foreach:
            self._play(keys)
        else:
            self._held += foreach
            if len(self._held) == self._running:
                threading.Thread(target=self._measure, daemon=True).start()
        self._wake()
        return [job.name for job in jobs]

    def _measure(self) -> None:
        time.sleep(SETTLED)
        self.memory = own_memory()
        held, self._held = self._held, None
        assert held is not None
        self._play(held)

    def _play(self, keys: Sequence[str]) -> None:
        assert self._tasks.stdin is not None
        self._tasks.stdin.write("".join(f"{key}\n" for key in keys).encode())
        self._tasks.stdin.flush()

    def _watch(self) -> None:
        assert self._tasks.stdout is not None
        rest = b""
        while data := os.read(self._tasks.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + data).split(b"\n")
            self._news.extend(Ended(self._ids.pop(key.decode()), code=0) for key in whole)
            self._wake()

    def news(self) -> list[News]:
        """Return what was heard."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Nothing is adopted here."""
        return {}

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """Nothing is cancelled here."""

    def close(self) -> None:
        """End the process of the tasks."""
        assert self._tasks.stdin is not None
        self._tasks.stdin.close()
        self._tasks.wait()


class SimulatedCompute(RemoteCompute):
    """A provider over `Simulated`."""

    name = "simulated"
    capabilities = ComputeCapabilities(tells_begin=True)

    def __init__(self, cluster: Simulated) -> None:
        super().__init__()
        self._cluster = cluster

    def make_backend(self) -> Simulated:
        """Return the cluster that was given."""
        return self._cluster


def own_memory() -> int:
    """Return the bytes of memory that this process shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def run(flow: str, count: int, running: int) -> dict[str, float]:
    """Run the foreach; return what it cost."""
    cluster = Simulated(count, running)
    providers: dict[tuple[str, str], Any] = {("compute", "local"): SimulatedCompute(cluster)}
    with Session(load_flow(flow), providers=providers) as session:
        begin = resource.getrusage(resource.RUSAGE_SELF)
        clock = time.perf_counter()
        session.execute(RunRequest({"count": count}, max_workers=running))
        seconds = time.perf_counter() - clock
        end = resource.getrusage(resource.RUSAGE_SELF)
    cpu = end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime
    return {"cpu": cpu, "seconds": seconds, "memory": cluster.memory}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], *map(int, sys.argv[2:]))))
