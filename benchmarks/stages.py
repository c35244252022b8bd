"""Where the time of a trivial task goes, stage by stage, in the task's own process.

    python benchmarks/stages.py [TASKS]

Run it with an interpreter that has flow-core installed. It runs the foreach flow with the stages of
a task wrapped: medians of wall time, CPU time and page faults from one mark to the next. Faults are
the cost of a fork: each page that a task writes to, be it a reference count, is copied first.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flow_compute_local.child as child
import flow_core.task as task
from flow_core.api import RunRequest, Session
from flow_core.flowfile import load_flow

Mark = tuple[str, float, float, int]

STAGES = (
    (child, "enter", "become a process like a fresh one"),
    (task.TaskRunner, "bind", "read the input's manifest, make the flow object"),
    (task, "run_body", "hooks and the body"),
    (task, "settle", "store the artifacts"),
    (task, "_commit", "write the manifest"),
)
MARKS: list[Mark] = []


def mark(name: str) -> None:
    """Note what this process has used so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    MARKS.append((name, time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_minflt))


def watch(owner: Any, name: str, what: str) -> None:
    """Put marks before and after a function."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        mark("between")
        result = function(*arguments, **options)
        mark(what)
        return result

    setattr(owner, name, wrapped)


def watch_processes(results: str) -> None:
    """Begin the marks of a process with its fork, and write them when it exits."""
    fork, leave = os.fork, os._exit

    def forked() -> int:
        MARKS.clear()
        before = time.perf_counter()
        pid = fork()
        if pid == 0:
            mark("fork")
            MARKS.insert(0, ("", before, 0.0, 0))
        return pid

    def left(status: int) -> None:
        if len(MARKS) > len(STAGES):
            mark("flush, exit handlers")
            with open(results, "a") as file:
                file.write(json.dumps(MARKS) + "\n")
        leave(status)

    os.fork, os._exit = forked, left  # type: ignore[assignment]


def table(results: str) -> list[str]:
    """Return a line for each stage."""
    spent: dict[str, list[list[float]]] = {}
    for line in Path(results).read_text().splitlines():
        marks = json.loads(line)
        of_task: dict[str, list[float]] = {}
        for earlier, later in itertools.pairwise(marks):
            sums = of_task.setdefault(later[0], [0.0, 0.0, 0.0])
            for n in range(3):
                sums[n] += later[n + 1] - earlier[n + 1]
        for stage, sums in of_task.items():
            spent.setdefault(stage, []).append(sums)
    lines = [f"{'stage':50s} {'wall ms':>8s} {'CPU ms':>8s} {'faults':>7s}"]
    for stage, all_sums in spent.items():
        wall, cpu, faults = (statistics.median(column) for column in zip(*all_sums, strict=True))
        lines.append(f"{stage:50s} {wall * 1e3:8.2f} {cpu * 1e3:8.2f} {faults:7.0f}")
    return lines


def main() -> None:
    """Run the flow and print the table."""
    count = sys.argv[1] if len(sys.argv) > 1 else "200"
    flow = str(Path(__file__).with_name("flows") / "each.py")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir(".flow")
        results = os.path.join(folder, "marks")
        for owner, name, what in STAGES:
            watch(owner, name, what)
        watch_processes(results)
        with Session(load_flow(flow), plugins=["no:terminal"]) as session:
            session.execute(RunRequest({"count": count}, max_workers=1))
        print("\n".join(table(results)))


if __name__ == "__main__":
    main()
