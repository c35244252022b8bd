"""flow-venv: steps with packages of their own, in virtual environments that pip fills (``@venv``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option


@dataclass(frozen=True)
class VenvOptions(Options):
    """Run a step in a virtual environment with these packages, and no others.

    What is installed is fixed when the run starts, and recorded with it. Packages come from where
    pip finds them, as wheels. Since 0.1.
    """

    packages: Sequence[str] = option((), "Requirements as pip takes them: ['pandas==2.2.*'].")
    requirements: str = option(
        "", "A requirements file, relative to the flow's file, with one requirement a line."
    )
    python: str = option("", "Version of Python, '3.12'; default: that of the launcher.")
    disabled: bool = option(False, "The launcher's Python after all, whatever --environment says.")

    def validate(self) -> None:
        """Refuse versions that are none."""
        if self.python and not re.fullmatch(r"3\.\d+", self.python):
            raise DefinitionError(
                f"Option 'python' must be a version like '3.12', not {self.python!r}",
                hint="python='3.12'",
            )


venv = StepDecorator("venv", VenvOptions)
