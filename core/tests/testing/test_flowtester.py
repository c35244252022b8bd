"""The laboratory itself."""

import pytest

from flow_core.errors import UnknownName
from flow_core.testing import FlowTester

FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.x = 5
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_a_stray_state_folder_above_is_not_used(tmp_path):
    (tmp_path / ".flow").mkdir()
    folder = tmp_path / "inside"
    folder.mkdir()
    lab = FlowTester(folder)
    lab.python(lab.write(FLOW), "run").check()
    assert lab.left().artifact("end", "x") == 5
    assert (folder / ".flow/runs/F/1/run.json").is_file()
    assert not any((tmp_path / ".flow").iterdir())


def test_without_one_the_folder_stays_as_it_is(tmp_path):
    lab = FlowTester(tmp_path)
    assert not any(lab.path.iterdir())


def test_a_plugin_that_is_not_there_is_an_error(flowtester):
    with pytest.raises(UnknownName) as caught:
        flowtester.run(FLOW, plugins=["retyr"])
    assert caught.value.what == "There is no plugin 'retyr'"
    assert caught.value.hint == "did you mean 'retry'?"


def test_a_failed_run_is_told_whole(flowtester):
    assert flowtester.run(FLOW).check().artifact("end", "x") == 5
    failed = flowtester.run(FLOW.replace("self.x = 5", "self.x = 5 / 0"))
    with pytest.raises(AssertionError, match="ZeroDivisionError: division by zero"):
        failed.check()
