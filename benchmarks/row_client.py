"""The client: list the 10,000 tasks of a run, open one, read an artifact of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from harness import Bench, Figure, alternate, at_least, at_most, seconds

COUNT = 10_000


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    count = bench.times(COUNT, 2000)
    flow, rival = _prepare_ours(bench, count), _prepare_rival(bench, count)
    scripts = [
        lambda: bench.command(bench.ours, _script(bench.ours.python, bench.ours.name, flow)),
        lambda: bench.command(bench.rival, _script(bench.rival.python, bench.rival.name, rival)),
    ]
    ours, theirs = (
        [json.loads(u.output.splitlines()[-1]) for u in usages]
        for usages in alternate(bench.times(15, 3), *scripts)
    )
    for found in (ours[0], theirs[0]):
        assert found["tasks"] == count, f"{found['tasks']} of {count} tasks were listed"
    mine, its = (_median([f["seconds"] for f in found]) for found in (ours, theirs))
    yield Figure(
        "client",
        f"list {count:,} tasks, open one, read an artifact",
        seconds(mine),
        seconds(its),
        **at_least(its / mine, 20),
    )
    page, whole = (_median([f[name] for f in ours]) for name in ("after_1000", "after_all"))
    yield Figure(
        "client",
        f"peak memory of listing {count:,}, against 1,000",
        f"{whole / 2**20:.1f} MiB",
        f"{page / 2**20:.1f} MiB (1,000)",
        **at_most((whole - page) / 2**20, 4, "MiB"),
    )


def _script(python: str, tool: str, step: str) -> list[str]:
    return [python, str(Path(__file__).with_name("inside") / "list_tasks.py"), tool, step]


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _prepare_ours(bench: Bench, count: int) -> str:
    """A real run."""
    bench.run(bench.ours, "each", "--max-workers", "2", "--count", str(count))
    return "Each/1/body"


def _prepare_rival(bench: Bench, count: int) -> str:
    """A real run of a few tasks, then for each further task what a listing reads of it.

    A real run of so many would take more than half an hour. Its local metadata keeps one file for
    each task that says that there is such a task: a copy of a real one with another number.
    """
    real = 20
    bench.run(bench.rival, "each", "--max-workers", "2", "--count", str(real))
    (step,) = (bench.home(bench.rival) / ".metaflow" / "Each").glob("*/body")
    tasks = [path for path in step.iterdir() if path.name.isdigit()]
    described = json.loads((tasks[0] / "_meta" / "_self.json").read_text())
    for number in range(1_000_000, 1_000_000 + count - real):
        meta = step / str(number) / "_meta"
        meta.mkdir(parents=True)
        meta.joinpath("_self.json").write_text(json.dumps({**described, "task_id": str(number)}))
    bench.note(
        f"The rival's run of {count:,} tasks is a real run of {real}; of the others exist only the "
        "files by which its client lists them, copied from a real one with another number. Both "
        "clients must list all of them, and the task that is opened is a real one."
    )
    return f"Each/{step.parent.name}/body"
