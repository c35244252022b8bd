"""Draws HTML of an author's own, see `flow_cards.components.Template`: a template in a sandbox, of whose
result only tags are kept that say what text is."""

from __future__ import annotations

import functools
import json
import re
from html.parser import HTMLParser

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from flow_cards.markdown import ADDRESS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _words(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption "
    "figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark meter ol p pre progress q s samp section small "
    "span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr"
)
"""The tags that are obeyed."""
_VOID = frozenset({"br", "col", "hr", "img", "wbr"})
_ATTRIBUTES = _words(
    "alt aria-label class colspan datetime dir height high href lang low max min open optimum role "
    "rowspan scope span src start title value width"
)
_PICTURE = re.compile(r"data:image/(?:gif|png|jpeg|webp|svg\+xml)[;,]", re.IGNORECASE)


def html_of(source: str, values: str) -> Markup:
    """Return the HTML of a template and its values, which are JSON.

    Raises:
        jinja2.TemplateError: the template is none, or wants a value that there is not.
    """
    return allowed(_template(source).render(json.loads(values)))


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(autoescape=True, undefined=StrictUndefined)


@functools.lru_cache(maxsize=100)
def _template(source: str) -> Template:
    return _environment().from_string(source)


def allowed(html: str) -> Markup:
    """Return HTML, of which only the tags and attributes are left that say what text is. Other tags are
    text; each tag that begins also ends."""
    cleaner = _Cleaner()
    cleaner.feed(html)
    cleaner.close()
    return cleaner.result()


class _Cleaner(HTMLParser):
    """Writes HTML anew: nothing of what it reads is passed on as it came."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._written: list[Markup] = []
        self._open: list[str] = []

    def result(self) -> Markup:
        """Return what is left."""
        ends = (Markup(f"</{tag}>") for tag in reversed(self._open))
        return Markup("").join([*self._written, *ends])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self._written.append(escape(self.get_starttag_text() or ""))
            return
        kept = Markup("").join(
            Markup(' {}="{}"').format(name, value or "")
            for name, value in attrs
            if _is_allowed(name, value or "")
        )
        self._written.append(Markup(f"<{tag}{{}}>").format(kept))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in TAGS:
            self._written.append(escape(f"</{tag}>"))
        elif tag in self._open:
            while (last := self._open.pop()) != tag:
                self._written.append(Markup(f"</{last}>"))
            self._written.append(Markup(f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        self._written.append(escape(data))

    def handle_comment(self, data: str) -> None:
        """A comment of the author's is nobody else's business."""

    def handle_decl(self, decl: str) -> None:
        self._written.append(escape(f"<!{decl}>"))

    def handle_pi(self, data: str) -> None:
        self._written.append(escape(f"<?{data}>"))

    def unknown_decl(self, data: str) -> None:
        self._written.append(escape(f"<![{data}]>"))


def _is_allowed(name: str, value: str) -> bool:
    plain = re.sub(r"[\x00-\x20]", "", value)
    if name == "href":
        return bool(ADDRESS.match(plain))
    if name == "src":
        return bool(_PICTURE.match(plain))
    return name in _ATTRIBUTES
