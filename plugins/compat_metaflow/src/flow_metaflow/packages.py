"""``@conda`` and ``@pypi`` where their plugins are not installed: they may be switched off, and that is
what they are good for then. One that is not switched off is refused before the run starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flow_core.api import FlowDecorator, Options, StepDecorator, option

STEP = ("conda", "pypi")
BASE = ("conda_base", "pypi_base")


@dataclass(frozen=True)
class PackageOptions(Options):
    """Which packages a step needs. Only ``disabled=True`` has an effect."""

    packages: Any = option(None, "Name → version.")  # noqa: RUF009
    libraries: Any = option(None, "The same; the old name.")  # noqa: RUF009
    python: Any = option(None, "Version of Python.")  # noqa: RUF009
    disabled: Any = option(None, "Whether the step runs in the flow's own environment.")  # noqa: RUF009


conda = StepDecorator("conda", PackageOptions)
pypi = StepDecorator("pypi", PackageOptions)
conda_base = FlowDecorator("conda_base", PackageOptions)
pypi_base = FlowDecorator("pypi_base", PackageOptions)
