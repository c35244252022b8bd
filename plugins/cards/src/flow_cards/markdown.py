"""Markdown to HTML that is safe: HTML in the text is shown as text, pictures from elsewhere as links."""

from __future__ import annotations

import functools
import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

ADDRESS = re.compile(r"https?://|mailto:|[^:/?#]*(?:[/?#]|$)", re.IGNORECASE)
"""What a link may lead to: pages, mail, or without a scheme a place beside the card, or in it."""
_PICTURE = re.compile(r"data:image/(?:gif|png|jpeg|webp|svg\+xml)[;,]", re.IGNORECASE)


def to_html(text: str) -> Markup:
    """Return the HTML of ``text``."""
    return Markup(_parser().render(text))


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: bool(ADDRESS.match(url) or _PICTURE.match(url))  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    parser.add_render_rule("fence", _fence)
    parser.add_render_rule("code_block", _code_block)
    for kind in ("th_open", "td_open"):
        parser.add_render_rule(kind, _cell)
    return parser


def _image(self: Any, tokens: list[Token], number: int, options: Any, env: Any) -> str:
    """A picture that is in the text itself is shown; another one would be fetched: a link to it."""
    token = tokens[number]
    source = str(token.attrGet("src") or "")
    token.attrSet("alt", token.content)
    if _PICTURE.match(source):
        return str(self.renderToken(tokens, number, options, env))
    link = Token("link_open", "a", 1, attrs={"href": source, "rel": "noopener noreferrer"})
    opened = self.renderToken([link], 0, options, env)
    return f"{opened}{Markup.escape(token.content or source)}</a>"


def _link(self: Any, tokens: list[Token], number: int, options: Any, env: Any) -> str:
    token = tokens[number]
    token.attrSet("rel", "noopener noreferrer")
    if not ADDRESS.match(str(token.attrGet("href"))):  # a picture is no place to go to
        del token.attrs["href"]
    return str(self.renderToken(tokens, number, options, env))


def _fence(self: Any, *what: Any) -> str:
    return _reached(type(self).fence(self, *what))


def _code_block(self: Any, *what: Any) -> str:
    return _reached(type(self).code_block(self, *what))


def _reached(html: str) -> str:
    """Have the keyboard reach code, which may need scrolling."""
    return html.replace("<pre>", '<pre tabindex="0">', 1)


def _cell(self: Any, tokens: list[Token], number: int, options: Any, env: Any) -> str:
    """The side to which a column is aligned is a style, which the page's policy forbids."""
    token = tokens[number]
    style = str(token.attrs.pop("style", ""))
    if style:
        token.attrSet("class", "align-" + style.rpartition(":")[2])
    return str(self.renderToken(tokens, number, options, env))
