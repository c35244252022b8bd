"""Three linear steps, as a whole command."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, alternate, at_least, cpu, seconds, wall

BARE = "pass"
IMPORTS = "import click, pluggy"


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    ours, rival = alternate(
        bench.times(15, 3),
        lambda: bench.run(bench.ours, "hello"),
        lambda: bench.run(bench.rival, "hello"),
    )
    yield Figure(
        "hello",
        "three linear steps, whole command, wall",
        seconds(wall(ours)),
        seconds(wall(rival)),
        **at_least(wall(rival) / wall(ours), 10),
    )
    yield Figure(
        "hello",
        "the same, CPU",
        seconds(cpu(ours)),
        seconds(cpu(rival)),
        f"{cpu(rival) / cpu(ours):.1f} x",
    )
    yield from _floors(bench, wall(ours))


def _floors(bench: Bench, ours: float) -> Iterator[Figure]:
    bare, imports = alternate(
        bench.times(15, 3),
        lambda: bench.command(bench.ours, [bench.ours.python, "-c", BARE]),
        lambda: bench.command(bench.ours, [bench.ours.python, "-c", IMPORTS]),
    )
    for what, usages in (("bare interpreter", bare), ("with click and pluggy imported", imports)):
        yield Figure(
            "hello",
            f"floor: {what}",
            seconds(wall(usages)),
            "",
            f"{wall(usages) / ours:.0%} of the run",
        )
    _explain(bench)


def _explain(bench: Bench) -> None:
    """Say which imports the command pays for, by package."""
    command = bench.flow(bench.ours, "hello")
    usage = bench.command(bench.ours, [command[0], "-X", "importtime", command[1], "run"])
    costs: dict[str, float] = {}
    for line in usage.output.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if line.startswith("import time:") and parts[0].strip().isdigit():
            name = parts[2].strip().partition(".")[0]
            costs[name] = costs.get(name, 0.0) + int(parts[0]) / 1000
    packages = ("flow_", "click", "pluggy", "blake3")
    named = {n: c for n, c in costs.items() if n.startswith(packages)}
    own = ", ".join(f"{n} {c:.1f}" for n, c in sorted(named.items(), key=lambda x: -x[1]))
    rest = sum(costs.values()) - sum(named.values())
    bench.note(
        f"Imports of one run of hello, in ms without what each imports in turn (measured with "
        f"`-X importtime`, which slows them down): {own}; the standard library {rest:.1f}."
    )
