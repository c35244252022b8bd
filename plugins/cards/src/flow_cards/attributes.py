"""What `current` has by this plugin, for type checkers: ``flow plugins stubs`` reads it."""

from __future__ import annotations

from flow_cards.current import Cards


class CardAttributes:
    """In steps with ``@card``."""

    card: Cards
    """Adds to the cards of the task."""
