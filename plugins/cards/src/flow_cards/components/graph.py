"""The graph of a flow: its steps and the ways between them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_cards.components.base import Component

if TYPE_CHECKING:
    from flow_cards.layered import Box, Layout, Line

_LONGEST = 24
_LONGEST_LABEL = 18
_LEAST = 64.0
_HEIGHT, _NOTED = 34.0, 50.0
_STATES = frozenset(
    [
        "succeeded",
        "reused",
        "caught",
        "running",
        "queued",
        "failed",
        "cancelled",
        "interrupted",
        "none",
    ]
)


class Step(NamedTuple):
    """A step as a graph shows it.

    Attributes:
        name: its name.
        doc: the first line of its docstring.
        many: whether it runs many times: within a foreach or a gang.
        ways: the steps that may follow: name, and a word on the way.
    """

    name: str
    doc: str
    many: bool
    ways: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Graph(Component):
    """The steps of a flow and the ways between them, as a picture.

    Attributes:
        steps: the graph as JSON data, as in `CardTask.graph`.
        lit: name of a step that is to stand out; ``""`` = none.
        states: of each step ``succeeded``, ``failed``, ``running``, …: shown by colour and by a mark.
        notes: of each step a few words below its name: ``10,000 tasks``.
        links: of each step the address of a page on it.

    Since 0.1.
    """

    steps: Any = ()
    lit: str = ""
    states: Any = ()
    notes: Any = ()
    links: Any = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        if isinstance(self.steps, Mapping):
            self._set(steps=tuple(_steps(self.steps)))
        for name in ("states", "notes", "links"):
            given = getattr(self, name)
            pairs = given.items() if isinstance(given, Mapping) else given
            self._set(**{name: tuple((str(step), str(text)) for step, text in pairs)})

    @property
    def boxes(self) -> list[Picture]:
        """The steps, each with all that is drawn of it."""
        states, notes, links = dict(self.states), dict(self.notes), dict(self.links)
        known = {step.name: step for step in map(_step, self.steps)}
        return [
            Picture(
                box,
                known[box.name],
                cut(box.name, _LONGEST),
                state if (state := states.get(box.name, "")) in _STATES else "",
                notes.get(box.name, ""),
                address(links.get(box.name, "")),
                box.name == self.lit,
            )
            for box in self.layout.boxes
        ]

    @property
    def lines(self) -> tuple[Line, ...]:
        """The ways between them."""
        return self.layout.lines

    @property
    def layout(self) -> Layout:
        """Where all of it stands."""
        return _laid_out(tuple(map(_step, self.steps)), self.notes, bool(self.states))


class Picture(NamedTuple):
    """What is drawn of a step."""

    box: Box
    step: Step
    name: str
    state: str
    note: str
    link: str
    lit: bool


def _step(row: Any) -> Step:
    """Return a step, also from what the codec makes of one."""
    name, doc, many, ways = row
    return Step(str(name), str(doc), bool(many), tuple((str(t), str(w)) for t, w in ways))


def _steps(graph: Mapping[str, Any]) -> Iterator[Step]:
    nodes: Mapping[str, Mapping[str, Any]] = graph.get("steps") or {}
    depth = _depths(nodes)
    for name, node in nodes.items():
        doc = str(node.get("doc") or "").strip().partition("\n")[0]
        ways = tuple(way for way in _ways(node) if way[0] in nodes)
        yield Step(str(name), doc, depth.get(name, 0) > 0, ways)


def _ways(node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind, cases = node.get("kind"), node.get("cases") or ()
    for target in node.get("targets") or ():
        label = ""
        if kind == "foreach":
            label = f"each of {node.get('foreach')}"
        elif kind == "parallel":
            label = f"gang of {node.get('num_parallel')}"
        elif kind == "switch":
            label = " or ".join(str(value) for value, to in cases if to == target)
        yield str(target), label


def _depths(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return of each step in how many foreaches and gangs it lies."""
    depth: dict[str, int] = {}
    waiting = [(name, 0) for name, node in nodes.items() if not node.get("parents")]
    splits: dict[str, tuple[str, ...]] = {name: () for name, _ in waiting}
    while waiting:
        name, _ = waiting.pop()
        node = nodes[name]
        kind, around = node.get("kind"), splits[name]
        depth[name] = sum(one in ("foreach", "parallel") for one in around)
        inside = (*around, str(kind)) if kind in ("split", "foreach", "parallel") else around
        for target in node.get("targets") or ():
            if target in nodes and target not in splits:
                joins = nodes[target].get("joins")
                splits[target] = inside[:-1] if joins else inside
                waiting.append((target, 0))
    return depth


@functools.lru_cache(maxsize=8)
def _laid_out(steps: tuple[Step, ...], notes: tuple[tuple[str, str], ...], marked: bool) -> Layout:
    from flow_cards.layered import Arrow, lay_out

    said = dict(notes)
    height = _NOTED if any(said.get(step.name) for step in steps) else _HEIGHT
    sizes = {step.name: (_box_width(step, said, marked), height) for step in steps}
    arrows = []
    for step in steps:
        for target, way in step.ways:
            label = cut(way, _LONGEST_LABEL)
            room = text_width(label) * 0.9 if label else 0.0
            arrows.append(Arrow(step.name, target, label, room))
    return lay_out(sizes, arrows)


def _box_width(step: Step, notes: Mapping[str, str], marked: bool) -> float:
    text = text_width(cut(step.name, _LONGEST)) + (20 if marked else 0)
    return max(_LEAST, text + 26, text_width(notes.get(step.name, "")) * 0.9 + 26)


def address(text: str) -> str:
    """Return an address that a page may link to: of the web, or relative; of others ``""``."""
    plain = re.sub(r"[\x00-\x20]", "", text).lower()
    return text if re.fullmatch(r"https?://.*|[^:]*", plain) else ""


def cut(text: str, limit: int) -> str:
    """Return ``text`` with its end left out where it is longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def text_width(text: str) -> float:
    """Return about how wide a text of 13 px is: rather more than less, whatever the font."""
    wide = sum(_width(letter) for letter in text)
    return round(wide, 1)


def _width(letter: str) -> float:
    if letter in "iljtfrI.,:;'|!()[] ":
        return 4.9
    if letter in "mwMW@%…—":
        return 12.2
    if ord(letter) > 0x2E7F:  # of scripts with wide letters
        return 14.0
    return 9.2 if letter.isupper() else 7.8
