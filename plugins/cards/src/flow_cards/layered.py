"""Where the boxes and lines of a graph stand: layer by layer, each step after those that lead to it.

Positions are in two directions, which become left to right and downwards, or the other way round:
``along`` the flow, and ``across`` it.
"""

from __future__ import annotations

import itertools
from bisect import bisect, insort
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

_ALONG = 46.0  # between two layers
_ACROSS = 22.0  # between two boxes of one
_MARGIN = 12.0
_BEND = 14.0
_LOOP = 24.0
_SWEEPS = 6
_FITS = 1000.0
_SMALLER = 0.75
_TALLEST = 640.0

Node = tuple[str, int]
"""A step is (name, -1); what keeps room for the line number n in a layer is (layer, n)."""


class Arrow(NamedTuple):
    """A way from one step to another.

    Attributes:
        source, target: their names.
        label: a word on it; ``""`` = none.
        room: how long the label is, drawn.
    """

    source: str
    target: str
    label: str = ""
    room: float = 0.0


class Box(NamedTuple):
    """Where a step stands.

    Attributes:
        name: its name.
        x, y: of its left upper corner.
        width, height: how large it is.
    """

    name: str
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """How a way is drawn.

    Attributes:
        arrow: which.
        path: of the line, as in SVG's ``d``.
        head: of the tip.
        start, end: where it begins and ends: on the edges of its boxes.
        x, y: the middle of its label.
        back: whether it leads to a step that has been reached before.
    """

    arrow: Arrow
    path: str
    head: str
    start: tuple[float, float]
    end: tuple[float, float]
    x: float
    y: float
    back: bool


class Layout(NamedTuple):
    """A graph that has been laid out.

    Attributes:
        width, height: how large it is.
        boxes: the steps, in the order given.
        lines: the ways, in the order given.
    """

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def lay_out(sizes: Mapping[str, tuple[float, float]], arrows: Sequence[Arrow]) -> Layout:
    """Return where everything stands: left to right where that fits a page, else downwards, where
    that does; else left to right.

    Args:
        sizes: width and height of each step, in order of definition.
        arrows: the ways between them.
    """
    layers = _Layers([*sizes], arrows)
    flat = _placed(layers, sizes, across=True)
    if flat.width * _SMALLER <= _FITS:
        return flat
    tall = _placed(layers, sizes, across=False)
    return tall if tall.width <= _FITS and tall.height <= _TALLEST else flat


# --- which layer, in which order ----------------------------------------------------------------


class _Layers:
    """The steps in layers.

    Attributes:
        arrows: the ways, in the order given.
        back: numbers of those that lead back.
        rows: the layers, each in its order.
        layer: of each step.
        above, below: of each node those that it is joined to in the layer before, and after.
    """

    def __init__(self, names: Sequence[str], arrows: Sequence[Arrow]) -> None:
        self.arrows = arrows
        order, self.back = _walk(names, arrows)
        self.layer = _longest_ways(order, arrows, self.back)
        self.above: dict[Node, list[Node]] = {}
        self.below: dict[Node, list[Node]] = {}
        rows: list[list[Node]] = [[] for _ in range(1 + max(self.layer.values(), default=-1))]
        for name in order:
            rows[self.layer[name]].append((name, -1))
        for number, arrow in enumerate(arrows):
            if number not in self.back:
                self._join(number, arrow, rows)
        self.rows = self._untangled(rows)

    def _join(self, number: int, arrow: Arrow, rows: list[list[Node]]) -> None:
        last: Node = (arrow.source, -1)
        for level in range(self.layer[arrow.source] + 1, self.layer[arrow.target]):
            keeper: Node = (str(level), number)
            rows[level].append(keeper)
            self._tie(last, keeper)
            last = keeper
        self._tie(last, (arrow.target, -1))

    def _tie(self, upper: Node, lower: Node) -> None:
        self.below.setdefault(upper, []).append(lower)
        self.above.setdefault(lower, []).append(upper)

    def _untangled(self, rows: list[list[Node]]) -> list[list[Node]]:
        """Return the rows in an order with fewer crossings."""
        best, fewest = [list(row) for row in rows], self._crossings(rows)
        for sweep in range(_SWEEPS):
            if not fewest:
                break
            down = sweep % 2 == 0
            ties = self.above if down else self.below
            for level in range(len(rows)) if down else reversed(range(len(rows))):
                other = rows[level - 1 if down else (level + 1) % len(rows)]
                place = {node: n for n, node in enumerate(other)}
                rows[level] = _by_neighbours(rows[level], ties, place)
            crossings = self._crossings(rows)
            if crossings < fewest:
                best, fewest = [list(row) for row in rows], crossings
        return best

    def _crossings(self, rows: Sequence[Sequence[Node]]) -> int:
        count = 0
        for upper, lower in itertools.pairwise(rows):
            place = {node: n for n, node in enumerate(lower)}
            seen: list[int] = []
            for node in upper:
                ends = sorted(place[one] for one in self.below.get(node, ()) if one in place)
                count += sum(len(seen) - bisect(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return count


def _walk(names: Sequence[str], arrows: Sequence[Arrow]) -> tuple[list[str], set[int]]:
    """Return the steps so that each comes after its parents, and the ways that lead back."""
    leaving: dict[str, list[int]] = {name: [] for name in names}
    for number, arrow in enumerate(arrows):
        leaving[arrow.source].append(number)
    back: set[int] = set()
    done: list[str] = []
    open_now: set[str] = set()
    seen: set[str] = set()
    for root in names:
        stack = [] if root in seen else [(root, iter(leaving[root][::-1]))]
        seen.add(root)
        open_now.add(root)
        while stack:
            name, ways = stack[-1]
            number = next(ways, -1)
            if number < 0:
                stack.pop()
                open_now.discard(name)
                done.append(name)
                continue
            target = arrows[number].target
            if target in open_now:
                back.add(number)
            elif target not in seen:
                seen.add(target)
                open_now.add(target)
                stack.append((target, iter(leaving[target][::-1])))
        open_now.discard(root)
    return done[::-1], back


def _longest_ways(order: Sequence[str], arrows: Sequence[Arrow], back: set[int]) -> dict[str, int]:
    layer = dict.fromkeys(order, 0)
    leaving: dict[str, list[str]] = {}
    for number, arrow in enumerate(arrows):
        if number not in back:
            leaving.setdefault(arrow.source, []).append(arrow.target)
    for name in order:
        for target in leaving.get(name, ()):
            layer[target] = max(layer[target], layer[name] + 1)
    return layer


def _by_neighbours(
    row: Sequence[Node], ties: Mapping[Node, Sequence[Node]], place: Mapping[Node, int]
) -> list[Node]:
    def middle(number: int) -> float:
        found = [place[one] for one in ties.get(row[number], ()) if one in place]
        return sum(found) / len(found) if found else float(number)

    return [row[n] for n in sorted(range(len(row)), key=lambda n: (middle(n), n))]


# --- where exactly ------------------------------------------------------------------------------


def _placed(layers: _Layers, sizes: Mapping[str, tuple[float, float]], *, across: bool) -> Layout:
    """Return the layout; ``across`` = from left to right."""
    loops = {layers.arrows[n].source for n in layers.back}
    rooms: dict[str, float] = {}
    for arrow in layers.arrows:
        rooms[arrow.target] = max(rooms.get(arrow.target, 0.0), arrow.room + 6)

    def size(node: Node) -> tuple[float, float]:
        """Along and across the flow, with room for what stands around it."""
        if node[1] >= 0:
            return 0.0, 4.0
        width, height = sizes[node[0]]
        if not across:
            return height, max(width, rooms.get(node[0], 0.0))
        return width, height + (2 * _LOOP if node[0] in loops else 0.0)

    middles = _middles(layers, size)
    spans = _spans(layers, size, across=across)
    boxes = {name: _box(name, layers, middles, spans, sizes, across) for name in sizes}
    draw = _Pen(layers, middles, spans, boxes, across)
    lines = tuple(draw.line(number) for number in range(len(layers.arrows)))
    reach = [middle + size(node)[1] / 2 for node, middle in middles.items()]
    width, height = spans[-1][1] if spans else 0.0, max(reach, default=0.0)
    if not across:
        width, height = height, width
    return Layout(width + _MARGIN, height + _MARGIN, tuple(boxes.values()), lines)


def _middles(layers: _Layers, size: Callable[[Node], tuple[float, float]]) -> dict[Node, float]:
    """Return where across the flow the middle of each node is: near those that it is joined to."""
    middles: dict[Node, float] = {}
    for row in layers.rows:
        position = 0.0
        for node in row:
            breadth = size(node)[1]
            middles[node] = position + breadth / 2
            position += breadth + _ACROSS
    breadths = {node: size(node)[1] for node in middles}
    for sweep in range(2 * _SWEEPS):
        down = sweep % 2 == 0
        for row in layers.rows if down else reversed(layers.rows):
            _settle(row, layers.above if down else layers.below, middles, breadths)
    least = min((m - breadths[n] / 2 for n, m in middles.items()), default=0.0)
    return {node: middle - least + _MARGIN for node, middle in middles.items()}


def _settle(
    row: Sequence[Node],
    ties: Mapping[Node, Sequence[Node]],
    middles: dict[Node, float],
    breadths: Mapping[Node, float],
) -> None:
    """Move the nodes of a row as near to their neighbours as their order and breadths let them.

    It is the least sum of squares: neighbours that would overlap are moved together, as one block.
    """
    blocks: list[list[float]] = []  # sum of wishes, how many
    offsets, offset = [], 0.0
    for number, node in enumerate(row):
        if number:
            offset += (breadths[row[number - 1]] + breadths[node]) / 2 + _ACROSS
        offsets.append(offset)
        near = sorted(middles[one] for one in ties.get(node, ()))
        count = len(near)
        wish = (near[count // 2] + near[(count - 1) // 2]) / 2 if near else middles[node]
        blocks.append([wish - offset, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, some = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += some
    starts = (total / some for total, some in blocks for _ in range(int(some)))
    for node, start, own in zip(row, starts, offsets, strict=True):
        middles[node] = start + own


def _spans(
    layers: _Layers, size: Callable[[Node], tuple[float, float]], *, across: bool
) -> list[tuple[float, float]]:
    """Return where along the flow each layer begins and ends."""
    gaps = [_ALONG] * len(layers.rows)
    if across:  # a label lies between the layers
        for number, arrow in enumerate(layers.arrows):
            if arrow.label and number not in layers.back:
                level = layers.layer[arrow.target] - 1
                gaps[level] = max(gaps[level], arrow.room + 2 * _BEND + 8)
    spans, position = [], _MARGIN
    for row, gap in zip(layers.rows, gaps, strict=True):
        length = max(size(node)[0] for node in row)
        spans.append((position, position + length))
        position += length + gap
    return spans


def _box(
    name: str,
    layers: _Layers,
    middles: Mapping[Node, float],
    spans: Sequence[tuple[float, float]],
    sizes: Mapping[str, tuple[float, float]],
    across: bool,
) -> Box:
    width, height = sizes[name]
    begin, end = spans[layers.layer[name]]
    along, beside = (begin + end) / 2, middles[name, -1]
    x, y = (along, beside) if across else (beside, along)
    return Box(name, x - width / 2, y - height / 2, width, height)


class _Pen:
    """Draws lines between boxes that have their places."""

    def __init__(
        self,
        layers: _Layers,
        middles: Mapping[Node, float],
        spans: Sequence[tuple[float, float]],
        boxes: Mapping[str, Box],
        across: bool,
    ) -> None:
        self._layers = layers
        self._middles = middles
        self._spans = spans
        self._boxes = boxes
        self._across = across

    def line(self, number: int) -> Line:
        """Return how one of the ways is drawn."""
        if number in self._layers.back:
            return self._back(self._layers.arrows[number])
        return self._forward(number)

    def _forward(self, number: int) -> Line:
        arrow = self._layers.arrows[number]
        at = self._middles
        first, last = self._layers.layer[arrow.source], self._layers.layer[arrow.target]
        stops = [
            (self._edge(arrow.source, ahead=True), self._spans[first][1], at[arrow.source, -1])
        ]
        between = range(first + 1, last)
        stops += [(*self._spans[level], at[str(level), number]) for level in between]
        end = self._edge(arrow.target, ahead=False)
        stops.append((self._spans[last][0], end, at[arrow.target, -1]))
        path = f"M{self._point(stops[0][0], stops[0][2])}L{self._point(*stops[0][1:])}"
        for (_, begin, beside), (until, on, other) in itertools.pairwise(stops):
            half = (begin + until) / 2
            bends = f"{self._point(half, beside)} {self._point(half, other)}"
            path += f"C{bends} {self._point(until, other)}L{self._point(on, other)}"
        (_, begin, beside), (until, _, other) = stops[-2:]
        middle = self._xy(begin + 0.7 * (until - begin), beside + 0.84 * (other - beside))
        if self._across:
            middle = self._xy(until - arrow.room / 2 - _BEND, beside + 0.9 * (other - beside))
        return Line(
            arrow,
            path,
            self._tip(end, at[arrow.target, -1]),
            self._xy(stops[0][0], stops[0][2]),
            self._xy(end, at[arrow.target, -1]),
            *middle,
            back=False,
        )

    def _back(self, arrow: Arrow) -> Line:
        """A loop above its step; to an earlier one, an arc above both."""
        source, target = self._boxes[arrow.source], self._boxes[arrow.target]
        start = (source.x + 0.75 * source.width, source.y)
        end = (target.x + 0.25 * target.width, target.y)
        top = min(start[1], end[1]) - _LOOP
        path = f"M{_text(*start)}C{_text(start[0], top)} {_text(end[0], top)} {_text(*end)}"
        x, y = end
        head = f"M{_text(x - 4, y - 7)}L{_text(x, y)}L{_text(x + 4, y - 7)}"
        return Line(arrow, path, head, start, end, (start[0] + x) / 2, top + 5, back=True)

    def _edge(self, name: str, *, ahead: bool) -> float:
        box = self._boxes[name]
        begin, length = (box.x, box.width) if self._across else (box.y, box.height)
        return begin + length if ahead else begin

    def _tip(self, along: float, beside: float) -> str:
        points = [(along - 7, beside - 4), (along, beside), (along - 7, beside + 4)]
        return "M" + "L".join(self._point(*point) for point in points)

    def _point(self, along: float, beside: float) -> str:
        return _text(*self._xy(along, beside))

    def _xy(self, along: float, beside: float) -> tuple[float, float]:
        return (along, beside) if self._across else (beside, along)


def _text(x: float, y: float) -> str:
    return f"{round(x, 1):g} {round(y, 1):g}"
