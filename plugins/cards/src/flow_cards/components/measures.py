"""Single numbers: how far something is, one value in large digits, facts side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.components.cells import as_cell


@dataclass(frozen=True)
class ProgressBar(Component):
    """How far something has come.

    Attributes:
        max: the value at the end.
        label: what is going on.
        value: how far it has come.
        unit: a word behind the numbers.
        metadata: a line of further text.
    """

    max: float = 100
    label: str | None = None
    value: float = 0
    unit: str | None = None
    metadata: str | None = None
    live: ClassVar[tuple[str, ...]] = ("value", "metadata")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        for name in ("max", "value"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                number = float(number)
            if not math.isfinite(number):
                raise ValueError(f"ProgressBar: {name} must be a finite number, not {number!r}")
            self._set(**{name: number})
        if self.max <= 0:
            raise ValueError(f"ProgressBar: max must be above 0, not {self.max!r}")

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(1.0, max(0.0, self.value / self.max))


THEMES = ("default", "success", "warning", "danger", "bg-gradient-indigo-purple")


@dataclass(frozen=True)
class ValueBox(Component):
    """One number, or a few words, large.

    Attributes:
        title: up to 200 characters.
        value: a number, or up to 100 characters.
        subtitle: up to 300 characters.
        theme: ``default``, ``success``, ``warning``, ``danger`` or ``bg-gradient-indigo-purple``.
        change_indicator: up to 200 characters, such as ``+3 % since yesterday``.
    """

    title: str = ""
    value: str | int | float = ""
    subtitle: str | None = None
    theme: str | None = None
    change_indicator: str | None = None
    live: ClassVar[tuple[str, ...]] = ("title", "value")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        limits = {"title": 200, "value": 100, "subtitle": 300, "change_indicator": 200}
        for name, limit in limits.items():
            value = getattr(self, name)
            if isinstance(value, str) and len(value) > limit:
                raise ValueError(f"ValueBox: {name} has more than {limit} characters")
        self._set(value=as_cell(self.value))
        if self.theme is not None and self.theme not in THEMES:
            raise ValueError(f"ValueBox: theme cannot be {self.theme!r}: {', '.join(THEMES)}")


@dataclass(frozen=True)
class Facts(Component):
    """Names and what is known of them, side by side.

    Attributes:
        items: pairs of a name and a cell, see `Table`; or a dict.
    """

    items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        pairs = self.items.items() if isinstance(self.items, Mapping) else self.items
        self._set(items=tuple((str(name), as_cell(value)) for name, value in pairs))
