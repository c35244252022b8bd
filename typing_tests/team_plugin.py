"""A plugin of one module, as a team has it beside its flows: a decorator, and what current has by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flow_core.api import FlowDecorator, Options, StepDecorator, option

__flow__ = {
    "flow.decorators": {"audited": "audited", "owned": "owned"},
    "flow.exports": {"audit_file": "audit_file"},
    "flow.current": {"audit": "AuditAttributes"},
}


class Place:
    """Where entries are written."""


@dataclass(frozen=True)
class AuditOptions(Options):
    """Write down who ran the step."""

    reason: str = option(help="Why it is audited.")
    level: Literal["low", "high"] = option("low", "How much is written down.")
    place: Place | None = option(None, "Where.")


@dataclass(frozen=True)
class OwnerOptions(Options):
    """Say whose flow it is."""

    team: str = option("data", "The team.")


audited = StepDecorator("audited", AuditOptions)
owned = FlowDecorator("owned", OwnerOptions)


class AuditAttributes:
    """In steps with ``@audited``."""

    audit: Place


def audit_file(flow: str) -> str:
    """Return the file with the entries of a flow."""
    return f"{flow}.jsonl"
