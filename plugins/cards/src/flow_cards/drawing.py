"""Draws cards: what a type returns becomes a page of HTML that needs nothing but itself.

All text is escaped by the templates; what the page may do is said in `flow_cards.policy`.
"""

from __future__ import annotations

import base64
import functools
import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from flow_cards import highlight, tree
from flow_cards.components import Component, Table, kind_of
from flow_cards.components.events import headline
from flow_cards.components.image import MEDIA
from flow_cards.contract import CardRun, CardTask, HtmlPage, Value
from flow_cards.policy import guarded, policy_of
from flow_cards.rows import column_decimals, raw_value, rows_json
from flow_cards.wording import clean, number_text, size_text
from flow_core.api import duration

if TYPE_CHECKING:
    from flow_cards.components import VegaChart

_DEEPEST = 30
_FEW_LINES = 5
_SHORT_LINE = 30
_HOME = "flow_cards"
_PACKED = frozenset({"vega"})


class Drawn(NamedTuple):
    """What a card shows, in parts.

    Attributes:
        parts: HTML of each component at the top.
        scripts: names of the scripts that they need, in the order in which they must run.
        frame: HTML of a person's own, which stands in a frame; or None.
    """

    parts: tuple[str, ...]
    scripts: tuple[str, ...]
    frame: str | None = None


Made = TypeVar("Made", CardTask, CardRun)


def render(card: Callable[[Made], Any], task: Made) -> str:
    """Return the page that a type of card makes of a task, or of a run.

    Args:
        card: the type: a function.
        task: what it is made from: a `CardTask`; of a card of a run a `CardRun`.

    Raises:
        TypeError: the type returns what is no content of a card.
        Exception: whatever the type raises.

    Since 0.1.
    """
    drawn = draw(card, task)
    return page(task.pathspec, header(task), *drawn)


def draw(card: Callable[[Made], Any], task: Made) -> Drawn:
    """Return what `render` makes a page of."""
    content: Any = card(task)
    if isinstance(content, HtmlPage):
        return _drawn(list(task.components), _encodable(guarded(content)))
    shown: list[Component] = _listed(card, content)
    return _drawn([*shown, *_left(task, shown)])


def _left(task: CardTask | CardRun, shown: list[Component]) -> list[Component]:
    """Return what the step added and the type of the card has not placed."""
    if not task.components:
        return []
    placed = {id(part) for part in _all_parts(shown)}
    return [part for part in task.components if id(part) not in placed]


def _listed(card: object, content: Any) -> list[Component]:
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


def _drawn(components: list[Component], frame: str | None = None) -> Drawn:
    drawer = _Drawer()
    parts = tuple(_encodable(drawer.draw(part)) for part in components)
    return Drawn(parts, tuple(drawer.scripts), frame)


def header(task: CardTask | CardRun) -> str:
    """Return HTML of what stands above a card: which task, or run, and how it ended."""
    return _encodable(_environment().get_template("header.html").render(task=task)).strip()


def page(
    title: str,
    header: str,
    parts: Sequence[str],
    scripts: Sequence[str] = (),
    frame: str | None = None,
    *,
    live: str | None = None,
    hashes: Sequence[str] = (),
) -> str:
    """Return a page, of what was drawn.

    Args:
        title: of the window.
        header, parts: HTML.
        scripts: names of the scripts that the parts need, in order.
        frame: HTML of a person's own, which stands in a frame; or None.
        live: JSON data for ``scripts/live.js``, which changes the parts later; None = nobody does.
        hashes: of each part, for that script.
    """
    names = [*scripts]
    if live is not None:
        names = [*dict.fromkeys(["base", *names, "live"])]
    texts = [script(name) for name in names]
    style = _style()
    # A live page may be told to show what needs other scripts of ours.
    allowed = texts if live is None else [script(name) for name in script_names()]
    policy = policy_of(style, allowed, framed=frame is not None, live=live is not None)
    text = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            header=Markup(header),
            parts=[Markup(part) for part in parts],
            frame=frame,
            style=Markup(style),
            scripts=[Markup(one) for one in texts],
            policy=policy,
            live=live,
            hashes=hashes,
        )
    )
    return _encodable(text) + "\n"


def script_names() -> tuple[str, ...]:
    """Return the names of all scripts of ours."""
    files = (resources.files(_HOME) / "scripts").iterdir()
    names = {one.name[:-3] for one in files if one.name.endswith(".js")}
    return tuple(sorted(names | _PACKED))


def macros(name: str) -> Any:
    """Return the macros of a template, which draw pages of the server."""
    return _environment().get_template(name).module


@functools.cache
def script(name: str) -> str:
    """Return one of our scripts: ``scripts/NAME.js``, or ``NAME.js.gz``, which is large."""
    folder = resources.files(_HOME) / "scripts"
    if name in _PACKED:
        text = gzip.decompress((folder / f"{name}.js.gz").read_bytes()).decode()
    else:
        text = (folder / f"{name}.js").read_text(encoding="utf-8")
    return "\n" + text.strip() + "\n"


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
    found = {name: _file(f"templates/{name}") for name in ("page.html", "header.html")}
    for part in ("components", "server"):
        for one in sorted((folder / part).iterdir(), key=lambda one: one.name):
            found[f"{part}/{one.name}"] = one.read_text(encoding="utf-8")
    return found


@functools.cache
def _homes() -> dict[str, str]:
    """Return in which template each macro is."""
    return {
        macro: name
        for name, text in _templates().items()
        if name.startswith("components/")
        for macro in re.findall(r"{% macro (\w+)", text)
    }


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
        chart_data=_chart_data,
        clean=clean,
        data_url=_data_url,
        json_text=_json_text,
        authored=_authored,
        markdown=_markdown,
        moment=_moment,
        number=number_text,
        python=highlight.python,
        seconds=duration,
    )
    return environment


def get_ready() -> None:
    """Load what each drawing needs: for a process from which others are forked.

    A card of the usual kind is drawn for that: so nothing that it needs can be forgotten here.
    """
    from flow_cards.types import default

    steps = {"start": {"targets": ["end"], "kind": "start"}, "end": {"targets": [], "kind": "end"}}
    values = {
        name: Value(name, "", 0, functools.partial(_given, value))
        for name, value in {
            "n": 1,
            "text": "a" * 999,
            "rows": [["a", 1.5]] * 9,
            "map": {1: 2},
        }.items()
    }
    task = CardTask(
        "F",
        "1",
        "start",
        1,
        started=1.0,
        finished=2.0,
        artifacts=values,
        own=tuple(values),
        logs={"stdout": "a"},
        graph={"steps": steps},
        step_doc="a",
    )
    render(default, task)


def _given(value: Any) -> Any:
    return value


class _Drawer:
    """Draws components by the macros of their names.

    Attributes:
        scripts: names of the scripts that what was drawn needs, in the order in which they must run.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, None] = {}
        self._depth = 0
        self._level = 1  # of the heading around what is drawn: that of the page
        self._cells = 0  # how many cells of tables are around what is drawn
        self._given = {
            "draw": self.draw,
            "cell": self._cell,
            "decimals": column_decimals,
            "level": lambda: self._level,
            "numbers": _number_columns,
            "raw": raw_value,
            "rows_json": self._rows_json,
            "tree_size": tree.size,
            "yaml_lines": highlight.yaml_lines,
            "headline": headline,
            "need": self._need,
            "reach": self._reach,
        }
        self._macros: dict[str, Any] = {}

    def _macro(self, kind: str) -> Any:
        """Return the macro of a component."""
        if kind not in self._macros:
            template = _environment().get_template(_homes()[kind])
            self._macros.update(vars(template.make_module(self._given)))
        return self._macros[kind]

    def _need(self, *names: str) -> str:
        """Have the page carry these scripts of ours."""
        for name in ("base", *names):
            self.scripts.setdefault(name)
        return ""

    def draw(self, component: Component) -> Markup:
        if self._depth > _DEEPEST:
            return Markup("<p>…</p>")
        self._depth += 1
        level = self._level
        try:
            kind = kind_of(component)
            self._level = min(6, level + _has_heading(component, kind))
            if kind is None:
                return Markup("").join(self.draw(part) for part in component.parts())
            return Markup(self._macro(kind)(component))
        finally:
            self._depth -= 1
            self._level = level

    def _cell(self, value: Any, decimals: int = 0) -> Any:
        """Return what stands in a cell of a table."""
        if isinstance(value, Component):
            return self._in_cell(value)
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return clean(str(value))
        return number_text(value, decimals)

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


def _has_heading(component: Any, kind: str | None) -> bool:
    """Whether a component has headings of its own, below which stands what is in it."""
    if kind == "Section":
        return bool(component.title) and not component.folded
    return kind in ("Error", "Tabs")


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


def _json_text(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False))


def _data_url(image: Any) -> str:
    media = image.media if image.media in MEDIA else "image/png"
    return f"data:{media};base64,{base64.b64encode(image.src).decode()}"


def _chart_data(chart: VegaChart) -> Markup:
    """Return the JSON of a chart, in which nothing can end the element that it stands in."""
    alt = json.dumps(chart.alt or chart.title or chart.summary)
    text = f'{{"alt":{alt},"controls":{json.dumps(bool(chart.show_controls))},"spec":{chart.spec}}}'
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _authored(template: Any) -> Markup:
    from flow_cards.authored import html_of  # few cards have one

    return html_of(template.source, template.values)


def _markdown(text: str) -> Markup:
    from flow_cards.markdown import to_html

    return to_html(text)
