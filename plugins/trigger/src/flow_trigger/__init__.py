"""flow-trigger: what starts a deployed flow (``@trigger``, ``@trigger_on_finish``), and its stand-in."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_trigger.decorators import namespaced_event_name as namespaced_event_name
    from flow_trigger.decorators import trigger as trigger
    from flow_trigger.decorators import trigger_on_finish as trigger_on_finish
    from flow_trigger.events import Trigger as Trigger
    from flow_trigger.events import TriggerEvent as TriggerEvent

_HOME = {
    "namespaced_event_name": "decorators",
    "trigger": "decorators",
    "trigger_on_finish": "decorators",
    "Trigger": "events",
    "TriggerEvent": "events",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:  # not needed by flows without the decorators
        return getattr(importlib.import_module(f"flow_trigger.{_HOME[name]}"), name)
    raise AttributeError(f"module 'flow_trigger' has no attribute '{name}'")
