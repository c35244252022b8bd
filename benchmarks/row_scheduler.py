"""The scheduler alone: a compute provider that does nothing, 100,000 tasks."""

from __future__ import annotations

from collections.abc import Iterator

from harness import Bench, Figure, at_most


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    count = bench.times(100_000, 20_000)
    for metadata, target in (("memory", 10_000), ("local", 0)):
        runs = [_run(bench, count, metadata) for _ in range(bench.times(3))]
        found = sorted(runs, key=lambda f: f["per_second"])[len(runs) // 2]
        verdict = {"target": f"≥ {target:,} /s", "met": found["per_second"] >= target}
        index = "in memory" if metadata == "memory" else "in SQLite"
        yield Figure(
            "scheduler",
            f"{count:,} tasks, compute that does nothing, index {index}",
            f"{found['per_second']:,.0f} /s",
            **(verdict if target else {}),
        )
        yield Figure(
            "scheduler",
            "its last fifth against its first, index " + index,
            f"{found['last_us']:.1f} µs per task",
            f"{found['first_us']:.1f} µs (first)",
            **at_most(found["last_us"] / found["first_us"], 1.2),
        )


def _run(bench: Bench, count: int, metadata: str) -> dict[str, float]:
    flow = bench.flow(bench.ours, "each")[1]
    return bench.script(bench.ours, "scheduler_alone", flow, str(count), metadata)
