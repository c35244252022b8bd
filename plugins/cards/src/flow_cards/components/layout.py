"""Containers: components under a title."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flow_cards.components.base import Component


@dataclass(frozen=True)
class Section(Component):
    """Components under a title.

    Attributes:
        title: the title; None = they only stand together.
        children: the components.
    """

    title: str | None = None
    children: Sequence[Component] = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        from flow_cards.components.conversion import as_component

        children = [self.children] if isinstance(self.children, Component) else self.children
        self._set(children=tuple(as_component(child) for child in children))
