"""A store of fsspec serves tasks elsewhere, where these have the launcher's interpreter."""

from __future__ import annotations

import pytest

from flow_core.testing import FlowTester

FLOW = """
    from flow_core import FlowSpec, slurm, step

    class F(FlowSpec):
        @step
        def start(self):
            self.numbers = [1, 2, 3]
            self.next(self.square, foreach="numbers")

        @slurm(memory=300, environment=["FLOW_FSSPEC_OPTIONS"])
        @step
        def square(self):
            print("number", self.input)
            self.result = self.input ** 2
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.result for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total)

    if __name__ == "__main__":
        F()
"""


@pytest.mark.slow
def test_tasks_of_slurm_read_and_write_over_sftp(slurm, sftp_place, tmp_path):
    lab = FlowTester(tmp_path)
    lab.more_plugins += ["fsspec", "slurm", "remote"]
    file = lab.write(FLOW)
    variables = {
        **slurm.variables,
        **sftp_place.environment(),
        "FLOW_DATASTORE": f"{sftp_place.url}/flows",
        "FLOW_SLURM_POLL": "1",
    }
    done = lab.python(file, "run", variables=variables, timeout=180).check()
    assert "total 14" in done.stdout
    assert "number 2" in done.stdout
    logs = lab.flow("logs", "F/1/square", variables=variables).check()
    assert "number 3" in logs.stdout
