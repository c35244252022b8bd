"""Charts: what they are as data, what stands in a page, and what a real browser makes of it."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from datetime import datetime, timezone
from importlib import resources

import altair as alt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards import Artifact, Section, Sparkline, Table, VegaChart, render
from flow_cards.codec import decode, encode
from flow_cards.components import as_component
from flow_cards.components.charts import describe, thinned
from flow_cards.testing import PAGE_LIMIT, Page, card_task

ROWS = [{"epoch": n, "loss": 1 / (n + 1), "set": s} for n in range(20) for s in ("train", "test")]
LINE = {
    "data": {"values": ROWS},
    "mark": "line",
    "encoding": {
        "x": {"field": "epoch", "type": "quantitative"},
        "y": {"field": "loss", "type": "quantitative"},
        "color": {"field": "set"},
    },
}
BARS = {
    "data": {"values": [{"genre": "Drama", "films": 3}, {"genre": "Horror", "films": 5}]},
    "mark": "bar",
    "encoding": {"x": {"field": "genre"}, "y": {"field": "films", "type": "quantitative"}},
}


def page(*components):
    return render(lambda task: list(components), card_task())


class TestWhatIsShippedWithIt:
    FOLDER = resources.files("flow_cards") / "scripts"

    def script(self):
        return gzip.decompress((self.FOLDER / "vega.js.gz").read_bytes())

    def test_it_is_what_the_tool_makes(self):
        found = hashlib.sha256(self.script()).hexdigest()
        assert found == "d8c9d53e09e78f0d6829d428641a1e884baf0d645943ed8df41a9461a3530fa8"

    def test_nothing_in_it_could_end_its_element_or_ask_for_anything(self):
        text = self.script().decode()
        assert not re.search(r"</?script|<!--|new Function", text, re.IGNORECASE)
        addresses = {re.split(r"[\"'`)]", found)[0] for found in re.findall(r"https?://\S+", text)}
        named = {a for a in addresses if "w3.org" not in a}  # those are names, never fetched
        assert named <= {
            "https://vega.github.io/schema/vega/v6.json",
            "https://github.com/vega/vega-lite/issues/2415",
        }

    def test_the_licences_lie_beside_it(self):
        notice = (self.FOLDER / "vega.NOTICE.txt").read_text()
        for words in ("vega-lite\n", "vega-embed\n", "d3-scale", "University of Washington"):
            assert words in notice
        assert "Licence:" not in notice  # each package's whole text


class TestSpec:
    def test_it_is_kept_as_json(self):
        assert json.loads(VegaChart(LINE).spec) == LINE
        assert VegaChart(json.dumps(LINE)) == VegaChart(LINE)

    def test_it_does_not_change_what_it_is_given(self):
        before = json.dumps(BARS)
        VegaChart(BARS)
        assert json.dumps(BARS) == before

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            (float("nan"), None),
            (math.inf, None),
            (np.float32(0.5), 0.5),
            (np.int64(3), 3),
            (np.array([1, 2]), [1, 2]),
            (datetime(2026, 11, 29, 1, 2, tzinfo=timezone.utc), "2026-11-29T01:02:00+00:00"),
            (pd.Timestamp("2026-11-29"), "2026-11-29T00:00:00"),
            ((1, 2), [1, 2]),
            (pd.DataFrame({"a": [1.5, float("nan")]}), [{"a": 1.5}, {"a": None}]),
            (pl.DataFrame({"a": [1, None]}), [{"a": 1}, {"a": None}]),
        ],
    )
    def test_values_of_other_types(self, value, kept):
        chart = VegaChart({"mark": "point", "data": {"values": value}})
        assert chart.problem == ""
        assert json.loads(chart.spec)["data"]["values"] == kept

    def test_what_has_no_form_in_json_is_told(self):
        chart = VegaChart({"mark": "point", "data": {"values": [object()]}})
        assert chart.problem.startswith(
            "The specification of the chart holds what is no JSON: object.\n"
        )

    def test_one_that_holds_itself(self):
        spec = {"mark": "bar"}
        spec["spec"] = spec
        assert "nested too deeply" in VegaChart(spec).problem

    def test_text_that_is_no_json(self):
        assert VegaChart("{mark: bar}").problem.startswith(
            "The specification of the chart is no JSON.\n"
        )

    def test_nothing(self):
        assert VegaChart({}).problem.startswith("The chart is empty.")

    @pytest.mark.parametrize("wrong", [None, 3, [LINE], "[1]"])
    def test_what_is_no_spec(self, wrong):
        with pytest.raises(
            TypeError, match="spec must be a dict, JSON of one, or a chart of altair"
        ):
            VegaChart(wrong)

    def test_a_change_makes_it_anew(self):
        url = VegaChart({"data": {"url": "x.csv"}, "mark": "bar"}, title="T")
        changed = url.changed({"spec": BARS})
        assert changed == VegaChart(BARS, title="T")
        assert changed.problem == ""

    def test_round_trip(self):
        for chart in (
            VegaChart(LINE, True, "T", "A"),
            VegaChart({}),
            Sparkline([1, None, 3], "bars"),
        ):
            assert decode(json.loads(json.dumps(encode(chart)))) == chart


class TestAddresses:
    @pytest.mark.parametrize(
        "spec",
        [
            {"data": {"url": "https://attacker.example/x.csv"}, "mark": "bar"},
            {"layer": [{"data": {"url": "x.csv"}, "mark": "bar"}]},
            {"hconcat": [{"mark": "bar"}, {"spec": {"data": {"url": "/x"}}}]},
            {"transform": [{"lookup": "a", "from": {"data": {"url": "x.json"}, "key": "b"}}]},
            {"data": [{"name": "t", "values": []}, {"name": "u", "url": "x.json"}], "marks": []},
            {"data": [{"name": "t", "url": {"signal": "'x' + '.json'"}}], "marks": []},
            {"data": {"url": "data:text/csv,a%0A1"}, "mark": "bar"},
        ],
    )
    def test_data_that_would_be_fetched_is_told_in_the_charts_place(self, spec):
        chart = VegaChart(spec, title="Sales")
        assert chart.problem.startswith("The chart is not drawn: its data would be fetched from ")
        html = page(chart)
        assert "A card needs no network" in html
        assert "Put the data itself into the specification" in html
        assert "Sales" in html
        assert "vegaEmbed" not in html

    def test_rows_may_speak_of_addresses(self):
        spec = {**BARS, "data": {"values": [{"data": {"url": "x"}, "url": "https://a.example"}]}}
        assert VegaChart(spec).problem == ""


class TestAltair:
    FRAME = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, float("nan")]})

    def test_a_chart_of_altair(self):
        chart = alt.Chart(self.FRAME).mark_line().encode(x="x", y="y")
        found = VegaChart.from_altair_chart(chart, show_controls=True)
        assert found == VegaChart(chart, True)
        assert json.loads(found.spec)["mark"]["type"] == "line"
        assert [list(row) for row in found.table.data] == [[1.0, 3.0], [2.0, None]]

    @pytest.mark.parametrize(
        "combine", [lambda a, b: a + b, lambda a, b: a | b, lambda a, b: a & b]
    )
    def test_charts_that_are_put_together(self, combine):
        one = alt.Chart(self.FRAME).mark_line().encode(x="x", y="y")
        two = alt.Chart(self.FRAME).mark_point().encode(x="x", y="y")
        found = as_component(combine(one, two))
        assert isinstance(found, VegaChart)
        assert found.summary == "Chart of y by x (line, point), 2 rows"

    def test_what_altair_refuses_is_told(self):
        many = pd.DataFrame({"x": range(6000)})
        found = as_component(alt.Chart(many).mark_point().encode(x="x"))
        assert found.problem.startswith(
            "altair cannot make a specification of this chart.\nMaxRowsError: "
        )


class TestInWords:
    @pytest.mark.parametrize(
        ("spec", "said"),
        [
            (LINE, "Chart of loss by epoch, for each set (line), 40 rows"),
            (BARS, "Chart of films by genre (bar), 2 rows"),
            ({**BARS, "title": "Films"}, "Films"),
            ({**BARS, "title": {"text": "Films"}}, "Films"),
            ({**BARS, "description": " Few films. "}, "Few films."),
            ({"mark": {"type": "arc"}, "encoding": {"theta": {"field": "n", "aggregate": "sum"}}}, "Chart of sum of n (arc)"),
            ({"mark": "bar", "encoding": {"x": {"bin": True, "field": "a"}, "y": {"aggregate": "count"}}}, "Chart of count by a (bar)"),
            ({"marks": []}, "Chart"),
        ],
    )  # fmt: skip
    def test_from_the_specification(self, spec, said):
        assert describe(spec) == said

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
            lambda inner: st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["data", "url", "values", "mark", "encoding", "x", "y", "layer",
                                 "title", "type", "field", "name", "datasets", "spec"]),
                inner,
            ),
            max_leaves=30,
        )
    )  # fmt: skip
    def test_whatever_it_holds(self, inner):
        chart = VegaChart({"mark": "bar", "data": inner, "encoding": inner, "layer": inner})
        assert len(chart.summary) <= 500
        assert Page(page(chart)).problems == []


class TestPage:
    def test_the_bundle_stands_in_it_once_and_only_with_a_chart(self):
        one, two = (
            page(VegaChart(LINE)),
            page(Section("A", [VegaChart(LINE), VegaChart(BARS)]), Table([[VegaChart(BARS)]])),
        )
        assert one.count("window.vegaEmbed=") == two.count("window.vegaEmbed=") == 1
        assert "vegaEmbed" not in page(Table([[1]]), Sparkline([1, 2]))
        for html in (one, two):
            assert Page(html).problems == []
            assert len(html.encode()) < PAGE_LIMIT
            (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
            assert "unsafe" not in policy

    def test_what_is_seen_without_its_script(self):
        found = Page(page(VegaChart(BARS)))
        for words in ("Chart of films by genre (bar), 2 rows", "Drama", "Horror"):
            assert words in found.text
        many = Page(page(VegaChart({**BARS, "data": {"values": BARS["data"]["values"] * 50}})))
        assert "100 rows" in many.text
        assert "Drama" not in many.text


class TestSparkline:
    def test_a_line(self):
        line = Sparkline([0, 1, 0.5])
        assert line.lines == ["2.0,26.0 60.0,2.0 118.0,14.0"]
        assert line.summary == "3 numbers from 0 to 1, the last 0.5"

    def test_gaps(self):
        assert len(Sparkline([1, 2, None, float("nan"), 3]).lines) == 2
        assert Sparkline([1, None]).summary == "2 numbers from 1 to 1, the last 1, 1 missing"

    def test_bars_stand_on_0(self):
        bars = Sparkline([2, -2, 1], "bars").bars
        assert [round(y + h, 3) for _, y, _, h in bars] == [14.0, 26.0, 14.0]

    @pytest.mark.parametrize("values", [[], [None], [float("inf")]])
    def test_no_numbers(self, values):
        assert Sparkline(values).summary == "no numbers"
        assert Page(page(Sparkline(values), Sparkline(values, "bars"))).problems == []

    @given(st.lists(st.none() | st.floats(), max_size=200), st.sampled_from(["line", "bars"]))
    def test_it_stays_within_its_frame(self, values, kind):
        spark = Sparkline(values, kind)
        assert len(spark.values) <= 60
        width, height = spark.size
        points = [p.split(",") for line in spark.lines for p in line.split()]
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)
        assert all(x >= 0 and x + w <= width + 1 and -1 <= y <= height for x, y, w, _ in spark.bars)

    @given(st.lists(st.floats(allow_nan=False), min_size=61, max_size=300))
    def test_peaks_are_kept(self, values):
        kept = thinned(values, 60)
        assert (min(kept), max(kept)) == (min(values), max(values))

    def test_arrays_and_series(self):
        for values in (np.arange(3), pd.Series([0, 1, 2]), pl.Series([0, 1, 2]), range(3)):
            assert Sparkline(values) == Sparkline([0, 1, 2])

    def test_another_kind(self):
        with pytest.raises(ValueError, match="shape cannot be 'pie': line, bars"):
            Sparkline([1], "pie")


def test_a_chart_of_altair_among_the_components_of_a_step():
    chart = alt.Chart(TestAltair.FRAME).mark_line().encode(x="x", y="y")
    assert isinstance(as_component(chart), VegaChart)
    assert isinstance(as_component(alt), Artifact)  # the module is none


class TestInABrowser:
    def drawn(self, seen, count):
        seen.page.wait_for_function(
            f"document.querySelectorAll('.drawing.drawn').length === {count}", timeout=20_000
        )
        return seen.page

    def test_charts_are_drawn_and_ask_for_nothing(self, look):
        image = {
            "data": {"values": [{"u": "https://attacker.example/p.png", "x": 1}]},
            "mark": {"type": "image", "width": 20, "height": 20},
            "encoding": {"url": {"field": "u"}, "x": {"field": "x", "type": "quantitative"}},
        }
        csv = {**LINE, "data": {"values": "epoch,loss\n1,2\n2,1", "format": {"type": "csv"}}}
        usermeta = {**BARS, "usermeta": {"embedOptions": {"loader": {}, "defaultStyle": True}}}
        vega = {
            "$schema": "https://vega.github.io/schema/vega/v5.json",
            "data": [{"name": "t", "values": [1, 2]}],
            "marks": [{"type": "symbol", "from": {"data": "t"},
                       "encode": {"enter": {"x": {"signal": "datum.data * 10"}}}}],
        }  # fmt: skip
        steps = {**BARS, "encoding": {"y": {"field": "genre"}, "x": {"field": "films"}}}
        charts = [LINE, csv, usermeta, vega, image, steps]
        seen = look(page(*(VegaChart(spec) for spec in charts)))
        found = self.drawn(seen, len(charts))
        assert found.locator("svg.marks[role=img]").count() == len(charts)
        assert found.locator("svg.marks").first.get_attribute("aria-label") == describe(LINE)
        assert found.locator(".fallback:visible").count() == 0
        assert seen.requests == []
        assert [p for p in seen.problems if "a card fetches nothing" not in p] == []
        strokes = found.evaluate(
            "[...document.querySelector('svg.marks').querySelectorAll('.mark-line path')]"
            ".map(path => getComputedStyle(path).stroke)"
        )
        assert strokes == ["rgb(208, 98, 11)", "rgb(52, 85, 201)"]  # train, test: sorted by name
        found.emulate_media(color_scheme="dark")
        found.wait_for_function(
            "getComputedStyle(document.querySelector('.mark-line path')).stroke === 'rgb(245, 163, 92)'"
        )

    def test_what_cannot_be_drawn_says_so_and_shows_its_data(self, look):
        spec = {**BARS, "mark": "blob"}
        found = self.drawn(look(page(VegaChart(spec), VegaChart(BARS))), 2)
        assert "The chart cannot be drawn. Vega says: " in found.locator(".problem").inner_text()
        assert found.locator(".fallback").first.locator("td").first.inner_text() == "Drama"
        assert found.locator("svg.marks").count() == 1

    def test_nobody_is_kept_out(self, look):
        from axe_playwright_python.sync_playwright import Axe

        found = self.drawn(look(page(VegaChart(LINE, True), VegaChart(BARS, True))), 2)
        for name in ("Data", "Specification"):
            found.get_by_role("button", name=name).last.click()
        violations = Axe().run(found).response["violations"]
        assert [
            (one["id"], one["nodes"])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ] == []

    def test_it_is_as_wide_as_there_is_room(self, look):
        fixed = {**BARS, "width": 700}
        found = self.drawn(look(page(VegaChart(LINE), VegaChart(fixed)), width=1000), 2)

        def widths():
            return found.evaluate(
                "[...document.querySelectorAll('svg.marks')].map(e => e.getBoundingClientRect().width)"
            )

        wide = widths()
        assert wide[0] > 900
        assert 700 < wide[1] < 800
        found.set_viewport_size({"width": 390, "height": 800})
        found.wait_for_function(
            "document.querySelector('svg.marks').getBoundingClientRect().width < 370"
        )
        assert all(width < 370 for width in widths())
        assert found.evaluate("document.documentElement.scrollWidth") == 390

    def test_on_paper_it_is_light(self, look):
        found = self.drawn(look(page(VegaChart(LINE)), dark=True), 1)
        found.emulate_media(media="print", color_scheme="dark")
        color = "getComputedStyle(document.querySelector('.mark-line path')).stroke"
        assert found.evaluate(color) == "rgb(208, 98, 11)"

    def test_its_buttons(self, look):
        found = self.drawn(look(page(VegaChart(BARS, show_controls=True))), 1)
        for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
            with found.expect_download() as download:
                found.get_by_role("button", name=f"Save as {kind}").click()
            content = download.value.path().read_bytes()
            assert content.startswith(start)
            assert b"var(--" not in content
        found.get_by_role("button", name="Data").click()
        assert found.locator("td").first.is_visible()
        found.get_by_role("button", name="Specification").click()
        assert '"mark": "bar"' in found.locator(".specification").inner_text()
        found.evaluate(
            """() => {
                const old = document.querySelector(".part");
                const fresh = old.cloneNode(true);
                fresh.querySelectorAll(".controls, .specification").forEach((one) => one.remove());
                const note = fresh.querySelector(".fallback .note");
                note.insertAdjacentHTML("beforeend", '<span class="unscripted"></span>');
                flowCard.replace(old, fresh);
            }"""
        )
        assert found.locator("td").first.is_visible()  # what was opened stays open
        assert '"mark": "bar"' in found.locator(".specification").inner_text()

    def test_a_live_page_shows_new_data_without_a_gap(self, look):
        seen = look(page(VegaChart(BARS)))
        found = self.drawn(seen, 1)
        part = re.search(
            r'<div class="part">(.*?)</div>\s*</main>', page(VegaChart(LINE)), re.DOTALL
        )[1]
        shown = found.evaluate(
            """async (html) => {
                const part = document.querySelector(".part");
                const before = part.offsetHeight;
                part.innerHTML = html;
                flowCard.start(part);
                return [part.querySelectorAll("svg.marks").length > 0, part.offsetHeight - before];
            }""",
            part,
        )
        assert shown[0]
        assert abs(shown[1]) < 40
        found.wait_for_function("document.querySelectorAll('.mark-line path').length === 2")
        assert found.locator(".drawing svg.marks").count() == 1
        found.evaluate(
            """() => {
                const script = document.querySelector("script.data");
                const data = JSON.parse(script.textContent);
                data.spec.encoding.color = undefined;
                script.textContent = JSON.stringify(data);
            }"""
        )
        found.wait_for_function("document.querySelectorAll('.mark-line path').length === 1")
        assert seen.problems == []

    def test_the_mark_below_the_pointer_is_told(self, look):
        spec = {**BARS, "data": {"values": [{"genre": "<b>Drama</b>", "films": 3}]}}
        seen = look(page(VegaChart(spec)))
        found = self.drawn(seen, 1)
        found.locator(".mark-rect path").first.hover()
        assert "<b>Drama</b>" in found.locator(".chart-tip").inner_text()
        assert seen.problems == []


@pytest.mark.parametrize("unit", ["ns", "us", "s", "D"])
def test_times_of_numpy_are_times_in_any_unit(unit):
    numpy = pytest.importorskip("numpy")
    times = numpy.array(["2026-01-02"], dtype=f"datetime64[{unit}]")
    spec = json.loads(VegaChart({"data": {"values": [{"t": times}, {"t": times[0]}]}}).spec)
    rows = spec["data"]["values"]
    assert rows == [{"t": ["2026-01-02T00:00:00"]}, {"t": "2026-01-02T00:00:00"}]
