"""HTML of an author's own."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.components.cells import as_cell


@dataclass(frozen=True)
class Template(Component):
    """HTML of your own, for what the other components cannot show: a template of Jinja2.

        Template("<p class='note'>{{ name }}: <mark>{{ share }} %</mark></p>", {"name": n, "share": s})

    All values are escaped. Of HTML, the tags that say what text is are obeyed (``p``, ``table``, ``mark``,
    ``details``, …), with classes; others are shown as text: nothing in it can run or load something.
    A page that does is an `HtmlPage`.

    Attributes:
        source: the template.
        values: what it shows, by name: text, numbers, lists and dicts of them. Kept as JSON.

    Since 0.1.
    """

    source: str = ""
    values: Any = None
    live: ClassVar[tuple[str, ...]] = ("values",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        values = self.values
        if not isinstance(values, str):
            values = json.dumps({} if values is None else dict(values), default=_plain)
        self._set(source=textwrap.dedent(str(self.source)).strip("\n"), values=values)


def _plain(value: Any) -> Any:
    """Return a value as text, or as a number, where JSON has none like it."""
    plain = as_cell(value)
    return plain if isinstance(plain, (str, int, float)) else str(plain)
