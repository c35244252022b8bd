"""What Acme adds to flow-core: the decorator ``@audited`` and the command ``flow costs``."""

from __future__ import annotations

from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option


@dataclass(frozen=True)
class AuditedOptions(Options):
    """Write down who runs the step when, and how it ends, in the file of the setting ``acme_audit_file``."""

    purpose: str = option("", "What the data is used for, in the words of the register.")
    values: bool = option(
        False, "Whether the values of parameters are written, not just the names."
    )

    def validate(self) -> None:
        """Refuse what could not be one line for people."""
        if self.purpose and not (self.purpose.isprintable() and self.purpose.strip()):
            raise DefinitionError(
                f"Option 'purpose' must be one line of text, not {self.purpose!r}",
                hint='@audited(purpose="forecast of orders")',
            )


audited = StepDecorator("audited", AuditedOptions)
