"""The graph of a flow as a picture."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from flow_cards import Graph, Section, render
from flow_cards.codec import decode, encode
from flow_cards.layered import Arrow, lay_out
from flow_cards.testing import Page, card_task

FLOW = {
    "steps": {
        "start": {"kind": "split", "targets": ["prep", "other"], "doc": "Begin.\n\nMore."},
        "prep": {"kind": "foreach", "foreach": "rows", "targets": ["work"], "parents": ["start"]},
        "work": {"kind": "linear", "targets": ["again"], "parents": ["prep"]},
        "again": {
            "kind": "switch",
            "targets": ["again", "join"],
            "cases": [["True", "again"], ["False", "join"]],
            "parents": ["work", "again"],
        },
        "join": {"kind": "linear", "joins": True, "targets": ["both"], "parents": ["again"]},
        "other": {
            "kind": "parallel",
            "num_parallel": "2",
            "targets": ["gang"],
            "parents": ["start"],
        },
        "gang": {"kind": "linear", "targets": ["meet"], "parents": ["other"]},
        "meet": {"kind": "linear", "joins": True, "targets": ["both"], "parents": ["gang"]},
        "both": {"kind": "linear", "joins": True, "targets": ["end"], "parents": ["join", "meet"]},
        "end": {"kind": "end", "targets": [], "parents": ["both"]},
    }
}


def drawn(graph):
    return render(lambda task: [Section("Flow", [graph])], card_task())


@st.composite
def flows(draw):
    """Valid graphs: a start, an end, and between them chains, splits and switches, also nested."""
    steps = {}

    def add(kind="linear"):
        name = f"step_{len(steps)}" + "_x" * draw(st.integers(0, 12))
        steps[name] = {"kind": kind, "targets": [], "parents": []}
        return name

    def go(before, after):
        steps[before]["targets"].append(after)
        steps[after]["parents"].append(before)

    def part(before, depth):
        """Add a part after a step; return its last step."""
        shape = draw(st.sampled_from(["one", "loop", "split", "foreach", "switch"]))
        if shape in ("one", "loop") or not depth:
            step = add("switch" if shape == "loop" else "linear")
            go(before, step)
            if shape == "loop":
                go(step, step)
            return step
        head = add(shape)
        go(before, head)
        ends = [
            part(head, depth - 1)
            for _ in range(1 if shape == "foreach" else draw(st.integers(2, 4)))
        ]
        tail = add()
        steps[tail]["joins"] = shape != "switch"
        if shape == "switch" and draw(st.booleans()):
            go(head, tail)
        for end in ends:
            go(end, tail)
        return tail

    last = add()
    for _ in range(draw(st.integers(1, 4))):
        last = part(last, 2)
    end = add("end")
    go(last, end)
    return {"steps": steps}


class TestLayout:
    @settings(max_examples=80, deadline=None)
    @given(flows())
    def test_boxes_do_not_overlap_and_lines_end_at_theirs(self, flow):
        layout = Graph(flow).layout
        boxes = {box.name: box for box in layout.boxes}
        assert [*boxes] == [*flow["steps"]]
        for one, other in combinations(layout.boxes, 2):
            assert (
                one.x + one.width < other.x
                or other.x + other.width < one.x
                or one.y + one.height < other.y
                or other.y + other.height < one.y
            ), (one, other)
        for box in layout.boxes:
            assert box.x >= 0
            assert box.x + box.width <= layout.width
            assert box.y >= 0
            assert box.y + box.height <= layout.height
        ways = [(name, t) for name, node in flow["steps"].items() for t in node["targets"]]
        assert [line.arrow[:2] for line in layout.lines] == ways
        for line in layout.lines:
            assert _on_edge(line.start, boxes[line.arrow.source])
            assert _on_edge(line.end, boxes[line.arrow.target])

    @settings(max_examples=40, deadline=None)
    @given(flows())
    def test_no_line_goes_through_a_box_of_others(self, flow):
        layout = Graph(flow).layout
        for line in layout.lines:
            for x, y in [] if line.back else _points(line.path):
                for box in layout.boxes:
                    inside = box.x < x < box.x + box.width and box.y < y < box.y + box.height
                    assert not inside or box.name in line.arrow[:2], (line, box)

    def test_a_long_chain_stays_beside_itself_and_two_hundred_steps_are_quick(self):
        names = [f"s{n}" for n in range(200)]
        chain = [Arrow(a, b) for a, b in pairwise(names)]
        layout = lay_out(dict.fromkeys(names, (80, 34)), chain)
        assert {box.y for box in layout.boxes} == {layout.boxes[0].y}
        assert layout.height < 100

    def test_a_cycle_over_several_steps_is_drawn(self):
        arrows = [Arrow("a", "b"), Arrow("b", "c"), Arrow("c", "a"), Arrow("c", "d")]
        layout = lay_out(dict.fromkeys("abcd", (80, 34)), arrows)
        assert [line.back for line in layout.lines] == [False, False, True, False]

    def test_goes_downwards_where_only_that_fits(self):
        names = [f"step_with_a_long_name_{n}" for n in range(8)]
        steps = {n: {"targets": names[i + 1 : i + 2]} for i, n in enumerate(names)}
        layout = Graph({"steps": steps}).layout
        assert layout.height > layout.width

    def test_nothing_at_all(self):
        assert Graph({}).layout.boxes == ()
        assert "no steps" in drawn(Graph({}))


class TestPicture:
    def test_shows_every_step_and_what_the_ways_mean(self):
        text = Page(drawn(Graph(FLOW, "work"))).text
        for word in (*FLOW["steps"], "each of rows", "gang of 2", "True", "False", "Begin."):
            assert word in text
        assert "More." not in text

    def test_the_lit_step_stands_out_also_for_those_who_do_not_see_it(self):
        html = drawn(Graph(FLOW, "work"))
        assert html.count('class="step lit"') == 1
        assert "work, this one, many times, then again" in re.sub(r"\s+", " ", Page(html).text)

    def test_steps_within_a_foreach_or_a_gang_are_stacks(self):
        html = drawn(Graph(FLOW))
        assert html.count('class="under"') == 2 * len({"work", "again", "gang"})

    def test_a_state_is_a_mark_too(self):
        html = drawn(Graph(FLOW, "", {"start": "succeeded", "work": "failed", "end": "odd"}))
        assert html.count('class="mark"') == 2
        assert 'class="step failed"' in html
        assert "work, many times, failed" in Page(html).text

    def test_notes_and_links(self):
        html = drawn(Graph(FLOW, notes={"work": "10,000 tasks"}, links={"work": "../a b.html"}))
        assert "10,000 tasks" in html
        assert html.count('<a href="../a b.html"') == 1

    def test_links_lead_to_the_web_or_beside_the_page_only(self):
        for bad in ("javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x"):
            assert "<a " not in drawn(Graph(FLOW, links={"work": bad}))
        for good in ("https://example.org/?a=b:c", "../x.html", "#part"):
            assert "<a " in drawn(Graph(FLOW, links={"work": good}))

    def test_a_long_name_is_cut_and_stands_whole_in_the_title(self):
        name = "a_step_with_a_really_very_long_name"
        html = drawn(Graph({"steps": {name: {"targets": []}}}))
        assert ">a_step_with_a_really_ve…</text>" in html
        assert name in Page(html).text

    def test_survives_the_codec(self):
        graph = Graph(FLOW, "work", {"start": "failed"}, {"start": "1 task"}, {"start": "x.html"})
        again = decode(encode(graph))
        assert again == graph
        assert drawn(again) == drawn(graph)

    def test_is_sound_html_without_styles_of_its_own(self):
        assert Page(drawn(Graph(FLOW, "work", {"start": "running"}))).problems == []

    def test_is_in_the_default_card_with_the_step_of_the_task(self):
        from flow_cards.types import default

        html = render(default, card_task(graph=FLOW, step="work"))
        assert html.index("<h2>Task</h2>") < html.index("<h2>Flow</h2>") < html.index('"step lit"')


def test_in_a_browser_texts_fit_their_boxes_and_narrow_pages_scroll(look):
    html = drawn(
        Graph(FLOW, "work", dict.fromkeys(FLOW["steps"], "succeeded"), {"work": "10,000 tasks"})
    )
    seen = look(html, width=390)
    outside = seen.page.evaluate(
        """() => [...document.querySelectorAll('.step')].filter((step) => {
            const box = step.querySelector('rect:not(.under)').getBBox();
            return [...step.querySelectorAll('text')].some((text) => {
                const own = text.getBBox();
                return own.x < box.x + 2 || own.x + own.width > box.x + box.width - 2;
            });
        }).map((step) => step.textContent)"""
    )
    assert outside == []
    figure, picture = seen.page.evaluate(
        """() => ['figure.graph', 'svg.drawn'].map(
            (one) => document.querySelector(one).getBoundingClientRect().width)"""
    )
    natural = float(re.search(r'class="drawn" width="(\d+)"', html)[1])
    assert figure < 390 < picture
    assert 0.74 * natural < picture < 0.76 * natural
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.problems == []


def test_in_a_browser_the_lit_step_of_a_large_graph_is_in_view(look):
    names = [f"step_{n}" for n in range(60)]
    steps = {name: {"targets": names[n + 1 : n + 2]} for n, name in enumerate(names)}
    seen = look(drawn(Graph({"steps": steps}, "step_40")))
    place, lit = seen.page.evaluate(
        """() => ['figure.graph', '.lit'].map((one) => {
            const box = document.querySelector(one).getBoundingClientRect();
            return [box.left, box.right];
        })"""
    )
    assert place[0] < lit[0] < lit[1] < place[1]
    assert seen.problems == []


def _on_edge(point, box):
    x, y = point
    beside = box.y - 0.1 <= y <= box.y + box.height + 0.1
    below = box.x - 0.1 <= x <= box.x + box.width + 0.1
    vertical = min(abs(x - box.x), abs(x - box.x - box.width)) < 0.1 and beside
    horizontal = min(abs(y - box.y), abs(y - box.y - box.height)) < 0.1 and below
    return vertical or horizontal


def _points(path):
    """Yield points on a path of M, L and C."""
    at = None
    for letter, rest in re.findall(r"([MLC])([^MLC]*)", path):
        numbers = [float(n) for n in rest.split()]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        for n in range(1, 20):
            t = n / 20
            if letter == "L":
                yield tuple(a + t * (b - a) for a, b in zip(at, pairs[0], strict=True))
            elif letter == "C":
                curve = (at, *pairs)
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
                yield tuple(
                    sum(w * p[i] for w, p in zip(weights, curve, strict=True)) for i in (0, 1)
                )
        at = pairs[-1]
