"""Hostile texts in each field of each component, and in all that a task can say, in a real browser.

The components and their fields are those of the registry: one that is added is tried, too.
"""

from __future__ import annotations

import base64
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import pytest
from markupsafe import Markup

from flow_cards import (
    Component,
    Graph,
    Markdown,
    Section,
    Table,
    Template,
    Timeline,
    VegaChart,
    render,
)
from flow_cards.codec import decode, encode
from flow_cards.components import BUILT_IN
from flow_cards.drawing import _Drawer
from flow_cards.testing import CANARY, HOSTILE, Page, card_task
from flow_cards.types import blank, default, error
from flow_core.api import Failure

MARK = "window.__pwned=1"
FAR_AWAY = "https://attacker.example"


def armed(url: str) -> list[str]:
    """Return the corpus: its addresses are those of the canary, and its scripts leave a mark."""
    texts = [text.replace(FAR_AWAY, url) for text in HOSTILE]
    return [re.sub(r"alert\((?:1|'[^']*'|)\)", f"({MARK})", text) for text in texts]


def shapes(texts: Sequence[str]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield values in which texts stand: one for each of all texts; then one with some of them."""
    yield "text", texts
    some = texts[::7]
    svg = "<svg xmlns='http://www.w3.org/2000/svg'>{}</svg>"
    yield "markup", [Markup(text) for text in some]  # which says of itself that it is escaped
    yield "drawing", [svg.format(text).encode("utf-8", "replace") for text in some]
    yield "texts", [some]
    yield "rows", [[[text, 1] for text in some]]
    yield "pairs", [[(text, text) for text in some]]
    yield "by name", [{text: text for text in some}]
    yield "deep", [{"a": [{text: {text: [text]}} for text in some]}]
    yield "rows by name", [[{"x": 1, text: text} for text in some]]
    yield "components", [[Markdown(text) for text in some]]
    yield "named components", [{text: [Markdown(text)] for text in some}]
    yield (
        "cells",
        [[[Markdown(text), Section(text, [Table([[text]], [text], text)])] for text in some]],
    )


PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
CHART = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x"}}}
GIVEN: dict[str, dict[str, Any]] = {
    "Image": {"src": PICTURE},
    "Sparkline": {"values": (1, 2)},
    "VegaChart": {"spec": CHART},
}
"""Arguments without which a component shows little."""


COSTLY = {"VegaChart": 6}
"""Components that take long to be drawn: of how many texts one is tried."""


def given(kind: type[Component]) -> dict[str, Any]:
    """Return arguments with which a component can be made."""
    parameters = inspect.signature(kind).parameters
    required = [name for name, one in parameters.items() if one.default is one.empty]
    return {**dict.fromkeys(required, "x"), **GIVEN.get(kind.__name__, {})}


def attacked(texts: Sequence[str]) -> Iterator[tuple[str, str, Component]]:
    """Yield each component with hostile values, for each argument and shape that it accepts: one argument
    is given each second text, the next one the others."""
    for name, kind in BUILT_IN.items():
        for number, argument in enumerate(inspect.signature(kind).parameters):
            for shape, chosen in shapes(texts):
                some = chosen[number % 2 :: 2] if shape == "text" else chosen
                for value in some[:: COSTLY.get(name, 1)]:
                    try:
                        component = kind(**{**given(kind), argument: value})
                        yield name, f"{argument}, {shape}", component
                    except Exception:  # it refuses this: nothing is shown
                        continue


def made_for(texts: Sequence[str], url: str) -> Iterator[tuple[str, str, Component]]:
    """Yield components that need data of a form of their own."""
    for first, second in itertools.pairwise(texts[::4]):
        steps = {first: {"doc": first, "kind": "linear", "targets": [second]}, second: {"doc": ""}}
        texts_of = {first: second, second: first}
        yield "Graph", "all of it", Graph({"steps": steps}, first, texts_of, texts_of, texts_of)
    bars = [(text, 0.0, 1.0, text, text, text) for text in texts]
    yield (
        "Timeline",
        "single bars",
        Timeline([(text, [bar]) for text, bar in zip(texts, bars, strict=True)]),
    )
    yield "Timeline", "a distribution", Timeline([(text, bars) for text in texts[:9]])
    for text in texts[::3]:
        yield "Template", "a value", Template("<p title='{{ it }}'>{{ it }}</p>", {"it": text})
    for spec in charts(texts, url):
        yield "VegaChart", "the specification", VegaChart(spec, show_controls=True)


def charts(texts: Sequence[str], url: str) -> Iterator[dict[str, Any]]:
    """Yield charts that name places elsewhere, run expressions, and show texts."""
    rows = [{"x": n, "t": text, "u": f"{url}/row.png"} for n, text in enumerate(texts[::4])]
    inline: dict[str, Any] = {"data": {"values": rows}, "mark": "point"}
    x = {"field": "x", "type": "quantitative"}
    t = {"field": "t", "type": "nominal", "title": texts[0]}
    u = {"field": "u", "type": "nominal"}
    yield {
        **inline,
        "encoding": {"x": x, "y": t, "tooltip": t, "color": t, "href": t},
        "title": texts[0],
    }
    yield {**inline, "mark": "text", "encoding": {"x": x, "text": t, "href": u, "description": t}}
    yield {**inline, "mark": "image", "encoding": {"x": x, "url": u}}
    yield {**inline, "$schema": f"{url}/schema.json", "encoding": {"x": x}}
    yield {
        **inline,
        "encoding": {"x": x},
        "usermeta": {"embedOptions": {"config": f"{url}/c.json"}},
    }
    yield {**inline, "encoding": {"x": x}, "background": f"url({url}/background.png)"}
    yield {"data": {"url": f"{url}/data.csv"}, "mark": "point", "encoding": {"x": x}}
    yield {
        "data": {"values": rows},
        "transform": [
            {"lookup": "x", "from": {"data": {"url": f"{url}/l"}, "key": "x", "fields": ["y"]}}
        ],
        "mark": "point",
        "encoding": {"x": x},
    }
    for code in (MARK, "constructor.constructor('window.__pwned=1')()", "event.view.__pwned = 1"):
        yield {**inline, "transform": [{"calculate": code, "as": "z"}], "encoding": {"x": x}}
        yield {
            "$schema": "https://vega.github.io/schema/vega/v5.json",
            "signals": [{"name": "s", "update": code}],
            "marks": [],
        }
    yield {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": 50,
        "height": 50,
        "data": [{"name": "d", "url": f"{url}/vega.json"}],
        "marks": [{"type": "image", "encode": {"enter": {"url": {"value": f"{url}/mark.png"}}}}],
    }


def forged(texts: Sequence[str]) -> Iterator[tuple[str, str, Component]]:
    """Yield components as somebody could have put them into the store: no constructor saw them."""
    for name, kind in BUILT_IN.items():
        sound = encode(kind(**given(kind)))
        for field in fields(kind):  # type: ignore[arg-type]
            for text in texts:
                try:
                    yield name, field.name, decode({**sound, field.name: text})
                except Exception:  # it is told in the card's stead
                    continue


def drawable(found: Iterator[tuple[str, str, Component]]) -> Iterator[tuple[str, str, Component]]:
    """Yield those that can be drawn; what cannot leaves an error card."""
    drawer = _Drawer()
    for one in found:
        try:
            drawer.draw(one[2])
        except Exception:
            continue
        yield one


# What a page may hold once its scripts have run.
ALIEN = """() => {
  const found = [];
  const loads = ["src", "srcset", "poster", "data", "background", "action", "formaction", "ping"];
  const tags = new Set("%s".split(" "));
  const svg = new Set("%s".split(" "));
  for (const element of document.querySelectorAll("*")) {
    const tag = element.localName;
    const known = element.namespaceURI.endsWith("svg") ? svg : tags;
    if (!known.has(tag) && !(element.className === "vega-bindings" && !element.action.startsWith("http"))) found.push(`<${tag}>`);
    if (tag === "script" && element.parentNode !== document.body && element.className !== "data")
      found.push(`<script> in <${element.parentNode.localName}>`);
    for (const { name, value } of element.attributes) {
      const plain = value.replace(/[\\x00-\\x20]/g, "").toLowerCase();
      if (name.startsWith("on")) found.push(`<${tag} ${name}>`);
      if (loads.includes(name) && !(tag === "img" && /^(data:image\\/|blob:)/.test(plain)))
        found.push(`<${tag} ${name}=${value.slice(0, 60)}>`);
      if (tag === "image" && name.endsWith("href") && plain && !plain.startsWith("data:image/"))
        found.push(`<image ${name}=${value.slice(0, 60)}>`);
      if (name.endsWith("href") && !/^(https?:\\/\\/|mailto:|[^:\\/?#]*([\\/?#]|$))/.test(plain))
        found.push(`<${tag} ${name}=${value.slice(0, 60)}>`);
      if (name === "style" && /url\\(|@import/.test(plain)) found.push(`<${tag} style=${value.slice(0, 60)}>`);
    }
  }
  return [...new Set(found)];
}"""
HTML_TAGS = (
    "a b blockquote body br button canvas code col colgroup dd del details div dl dt em figcaption figure footer "
    "h1 h2 h3 h4 h5 h6 head header hr html img input label li main mark meta nav ol option output p pre "
    "progress s script section select span strong style summary table tbody td tfoot th thead time title "
    "tr ul"
)
SVG_TAGS = (
    "a circle clipPath defs desc ellipse g image line linearGradient marker mask path pattern polygon polyline "
    "rect stop svg text title tspan use"
)

SHOWN = """all => all.map((one) => one.textContent +
  [...one.querySelectorAll("[aria-label]")].map((named) => named.ariaLabel).join(" "))"""

USE_EVERYTHING = """async (word) => {
  const pause = () => new Promise((done) => setTimeout(done, 0));
  for (const element of document.querySelectorAll("th, summary, button, [role=tab], details")) element.click();
  await pause();
  for (const field of document.querySelectorAll("input")) {
    field.value = word;
    for (const kind of ["input", "change", "search"]) field.dispatchEvent(new Event(kind, { bubbles: true }));
  }
  await pause();
  for (const element of document.querySelectorAll("a, button, summary, th, svg, svg *, canvas, [title], [tabindex]"))
    for (const kind of ["pointerenter", "mouseover", "pointermove", "mousemove", "focus"])
      element.dispatchEvent(new MouseEvent(kind, { bubbles: true, clientX: 5, clientY: 5 }));
  await new Promise((done) => setTimeout(done, 400));
}"""


def check(seen: Any, canary: Any) -> None:
    """Assert that nothing of what somebody else wrote runs, loads, or stands in the page."""
    page = seen.page
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    aliens = ALIEN % (HTML_TAGS, SVG_TAGS)
    assert page.evaluate(aliens) == []
    page.evaluate(USE_EVERYTHING, CANARY)
    assert page.evaluate(aliens) == [], "after all was clicked, filtered, pointed at"
    assert page.evaluate("window.__pwned") is None
    assert seen.dialogs == []
    assert [url for url in seen.requests if not url.startswith(("data:", "blob:"))] == []
    assert [text for text in seen.problems if "Content Security Policy" in text] == []
    assert (canary.opened, canary.said) == (0, [])


def open_all(look: Any, found: list[tuple[str, str, Component]]) -> Any:
    html = render(lambda task: [part for _, _, part in found], card_task())
    assert Page(html).problems == []
    return look(html)


@pytest.mark.parametrize("part", range(4))
def test_no_component_lets_a_text_be_more_than_text(look, canary, part):
    texts = armed(canary.url)
    names = {*sorted(BUILT_IN)[part::4]}
    tried = itertools.chain(attacked(texts), made_for(texts, canary.url))
    found = [*drawable(one for one in tried if one[0] in names)]
    seen = open_all(look, found)
    shown = seen.page.locator("main > .part").evaluate_all(SHOWN)
    pairs = zip(found, shown, strict=True)
    assert {name for (name, _, _), text in pairs if "<script>" in text} == names
    check(seen, canary)


def test_no_component_from_the_store_does(look, canary):
    texts = [text for text in armed(canary.url) if text[:1] in "<\"'`x"][::3]
    check(open_all(look, [*drawable(forged(texts))]), canary)


def test_nothing_of_a_task_does(look, canary):
    """Names of artifacts, parameters and steps, tags, logs, docstrings, options, failures."""
    texts = armed(canary.url)
    every = "\n".join(texts)
    facts: dict[str, Any] = dict.fromkeys(("flow", "run", "step", "host", "user", "state"), every)
    task = card_task(
        dict.fromkeys(texts, texts),
        {text: text for text in texts},
        **facts,
        failure=Failure("error", every, every, every),
        tags=tuple(texts),
        foreach=tuple((text, 0, 1) for text in texts),
        logs={text: text for text in texts},
        flow_doc=every,
        step_doc=every,
        options={"title": every, "text": every, **dict.fromkeys(texts, every)},
        data=every,
    )
    for kind in (default, blank, error):
        seen = look(render(kind, task))
        assert texts[0] in seen.page.locator("body").inner_text()
        check(seen, canary)
