"""Draws cards: what a type returns becomes a page of HTML that needs nothing but itself.

All text is escaped by the templates. The page's policy (CSP) lets nothing be fetched, and nothing run
but our own scripts, by their hashes; HTML of a person's own stands in a sandboxed frame.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from flow_cards.components import Component, Table, kind_of
from flow_cards.components.image import MEDIA
from flow_cards.contract import CardTask, HtmlPage
from flow_cards.rows import raw_value, rows_json
from flow_cards.wording import clean, number_text, size_text
from flow_core.api import duration

if TYPE_CHECKING:
    from flow_cards.contract import CardType

_DEEPEST = 30
_FEW_LINES = 5
_SHORT_LINE = 30
_DOCTYPE = re.compile(r"\s*(?:<!--.*?-->\s*)*<!doctype[^>]*>", re.IGNORECASE | re.DOTALL)
_GUARD = (
    '<meta http-equiv="x-dns-prefetch-control" content="off">'
    "<script>delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection</script>"
)
_HOME = "flow_cards"


def render(card: CardType, task: CardTask) -> str:
    """Return the page that a type of card makes of a task.

    Args:
        card: the type: a function.
        task: what it is made from.

    Raises:
        TypeError: the type returns what is no content of a card.
        Exception: whatever the type raises.

    Since 0.1.
    """
    content = card(task)
    if isinstance(content, HtmlPage):
        return _page(task, list(task.components), content)
    shown = _listed(card, content)
    return _page(task, [*shown, *_left(task, shown)])


def _left(task: CardTask, shown: list[Component]) -> list[Component]:
    """Return what the step added and the type of the card has not placed."""
    if not task.components:
        return []
    placed = {id(part) for part in _all_parts(shown)}
    return [part for part in task.components if id(part) not in placed]


def _listed(card: CardType, content: Any) -> list[Component]:
    if isinstance(content, Component):
        return [content]
    name = getattr(card, "__name__", "card")
    if isinstance(content, (str, bytes)) or not isinstance(content, Iterable):
        raise TypeError(
            f"The card type '{name}' returned {type(content).__name__}: "
            "it returns components, or HtmlPage(html)"
        )
    shown = list(content)
    for part in shown:
        if not isinstance(part, Component):
            raise TypeError(
                f"The card type '{name}' returned {type(part).__name__} among its components: "
                "Markdown(text), Table(rows), Artifact(value), …"
            )
    return shown


def _all_parts(components: Iterable[Component]) -> Iterator[Component]:
    for part in components:
        yield part
        yield from _all_parts(part.parts() if kind_of(part) is None else part.inside())


# --- the page -----------------------------------------------------------------------------------


def _page(task: CardTask, components: list[Component], frame: HtmlPage | None = None) -> str:
    drawer = _Drawer()
    parts = [drawer.draw(part) for part in components]
    style = _style()
    scripts = [script(name) for name in drawer.scripts]
    text = (
        _environment()
        .get_template("page.html")
        .render(
            task=task,
            parts=parts,
            frame=frame,
            style=Markup(style),
            scripts=[Markup(one) for one in scripts],
            policy=_policy(style, scripts) if frame is None else _frame_policy(frame, scripts),
        )
    )
    return _encodable(text) + "\n"


def _frame_policy(frame: HtmlPage, scripts: Sequence[str]) -> str:
    """What stands in a frame inherits the policy of the page around it, which therefore allows what
    pages of others need. In the page around it all text is escaped, as ever."""
    allowed = "'unsafe-inline' 'unsafe-eval'" if frame.scripts else _sources(scripts)
    return (
        f"default-src 'none'; script-src {allowed}; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; media-src data: blob:; "
        "base-uri 'none'; form-action 'none'; webrtc 'block'"
    )


def _guarded(html: str) -> str:
    """Return a page for the frame, without what the policy does not reach in each browser: names that
    are looked up ahead, and connections of WebRTC."""
    html = str(html)  # also one that says of itself that it needs no escaping
    start = _DOCTYPE.match(html)
    head = start.end() if start else 0  # what stands before it would change how the page is drawn
    return html[:head] + _GUARD + html[head:]


def _policy(style: str, scripts: Sequence[str]) -> str:
    return (
        f"default-src 'none'; script-src {_sources(scripts)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _sources(scripts: Sequence[str]) -> str:
    return " ".join(_source(one) for one in scripts) or "'none'"


@functools.lru_cache(maxsize=100)
def _source(text: str) -> str:
    """Return how a policy names a script or a style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def script(name: str) -> str:
    """Return one of our scripts: ``scripts/NAME.js``."""
    return "\n" + _file(f"scripts/{name}.js").strip() + "\n"


def _encodable(text: str) -> str:
    """Return ``text`` with what no file can hold (halves of characters, NUL) replaced."""
    text = text.replace("\0", "\ufffd")
    return text.encode("utf-8", "replace").decode()


@functools.cache
def _style() -> str:
    return _file("templates/style.css").strip() + "\n"


def _file(name: str) -> str:
    return (resources.files(_HOME) / name).read_text(encoding="utf-8")


@functools.cache
def _templates() -> dict[str, str]:
    """Return the templates by name: ``page.html``, ``components/text.html``, …."""
    folder = resources.files(_HOME) / "templates"
    found = {"page.html": _file("templates/page.html")}
    for one in sorted((folder / "components").iterdir(), key=lambda one: one.name):
        found[f"components/{one.name}"] = one.read_text(encoding="utf-8")
    return found


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader(_templates()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        bytes=size_text,
        clean=clean,
        data_url=_data_url,
        guarded=_guarded,
        markdown=_markdown,
        moment=_moment,
        number=number_text,
        seconds=duration,
    )
    return environment


def get_ready() -> None:
    """Load what each drawing needs: for a process from which others are forked."""
    environment = _environment()
    for name in _templates():
        environment.get_template(name)
    _markdown("")


class _Drawer:
    """Draws components by the macros of their names.

    Attributes:
        scripts: names of the scripts that what was drawn needs, in the order in which they must run.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, None] = {}
        self._depth = 0
        self._cells = 0  # how many cells of tables are around what is drawn
        given = {
            "draw": self.draw,
            "cell": self._cell,
            "numbers": _number_columns,
            "raw": raw_value,
            "rows_json": self._rows_json,
            "need": self._need,
            "reach": self._reach,
        }
        self._macros: dict[str, Any] = {}
        for name in _templates():
            if name != "page.html":
                module = _environment().get_template(name).make_module(given)
                self._macros.update(vars(module))

    def _need(self, *names: str) -> str:
        """Have the page carry these scripts of ours."""
        for name in ("base", *names):
            self.scripts.setdefault(name)
        return ""

    def draw(self, component: Component) -> Markup:
        if self._depth > _DEEPEST:
            return Markup("<p>…</p>")
        self._depth += 1
        try:
            kind = kind_of(component)
            if kind is None:
                return Markup("").join(self.draw(part) for part in component.parts())
            return Markup(self._macros[kind](component))
        finally:
            self._depth -= 1

    def _cell(self, value: Any) -> Any:
        """Return what stands in a cell of a table."""
        if isinstance(value, Component):
            return self._in_cell(value)
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return clean(str(value))
        return number_text(value)

    def _rows_json(self, table: Table) -> Markup:
        return rows_json(table, self._in_cell)

    def _in_cell(self, component: Component) -> Markup:
        self._cells += 1
        try:
            return self.draw(component)
        finally:
            self._cells -= 1

    def _reach(self, text: Any) -> Markup:
        """Have the keyboard reach text that may need scrolling; in a cell, lines are broken."""
        lines = str(text).splitlines()
        long = len(lines) > _FEW_LINES or (
            not self._cells and any(len(line) > _SHORT_LINE for line in lines)
        )
        return Markup(' tabindex="0"') if long else Markup("")


def _number_columns(table: Table) -> set[int]:
    """Return the columns whose first cell is a number: their titles stand to the right."""
    first = table.data[0] if table.data else ()
    return {
        n for n, v in enumerate(first) if isinstance(v, (int, float)) and not isinstance(v, bool)
    }


# --- filters ------------------------------------------------------------------------------------


def _moment(seconds: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "?"


def _data_url(image: Any) -> str:
    media = image.media if image.media in MEDIA else "image/png"
    return f"data:{media};base64,{base64.b64encode(image.src).decode()}"


def _markdown(text: str) -> Markup:
    from flow_cards.markdown import to_html

    return to_html(text)
