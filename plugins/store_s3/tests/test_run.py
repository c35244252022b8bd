"""Runs whose bucket and address stand in the settings of a project."""

from __future__ import annotations

from flow_core.testing import FlowTester

FLOW = """
    from flow_core import FlowSpec, S3, step

    class F(FlowSpec):
        @step
        def start(self):
            self.text = "word " * 1000
            self.items = [1, 2]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            with S3(run=self) as s3:
                s3.put(f"{self.input}.txt", self.text)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            with S3(run=self) as s3:
                self.urls = sorted(found.url for found in s3.get_all())

    if __name__ == "__main__":
        F()
"""


def test_settings_of_a_project_reach_all_tasks(bucket, s3_server, tmp_path):
    """Forked ones, and those in an interpreter of their own."""
    lab = FlowTester(tmp_path)
    lab.more_plugins += ["s3"]
    variables = bucket.environment()
    endpoint = variables.pop("AWS_ENDPOINT_URL")
    lab.write(
        f'[tool.flow]\ns3_root = "{bucket.url}"\ns3_endpoint_url = "{endpoint}"\n',
        "pyproject.toml",
    )
    file = lab.write(FLOW)
    chosen = ("--datastore", "s3")
    lab.python(file, *chosen, "run", variables=variables).check()
    lab.python(file, *chosen, "run", variables={**variables, "FLOW_FORK": "never"}).check()
    for run in ("F/1", "F/2"):
        urls = [f"{bucket.url}/files/{run}/{number}.txt" for number in (1, 2)]
        shown = lab.flow(*chosen, "dump", f"{run}/end", "--json", variables=variables).check()
        assert all(url in shown.stdout for url in urls)
    assert not (tmp_path / ".flow").exists()
    assert any("/runs/F/2/" in key for key in s3_server.keys(bucket))
