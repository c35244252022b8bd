"""A numpy array of 512 MiB: stored by one step, read by the next."""

from __future__ import annotations

from collections.abc import Iterator

from harness import (
    Bench,
    Figure,
    Tool,
    Usage,
    alternate,
    at_least,
    at_most,
    inline,
    manifests,
    seconds,
    wall,
)

MIB = 1 << 20


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    size = bench.times(512, 64) * MIB
    with_ours, with_rival, without_ours, without_rival = alternate(
        bench.times(5),
        lambda: _run(bench, bench.ours, size, keep=True),
        lambda: _run(bench, bench.rival, size, keep=True),
        lambda: _run(bench, bench.ours, size, keep=False),
        lambda: _run(bench, bench.rival, size, keep=False),
    )
    ours = wall(with_ours) - wall(without_ours)
    rival = wall(with_rival) - wall(without_rival)
    yield Figure(
        "array",
        f"save and load {size // MIB} MiB, beyond the same flow without",
        seconds(ours),
        seconds(rival),
        **at_least(rival / ours, 10),
    )
    yield from _memory(bench, size)
    yield from _mapped(bench, size)


def _memory(bench: Bench, size: int) -> Iterator[Figure]:
    _run(bench, bench.ours, size, keep=True)
    peaks = [
        manifests(bench.home(bench.ours), "Array", s)[0]["peak_memory"] for s in ("start", "read")
    ]
    for step, peak in zip(("stores", "reads"), peaks, strict=True):
        yield Figure(
            "array",
            f"peak memory of the task that {step} it, beyond the array",
            f"{peak / MIB:.0f} MiB",
            **at_most((peak - size) / MIB, 64, "MiB"),
        )


def _mapped(bench: Bench, size: int) -> Iterator[Figure]:
    bench.clear(bench.ours)
    bench.run(bench.ours, "mapped", "--size", str(size // 8))
    (task,) = manifests(bench.home(bench.ours), "Mapped", "read")
    opened = inline(task, "open_seconds")
    mapped, memory = (size / inline(task, f"{name}_seconds") / 1e9 for name in ("mapped", "memory"))
    yield Figure(
        "array",
        "numpy.sum of the mapped array, against a copy in memory",
        f"{mapped:.1f} GB/s",
        f"{memory:.1f} GB/s (memory)",
        f"{mapped / memory:.2f} x",
        "≥ 0.8 x",
        mapped / memory >= 0.8,
    )
    bench.note(f"Opening the array, its hash verified, takes {seconds(opened)}.")


def _run(bench: Bench, tool: Tool, size: int, *, keep: bool) -> Usage:
    bench.clear(tool)  # what is stored already would not be written again
    return bench.run(tool, "big_array", "--size", str(size // 8), "--keep", str(int(keep)))
