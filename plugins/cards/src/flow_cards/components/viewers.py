"""Nested data: as JSON, as YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.tree import MOST, as_tree, left_out, plain

_HEIGHT = re.compile(r"\d+(\.\d+)?(px|rem|em|vh)")


@dataclass(frozen=True, init=False)
class _Viewer(Component):
    """What the viewers of nested data have in common."""

    data: Any = None
    title: str | None = None
    collapsible: bool = True
    max_height: str | None = None
    show_copy_button: bool = True
    live: ClassVar[tuple[str, ...]] = ("data",)

    def __init__(
        self,
        data: Any,
        title: str | None = None,
        collapsible: bool = True,
        max_height: str | float | None = None,
        show_copy_button: bool = True,
    ) -> None:
        self._set(
            **self._made(data),
            title=title,
            collapsible=bool(collapsible),
            max_height=_height(max_height),
            show_copy_button=bool(show_copy_button),
        )

    def changed(self, changes: Mapping[str, Any]) -> Component:
        """See `Component.changed`. ``data`` is any data, as for a new one."""
        new = dict(changes)
        if "data" in new:
            new.update(self._made(new["data"]))
        if "max_height" in new:
            new["max_height"] = _height(new["max_height"])
        return super().changed(new)

    def _made(self, data: Any) -> dict[str, Any]:
        """Return the fields that come of the data."""
        raise NotImplementedError


@dataclass(frozen=True, init=False)
class JSONViewer(_Viewer):
    """Nested data as JSON, which the reader folds. What is more than 100 kB is cut; what JSON has not is
    shown as Python writes it.

    Args:
        data: dicts, lists and values, at any depth.
        title: a line above it.
        collapsible: whether it can be folded.
        max_height: how tall it may be before it scrolls: pixels, or ``"20rem"``; None = 32 rem.
        show_copy_button: whether there is a button that copies it.

    Attributes:
        data: the data as a tree, see `flow_cards.tree`.
        title, collapsible, max_height, show_copy_button: see above.
    """

    def _made(self, data: Any) -> dict[str, Any]:
        return {"data": as_tree(data)}

    @property
    def text(self) -> str:
        """The data as JSON text."""
        return json.dumps(plain(self.data), indent=2, ensure_ascii=False)

    @property
    def note(self) -> str:
        """What is not shown."""
        return _left_out_text(self.data)


@dataclass(frozen=True, init=False)
class YAMLViewer(_Viewer):
    """Nested data as YAML, which the reader folds. What is more than 100 kB is cut.

    Args:
        data: YAML text; or dicts, lists and values, which PyYAML writes. Without PyYAML they are shown as
            JSON, and a note says so.
        title, collapsible, max_height, show_copy_button: as of `JSONViewer`.

    Attributes:
        data: the text.
        title, collapsible, max_height, show_copy_button: see above.
        note: what is not shown.
    """

    data: str = ""
    note: str = ""

    def _made(self, data: Any) -> dict[str, Any]:
        text, note = _yaml_text(data)
        return {"data": text, "note": note}

    @property
    def text(self) -> str:
        """The text."""
        return self.data


def _yaml_text(data: Any) -> tuple[str, str]:
    """Return YAML text, and what is not in it."""
    if isinstance(data, str):
        if len(data) <= MOST:
            return data.strip("\n"), ""
        cut = data[:MOST].rpartition("\n")[0] or data[:MOST]
        return cut, f"the first {len(cut):,} of {len(data):,} characters"
    tree = as_tree(data)
    notes = [_left_out_text(tree)] if left_out(tree) else []
    try:
        import yaml
    except ImportError:
        notes.append("shown as JSON, since PyYAML is not installed where the task ran")
        return json.dumps(plain(tree), indent=2, ensure_ascii=False), "; ".join(notes)
    text = yaml.safe_dump(plain(tree), sort_keys=False, allow_unicode=True)
    return text.removesuffix("...\n").strip("\n"), "; ".join(notes)


def _left_out_text(tree: Any) -> str:
    count = left_out(tree)
    return f"{count:,} items more, which are not shown" if count else ""


def _height(value: Any) -> str | None:
    """Return a height as CSS has it.

    Raises:
        ValueError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = f"{value:g}px"
    if not isinstance(value, str) or not _HEIGHT.fullmatch(value):
        raise ValueError(f"max_height cannot be {value!r}: pixels, or '20rem'")
    return value
