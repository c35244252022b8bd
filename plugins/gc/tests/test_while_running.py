"""gc again and again, while real flows start, fail and are resumed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

FLOW = """
from flow_core import FlowSpec, Parameter, step


class BusyFlow(FlowSpec):
    bad = Parameter("bad", default=False)

    @step
    def start(self):
        self.numbers = list(range(3))
        self.big = "x" * 50_000  # each run stores it again, and some find it there
        self.next(self.work, foreach="numbers")

    @step
    def work(self):
        if self.bad and self.input == 1:
            raise ValueError("bad")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, include=["big"])
        self.next(self.end)

    @step
    def end(self):
        assert len(self.big) == 50_000


if __name__ == "__main__":
    BusyFlow()
"""
SECONDS = 15.0


@pytest.mark.slow
def test_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "busy.py").write_text(FLOW)
    (tmp_path / ".flow").mkdir()
    environment = {**os.environ, "FLOW_USER": "ada", "NO_COLOR": "1"}
    end = time.monotonic() + SECONDS

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def run_flows() -> int:
        count = 0
        while time.monotonic() < end:
            good = call("busy.py", "run")
            assert good.returncode == 0, good.stderr
            bad = call("busy.py", "run", "--bad", "true")
            assert "ValueError: bad" in bad.stderr
            again = call("busy.py", "resume")  # of whichever run is the latest
            assert "damaged" not in again.stderr, again.stderr
            count += 1
        return count

    def collect() -> int:
        count = 0
        while time.monotonic() < end:
            done = call("-m", "flow_core", "gc", "--keep-last", "1", "--margin", "5s", "--yes")
            assert done.returncode == 0, done.stderr
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        counts = [
            f.result() for f in [*(pool.submit(run_flows) for _ in "ab"), pool.submit(collect)]
        ]
    assert min(counts) >= 1
    last = call("-m", "flow_core", "gc", "--keep-last", "1", "--margin", "0", "--yes")
    assert last.returncode == 0, last.stderr
    assert len(list((tmp_path / ".flow/runs/BusyFlow").iterdir())) == 1
