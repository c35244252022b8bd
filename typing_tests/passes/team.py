"""What a plugin of one module offers. Needs the stubs: without them nobody knows of it."""

from __future__ import annotations

from flow_core import FlowSpec, audit_file, audited, current, owned, step


@owned(team="search")
class Mine(FlowSpec):
    """A flow."""

    @audited(reason="it matters", level="high")
    @step
    def start(self) -> None:
        """Begin."""
        print(current.audit)
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


@owned
class Other(Mine):
    """Another one."""


file: str = audit_file("Mine")
