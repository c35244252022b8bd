"""A foreach of 10,000 tasks: whether cost and memory stay flat, and how long the join takes."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, Usage, alternate, at_most, manifests, wall

FEW, MANY = 500, 10_000


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure; the run of 10,000 is left for the benchmark of the client."""
    many = bench.times(MANY, 2000)
    one, few = alternate(3, lambda: _run(bench, 1), lambda: _run(bench, FEW))
    last = _run(bench, many)
    each_few = (wall(few) - wall(one)) / (FEW - 1)
    each_many = (last.wall - wall(one)) / (many - 1)
    yield Figure(
        "foreach 10,000",
        f"wall per task at {many:,}, against {FEW}",
        f"{each_many * 1e3:.2f} ms",
        f"{each_few * 1e3:.2f} ms (at {FEW})",
        **at_most(each_many / each_few, 1.2),
    )
    grown = last.launcher_memory - max(u.launcher_memory for u in few)
    yield Figure(
        "foreach 10,000",
        f"memory of the launcher per task: peak at {many:,} less that at {FEW}",
        f"{last.launcher_memory / 2**20:.1f} MiB",
        f"{max(u.launcher_memory for u in few) / 2**20:.1f} MiB (at {FEW})",
        **at_most(grown / (many - FEW) / 1024, 1, "KiB"),
    )
    (join,) = manifests(bench.home(bench.ours), "Each", "join")
    took = join["finished"] - join["started"]
    yield Figure(
        "foreach 10,000",
        f"join of {many:,} inputs that reads one small artifact of each",
        f"{took:.2f} s",
        **at_most(took, 3, "s"),
    )


def _run(bench: Bench, count: int) -> Usage:
    arguments = ("--max-workers", "2", "--count", str(count))
    return bench.run(bench.ours, "each", *arguments, watch=True)
