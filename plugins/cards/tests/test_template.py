"""HTML of an author's own, out of a template."""

from __future__ import annotations

import json

import pytest
from jinja2 import TemplateError

from flow_cards import Template, render
from flow_cards.authored import allowed
from flow_cards.testing import HOSTILE, Page, card_task


def drawn(source, **values):
    return render(lambda task: [Template(source, values)], card_task())


def test_it_shows_values_escaped():
    html = drawn(
        "{% for name, n in rows %}<p class='note'>{{ name }}: <mark>{{ n }}</mark></p>{% endfor %}",
        rows=[("<b>a</b>", 1), ("c", 2.5)],
    )
    assert '<p class="note">&lt;b&gt;a&lt;/b&gt;: <mark>1</mark></p>' in html
    assert Page(html).problems == []


def test_values_are_kept_as_json():
    kept = Template("x", {"n": 1, "when": ValueError("no"), "many": (1, 2)})
    assert json.loads(kept.values) == {"n": 1, "when": "ValueError('no')", "many": [1, 2]}


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<p>a<br>b</p>", "<p>a<br>b</p>"),
        ("<p>open", "<p>open</p>"),
        ("</div></main>text", "&lt;/main&gt;text"),
        ("<ul><li>a<li>b</ul>x", "<ul><li>a<li>b</li></li></ul>x"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<p onclick='x()' style='color: red' id='a' class='note'>a</p>", '<p class="note">a</p>'),
        ("<a href='javascript:x'>a</a>", "<a>a</a>"),
        ("<a href='java\nscript:x'>a</a>", "<a>a</a>"),
        (
            "<a href='https://example.com/?a=1&amp;b'>a</a>",
            '<a href="https://example.com/?a=1&amp;b">a</a>',
        ),
        ("<img src='https://example.com/a.png' alt='x'>", '<img alt="x">'),
        ("<img src='data:image/png;base64,AA'>", '<img src="data:image/png;base64,AA">'),
        ("<!-- a comment --><b>b</b>", "<b>b</b>"),
        ("<iframe srcdoc='x'></iframe>", "&lt;iframe srcdoc=&#39;x&#39;&gt;&lt;/iframe&gt;"),
        ("<svg><script>x</script></svg>", "&lt;svg&gt;&lt;script&gt;x&lt;/script&gt;&lt;/svg&gt;"),
        ("a < b &lt; c", "a &lt; b &lt; c"),
    ],
)
def test_what_is_left_of_html(html, left):
    assert allowed(html) == left


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_is_written_is_a_sound_part_of_a_page(text):
    html = render(
        lambda task: [Template("{{ it }}" + text.replace("{", "("), {"it": text})], card_task()
    )
    assert Page(html).problems == []


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ x.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{% for x in range(10**9) %}{% endfor %}",
        "{{ unknown }}",
        "{% if %}",
        "{% include 'page.html' %}",
    ],
)
def test_it_reaches_nothing_but_its_values(source):
    with pytest.raises((TemplateError, OverflowError, TypeError)):
        drawn(source, x=[])
