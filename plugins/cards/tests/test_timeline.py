"""Bars over time; of many, how long they took."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_cards import Bar, Section, Timeline, render
from flow_cards.codec import decode, encode
from flow_cards.components.timeline import MANY, quantile
from flow_cards.testing import Page, card_task


def drawn(*rows):
    return render(lambda task: [Section("Timeline", [Timeline(rows)])], card_task())


def many(count=10_000, **changes):
    """Tasks of 1 to 2 s, ten at a time."""
    return [Bar(f"w/{n}", n // 10 * 2.0, n // 10 * 2.0 + 1 + n % 11 / 10) for n in range(count)]


class TestFewBars:
    def test_each_is_drawn_to_scale(self):
        html = drawn(("start", [("start/1", 100.0, 102.5)]), ("end", [("end/2", 105.0, 110.0)]))
        found = re.findall(r'<rect x="([\d.]+)%" y="[\d.]+" width="([\d.]+)%"', html)
        assert found == [("0.0", "25.0"), ("50.0", "50.0")]

    def test_what_overlaps_lies_in_lanes_of_its_own(self):
        row = Timeline([("s", [("a", 0, 2), ("b", 1, 3), ("c", 2, 4)])]).drawn.rows[0]
        first, second, third = (one.y for one in row.bars)
        assert first == third < second

    def test_a_failed_attempt_and_the_next_one_are_both_seen(self):
        html = drawn(
            ("s", [Bar("s/1", 0, 1, "failed", text="ValueError: x"), Bar("s/1, attempt 1", 2, 3)])
        )
        assert 'class="bar failed"' in html
        assert "s/1, failed, 1.0 s: ValueError: x" in Page(html).text
        assert "s/1, attempt 1, succeeded, 1.0 s" in Page(html).text

    def test_states_other_than_success_have_a_legend(self):
        assert "legend" not in drawn(("s", [Bar("s/1", 0, 1)])).partition("</style>")[2]
        html = drawn(("s", [Bar("s/1", 0, 1, "caught"), Bar("s/2", 0, 1)])).partition("</style>")[2]
        assert html.index("</svg> succeeded") < html.index("</svg> caught")

    def test_links(self):
        html = drawn(("s", [Bar("s/1", 0, 1, link="../s/1/0/cards/x.html")]))
        assert '<a href="../s/1/0/cards/x.html"' in html
        assert "<a " not in drawn(("s", [Bar("s/1", 0, 1, link="javascript:alert(1)")]))

    def test_nothing_and_a_moment(self):
        assert "nothing has happened" in drawn()
        assert Page(drawn(("s", [("s/1", 5.0, 5.0)]))).problems == []
        assert Page(drawn(("s", []))).problems == []

    def test_a_moment_that_is_none_is_refused(self):
        with pytest.raises(ValueError, match="begins and ends at a moment, not at nan"):
            Timeline([("s", [("s/1", float("nan"), 1.0)])])


class TestManyBars:
    def test_are_a_distribution(self):
        (row,) = Timeline([("work", many())]).rows
        assert row.bars == ()
        spread = row.spread
        assert spread.count == sum(spread.bins) == 10_000
        assert (spread.median, spread.most) == (pytest.approx(1.5), 10)
        assert spread.p95 == pytest.approx(2.0)
        assert spread.longest == pytest.approx(2.0)
        assert spread.slowest[0].name == "w/10"

    def test_a_few_more_or_less_decide(self):
        assert Timeline([("s", many(MANY))]).rows[0].spread is None
        assert Timeline([("s", many(MANY + 1))]).rows[0].spread is not None

    def test_what_failed_is_named_and_linked(self):
        bars = [*many(100), Bar("w/100", 0, 1, "failed", "../w/100/0/cards/x.html", "no good")]
        html = drawn(("work", bars))
        assert '<a href="../w/100/0/cards/x.html">w/100</a>' in html
        assert "no good" in Page(html).text
        assert "101 attempts (1 failed, 100 succeeded)" in Page(html).text

    def test_ten_thousand_make_a_small_page(self):
        assert len(drawn(("work", many())).encode()) < 60_000

    def test_survives_the_codec(self):
        timeline = Timeline([("a", many(60)), ("b", [Bar("b/1", 0, 3, "failed", "x", "y")])])
        again = decode(encode(timeline))
        assert again.drawn == timeline.drawn
        changed = again.changed({})
        assert changed.drawn == timeline.drawn

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=MANY + 1, max_size=90)
    )
    def test_adds_up_whatever_it_is_given(self, pairs):
        bars = [Bar(f"w/{n}", at, at + took) for n, (at, took) in enumerate(pairs)]
        spread = Timeline([("w", bars)]).rows[0].spread
        assert sum(spread.bins) == len(bars)
        assert spread.shortest <= spread.median <= spread.p95 <= spread.longest
        assert max(spread.at_once) <= spread.most * 1.01 + 0.01
        assert 1 <= spread.most <= len(bars)
        work = sum(bar.seconds for bar in bars)
        width = (spread.end - spread.start) / len(spread.at_once)
        assert sum(spread.at_once) * width == pytest.approx(work, rel=0.02, abs=0.1 + width)
        assert Page(drawn(("w", bars))).problems == []


def test_quantiles():
    assert quantile([], 0.5) == 0.0
    assert quantile([1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0], 0.95) == pytest.approx(1.95)


def test_in_a_browser_it_fits_a_narrow_page(look):
    bars = [Bar("w/1", 0, 1, "failed", text="x" * 200), *many(50)]
    seen = look(drawn(("a_step_with_a_really_very_long_name", bars), ("end", bars[:3])), width=390)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.problems == []
