"""flow-catch: let a flow go on after a failed step (``@catch``)."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from flow_core.api import DefinitionError, Failure, Options, StepDecorator, option


@dataclass(frozen=True)
class CatchOptions(Options):
    """Let the flow go on when the step has failed for good, that is, after its retries.

    What the step set before the failure is kept. Since 0.1.
    """

    var: str | None = option(
        None, "Artifact that gets the failure (`CaughtFailure`), or None when there was none."
    )
    print_exception: bool = option(True, "Whether the traceback goes to the step's log.")

    def validate(self) -> None:
        """Refuse a name that no step could read."""
        if self.var is not None and (not self.var.isidentifier() or keyword.iskeyword(self.var)):
            raise DefinitionError(
                f"Option 'var' must be the name of an artifact, not {self.var!r}",
                why="a step reads it as an attribute of self",
                hint="letters, digits and _, as in var='failure'",
            )


catch = StepDecorator("catch", CatchOptions)


@dataclass(frozen=True)
class CaughtFailure:
    """A failure that ``@catch`` handled, as plain text: it can be read where the exception cannot.

    Attributes:
        cause: ``error``, ``killed``, ``out-of-memory``, ``exit``, ``timeout``, ``lost``,
            ``evicted``, ``preempted``, ``cancelled``, ``launch`` or ``store``.
        type: qualified name of the exception or name of the signal.
        message: its text.
        traceback: its traceback; ``''`` if there is none. Paths of files in it are those inside of
            their packages, so that the same failure is the same value on any machine.
    """

    cause: str
    type: str
    message: str
    traceback: str = ""

    @classmethod
    def from_failure(cls, failure: Failure) -> CaughtFailure:
        """Copy the kernel's record of a failure."""
        traceback = re.sub(r'(?m)^( *File ")([^"\n]+)', _anywhere, failure.traceback)
        return cls(failure.cause, failure.type, failure.message, traceback)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.type else self.message


def _anywhere(found: re.Match[str]) -> str:
    from flow_core.api import path_anywhere

    return found[1] + path_anywhere(found[2])
