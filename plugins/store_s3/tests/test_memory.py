"""How much memory a task takes beyond its artifact, which is sent and fetched in parts."""

from __future__ import annotations

import json

import pytest

from flow_core.testing import FlowTester

SIZE = 1 << 30  # many times what is on its way at once: a larger one takes no more
ROOM = 256 << 20

FLOW = f"""
    import numpy

    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.data = numpy.random.default_rng(1).integers(0, 256, {SIZE}, dtype="u1")
            self.next(self.end)

        @step
        def end(self):
            assert self.data.nbytes == {SIZE}

    if __name__ == "__main__":
        F()
"""


@pytest.mark.slow
def test_a_large_artifact_takes_little_memory_beside_itself(bucket, tmp_path):
    """As the system counts it: what the library in Rust takes is part of it."""
    lab = FlowTester(tmp_path)
    lab.more_plugins += ["s3"]
    told = ("--datastore", bucket.url)
    variables = {**bucket.environment(), "FLOW_BLOB_CACHE_SIZE": "0"}  # nothing is mapped
    lab.python(lab.write(FLOW), *told, "run", variables=variables).check()
    shown = lab.flow(*told, "tasks", "F/1", "--json", variables=variables).check()
    peaks = {task["task"]: task["peak_memory"] - SIZE for task in json.loads(shown.stdout)}
    assert list(peaks) == ["F/1/start/1", "F/1/end/2"]
    assert all(0 < peak <= ROOM for peak in peaks.values()), peaks
