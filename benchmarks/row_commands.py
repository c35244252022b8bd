"""Commands that only look: `show` and `--help`."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, alternate, at_least, at_most, seconds, wall


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    count = bench.times(15, 3)
    ours, rival = alternate(
        count,
        lambda: bench.command(bench.ours, [*bench.flow(bench.ours, "five"), "show"]),
        lambda: bench.command(bench.rival, [*bench.flow(bench.rival, "five"), "show"]),
    )
    yield Figure(
        "show",
        "`show` of five steps, all default plugins",
        seconds(wall(ours)),
        seconds(wall(rival)),
        **at_least(wall(rival) / wall(ours), 4),
    )
    script = str(bench.ours.venv / "bin" / "flow")
    helped, floor = alternate(
        count,
        lambda: bench.command(bench.ours, [script, "--help"]),
        lambda: bench.command(bench.ours, [bench.ours.python, "-c", "import click"]),
    )
    yield Figure(
        "help",
        "`flow --help`, against an interpreter that imports click",
        seconds(wall(helped)),
        f"{seconds(wall(floor))} (click)",
        **at_most(wall(helped) / wall(floor), 2),
    )
