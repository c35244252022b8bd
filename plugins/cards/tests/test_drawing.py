from __future__ import annotations

import base64
import hashlib
import math
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources

import pytest

from flow_cards import (
    Artifact,
    Columns,
    Component,
    Error,
    EventsTimeline,
    Facts,
    Graph,
    HtmlPage,
    Image,
    JSONViewer,
    Log,
    Markdown,
    Preview,
    ProgressBar,
    PythonCode,
    Section,
    Sparkline,
    Table,
    Tabs,
    Template,
    Timeline,
    ValueBox,
    VegaChart,
    YAMLViewer,
    render,
)
from flow_cards.components import BUILT_IN
from flow_cards.drawing import number_text, script, size_text
from flow_cards.testing import CANARY, HOSTILE, Page, card_task

SVG = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"


def page(*components, **facts):
    return render(lambda task: list(components), card_task(**facts))


def everywhere(text):
    """Return each built-in component with ``text`` wherever it can stand."""
    return [
        Artifact(text, text),
        Columns([text, Log(text)]),
        Error(text, text),
        EventsTimeline(text, events=[EventsTimeline.event({text: text}, payloads={text: text})]),
        Facts([(text, text), (text, Markdown(text))]),
        Graph(
            {"steps": {text: {"targets": [text], "kind": "foreach", "foreach": text, "doc": text}}},
            text,
            {text: text},
            {text: text},
            {text: text},
        ),
        Image(SVG.format(text).encode("utf-8", "replace"), text),
        Image(text.encode("utf-8", "replace"), text),
        JSONViewer({text: [text, {text: Log(text)}]}, text),
        Log(text, text),
        Markdown(text),
        Preview(text, text, 3, text, Markdown(text)),
        ProgressBar(1, text, 0, text, text),
        PythonCode(code_string=text),
        Section(text, [Markdown(text), Table([[text]], [text])]),
        Sparkline([1, 2], label=text),
        Table([[text, Markdown(text), Log(text)]], [text] * 3, text),
        Section(text, [text], folded=True),
        Tabs({text: text}),
        Template("<p title='{{ it }}'>{{ it }}</p>", {"it": text}),
        YAMLViewer(text, text),
        YAMLViewer({text: [text]}, text),
        Timeline(
            [
                (text, [(text, 0, 1, text, text, text)]),
                (text, [(text, 0, n, text, text, text) for n in range(60)]),
            ]
        ),
        ValueBox(text[:100], text[:100], text[:100], "danger", text[:100]),
        VegaChart(
            {"data": {"values": [{text: text}]}, "mark": text, "title": text, text: [text]},
            True,
            text,
            text,
        ),
        VegaChart({"data": {"url": text}}, True, text, text),
    ]


POLICY = "Content-Security-Policy"


class TestSafety:
    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_every_component_escapes_what_it_shows(self, text):
        assert {type(c).__name__ for c in everywhere(text)} == set(BUILT_IN)
        found = Page(page(*everywhere(text)))
        assert found.problems == []
        assert found.text.count(CANARY) >= 10

    def test_the_policy_allows_the_style_of_the_page_and_nothing_else(self):
        html = page(Markdown("a"))
        style = re.search(r"<style>(.*)</style>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = Page(html).tags
        (content,) = [a["content"] for _, a in policy if a.get("http-equiv") == POLICY]
        assert content == (
            f"default-src 'none'; script-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'"
        )

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_html_of_a_person_stands_in_a_frame(self, text):
        html = render(lambda task: HtmlPage(text), card_task())
        found = Page(html)
        frames = [a for tag, a in found.tags if tag == "iframe"]
        assert [p for p in found.problems if "srcdoc" not in p] == []
        assert [f["sandbox"] for f in frames] == ["allow-scripts"]
        assert CANARY in frames[0]["srcdoc"]
        assert CANARY not in found.text
        (policy,) = [a["content"] for _, a in found.tags if a.get("http-equiv") == POLICY]
        assert "default-src 'none'" in policy
        assert "http" not in policy


def test_a_process_that_is_ready_has_all_that_a_usual_card_needs():
    code = """
import sys
from flow_cards.drawing import get_ready, render
from flow_cards.testing import card_task
from flow_cards.types import default
get_ready()
before = set(sys.modules)
steps = {"start": {"targets": ["train"]}, "train": {"targets": ["end"]}, "end": {"targets": []}}
values = {"n": 1.5, "t": "a" * 500, "rows": [[1, "a"]] * 20, "map": {str(n): [n] * 9 for n in range(99)}}
render(default, card_task(values, {"p": 1}, graph={"steps": steps}, logs={"stdout": "a"}, step_doc="*a*"))
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


class TestContent:
    def test_one_component_is_enough(self):
        assert "<em>a</em>" in render(lambda task: Markdown("*a*"), card_task())

    def test_a_generator_will_do(self):
        assert "<em>a</em>" in render(lambda task: iter([Markdown("*a*")]), card_task())

    @pytest.mark.parametrize("wrong", ["<b>", None, 3, b"x"])
    def test_what_is_no_content(self, wrong):
        def mine(task):
            return wrong

        with pytest.raises(TypeError, match=r"The card type 'mine' returned \w+: it returns"):
            render(mine, card_task())

    def test_what_is_no_component(self):
        def mine(task):
            return [Markdown("a"), "b"]

        with pytest.raises(TypeError, match="'mine' returned str among its components"):
            render(mine, card_task())

    def test_what_the_step_added_is_shown_below_unless_it_is_placed(self):
        added = (Markdown("ADDED"), Log("PLACED"))
        html = render(
            lambda task: [Section("S", [Table([[task.components[1]]])]), Markdown("END")],
            card_task(components=added),
        )
        assert html.count("ADDED") == html.count("PLACED") == 1
        assert html.index("PLACED") < html.index("END") < html.index("ADDED")

    def test_wherever_it_is_placed(self):
        @dataclass(frozen=True)
        class Own(Component):
            inner: Component = None

            def parts(self):
                return [Facts({"it": self.inner})]

        added = (Markdown("PLACED"),)
        html = render(lambda task: [Own(task.components[0])], card_task(components=added))
        assert html.count("PLACED") == 1

    def test_what_the_step_added_stands_above_a_frame(self):
        html = render(lambda task: HtmlPage("x"), card_task(components=(Markdown("ADDED"),)))
        assert html.index("ADDED") < html.index("<iframe")

    def test_a_component_of_a_persons_own(self):
        @dataclass(frozen=True)
        class Pair(Component):
            def parts(self):
                return [Markdown("one"), Markdown("two")]

        html = page(Section("S", [Pair()]))
        assert html.index("one") < html.index("two")

    def test_nesting_ends(self):
        deep = Markdown("a")
        for _ in range(100):
            deep = Section(None, [deep])
        assert len(page(deep)) < 100_000

    def test_a_picture_that_is_none(self):
        assert "3 B that are no picture which a browser shows" in page(Image(b"abc"))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (12345, "12,345"),
        (-3, "-3"),
        (10**20, "1e+20"),
        (10**400, "a huge integer"),
        (0.5, "0.5"),
        (3.0, "3.0"),
        (1234.56789, "1,234.5679"),
        (1e-9, "1e-09"),
        (0.0, "0.0"),
        (1e20, "1e+20"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_numbers(number, text):
    assert number_text(number) == text


def test_numbers_below_each_other_have_as_many_decimals():
    rows = [[1.0, 0.5, 1, 44_139_237.25], [0.3333, 2, 2, None], [1e-9, 0.25, 3, 133_473_461.5]]
    html = page(Table(rows))
    columns = zip(*[iter(re.findall("<td[^>]*>(.*?)</td>", html))] * 4, strict=True)
    assert [*zip(*columns, strict=True)] == [
        ("1.0000", "0.3333", "1e-09"),
        ("0.5", "2", "0.25"),  # no column of floats
        ("1", "2", "3"),
        ("44,139,237.25", "None", "133,473,461.50"),
    ]


def test_sorted_by_what_more_decimals_would_say():
    html = page(Table([[1.5], [0.123456]]))
    assert re.findall("<td(.*)</td>", html) == [
        ' class="number">1.5000',
        ' class="number" data-value="0.123456">0.1235',
    ]


def test_headings_follow_each_other():
    inner = [Tabs({"T": [Error("bad", "in tabs")]}), Section("Below", [Error("bad", "in both")])]
    html = page(Error("bad", "at the top"), Section("S", inner), Error("bad", "after"))
    assert re.findall(r"<h([2-6])>(.*?)</h\1>", html) == [
        ("2", "at the top"),
        ("2", "S"),
        ("3", "T"),
        ("4", "in tabs"),
        ("3", "Below"),
        ("4", "in both"),
        ("2", "after"),
    ]


def test_headers_without_a_text_are_named_for_who_hears_them():
    heads = re.findall("<th.*?>(?:<span.*?>)?([a-z0-9 ]+)<", page(Table([[1, 2, 3]], ["", "a"])))
    assert heads == ["index", "a", "column 3"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e13, "20.0 TB")]
)
def test_sizes(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    "name",
    sorted(
        file.name.partition(".js")[0]
        for file in resources.files("flow_cards").joinpath("scripts").iterdir()
        if ".js" in file.name
    ),
)
def test_no_script_ends_the_element_it_stands_in(name):
    text = script(name).lower()
    assert "</script" not in text
    assert "<!--" not in text
