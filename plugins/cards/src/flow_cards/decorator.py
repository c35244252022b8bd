"""The decorator ``@card``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flow_core.api import DefinitionError, Options, StepDecorator, option

_TYPE = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_ID = r"[A-Za-z0-9_]+"


@dataclass(frozen=True)
class CardOptions(Options):
    """Let each task of the step leave a card: a page of HTML that shows what it did.

    A step may have several. ``current.card`` adds to them while the task runs. A card that fails
    never fails its task. Since 0.1.
    """

    type: str = option("default", "The type of card: default, blank, html, or one of a plugin.")
    id: str | None = option(None, "A name, by which current.card and the command find it.")
    options: dict[str, Any] = option({}, "Options of the type, as JSON data.")  # noqa: RUF009
    timeout: float = option(45.0, "Seconds that making the card may take.")
    save_errors: bool = option(True, "Whether a card that cannot be made leaves one that says why.")
    customize: bool = option(
        False, "Whether current.card.append means this card, where a step has several."
    )
    refresh_interval: float = option(
        0.5, "Seconds between two refreshes while the task runs, at least."
    )

    def validate(self) -> None:
        """Refuse what could name no card, and numbers that mean nothing."""
        if not re.fullmatch(_TYPE, self.type):
            raise DefinitionError(
                f"'{self.type}' cannot be the type of a card",
                why="a type is a word",
                hint="@card(type='blank')",
            )
        if self.id is not None and not re.fullmatch(_ID, self.id):
            raise DefinitionError(
                f"Option 'id' cannot be {self.id!r}",
                why="it is of letters, digits and _",
                hint=f"@card(id='{re.sub('[^A-Za-z0-9_]+', '_', self.id).strip('_') or 'loss'}')",
            )
        if not 0 < self.timeout < math.inf:
            raise DefinitionError(
                f"Option 'timeout' must be above 0, not {self.timeout:g}",
                hint="@card(timeout=45.0)",
            )
        if not 0 <= self.refresh_interval < math.inf:
            raise DefinitionError(
                f"Option 'refresh_interval' must be 0 or more, not {self.refresh_interval:g}",
                hint="@card(refresh_interval=0.5)",
            )


def in_order(found: Sequence[Options]) -> tuple[CardOptions, ...]:
    """Return the cards of a step as they stand in the source, from above.

    One without an id which is like another is the same: ``--with card`` adds none to a step that
    has one.
    """
    cards = [one for one in reversed(found) if isinstance(one, CardOptions)]
    return tuple(one for n, one in enumerate(cards) if one.id is not None or one not in cards[:n])


card = StepDecorator("card", CardOptions, allow_multiple=True)
