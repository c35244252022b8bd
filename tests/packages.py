"""For tests of steps with packages of their own, where there is no network: wheels in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from flow_core.testing import core_wheels, write_wheel

WITH_PACKAGES = """
    import sys

    from flow_core import FlowSpec, pypi, step

    class F(FlowSpec):
        @pypi(packages={"tiny": "2.*"})
        @step
        def start(self):
            import tiny

            self.version, self.python = tiny.VERSION, sys.executable
            self.next(self.end)

        @step
        def end(self):
            print("with", self.version, "of", self.python)

    if __name__ == "__main__":
        F()
"""
"""A flow whose first step needs ``tiny``."""


def write_wheels(folder: Path) -> None:
    """Write the wheels of two versions of ``tiny``, and of what every environment must have."""
    for version in ("1.0", "2.0"):
        write_wheel(folder, "tiny", version, {"tiny.py": f"VERSION = '{version}'\n"})
    core_wheels(folder)


def from_wheels(folder: Path) -> dict[str, str]:
    """Return the variables with which packages come from a folder of wheels alone."""
    return {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "UV_PYTHON_DOWNLOADS": "never",
    }
