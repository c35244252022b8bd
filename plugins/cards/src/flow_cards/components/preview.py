"""What is known of a value that has a name: a block that can be folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow_cards.components.base import Component


@dataclass(frozen=True)
class Preview(Component):
    """A value with a name, in a block that can be folded.

    Attributes:
        name: its name.
        type: its type.
        size: bytes that it takes.
        line: what it is, in a few words.
        content: what is seen of it when the block is open.
        open: whether it is at first.

    Since 0.1.
    """

    name: str = ""
    type: str = ""
    size: int = 0
    line: str = ""
    content: Any = None
    open: bool = True

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        from flow_cards.components.conversion import as_component

        self._set(content=as_component(self.content))
