"""`Runner` and `NBRunner` as old scripts use them: flow-core's, told to run files through here."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    import flow_core

    if name in ("Runner", "NBRunner"):
        return getattr(flow_core, name)
    raise AttributeError(name)
