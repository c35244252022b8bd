"""Artifacts and parameters in a card: small values in a table, what there is to see of large ones below."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from flow_cards.artifact_previews import Shown, show
from flow_cards.components import Component, Log, Preview, Table, VegaChart
from flow_cards.contract import LARGE, Value
from flow_cards.previews import preview
from flow_cards.wording import size_text

_MOST_VALUES = 200
_TEXT = 500
_OPEN = 6
_ROOM = 700_000
_SMALL = 30_000  # characters of what is drawn again on each later card


class Room:
    """How much a card can still take: previews of artifacts are not to make it too large.

    Args:
        size: characters.
    """

    def __init__(self, size: int = _ROOM) -> None:
        self._left = size

    def take(self, component: Component) -> bool:
        """Take the room of a component; False when there is not enough."""
        size = _size(component)
        if size > self._left:
            return False
        self._left -= size
        return True


def _size(value: Any) -> int:
    """Return about how many characters a value takes in a page."""
    if isinstance(value, Component):
        names = [one.name for one in fields(value)]  # type: ignore[arg-type]
        return 100 + _size([getattr(value, name) for name in names])
    if isinstance(value, (tuple, list)):
        return sum(map(_size, value))
    if isinstance(value, bytes):
        return len(value) * 4 // 3
    return len(value) if isinstance(value, str) else 20


def values_shown(
    values: Mapping[str, Value],
    *,
    limit: int = LARGE,
    only_text: bool = False,
    opened: int = _OPEN,
    again: bool = False,
    room: Room,
) -> list[Component]:
    """Return a table of values, and what there is to see of large ones.

    Args:
        values: artifacts or parameters, by name.
        limit: bytes above which a value is not read.
        only_text: whether to show them only as Python writes them.
        opened: how many of the large ones are open at first.
        again: whether the card of an earlier step shows them: then charts, and whatever else is large,
            are only told.
        room: how much the card can still take.
    """
    rows: list[tuple[Any, ...]] = []
    blocks: list[Component] = []
    for value in itertools.islice(values.values(), _MOST_VALUES):
        shown = _show(value, limit, only_text)
        if again and shown.block is not None and _is_heavy(shown.block):
            shown = Shown(f"{_line(shown)} (not drawn again: it is of an earlier step)")
        if shown.block is not None and not room.take(shown.block):
            shown = Shown(f"{_line(shown)} (not shown: this card holds much already)")
        if shown.block is None:
            line = shown.line if isinstance(shown.line, Component) else Log(shown.line)
            rows.append((value.name, value.type, value.size, line))
        else:
            is_open = len(blocks) < opened
            blocks.append(
                Preview(value.name, value.type, value.size, _line(shown), shown.block, is_open)
            )
    note = ""
    if len(values) > _MOST_VALUES:
        note = f"the first {_MOST_VALUES:,} of {len(values):,}, by name"
    table = [Table(rows, ("name", "type", "bytes", "value"), note)] if rows or note else []
    return [*table, *blocks]


def _is_heavy(block: Component) -> bool:
    return _has_chart(block) or _size(block) > _SMALL


def _has_chart(component: Component) -> bool:
    """Whether what draws charts, which is large, must be in the page for it."""
    return isinstance(component, VegaChart) or any(map(_has_chart, component.inside()))


def _line(shown: Shown) -> str:
    return shown.line if isinstance(shown.line, str) else ""


def _show(value: Value, limit: int, only_text: bool) -> Shown:
    if value.size > limit:
        digest = f", hash {value.hash}" if value.hash else ""
        return Shown(f"(too large to be read here: {size_text(value.size)}{digest})")
    try:
        loaded = value.value
    except Exception as problem:  # whatever loading it may raise
        return Shown(f"(cannot be read: {problem})")
    return Shown(preview(loaded, _TEXT)) if only_text else show(loaded)
