"""Resume: what each task that was finished costs when it is reused."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, Tool, Usage, alternate, at_least, at_most, seconds, wall

FEW, MANY = 300, 10_000


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure the whole command, which runs the last step again and reuses all before it."""
    for tool in (bench.ours, bench.rival):
        more = ("--max-num-splits", str(FEW)) if tool is bench.rival else ()
        bench.run(tool, "each", "--max-workers", "2", "--count", str(FEW), *more)
    ours, rival = alternate(
        bench.times(5), lambda: _resume(bench, bench.ours), lambda: _resume(bench, bench.rival)
    )
    yield Figure(
        "resume",
        f"a run of which {FEW} tasks of a foreach are reused",
        seconds(wall(ours)),
        seconds(wall(rival)),
        **at_least(wall(rival) / wall(ours), 10),
    )
    many = bench.times(MANY, 1000)
    bench.clear(bench.ours)
    bench.run(bench.ours, "each", "--max-workers", "2", "--count", str(many))
    took = min(_resume(bench, bench.ours).wall for _ in range(3))
    yield Figure("resume 10,000", f"the same for {many:,}", seconds(took), **at_most(took, 3, "s"))


def _resume(bench: Bench, tool: Tool) -> Usage:
    # Ours would go on from the newest run, the one that the last resume made.
    ours, rivals = ("--origin-run-id", "1"), ("--max-num-splits", str(FEW))
    options = ours if tool is bench.ours else rivals
    return bench.command(tool, [*bench.flow(tool, "each"), "resume", "end", *options])
