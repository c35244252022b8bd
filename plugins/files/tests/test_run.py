"""Files beside a run: in a step, from outside, when the run is gone."""

import shutil

import pytest

from flow_core.api import UsageError, run_reader
from flow_core.testing import FlowTester

FLOW = """
    from flow_core import FilesNotFound, Files, FlowSpec, Run, current, step

    class F(FlowSpec):
        @step
        def start(self):
            with Files(run=self) as files:
                self.url = files.put("report.csv", "a,b")
                files.put_many((f"data/{n}", f"{n}") for n in range(20))
            with Files(run=current.run) as files:
                assert files.get("report.csv").text == "a,b"
            with Files(run=current.task) as files:
                assert files.url == self.url.removesuffix("/report.csv")
            self.parts = ["0", "1"]
            self.next(self.work, foreach="parts")

        @step
        def work(self):
            with Files(run=self) as files:
                files.put(f"out/{self.input}", files.get(f"data/{self.input}").blob)
            self.next(self.join)

        @step
        def join(self, inputs):
            with Files(run=inputs[0]) as files:
                self.found = [f.text for f in files.get_recursive(["out"])]
            self.next(self.end)

        @step
        def end(self):
            with Files(run=self) as files:
                files.get("no/such")

    if __name__ == "__main__":
        F()
"""


@pytest.fixture(scope="module")
def tester(tmp_path_factory):
    """A folder for the tests of this module."""
    return FlowTester(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def ran(tester):
    """A run whose last step asks for a file that is not there."""
    return tester.python(tester.write(FLOW), "run")


def test_in_steps_and_from_outside(ran, tester, monkeypatch):
    assert ran.returncode == 1
    assert "There is no such object" in ran.stderr + ran.stdout
    monkeypatch.chdir(tester.path)
    monkeypatch.setenv("FLOW_USER", "tester")
    from flow_core import Files, Run

    run = Run("F/1")
    assert run["join"].task.data.found == ["0", "1"]
    url = run["start"].task.data.url
    assert url == f"local://{tester.path}/.flow/files/F/1/report.csv"
    with Files(run=run) as files:
        assert len(files.list_recursive()) == 23
        files.put("later", "x")
    with Files(run=run["start"].task) as files:
        assert files.get("later").text == "x"
    with Files() as files:
        assert files.get(url).text == "a,b"


def test_they_go_with_their_run(ran, tester, flowtester):
    shutil.copytree(tester.path, flowtester.path, dirs_exist_ok=True)
    flowtester.python(flowtester.path / "flow.py", "run")
    done = flowtester.flow("gc", "--keep-last", "1", "--yes", "--margin", "0")
    assert done.returncode == 0, done.stderr
    folder = flowtester.path / ".flow" / "files" / "F"
    assert [f.name for f in folder.iterdir()] == ["2"]


def test_what_is_in_no_run():
    from flow_core import FlowSpec

    for wrong in (FlowSpec, object(), object.__new__(FlowSpec)):
        with pytest.raises(UsageError, match="is in no run"):
            run_reader(wrong)
