"""Runs a foreach with a compute provider that does nothing but answer."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from flow_core.api import (
    AttemptState,
    ComputeCapabilities,
    Exited,
    Manifest,
    RunRecord,
    RunRequest,
    Runtime,
    Session,
    Store,
    TaskCommand,
    TaskSpec,
    Transition,
    Update,
)
from flow_core.flowfile import load_flow
from flow_core.testing import MemoryMetadata, MemoryStore

WORKERS = 100


class Nothing:
    """Answers each launch with a finished attempt."""

    capabilities = ComputeCapabilities()
    notice = None

    def __init__(self, count: int) -> None:
        self._count = count
        self._launched: list[tuple[int, TaskSpec]] = []
        self._number = 0
        self.marks: list[float] = []

    def prepare(self, runtime: Runtime) -> None:
        pass

    def open(self, run: RunRecord, store: Store) -> None:
        pass

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        self._number += 1
        if self._number % (self._count // 5) == 1:
            self.marks.append(time.perf_counter())
        self._launched.append((self._number, task))
        return self._number

    def poll(self, timeout: float) -> Sequence[Update]:
        launched, self._launched = self._launched, []
        return [Exited(n, 0, None, "", manifest=self._manifest(task)) for n, task in launched]

    def _manifest(self, task: TaskSpec) -> Manifest:
        ways = {
            "start": Transition(("body",), "items", self._count),
            "body": Transition(("join",)),
            "join": Transition(("end",)),
            "end": Transition(),
        }
        return Manifest(*task[:5], AttemptState.SUCCEEDED, ways[task.step])

    def fileno(self) -> int | None:
        return None

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        pass

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        return b""

    def close(self) -> None:
        pass


def run(flow: str, count: int, metadata: str) -> dict[str, float]:
    """Run ``count`` tasks; return what it cost."""
    compute = Nothing(count)
    providers: dict[tuple[str, str], Any] = {
        ("compute", "local"): compute,
        ("store", "local"): MemoryStore(),
    }
    if metadata == "memory":
        providers["metadata", "local"] = MemoryMetadata()
    with Session(load_flow(flow), providers=providers, plugins=["no:terminal"]) as session:
        begin = time.perf_counter()
        session.execute(RunRequest(max_workers=WORKERS))
        seconds = time.perf_counter() - begin
    marks, fifth = compute.marks, count // 5
    return {
        "per_second": count / seconds,
        "first_us": (marks[1] - marks[0]) / fifth * 1e6,
        "last_us": (marks[-1] - marks[-2]) / fifth * 1e6,
    }


def main() -> None:
    """Print a line of JSON."""
    flow, count, metadata = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.chdir(folder)
        print(json.dumps(run(flow, int(count), metadata)))


if __name__ == "__main__":
    main()
