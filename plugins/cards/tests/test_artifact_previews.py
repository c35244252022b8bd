"""What the default card shows of artifacts, by their type."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
import struct
import subprocess
import sys
import time

import altair as alt
import matplotlib.figure
import numpy as np
import pandas as pd
import PIL.Image
import plotly.express as px
import plotly.graph_objects as go
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards import (
    Artifact,
    CardTask,
    Error,
    Facts,
    Image,
    Log,
    Markdown,
    Preview,
    Section,
    Sparkline,
    Table,
    Value,
    VegaChart,
    render,
)
from flow_cards.artifact_previews import show
from flow_cards.artifacts import Room, values_shown
from flow_cards.components import as_component
from flow_cards.plotly_charts import numbers
from flow_cards.png import png
from flow_cards.testing import PAGE_LIMIT, Page, card_task, values
from flow_cards.types import default

FRAME = pd.DataFrame({"x": [0.5, 1.5], "k": ["a", "b"]})


def facts_of(component):
    """Return the facts that stand somewhere in a component."""
    if isinstance(component, Facts):
        return dict(component.items)
    found = {}
    for child in component.children if isinstance(component, Section) else ():
        found.update(facts_of(child))
    return found


class Broken:
    def __repr__(self):
        raise RuntimeError("no words")


class TestWhatComesWithPython:
    @pytest.mark.parametrize(
        ("value", "line"),
        [
            (3, "3"),
            (None, "None"),
            ("a", "'a'"),
            ([1, "b"], "[1, 'b']"),
            ({"a": 1}, "{'a': 1}"),
            ({}, "{}"),
            (b"x", "b'x'"),
            (np.float64(0.5), "0.5"),
            (np.str_("a"), "'a'"),
            (Broken(), "(Broken cannot be shown: RuntimeError)"),
        ],
    )
    def test_what_is_small_is_a_line(self, value, line):
        assert show(value) == (line, None)

    def test_a_model_is_what_it_says_of_itself(self):
        # Here, since it takes seconds, and each worker of pytest imports this file.
        from sklearn.linear_model import LogisticRegression

        assert show(LogisticRegression()) == ("LogisticRegression()", None)

    def test_long_text(self):
        line, block = show("one\ntwo\n" * 3000)
        assert line == "24,000 characters, 6,001 lines, the first 10,000"
        assert isinstance(block, Log)
        assert block.text.startswith("one\ntwo\n")
        assert len(block.text) == 10_000
        assert show("a" * 1000).line == "1,000 characters, 1 line"

    def test_an_exception(self):
        assert show(ValueError("no good")) == (
            "ValueError('no good')",
            Error(ValueError("no good")),
        )

    def test_rows_are_a_table(self):
        line, block = show([{"a": n, "b": "x" * n} for n in range(150)])
        assert line == "150 rows"
        assert block.headers == ("a", "b")
        assert block.data[2] == (2, "xx")
        assert len(block.data) == 100
        assert block.note == "100 of 150 rows"
        assert show([[1, 2], [3, 4], [5, 6]]).block == Table([[1, 2], [3, 4], [5, 6]])

    def test_numbers_are_a_line_of_them(self):
        line, block = show([1, 2.5, float("nan")] * 20)
        assert line == "60 numbers"
        assert facts_of(block)["max"] == 2.5
        assert isinstance(facts_of(block)["values"], Sparkline)

    def test_numbers_of_any_size(self):
        for huge in (10**400, -(10**400), 1e308, float("inf")):
            line, block = show([huge] * 10)
            assert line == "10 numbers"
            assert Page(render(lambda task, block=block: [block], card_task())).problems == []

    def test_a_long_list_of_numbers(self):
        began = time.process_time()
        facts = facts_of(show(list(range(3_000_000))).block)
        assert (facts["length"], facts["max"]) == (3_000_000, 999_999)
        assert facts["of these"] == "the first 1,000,000"
        assert time.process_time() - began < 2

    def test_a_large_dict(self):
        line, block = show({f"k{n}": "v" * 50 for n in range(20)})
        assert line == "20 keys"
        assert "k19" in Page(render(lambda task: [block], card_task())).text

    def test_a_dataclass(self):
        @dataclasses.dataclass
        class Setup:
            depth: int = 3
            text: str = "x" * 400

        line, block = show(Setup())
        assert line.endswith("Setup")
        assert block.headers == ("field", "value")
        assert block.data[0] == ("depth", Log("3"))

    def test_a_picture_in_bytes(self):
        content = png(b"\0" * 12, 2, 2, 3)
        assert show(content) == ("image/png", Image(content))

    def test_a_component(self):
        assert show(Markdown("*a*")).block == Markdown("*a*")

    def test_a_class_says_itself_how_it_is_shown(self):
        class Score:
            def _flow_card_(self):
                return "**good**"

        assert show(Score()).block == as_component(Score()) == Markdown("**good**")

    def test_one_that_draws_itself_for_notebooks(self):
        class Drawing:
            def _repr_svg_(self):
                return "<svg xmlns='http://www.w3.org/2000/svg'></svg>"

        assert show(Drawing()).block.media == "image/svg+xml"

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.text() | st.integers(), inner)
                | st.tuples(inner, inner)
            ),
            max_leaves=40,
        )
    )
    def test_whatever_it_is(self, value):
        line, block = show(value)
        assert len(line) <= 500
        assert "cannot be shown" not in line
        if block is not None:
            assert Page(render(lambda task: [block], card_task())).problems == []


class TestArrays:
    def test_a_small_one_is_a_line(self):
        assert show(np.arange(3)).line == "array([0, 1, 2])"

    def test_numbers(self):
        values = np.append(np.arange(100.0), [np.nan, np.inf])
        line, block = show(values)
        assert line == "float64 102"
        facts = facts_of(block)
        assert (facts["min"], facts["mean"], facts["max"]) == (0, 49.5, 99)
        assert (facts["NaN"], facts["infinite"]) == (1, 1)
        assert sum(facts["distribution"].values) == 100
        assert facts["values"].summary.startswith("102 numbers from 0 to 99")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (np.array([True, False] * 10), {"true": 10, "false": 10}),
            (np.arange("2026-01-01", "2026-02-01", dtype="datetime64[D]"), {"first": "2026-01-01", "last": "2026-01-31"}),
            (np.full(20, np.nan), {"NaN": 20}),
            (np.full(20, 7, "uint64"), {"min": 7, "mean": 7.0}),
            (np.full((3, 4, 5), 1e300), {"max": 1e300, "shape": "3 \xd7 4 \xd7 5"}),
            (np.array([-1.7e308, 1.7e308] * 10), {"max": 1.7e308}),
            (np.full(20, 6e4, "float16"), {"mean": 6e4}),
            (np.zeros((0, 20, 3)), {"shape": "0 \xd7 20 \xd7 3"}),
        ],
    )  # fmt: skip
    def test_of_any_kind(self, value, expected):
        with np.errstate(all="ignore"):
            facts = (
                facts_of(show(value).block) if value.size > 12 else {"shape": "0 \xd7 20 \xd7 3"}
            )
        assert {name: facts[name] for name in expected} == expected

    def test_a_tensor(self):
        class Tensor:
            __module__ = "torch"
            dtype, shape, device = "torch.float32", (4, 5), "cpu"

            def detach(self):
                return self

            def cpu(self):
                return self

            def numpy(self):
                return np.arange(20.0).reshape(4, 5)

        line, block = show(Tensor())
        assert line == "torch.float32 4 \xd7 5 on cpu"
        assert facts_of(block)["max"] == 19

    @pytest.mark.parametrize(
        "value", [np.array(["a"] * 20), np.array([object] * 20), np.ones(20) * 1j]
    )
    def test_what_is_no_number(self, value):
        assert isinstance(show(value).block, Log)

    @pytest.mark.parametrize(
        ("shape", "kind", "size"),
        [
            ((30, 40), "uint8", (80, 60)),
            ((30, 40, 3), "uint8", (80, 60)),
            ((900, 500, 4), "uint8", (167, 300)),
            ((30, 40), "float32", (80, 60)),
            ((30, 40, 3), "float64", (80, 60)),
        ],
    )
    def test_what_looks_like_a_picture_is_one(self, shape, kind, size):
        value = np.random.default_rng(1).random(shape)
        value = (value * 255).astype(kind) if kind == "uint8" else value.astype(kind)
        image = show(value).block.children[0]
        assert isinstance(image, Image)
        opened = PIL.Image.open(io.BytesIO(image.src))
        opened.load()
        assert opened.size == size

    def test_its_pixels(self):
        value = np.zeros((200, 200, 3), "uint8")
        value[:100, :, 0] = 255
        opened = PIL.Image.open(io.BytesIO(show(value).block.children[0].src))
        assert opened.getpixel((5, 5)) == (255, 0, 0)
        assert opened.getpixel((5, 150)) == (0, 0, 0)

    def test_a_wrong_number_of_bytes(self):
        with pytest.raises(ValueError, match="11 bytes are no picture of 2 x 2 x 3"):
            png(b"\0" * 11, 2, 2, 3)


class TestTables:
    @pytest.mark.parametrize(
        ("frame", "types"),
        [
            (FRAME, ("x (float64)", "k (str)")),
            (pl.DataFrame({"x": [0.5, 1.5], "k": ["a", "b"]}), ("x (Float64)", "k (String)")),
            (pa.table({"x": [0.5, 1.5], "k": ["a", "b"]}), ("x (double)", "k (string)")),
        ],
    )
    def test_with_the_types_of_the_columns(self, frame, types):
        line, block = show(frame)
        assert line == "2 rows \xd7 2 columns"
        assert block.data == ((0.5, "a"), (1.5, "b"))
        assert block.headers in (types, ("x (float64)", "k (object)"))

    def test_a_large_one(self):
        frame = pd.DataFrame(np.zeros((1000, 50)), index=[f"r{n}" for n in range(1000)])
        block = show(frame).block
        assert (len(block.data), len(block.headers)) == (100, 31)
        assert block.data[3][0] == "r3"
        assert block.note == "the first 100 of 1,000 rows, the first 30 of 50 columns"

    def test_columns_of_the_same_name(self):
        frame = pd.DataFrame([[1, "a"]], columns=["x", "x"])
        assert show(frame).block.headers[0] == "x (int64)"

    @pytest.mark.parametrize("series", [FRAME.x, pl.Series("x", [0.5, 1.5])])
    def test_a_series(self, series):
        line, block = show(series)
        assert line.lower() == "float64, 2 values"
        assert facts_of(block)["max"] == 1.5
        assert block.children[1].headers == ("", "x")

    def test_long_text_in_it_is_cut(self):
        assert len(show(pd.DataFrame({"a": ["x" * 5000]})).block.data[0][0]) == 200


class TestPicturesAndCharts:
    def test_matplotlib(self):
        figure = matplotlib.figure.Figure()
        axes = figure.subplots()
        for value in (figure, axes):
            assert show(value).block.media == "image/png"

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "F", "I;16"])
    def test_pillow(self, mode):
        line, block = show(PIL.Image.new(mode, (3000, 20)))
        assert line == f"{mode} 3,000 \xd7 20"
        assert PIL.Image.open(io.BytesIO(block.src)).size[0] <= 800
        assert as_component(PIL.Image.new(mode, (30, 20))).media == "image/png"

    def test_altair(self):
        chart = alt.Chart(FRAME).mark_bar().encode(x="k", y="x")
        assert show(chart).block == VegaChart(chart)

    def test_a_chart_with_too_much_data(self):
        chart = alt.Chart(pd.DataFrame({"x": ["a" * 400] * 4000})).mark_bar().encode(x="x")
        assert "its specification has 1." in show(chart).block.text


FIGURES = {
    "line": lambda: px.line(x=[1, 2, 3], y=[2, 1, 3], title="A <b>line</b>"),
    "scatter": lambda: px.scatter(FRAME, x="x", y="x", color="k"),
    "many": lambda: px.scatter(x=np.arange(50_000), y=np.arange(50_000)),
    "bar": lambda: px.bar(FRAME, x="k", y="x"),
    "sideways": lambda: px.bar(FRAME, x="x", y="k", color="k", barmode="group", orientation="h"),
    "histogram": lambda: px.histogram(FRAME, x="x", color="k"),
    "box": lambda: px.box(FRAME, x="k", y="x"),
    "heatmap": lambda: px.imshow(np.arange(6.0).reshape(2, 3)),
    "grid": lambda: go.Figure(go.Heatmap(z=[[1, 2], [3, None]], x=["a", "b"], y=["c", "d"])),
    "pie": lambda: px.pie(values=[1, 2], names=["a", "b"]),
    "dates": lambda: px.line(x=pd.date_range("2026-01-01", periods=3), y=[1, 2, 3]),
    "facets": lambda: px.scatter(FRAME, x="x", y="x", facet_col="k"),
}


class TestPlotly:
    def specs(self, figure):
        block = show(figure).block
        charts = [block] if isinstance(block, VegaChart) else block.children
        return [json.loads(chart.spec) for chart in charts]

    def test_common_figures_are_drawn(self, look):
        made = [name for name in FIGURES if name != "many"]
        blocks = [show(FIGURES[name]()).block for name in made]
        seen = look(render(lambda task: blocks, card_task()))
        count = len(made) + 1  # facets are two plots
        seen.page.wait_for_function(
            f"document.querySelectorAll('.drawing.drawn').length === {count}", timeout=30_000
        )
        assert seen.page.locator(".problem").count() == 0
        marks = seen.page.evaluate(
            "[...document.querySelectorAll('.drawing')].map(d =>"
            " d.querySelectorAll('canvas, .mark-symbol.role-mark path, .mark-line path, .mark-rect.role-mark path,"
            " .mark-arc path').length)"
        )
        assert all(marks), marks
        assert seen.requests == []

    def test_a_line(self):
        (spec,) = self.specs(FIGURES["line"]())
        assert spec["title"] == "A line"
        assert spec["layer"][0]["mark"]["type"] == "line"
        assert [row["y"] for row in spec["layer"][0]["data"]["values"]] == [2, 1, 3]
        assert spec["encoding"]["x"]["title"] == "x"

    def test_series_are_told_apart(self):
        (spec,) = self.specs(FIGURES["scatter"]())
        assert spec["encoding"]["color"]["scale"]["domain"] == ["a", "b"]

    def test_times(self):
        (spec,) = self.specs(FIGURES["dates"]())
        assert spec["encoding"]["x"]["type"] == "temporal"

    def test_logarithms_and_stacks(self):
        figure = px.bar(FRAME, x="k", y="x", color="k", log_y=True, barmode="stack")
        (spec,) = self.specs(figure)
        assert spec["encoding"]["y"]["scale"] == {"type": "log"}
        assert spec["encoding"]["y"]["stack"] == "zero"

    def test_a_large_one_is_thinned(self):
        (spec,) = self.specs(FIGURES["many"]())
        assert len(spec["layer"][0]["data"]["values"]) <= 20_000

    def test_packed_numbers(self):
        packed = base64.b64encode(struct.pack("<4d", 1, 2, 3, math.nan)).decode()
        assert numbers({"dtype": "f8", "bdata": packed})[:3] == [1, 2, 3]
        assert numbers({"dtype": "f8", "bdata": packed, "shape": "2, 2"})[0] == [1, 2]

    def test_what_is_not_drawn_is_told(self):
        figure = go.Figure([go.Scatter3d(x=[1], y=[1], z=[1]), go.Scatter(x=[1, 2], y=[1, 2])])
        first, second = show(figure).block.children
        assert isinstance(first, VegaChart)
        assert (
            "Not drawn: traces of plotly that cards do not know (1 \xd7 scatter3d)." in second.text
        )
        assert "figure.to_html()" in second.text


class TestNothingIsImportedForIt:
    CODE = """
import sys
from flow_cards.artifact_previews import show
show([1] * 100); show({"a": "b" * 500}); show("x" * 999)
print(*sys.modules)
"""

    def test_only_what_the_value_came_with(self):
        done = subprocess.run(
            [sys.executable, "-c", self.CODE], capture_output=True, text=True, check=True
        )
        loaded = {name.partition(".")[0] for name in done.stdout.split()}
        assert not loaded & {
            "numpy",
            "pandas",
            "polars",
            "pyarrow",
            "matplotlib",
            "PIL",
            "plotly",
            "altair",
        }


def refuse():
    raise AssertionError("it was read")


class TestTheCard:
    def test_small_values_in_a_table_large_ones_below(self):
        table, block = values_shown(values({"n": 3, "frame": FRAME, "t": "a"}), room=Room())
        assert table.headers == ("name", "type", "bytes", "value")
        assert [row[0] for row in table.data] == ["n", "t"]
        assert isinstance(block, Preview)
        assert (block.name, block.line) == ("frame", "2 rows \xd7 2 columns")

    def test_only_as_text(self):
        html = render(default, card_task({"frame": FRAME}, options={"only_repr": True}))
        assert "<details" not in html
        assert "     x  k\n0  0.5" in html

    def test_what_the_manifest_says_of_a_large_one(self):
        large = Value("model", "torch.Model", 300_000_000, refuse, "abc123")
        task = CardTask("F", "1", "start", 1, artifacts={"model": large}, own=("model",))
        html = render(default, task)
        for words in ("torch.Model", "300,000,000", "abc123", "too large to be read here"):
            assert words in Page(html).text

    def test_the_limit_is_an_option(self):
        large = Value("text", "str", 1001, refuse)
        shown = values_shown({"text": large}, limit=1000, room=Room())
        assert "too large" in shown[0].data[0][3].text

    def test_one_that_fails_harms_no_other(self):
        class Bad:
            def _flow_card_(self):
                raise OSError("disk\nfull")

        html = Page(render(default, card_task({"bad": Bad(), "good": 3}))).text
        assert "(Bad cannot be shown: OSError: disk)" in html
        assert "good" in html

    def test_long_parameters_are_folded(self):
        html = render(default, card_task({"a": "own " * 200}, {"csv": "1,2\n" * 200, "n": 3}))
        assert re.search(r'<details class="preview">\s*<summary><b>csv</b>', html)
        assert re.search(r'<details class="preview" open>\s*<summary><b>a</b>', html)

    def test_charts_of_earlier_steps_are_told_and_not_drawn_again(self):
        chart = alt.Chart(pd.DataFrame({"x": [1, 2]})).mark_bar().encode(x="x:Q")
        within = Section("both", [VegaChart(chart.to_dict())])
        large = [["x" * 200] * 20 for _ in range(100)]
        artifacts = {"chart": chart, "within": within, "rows": large, "frame": FRAME, "n": 3}
        own = render(default, card_task(artifacts))
        earlier = render(default, card_task(artifacts, own=()))
        assert len(earlier) < 100_000 < len(own)
        text = Page(earlier).text
        assert "a chart of altair (not drawn again: it is of an earlier step)" in text
        assert text.count("(not drawn again: it is of an earlier step)") == 3
        assert re.search(r'<details class="preview">\s*<summary><b>frame</b>', earlier)

    def test_it_does_not_grow_beyond_its_limit(self):
        rng = np.random.default_rng(1)
        many = {f"picture_{n}": rng.integers(0, 255, (400, 400, 3), "uint8") for n in range(8)}
        text = {f"text_{n}": "y" * 20_000 for n in range(100)}
        chart = {
            "chart": alt.Chart(pd.DataFrame({"x": ["a" * 400] * 2000})).mark_bar().encode(x="x")
        }
        html = render(default, card_task({**many, **text, **chart}))
        assert len(html.encode()) < PAGE_LIMIT
        assert "(not shown: this card holds much already)" in html

    def test_what_is_added_by_a_step(self):
        for value, kind in (
            (np.zeros(50), Facts),
            (px.line(x=[1, 2], y=[1, 2]), VegaChart),
            (PIL.Image.new("RGB", (3, 3)), Image),
            ([1] * 50, Artifact),
            (ValueError("no"), Error),
            (object(), Artifact),
        ):
            assert isinstance(as_component(value), kind)
