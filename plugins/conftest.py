"""For tests of plugins: a folder on the path with temporary distributions, modules and `dist-info`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

FLOW = """
from flow_core import FlowSpec, step

class HelloFlow(FlowSpec):
    @step
    def start(self):
        open("ran", "w").close()
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    HelloFlow()
"""


class Place:
    """A folder with a flow and temporary distributions; commands run in it in their own process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.site.mkdir()
        (folder / "hello_flow.py").write_text(FLOW)

    def install(
        self,
        name: str,
        entry_points: Mapping[str, str],
        module: str = "",
        *,
        version: str = "1.0",
        requires: str = "flow-core>=0.1,<1",
    ) -> None:
        """Write a distribution ``flow-NAME`` with the module ``flow_NAME``."""
        package = f"flow_{name}"
        info = self.site / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: flow-{name}\nVersion: {version}\n"
            f"Summary: The {name} of a test.\nRequires-Dist: {requires}\n\n"
        )
        lines = [f"[{group}]\n{entry}\n" for group, entry in entry_points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (self.site / f"{package}.py").write_text(dedent(module))

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run Python with ``command`` here."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("FLOW_")}
        environment.update(PYTHONPATH=str(self.site), HOME=str(self.folder), **variables)
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def flow(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``flow ARGUMENTS``."""
        return self.run("-c", "from flow_core.cli import main; main()", *arguments, **variables)

    def ran(self) -> bool:
        """Whether the flow's first task has run."""
        return (self.folder / "ran").exists()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with a flow."""
    return Place(tmp_path)
