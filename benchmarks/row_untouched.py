"""An artifact of 1 GiB that ten later steps never read."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from harness import Bench, Figure, at_most, manifests

STEPS = [f"s{number}" for number in range(1, 11)]


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    big = bench.times(1 << 30, 1 << 26)
    found: dict[int, list[float]] = {big: [], 1: []}
    blobs: list[int] = []
    for _ in range(bench.times(7, 2)):
        for size, results in found.items():
            bench.clear(bench.ours)
            bench.run(bench.ours, "untouched", "--size", str(size))
            results.append(_per_step(bench.home(bench.ours)))
            if size == big:
                blobs.append(_added(bench.home(bench.ours)))
    with_it, without = (statistics.median(values) for values in found.values())
    yield Figure(
        "untouched",
        f"ms per step that does not read a {big >> 20} MiB artifact, beyond one of a byte",
        f"{with_it:.2f} ms",
        f"{without:.2f} ms (a byte)",
        **at_most(with_it - without, 2, "ms"),
    )
    yield Figure(
        "untouched",
        "bytes of blobs written while the ten steps ran",
        f"{max(blobs)} B",
        **at_most(max(blobs), 0, "B"),
    )


def _per_step(home: Path) -> float:
    """Return the milliseconds from one step's start to the next one's, on average."""
    first, last = (manifests(home, "Untouched", step)[0] for step in (STEPS[0], "end"))
    return float(last["started"] - first["started"]) / len(STEPS) * 1e3


def _added(home: Path) -> int:
    """Return the bytes of the blobs that are younger than the step that stored the artifact."""
    stored = manifests(home, "Untouched", "start")[0]["finished"]
    blobs = [p.stat() for p in (home / ".flow" / "blobs").rglob("*") if p.is_file()]
    return sum(blob.st_size for blob in blobs if blob.st_mtime > stored)
