"""Containers: components under a title, side by side, or one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component


@dataclass(frozen=True)
class Section(Component):
    """Components under a title.

    Attributes:
        title: the title; None = they only stand together.
        children: the components; any other value becomes one, see `as_component`.
        folded: whether only the title is seen until the reader opens it.
    """

    title: str | None = None
    children: Sequence[Any] = ()
    folded: bool = False
    live: ClassVar[tuple[str, ...]] = ("children",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        self._set(children=as_components(self.children), folded=bool(self.folded))


@dataclass(frozen=True)
class Columns(Component):
    """Components side by side; on a narrow screen one below the other.

    Attributes:
        children: one for each column: a component, another value, or several of them as a list.
        widths: how wide each is in relation to the others: ``[2, 1]``; None = all the same.
    """

    children: Sequence[Any] = ()
    widths: Sequence[float] | None = None
    live: ClassVar[tuple[str, ...]] = ("children",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        children = as_components(self.children)
        self._set(children=children)
        if self.widths is None:
            return
        widths = tuple(self.widths)
        if len(widths) != len(children):
            raise ValueError(f"Columns: {len(widths)} widths for {len(children)} columns")
        if not all(0 < width < float("inf") for width in widths):
            raise ValueError(f"Columns: widths must be above 0, not {list(widths)}")
        self._set(widths=widths)

    @property
    def shares(self) -> list[int]:
        """How wide each is, in twelfths: 1 to 12."""
        widths = self.widths or (1,) * len(self.children)
        return [min(12, max(1, round(12 * width / sum(widths)))) for width in widths]


@dataclass(frozen=True)
class Tabs(Component):
    """Components of which one is seen at a time. On paper all are, one below the other.

    Attributes:
        panels: pairs of a title and what stands below it: a component, another value, or several of
            them as a list. Or a dict.
    """

    panels: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()
    live: ClassVar[tuple[str, ...]] = ("panels",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        pairs = self.panels.items() if isinstance(self.panels, Mapping) else self.panels
        self._set(panels=tuple((str(title), as_child(shown)) for title, shown in pairs))


def as_components(values: Any) -> tuple[Component, ...]:
    """Return what shows each of some values; a single one will do."""
    single = isinstance(values, (Component, str)) or not isinstance(values, Iterable)
    return tuple(as_child(value) for value in ([values] if single else values))


def as_child(value: Any) -> Component:
    """Return what shows a value; several components stand one below the other."""
    from flow_cards.components.conversion import as_component

    if isinstance(value, (list, tuple)) and any(isinstance(part, Component) for part in value):
        return Section(None, value)
    return as_component(value)
