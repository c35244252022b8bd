from __future__ import annotations

import inspect
import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards import highlight

TEXT = (
    st.text(alphabet=st.sampled_from("abc \n\t:-#'\"{}[]|>0.\\@é𝒳\r\x0c"), max_size=60) | st.text()
)


def text_of(html):
    return unescape(re.sub(r"<[^>]*>", "", str(html)))


def yaml_text(lines):
    return [one for line in lines for one in (text_of(line.html), *yaml_text(line.below))]


@given(TEXT)
def test_no_character_of_code_is_lost(text):
    assert text_of(highlight.python(text)) == text


@given(TEXT)
def test_no_character_of_yaml_is_lost(text):
    assert "\n".join(yaml_text(highlight.yaml_lines(text))) == text


def test_code_of_our_own():
    code = inspect.getsource(highlight)
    assert text_of(highlight.python(code)) == code


@pytest.mark.parametrize(
    ("code", "html"),
    [
        ("def f(x):", '<span class="kw">def</span> <span class="key">f</span>(x):'),
        ("x = 1  # one", 'x = <span class="num">1</span>  <span class="com"># one</span>'),
        ("return None", '<span class="kw">return</span> <span class="num">None</span>'),
        ("'''a\nb'''", '<span class="str">&#39;&#39;&#39;a\nb&#39;&#39;&#39;</span>'),
        ("é = '<b>'", 'é = <span class="str">&#39;&lt;b&gt;&#39;</span>'),
        ("this is <no> 'python", "this is &lt;no&gt; &#39;python"),
    ],
)
def test_python(code, html):
    assert highlight.python(code) in (
        html,
        html.replace("this is", 'this <span class="kw">is</span>'),
    )


@pytest.mark.parametrize(
    ("line", "html"),
    [
        ("a: 1", '<span class="key">a</span>:<span class="num"> 1</span>'),
        ("- a: yes", '- <span class="key">a</span>:<span class="num"> yes</span>'),
        ("- text", '- <span class="str">text</span>'),
        ("a:", '<span class="key">a</span>:'),
        ("# said", '<span class="com"># said</span>'),
        (
            "a: b # c",
            '<span class="key">a</span>:<span class="str"> b</span><span class="com"> # c</span>',
        ),
        ('a: "b # c"', '<span class="key">a</span>:<span class="str"> &#34;b # c&#34;</span>'),
        ("a: http://x", '<span class="key">a</span>:<span class="str"> http://x</span>'),
    ],
)
def test_yaml(line, html):
    (found,) = highlight.yaml_lines(line)
    assert found.html == html


def test_yaml_is_nested_by_its_indents():
    text = "a:\n- 1\n- b: 2\n  c: 3\nd: |\n  # text\n\n  more: 1\ne: 5"

    def shape(lines):
        return [(text_of(line.html), shape(line.below)) for line in lines]

    assert shape(highlight.yaml_lines(text)) == [
        ("a:", [("- 1", []), ("- b: 2", [("  c: 3", [])])]),
        ("d: |", [("  # text", []), ("", []), ("  more: 1", [])]),
        ("e: 5", []),
    ]
    block = highlight.yaml_lines(text)[1].below
    assert str(block[0].html) == '<span class="str">  # text</span>'
