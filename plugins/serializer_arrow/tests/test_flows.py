"""In flows: what is stored how, who chooses, and what is said."""

import subprocess
import sys

import pytest

FLOW = """
import pandas
from flow_core import FlowSpec, step
class F(FlowSpec):
    @step
    def start(self):
        self.table = pandas.DataFrame({{"n": range(2000), "word": {word}}})
        self.next(self.middle)
    @step
    def middle(self):
        self.table.loc[0, "n"] = -1
        self.next(self.end)
    @step
    def end(self):
        self.total = int(self.table["n"].sum())
if __name__ == "__main__":
    F()
"""


@pytest.fixture
def stored(flowtester):
    """Return a function that runs the flow and says how each step stored its table."""
    flowtester.more_plugins.append("arrow")

    def run(*options, word='"a"', variables=None):
        file = flowtester.write(FLOW.format(word=word))
        flowtester.python(file, *options, "run", variables=variables).check()
        run = flowtester.left(1)
        assert run.artifact("end", "total") == sum(range(2000)) - 1
        run.tags = [run.manifests(s)[0].artifacts["table"].serializer for s in ("start", "end")]
        return run

    return run


@pytest.mark.slow
class TestRuns:
    def test_frames_are_stored_as_arrow(self, stored):
        assert stored().tags == ["pandas.arrow"] * 2

    def test_the_setting_chooses(self, stored):
        run = stored(variables={"FLOW_SERIALIZERS": "pandas.parquet"})
        assert run.tags == ["pandas.parquet"] * 2

    def test_the_decorator_chooses(self, stored):
        assert stored("--with", "arrow:format=parquet").tags == ["pandas.parquet"] * 2

    def test_the_decorator_beats_the_setting(self, stored):
        run = stored("--with", "arrow", variables={"FLOW_SERIALIZERS": "pickle"})
        assert run.tags == ["pandas.arrow"] * 2

    def test_pickle(self, stored):
        assert stored("--with", "arrow:format=pickle").tags == ["pickle"] * 2

    def test_what_cannot_be_stored_is_pickled_and_that_is_said(self, stored):
        run = stored(word="[{}] * 2000")
        assert run.tags == ["pickle"] * 2
        assert run.output("start", "stderr") == (
            "Artifact 'table' is stored by pickle, since pandas.arrow and pandas.parquet cannot "
            "store it exactly: column 'word' holds objects: dict\n"
        )


def test_a_format_that_there_is_not(flowtester):
    file = flowtester.write(FLOW.format(word='"a"'))
    flowtester.more_plugins.append("arrow")
    done = flowtester.python(file, "--with", "arrow:format=feather", "run")
    assert done.error["error"] == (
        "--with arrow: option 'format' must be 'arrow' or 'parquet' or 'pickle', not 'feather'"
    )


def test_nothing_is_imported_for_values_of_others():
    code = (
        "import sys, types; sys.modules['pandas'] = types.ModuleType('pandas')\n"
        "from flow_arrow.serializers import PandasArrow\n"
        "assert not PandasArrow().can([1])\n"
        "print(sorted({'pyarrow', 'numpy', 'flow_arrow.tables'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
