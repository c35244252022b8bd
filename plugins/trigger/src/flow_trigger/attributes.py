"""What `current` has by this plugin, for type checkers: ``flow plugins stubs`` reads it."""

from __future__ import annotations

from flow_trigger.events import Trigger


class TriggerAttributes:
    """In flows with ``@trigger`` or ``@trigger_on_finish``, and in runs that were triggered."""

    trigger: Trigger | None
    """What started the run; None when a person did."""
