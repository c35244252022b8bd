"""A foreach of 300 trivial tasks on two cores.

Each tool runs as many at a time as makes it fastest there: with 2, 4 and 16 workers the rival took
12.5, 13.5 and 14.1 s for 60 tasks; this one is fastest with 4, since more tasks than cores fill the
moments in which one ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, alternate, at_least, at_most, cpu, seconds, wall


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    count = bench.times(300, 30)
    four, two = (["--max-workers", workers, "--count", str(count)] for workers in "42")
    ours, rival = alternate(
        1,  # the rival's run takes minutes
        lambda: bench.run(bench.ours, "each", *four),
        lambda: bench.run(bench.rival, "each", *two, "--max-num-splits", "1000"),
        warm_up=False,
    )
    ours += alternate(bench.times(5, 2), lambda: bench.run(bench.ours, "each", *four))[0]
    per_second, theirs = count / wall(ours), count / wall(rival)
    yield Figure(
        "foreach 300",
        f"{count} trivial tasks, 2 cores, whole command: tasks per second",
        f"{per_second:.0f} /s",
        f"{theirs:.2f} /s",
        **at_least(per_second / theirs, 40),
    )
    yield from _overhead(bench, cpu(ours), cpu(rival), count)


def _overhead(bench: Bench, ours: float, rival: float, count: int) -> Iterator[Figure]:
    one = alternate(
        bench.times(5, 2),
        lambda: bench.run(bench.ours, "each", "--max-workers", "4", "--count", "1"),
    )[0]
    floor = bench.script(bench.ours, "fork_floor", bench.flow(bench.ours, "each")[1])
    each = (ours - cpu(one)) / (count - 1) * 1e3
    bare = floor["cpu_ms"]
    yield Figure(
        "foreach 300",
        "CPU per task, launcher and server included",
        f"{each:.2f} ms",
        seconds(rival / count),
        f"{rival / count * 1e3 / each:.0f} x",
    )
    yield Figure(
        "foreach 300",
        "the same, beyond a bare fork, exit and wait of the same process",
        f"{each:.2f} ms",
        f"{bare:.2f} ms (bare)",
        **at_most(each - bare, 8, "ms"),
    )
