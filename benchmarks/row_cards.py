"""What default cards add to a foreach whose tasks keep twenty artifacts each.

A card's cost is the difference between a run with ``--with card`` and one without, over the number of
tasks. The rival starts a process for each card, within the task: about a dozen suffice to know its cost.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, Tool, Usage, alternate, at_least, at_most, cpu, seconds, wall

_OTHER_TASKS = 3  # start, join, end


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    count, theirs = bench.times(1000, 50), bench.times(24, 4)
    ours = _with_and_without(bench, bench.ours, count, bench.times(3), "4")
    rival = _with_and_without(bench, bench.rival, theirs, 1, "2")
    ours_wall, ours_cpu = _per_card(ours, count)
    rival_wall, rival_cpu = _per_card(rival, theirs)
    yield Figure(
        "cards",
        f"a default card of twenty artifacts: what it adds to the run ({count:,} and {theirs} tasks)",
        seconds(ours_wall),
        seconds(rival_wall),
        **at_least(rival_wall / ours_wall, 20),
    )
    yield Figure(
        "cards",
        "the same, CPU of all processes",
        seconds(ours_cpu),
        seconds(rival_cpu),
        f"{rival_cpu / ours_cpu:.0f} x",
    )
    yield Figure(
        "cards",
        "the same, beside its target",
        seconds(ours_cpu),
        "",
        **at_most(ours_cpu * 1e3, 60, "ms"),
    )


def _with_and_without(
    bench: Bench, tool: Tool, count: int, times: int, workers: str
) -> list[list[Usage]]:
    arguments = ["--count", str(count), "--max-workers", workers]
    if tool is bench.rival:
        arguments += ["--max-num-splits", "10000"]
    return alternate(
        times,
        lambda: bench.run(tool, "twenty", *arguments, "--with", "card"),
        lambda: bench.run(tool, "twenty", *arguments),
        warm_up=False,
    )


def _per_card(usages: list[list[Usage]], count: int) -> tuple[float, float]:
    """Return the seconds of wall and of CPU time that a card adds."""
    drawn, plain = usages
    cards = count + _OTHER_TASKS
    return (wall(drawn) - wall(plain)) / cards, (cpu(drawn) - cpu(plain)) / cards
