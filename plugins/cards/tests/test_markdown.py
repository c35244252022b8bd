from __future__ import annotations

import pytest

from flow_cards.markdown import to_html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "# A\n\n*b* **c** `d`",
            "<h1>A</h1>\n<p><em>b</em> <strong>c</strong> <code>d</code></p>\n",
        ),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"),
        ("~~a~~", "<p><s>a</s></p>\n"),
        (
            "[a](https://x.org)",
            '<p><a href="https://x.org" rel="noopener noreferrer">a</a></p>\n',
        ),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>\n"),
        ("[a](JaVaScRiPt&colon;x)", None),
        (
            "![cat](https://x.org/cat.png)",
            '<p><a href="https://x.org/cat.png" rel="noopener noreferrer">cat</a></p>\n',
        ),
        (
            "![a](data:image/png;base64,AA)",
            '<p><img src="data:image/png;base64,AA" alt="a" /></p>\n',
        ),
        ("![a](data:text/html,x)", None),
    ],
)
def test_html(text, html):
    found = str(to_html(text))
    if html is None:
        assert "href" not in found
        assert "src=" not in found
    else:
        assert found == html


def test_a_table_has_no_styles():
    html = str(to_html("| a | b |\n|---|--:|\n| 1 | 2 |"))
    assert '<td class="align-right">2</td>' in html
    assert "style" not in html
