"""The S3 datastore and the class ``S3``, on one SeaweedFS server on loopback for both tools.

The server shares the two cores with its clients, which makes all ratios smaller than they would be
with a bucket in a data centre, where clients wait for latency instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, Tool, Usage, alternate, at_least, seconds, wall
from s3_server import Server

MIB = 1 << 20
OBJECTS = ((2000, 10_000, 3.0), (200, 1_000_000, 1.5))
"""How many, of how many bytes each, and how many times faster they are to be."""


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    with Server(bench.root.parent / "server", bench.folder / "server") as server:
        bench.variables = server.variables()
        try:
            for count, size, target in OBJECTS:
                yield from _objects(bench, count if not bench.quick else count // 10, size, target)
            yield _foreach(bench)
            yield _artifact(bench)
        finally:
            bench.variables = {}


def _objects(bench: Bench, count: int, size: int, target: float) -> Iterator[Figure]:
    found: dict[str, list[dict[str, float]]] = {bench.ours.name: [], bench.rival.name: []}
    for turn in range(bench.times(3)):
        for tool in (bench.ours, bench.rival):
            place = f"s3://bench/objects/{tool.name}/{size}/{turn}"
            found[tool.name].append(
                bench.script(tool, "s3_objects", tool.name, place, str(count), str(size))
            )
    for what in ("put", "get"):
        ours, rival = (
            sorted(one[what] for one in found[tool.name])[len(found[tool.name]) // 2]
            for tool in (bench.ours, bench.rival)
        )
        yield Figure(
            "S3",
            f"`{what}_many` of {count:,} objects of {size // 1000:,} kB",
            seconds(ours),
            seconds(rival),
            **at_least(rival / ours, target),
        )


def _foreach(bench: Bench) -> Figure:
    count = bench.times(200, 20)
    # As for the local foreach: each tool with the number of workers that makes it fastest.
    ours, rival = alternate(
        1,
        lambda: _run(bench, bench.ours, "each", "--max-workers", "4", "--count", str(count)),
        lambda: _run(
            bench, bench.rival, "each", "--max-workers", "2", "--count", str(count),
            "--max-num-splits", "1000",
        ),
        warm_up=False,
    )  # fmt: skip
    ours += alternate(
        bench.times(4, 1),
        lambda: _run(bench, bench.ours, "each", "--max-workers", "4", "--count", str(count)),
    )[0]
    per_second, theirs = count / wall(ours), count / wall(rival)
    return Figure(
        "S3",
        f"foreach of {count} trivial tasks on S3, whole command: tasks per second",
        f"{per_second:.0f} /s",
        f"{theirs:.2f} /s",
        **at_least(per_second / theirs, 15),
    )


def _artifact(bench: Bench) -> Figure:
    size = bench.times(1024, 128) * MIB
    with_ours, with_rival, without_ours, without_rival = alternate(
        bench.times(3),
        lambda: _array(bench, bench.ours, size, keep=True),
        lambda: _array(bench, bench.rival, size, keep=True),
        lambda: _array(bench, bench.ours, size, keep=False),
        lambda: _array(bench, bench.rival, size, keep=False),
        warm_up=False,
    )
    ours = wall(with_ours) - wall(without_ours)
    rival = wall(with_rival) - wall(without_rival)
    return Figure(
        "S3",
        f"save and load one array of {size // MIB:,} MiB, beyond the same flow without",
        seconds(ours),
        seconds(rival),
        **at_least(rival / ours, 5),
    )


def _array(bench: Bench, tool: Tool, size: int, *, keep: bool) -> Usage:
    """Store an array that nobody has stored before, and read it in the next step."""
    seed = str(bench.next_number())
    return _run(
        bench,
        tool,
        "random_array",
        "--size",
        str(size // 8),
        "--keep",
        str(int(keep)),
        "--seed",
        seed,
    )


def _run(bench: Bench, tool: Tool, name: str, *arguments: str) -> Usage:
    option = "s3://bench/ours" if tool is bench.ours else "s3"
    return bench.command(tool, [*bench.flow(tool, name), "--datastore", option, "run", *arguments])
