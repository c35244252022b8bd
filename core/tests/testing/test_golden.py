"""Golden runs: what a run left, against a file."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core import FlowSpec, Parameter, step
from flow_core.api import FormatError, NotFound, UsageError
from flow_core.testing import assert_same_run, flow_step
from flow_core.testing.golden import Update, _dump
from flow_core.testing.golden_values import LONGEST, differences, encode, shown

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")


# What a pytest within a test does without: it starts faster.
WITHOUT = [f"-pno:{name}" for name in ("cacheprovider", "xdist", "timeout", "hypothesispytest")]


class Fit(FlowSpec):
    rate = Parameter("rate", default=0.5)
    noise = Parameter("noise", default=0.0)
    more = Parameter("more", default=0)

    @step
    def start(self):
        self.rows = [1.0, 2.0]
        self.seconds = 1.5 + self.noise
        self.folds = list(range(2 + self.more))
        self.next(self.fit, foreach="folds")

    @step
    def fit(self):
        self.loss = self.rate * self.input + self.noise
        self.weights = np.arange(6, dtype=float).reshape(2, 3) + self.noise
        self.next(self.join)

    @step
    def join(self, inputs):
        self.losses = [i.loss for i in inputs]
        self.merge_artifacts(inputs, include=["rows"])
        self.next(self.end)

    @step
    def end(self):
        if self.more == 7:
            raise ValueError("too many")
        if self.more:
            self.extra = "extra"


class Choose(FlowSpec):
    best = Parameter("best", default=0)

    @step
    def start(self):
        self.rows, self.models = [1, 2], ["mean", "max"]
        self.next(self.fit, foreach="models")

    @step
    def fit(self):
        self.model = self.input
        self.next(self.choose)

    @step
    def choose(self, inputs):
        self.model = list(inputs)[self.best].model
        self.merge_artifacts(inputs, include=["rows"])
        self.next(self.end)

    @step
    def end(self):
        pass


@pytest.fixture
def update(monkeypatch):
    """Let golden files be written in a call."""

    def call(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(Update, "wanted", True)
            patch.setattr(Update, "written", ())
            assert_same_run(*args, **options)
            return Update.written

    return call


@pytest.fixture
def fit(flowtester):
    return lambda **parameters: flowtester.run(Fit, parameters=parameters)


def difference(run, golden, **options):
    with pytest.raises(AssertionError) as caught:
        assert_same_run(run, golden, **options)
    return str(caught.value).splitlines()


def test_the_file(fit, tmp_path, update):
    golden = tmp_path / "golden"
    assert update(fit(), golden) == (str(golden / "Fit.json"),)
    text = (golden / "Fit.json").read_text()
    assert (
        text
        == """\
{
  "format": "flow-golden 1",
  "flow": "Fit",
  "parameters": {"more": 0, "noise": 0.0, "rate": 0.5},
  "tasks": {
    "start": {"folds": [0, 1], "rows": [1.0, 2.0], "seconds": 1.5},
    "fit[0]": {
      "loss": 0.0,
      "weights": {
        "!array": "float64",
        "shape": [2, 3],
        "values": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
      }
    },
    "fit[1]": {
      "loss": 0.5,
      "weights": {
        "!array": "float64",
        "shape": [2, 3],
        "values": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
      }
    },
    "join": {"losses": [0.0, 0.5]},
    "end": {}
  }
}
"""
    )


def test_the_same_run_passes(fit, tmp_path, update):
    update(fit(), tmp_path / "g.json")
    assert_same_run(fit(), tmp_path / "g.json")


def test_what_differs_is_told(fit, tmp_path, update):
    file = tmp_path / "g.json"
    update(fit(), file)
    first, *lines, last = difference(fit(noise=0.01, more=1), file)
    assert first == f"Run Fit/1 is not as {file} says: 19 differences"
    assert last == "If the change is right: pytest --update-golden"
    assert (
        lines
        == [
            "  parameter more: 0 → 1",
            "  parameter noise: 0.0 → 0.01 (by 0.01)",
            "  fit[2] is new",
            "  start.folds: 2 elements → 3 elements",
            "  start.seconds: 1.5 → 1.51 (by 0.01)",
            "  fit[0].loss: 0.0 → 0.01 (by 0.01)",
            "  fit[0].weights[0][0]: 0.0 → 0.01 (by 0.01)",
            "  fit[0].weights[0][1]: 1.0 → 1.01 (by 0.01)",
            "  fit[0].weights[0][2]: 2.0 → 2.01 (by 0.01)",
            "  fit[0].weights: and 3 more differences in it, the largest by 0.01",
            "  fit[1].loss: 0.5 → 0.51 (by 0.01)",
            "  fit[1].weights[0][0]: 0.0 → 0.01 (by 0.01)",
            "  fit[1].weights[0][1]: 1.0 → 1.01 (by 0.01)",
            "  fit[1].weights[0][2]: 2.0 → 2.01 (by 0.01)",
            "  fit[1].weights: and 3 more differences in it, the largest by 0.01",
            "  join.losses: 2 elements → 3 elements",
            "  join.losses[0]: 0.0 → 0.01 (by 0.01)",
            "  join.losses[1]: 0.5 → 0.51 (by 0.01)",
            "  end.extra: new, 'extra'",
        ]
        or len(lines) == 16
    )


def test_missing_tasks_and_artifacts(fit, tmp_path, update):
    file = tmp_path / "g.json"
    update(fit(more=1), file)
    lines = difference(fit(), file)
    assert "  fit[2] did not run" in lines
    assert "  end.extra: missing, it was 'extra'" in lines


def test_steps_that_are_new_or_gone(fit, tmp_path, update):
    file = tmp_path / "g.json"
    update(fit(), file)
    content = json.loads(file.read_text())
    content["tasks"]["evaluate"] = content["tasks"].pop("end")
    file.write_text(json.dumps(content))
    assert difference(fit(), file)[1:-1] == [
        "  step evaluate did not run",
        "  step end is new: it is not in the golden run",
    ]


@pytest.mark.parametrize(
    "tolerance",
    [
        1e-3,
        {"*": 1e-3},
        {"noise": 1e-3, "seconds": 1e-3, "fit.*": 1e-3, "losses": 1e-3},
    ],
)
def test_tolerances(fit, tmp_path, update, tolerance):
    file = tmp_path / "g.json"
    update(fit(), file)
    assert_same_run(fit(noise=1e-4), file, tolerance=tolerance)
    assert difference(fit(noise=1e-4), file)
    assert difference(fit(noise=1e-2), file, tolerance=tolerance)


def test_the_tolerance_is_told(fit, tmp_path, update):
    file = tmp_path / "g.json"
    update(fit(), file)
    lines = difference(fit(noise=0.1), file, tolerance={"loss": 1e-3}, ignore=["weights"])
    assert "  fit[0].loss: 0.0 → 0.1 (by 0.1, tolerance 0.001)" in lines
    assert "  start.seconds: 1.5 → 1.6 (by 0.1)" in lines


def test_what_is_ignored_is_not_written(fit, tmp_path, update):
    file, ignore = tmp_path / "g.json", ["seconds", "fit.w*", "noise", "loss*"]
    update(fit(), file, ignore=ignore)
    text = file.read_text()
    assert not any(word in text for word in ("seconds", "weights", "noise", "loss"))
    assert_same_run(fit(noise=0.1), file, ignore=ignore)


@pytest.mark.parametrize("options", [{"ignore": ["secnds"]}, {"tolerance": {"secnds": 1}}])
def test_a_name_that_fits_nothing(fit, tmp_path, update, options):
    update(fit(), tmp_path / "g.json")
    with pytest.raises(UsageError) as caught:
        assert_same_run(fit(), tmp_path / "g.json", **options)
    assert caught.value.what == "There is no artifact 'secnds' in the run, nor in the golden one"
    assert "seconds" in caught.value.hint


def test_an_update_leaves_alone_what_agrees(fit, tmp_path, update):
    file = tmp_path / "g.json"
    update(fit(), file)
    before = file.read_text()
    assert update(fit(noise=1e-9), file, tolerance=1e-6) == ()
    assert file.read_text() == before
    assert update(fit(noise=1.0), file, tolerance=1e-6) == (str(file),)
    assert file.read_text() != before
    assert [path.name for path in tmp_path.glob("*g.json*")] == ["g.json"]


def test_there_is_none_yet(fit, tmp_path):
    with pytest.raises(NotFound) as caught:
        assert_same_run(fit(), tmp_path)
    assert caught.value.what == "There is no golden run of Fit yet"
    assert caught.value.where == str(tmp_path / "Fit.json")
    assert "pytest --update-golden" in caught.value.hint


def test_a_run_that_failed(fit, tmp_path, update):
    with pytest.raises(AssertionError, match="failed in end: ValueError: too many"):
        update(fit(more=7), tmp_path / "g.json")
    assert not (tmp_path / "g.json").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "The file is no golden run"),
        ("[]", "The file is no golden run"),
        ('{"format": "flow-golden 9"}', "The golden file is of the format 'flow-golden 9'"),
    ],
)
def test_another_file(fit, tmp_path, text, what):
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(FormatError) as caught:
        assert_same_run(fit(), tmp_path / "g.json")
    assert caught.value.what == what


def test_what_is_no_run(tmp_path):
    with pytest.raises(UsageError, match="3 is no run"):
        assert_same_run(3, tmp_path)


def test_one_step(tmp_path, update):
    def fitted(rate):
        return flow_step(Fit.fit, input=1, inputs={"rows": [1.0]}, parameters={"rate": rate})

    (path,) = update(fitted(0.5), tmp_path)
    assert Path(path).name == "Fit.fit.json"
    assert json.loads(Path(path).read_text())["tasks"]["fit"]["loss"] == 0.5
    assert_same_run(fitted(0.5), tmp_path)
    assert difference(fitted(0.75), tmp_path)[1] == "  fit.loss: 0.5 → 0.75 (by 0.25)"


def test_under_pytest(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text(
        "import os\n"
        "from flow_core import FlowSpec, step\n"
        "from flow_core.testing import assert_same_run\n"
        "class F(FlowSpec):\n"
        "    @step\n"
        "    def start(self):\n"
        "        self.x = int(os.environ['X'])\n"
        "        self.next(self.end)\n"
        "    @step\n"
        "    def end(self):\n"
        "        pass\n"
        "def test_it(flowtester):\n"
        "    assert_same_run(flowtester.run(F), 'golden')\n"
    )

    def run(x, *options):
        return subprocess.run(
            [sys.executable, "-m", "pytest", *WITHOUT, "-q", *options],
            cwd=tmp_path,
            env={**os.environ, "X": x},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    first = run("1", "--update-golden")
    assert first.returncode == 0
    assert "golden file written: tests/golden/F.json" in first.stdout
    changed = run("2")
    assert changed.returncode == 1
    assert "Run F/1 is not as tests/golden/F.json says: 1 difference\n" in changed.stdout
    assert "start.x: 1 → 2" in changed.stdout
    assert "flow_core/" not in changed.stdout, "only the test is shown"


# --- values ---------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: float
    y: list


VALUES = {
    "none": (None, None),
    "nan": (math.nan, {"!float": "nan"}),
    "tuple": ((1, "a"), {"!tuple": [1, "a"]}),
    "set": ({2, 1}, {"!set": [1, 2]}),
    "keys": ({1: "a"}, {"!dict": [[1, "a"]]}),
    "marked": ({"!x": 1}, {"!dict": [["!x", 1]]}),
    "bytes": (b"ab", {"!bytes": "YWI="}),
    "enum": (Colour.RED, {"!enum": f"{__name__}.Colour", "name": "RED"}),
    "date": (
        datetime.date(2024, 1, 2),
        {"!value": "datetime.date", "repr": "datetime.date(2024, 1, 2)"},
    ),
    "decimal": (
        decimal.Decimal("1.50"),
        {"!value": "decimal.Decimal", "repr": "Decimal('1.50')"},
    ),
    "object": (
        Point(1.5, [1]),
        {"!object": f"{__name__}.Point", "fields": {"x": 1.5, "y": [1]}},
    ),
    "scalar": (np.float32(0.5), {"!scalar": "float32", "value": 0.5}),
    "frame": (
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
        {
            "!frame": [
                {"name": "a", "dtype": "int64", "values": [1, 2]},
                {"name": "b", "dtype": str(pd.Series(["x", None]).dtype)}
                | {"values": ["x", {"!missing": True}]},
            ],
            "rows": 2,
            "index": {"!range": [0, 2, 1]},
        },
    ),
    "other": (object(), {"!type": "builtins.object"}),
}


@pytest.mark.parametrize("name", VALUES)
def test_encoded(name):
    value, expected = VALUES[name]
    assert encode(value) == expected
    assert json.loads(_dump(encode(value), 0)) == expected


def test_long_values_are_summed_up():
    array = np.linspace(0, 1, 5000)
    encoded = encode(array)
    assert len(json.dumps(encoded)) < 5000
    assert "values" not in encoded
    other = array.copy()
    other[17] += 0.5
    assert list(differences(encoded, encode(other), 0.0)), "a change of any element shows"
    assert not list(differences(encoded, encode(array + 1e-12), 1e-9))
    assert encode(list(range(LONGEST + 1)))["length"] == LONGEST + 1
    assert encode("x" * 20_000)["length"] == 20_000


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_any_value_is_itself(value):
    encoded = encode(value)
    read = json.loads(_dump(encoded, 0))
    assert not list(differences(read, encode(value), 0.0))
    assert len(shown(read)) <= 80


@given(PLAIN, PLAIN)
def test_values_of_another_form_differ(one, other):
    if not list(differences(encode(one), encode(other), 0.0)):
        assert _sorted(encode(one)) == _sorted(encode(other))


def _sorted(encoded):
    """The order of a dict, and the sign of a zero, do not count."""
    return json.dumps(encoded, sort_keys=True).replace("-0.0", "0.0")


def test_a_whole_number_is_no_fraction():
    (found,) = differences(encode(1), encode(1.0), 0.5)
    assert found.text == "1 → 1.0 (int → float)"
    assert list(differences(encode(True), encode(1), 0.5))


def test_what_a_join_takes_from_one_branch_is_a_result(flowtester, tmp_path, update):
    update(flowtester.run(Choose), tmp_path)
    text = (tmp_path / "Choose.json").read_text()
    assert '"choose": {"model": "mean"}' in text, "and not what all branches have in common"
    other = flowtester.run(Choose, parameters={"best": 1})
    lines = difference(other, tmp_path, ignore=["best"])
    assert lines[1] == "  choose.model: 'mean' → 'max'"
