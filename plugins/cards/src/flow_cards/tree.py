"""Nested data of any size as a tree that cards store and draw: cut where it is large, deep or endless.

A node is text, a number, True, False or None; or ``("list", nodes, left_out)``,
``("dict", ((key, node), …), left_out)``, where ``left_out`` counts what is not in it; or
``("python", text)``: what JSON has not, as Python writes it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flow_cards.previews import preview, shorten

MOST = 100_000
"""Characters of data in a tree."""
_LEAST = 10  # what a node counts for, at least: numbers of one digit take more room in a page
_DEEPEST = 20
_LONGEST = 5000


def as_tree(value: Any, most: int = MOST) -> Any:
    """Return the tree of a value. Never raises: what cannot be read is told instead."""
    return _Builder(most).node(value, 0)


class _Builder:
    def __init__(self, most: int) -> None:
        self._left = most
        self._above: set[int] = set()  # ids of what the node stands in

    def node(self, value: Any, depth: int) -> Any:
        plain = _scalar(value)
        if plain is not None:
            (found,) = plain
            return self._counted(found)
        kind = "dict" if isinstance(value, Mapping) else "list" if _is_list(value) else None
        if kind is None:
            return "python", self._counted(preview(value, 500))
        if id(value) in self._above:
            return "python", self._counted("{…}" if kind == "dict" else "[…]")
        if depth >= _DEEPEST:
            return "python", self._counted(preview(value, 200))
        self._above.add(id(value))
        try:
            self._left -= _LEAST
            return self._dict(value, depth) if kind == "dict" else self._list(value, depth)
        except Exception as error:  # whatever the code of others may raise
            return "python", f"({type(value).__name__} cannot be read: {type(error).__name__})"
        finally:
            self._above.discard(id(value))

    def _list(self, value: Sequence[Any], depth: int) -> Any:
        nodes = []
        for part in value:
            if self._left <= 0:
                break
            nodes.append(self.node(part, depth + 1))
        return "list", tuple(nodes), len(value) - len(nodes)

    def _dict(self, value: Mapping[Any, Any], depth: int) -> Any:
        pairs = []
        for key, part in value.items():
            if self._left <= 0:
                break
            name = self._counted(shorten(key, 200) if isinstance(key, str) else _key(key))
            pairs.append((name, self.node(part, depth + 1)))
        return "dict", tuple(pairs), len(value) - len(pairs)

    def _counted(self, found: Any) -> Any:
        self._left -= max(_LEAST, len(found) if isinstance(found, str) else 0)
        return found


def _scalar(value: Any) -> tuple[Any] | None:
    """Return text, a number, True, False or None as it is stored; None = it is none of these."""
    if value is None or isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        return (shorten(str(value), _LONGEST),)
    if isinstance(value, int):
        digits = value.bit_length() * 0.30103
        return (int(value),) if digits < 1000 else None
    if isinstance(value, float):
        return (float(value),) if math.isfinite(value) else None
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        try:
            plain = item()
        except Exception:  # it is shown as Python writes it
            return None
        return _scalar(plain) if isinstance(plain, (bool, int, float, str)) else None
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _key(key: Any) -> str:
    """Return a key of a dict as JSON has it."""
    plain = _scalar(key)
    return json.dumps(plain[0]) if plain is not None else preview(key, 200)


def plain(node: Any) -> Any:
    """Return the data of a tree, without what was left out."""
    if not isinstance(node, tuple):
        return node
    kind = node[0]
    if kind == "python":
        return node[1]
    if kind == "list":
        return [plain(part) for part in node[1]]
    return {key: plain(part) for key, part in node[1]}


def left_out(node: Any) -> int:
    """Return how many items of lists and dicts are not in a tree."""
    if not isinstance(node, tuple) or node[0] == "python":
        return 0
    return int(node[2]) + sum(left_out(part) for part in _parts(node))


def size(node: Any) -> int:
    """Return how many nodes a tree has."""
    if not isinstance(node, tuple) or node[0] == "python":
        return 1
    return 1 + sum(size(part) for part in _parts(node))


def _parts(node: Any) -> Iterator[Any]:
    return (part for _, part in node[1]) if node[0] == "dict" else iter(node[1])
