"""Frames as pickle, Arrow and Parquet: bytes in the store, seconds to write and to read.

``python benchmarks/arrow.py`` prints the table of the page on the ready-made plugins. Each figure is
the best of five, in a process that does nothing else; the store is on the local disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from flow_core.api import ArtifactStore, installed
from flow_store_local.store import LocalStore

ROWS = 1_000_000
FORMS = ("pickle", "pandas.arrow", "pandas.parquet")


def frames() -> dict[str, pd.DataFrame]:
    """Return a frame of each kind by name."""
    chance = np.random.default_rng(1)
    texts = [f"row-{n}" for n in range(ROWS)]
    words = np.array(["north", "south", "east", "west", "somewhere else"])
    days = pd.Timestamp("2020") + pd.to_timedelta(np.arange(ROWS) // 1000, "h")
    return {
        "ten columns of random floats": pd.DataFrame(chance.random((ROWS, 10))),
        "one column of different texts": pd.DataFrame({"key": texts}),
        "the same texts as Python objects": pd.DataFrame({"key": pd.Series(texts, dtype=object)}),
        "sales: day, place, count, price": pd.DataFrame(
            {
                "day": days,
                "place": words[chance.integers(0, 5, ROWS)],
                "count": chance.integers(0, 20, ROWS),
                "price": chance.integers(100, 9999, ROWS) / 100,
            }
        ),
    }


def best(action: Callable[[], Any], times: int = 5) -> float:
    """Return the seconds of the fastest of some calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    """Print the table."""
    print("| frame of 1,000,000 rows | stored as | MB | write | read |\n|---|---|---|---|---|")
    for name, frame in frames().items():
        for form in FORMS:
            with tempfile.TemporaryDirectory() as folder:
                artifacts = ArtifactStore(LocalStore(folder), installed(), prefer=[form])
                ref = artifacts.save("frame", frame)
                assert ref.serializer == form, ref.serializer
                write = best(lambda: artifacts.save("frame", frame))  # noqa: B023 - called at once
                read = best(lambda: artifacts.load(ref, "frame"))  # noqa: B023
                print(f"| {name} | {form} | {ref.size / 1e6:.0f} | {write:.3f} s | {read:.3f} s |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
